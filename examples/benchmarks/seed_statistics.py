"""Statistics over seeds.

A mean over seeds depends on outliers, and hides a seed that learned nothing. So the report has the
interquartile mean with its bootstrap interval (Agarwal et al., 2021, "Deep reinforcement learning
at the edge of the statistical precipice"), the number of seeds that solved the task, and the worst.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import median

from skrl.studies.statistics import interquartile_mean, stratified_bootstrap

ROUNDING = 1e-9  # by which a computed value may differ from the same number in decimals


def solves(score: float, threshold: float) -> bool:
    return score >= threshold - ROUNDING


def first_solved(
    evaluations: Sequence[tuple[int, float, float]], threshold: float
) -> tuple[float, float]:
    """Steps and seconds until the first evaluation that reaches the threshold.

    An evaluation is (steps, score, seconds). Both are infinite if none reaches it.
    """
    for n_steps, score, seconds in evaluations:
        if solves(score, threshold):
            return n_steps, seconds
    return inf, inf


@dataclass(frozen=True)
class Summary:
    """All seeds of one library on one task."""

    mean: float  # interquartile
    low: float
    high: float
    n_solved: int
    worst: float


def summarize(scores: Sequence[float], threshold: float) -> Summary:
    low, high = stratified_bootstrap(scores)
    n_solved = sum(solves(score, threshold) for score in scores)
    return Summary(float(interquartile_mean(scores)), low, high, n_solved, min(scores))


def median_solved(
    runs: Sequence[Sequence[tuple[int, float, float]]], threshold: float
) -> tuple[float, float]:
    """Median steps and seconds until the first evaluation that reaches the threshold.

    A run that never reaches it counts as infinite.
    """
    steps, seconds = zip(*(first_solved(run, threshold) for run in runs), strict=True)
    return median(steps), median(seconds)
