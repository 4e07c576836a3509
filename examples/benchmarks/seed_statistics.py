"""What many seeds say together.

A mean over seeds hides the seed that learned nothing, and rests on outliers. So the interquartile
mean is given, with its bootstrap interval (Agarwal et al., 2021, "Deep reinforcement learning at
the edge of the statistical precipice"), and beside it how many seeds solved the task and the worst.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from statistics import median

import numpy as np
from scipy.stats import bootstrap, trim_mean

N_RESAMPLES = 10_000
ROUNDING = 1e-9  # an exact value may fall short of the same number written down by this


def interquartile_mean(scores: Sequence[float] | np.ndarray, axis: int = -1) -> np.ndarray:
    """Mean of the middle half: a quarter of the scores is left out at either end."""
    mean: np.ndarray = trim_mean(scores, 0.25, axis=axis)
    return mean


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """Where the interquartile mean of other seeds would lie 19 times out of 20 (percentile).

    One seed says nothing about others: its interval is all numbers.
    """
    if len(scores) < 2:
        return -inf, inf
    result = bootstrap(
        (np.asarray(scores),), interquartile_mean, n_resamples=N_RESAMPLES, method="percentile",
        vectorized=True, rng=np.random.default_rng(0),
    )  # fmt: skip
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def solves(score: float, threshold: float) -> bool:
    return score >= threshold - ROUNDING


def first_solved(
    evaluations: Sequence[tuple[int, float, float]], threshold: float
) -> tuple[float, float]:
    """Steps and seconds up to the first evaluation that reaches the threshold.

    An evaluation is (steps, score, seconds). Infinite, if none reaches it.
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
    low, high = interval(scores)
    n_solved = sum(solves(score, threshold) for score in scores)
    return Summary(float(interquartile_mean(scores)), low, high, n_solved, min(scores))


def median_solved(
    runs: Sequence[Sequence[tuple[int, float, float]]], threshold: float
) -> tuple[float, float]:
    """Median steps and seconds to the first evaluation that solves; a run that never does is late.

    Both are infinite where fewer than half of the runs get there.
    """
    steps, seconds = zip(*(first_solved(run, threshold) for run in runs), strict=True)
    return median(steps), median(seconds)
