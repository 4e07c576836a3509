"""What a study prints: scores, pairs of agents, and whether there are enough seeds."""

import itertools
from collections.abc import Sequence
from math import inf
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skrl.studies.study import Study


def report(study: "Study") -> str:
    """Write the report of a study: its tables, and its conclusion if agents are compared."""
    # The best agent comes first.
    ranked = sorted(
        study.agents, key=lambda agent: study.interquartile_mean(agent).value, reverse=True
    )
    parts = [_scores(study, ranked, env) for env in study.envs]
    if len(study.envs) > 1:
        parts.append(_scores(study, ranked, None))
    if len(ranked) > 1:
        parts += [_pairs(study, ranked), _conclusion(study, *ranked[:2])]
    return "\n\n".join(parts)


def _scores(study: "Study", ranked: Sequence[str], env: str | None) -> str:
    heading = "all, each scaled to 0..1" if env is None else env
    rows = [(heading, "interquartile mean", "95% interval", "runs", "steps", "seconds")]
    for agent in ranked:
        runs = [r for r in study.results if r.agent == agent and env in (None, r.env)]
        steps = [run.n_steps for run in runs if run.n_steps is not None]
        mean, interval = str(study.interquartile_mean(agent, env)).split(" ", 1)
        mean_steps = f"{np.mean(steps):,.0f}" if steps else "-"
        seconds = f"{np.mean([run.seconds for run in runs]):.1f}"
        rows.append((agent, mean, interval, str(len(runs)), mean_steps, seconds))
    return _aligned(rows)


def _pairs(study: "Study", ranked: Sequence[str]) -> str:
    rows = [("a > b", "probability", "95% interval")]
    for a, b in itertools.combinations(ranked, 2):
        probability, interval = str(study.probability_of_improvement(a, b)).split(" ", 1)
        rows.append((f"{a} > {b}", probability, interval))
    return _aligned(rows)


def _conclusion(study: "Study", best: str, second: str) -> str:
    """Say whether there are enough seeds to call the best agent better than the second."""
    n, needed = len(study.seeds), study.n_seeds_needed(best, second)
    claim = f"that {best!r} is better than {second!r}"
    if needed == inf:
        return f"There is no evidence {claim}:\nit scores higher in at most half of the pairs."
    verdict = "are enough" if needed <= n else "are not enough"
    probability = study.probability_of_improvement(best, second).value
    return (
        f"{n} seeds {verdict} to show {claim}:\n"
        f"a probability of {probability:.2f} needs {needed:.0f} (5% error, 80% power)."
    )


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Align columns of text, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]))
    return "\n".join(lines)
