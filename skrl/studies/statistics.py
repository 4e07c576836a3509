"""What many seeds say together: interquartile means, intervals, and who is better how surely.

Deep reinforcement learning is noisy: another seed may turn the order of two agents round. A mean
over a few seeds rests on outliers and hides the seed that learned nothing. These functions follow
Agarwal et al. (2021): they show the middle of the scores, how sure it is, and all of the rest.

Scores are numbers of shape (n_seeds, n_envs), the higher the better, or (n_seeds,) for a single
environment.

References
----------
E. Dolan & J. Moré (2002), "Benchmarking optimization software with performance profiles",
Mathematical Programming 91, 201-213.
R. Agarwal, M. Schwarzer, P. Castro, A. Courville & M. Bellemare (2021), "Deep reinforcement
learning at the edge of the statistical precipice", NeurIPS, arXiv 2108.13264.
H. Mann & D. Whitney (1947), "On a test of whether one of two random variables is stochastically
larger than the other", Annals of Mathematical Statistics 18, 50-60.
G. Noether (1987), "Sample size determination for some common nonparametric tests", Journal of the
American Statistical Association 82, 645-647.
"""

from collections.abc import Callable
from math import ceil, inf
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy.random import Generator
from scipy import stats

N_RESAMPLES = 5_000


class Estimate(NamedTuple):
    """A number, and the interval in which it probably lies.

    Parameters
    ----------
    value : float
        The number that was computed from the scores.
    low, high : float
        Ends of the interval.

    Examples
    --------
    >>> print(Estimate(0.75, 0.5, 0.96875), Estimate(1234.5, 1000, 12345))
    0.75 [0.5, 0.9688] 1,234 [1,000, 12,345]
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        value, low, high = (f"{x:.4g}" if abs(x) < 1000 else f"{x:,.0f}" for x in self)
        return f"{value} [{low}, {high}]"


def interquartile_mean(
    scores: Any, axis: int | None = None
) -> np.float64 | Float64[np.ndarray, "..."]:
    """Mean of the middle half: a quarter of the scores is left out at either end.

    A few outliers do not move it, and it uses more of the scores than the median does (Agarwal
    et al., 2021). Where a quarter is no whole number it is rounded down: fewer than 4 scores give
    their mean.

    Parameters
    ----------
    scores : array-like of float
        Of any shape.
    axis : int or None, default=None
        Along which to take the mean. None takes one mean of all scores.

    Returns
    -------
    float, or ndarray without that axis
        The mean.

    Raises
    ------
    ValueError
        If there is no score.

    Examples
    --------
    >>> print(interquartile_mean([0, 100, 2, 3, 4, 5, 6, 1]))
    3.5
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.size == 0:
        raise ValueError("The interquartile mean of no scores was asked for; give at least one.")
    mean: np.float64 | np.ndarray = stats.trim_mean(array, 0.25, axis=axis)
    return mean


def stratified_bootstrap(
    scores: Any,
    statistic: Callable[..., Any] = interquartile_mean,
    *,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int | Generator | None = 0,
) -> tuple[float, float]:
    """Interval in which a statistic of other seeds' scores would lie.

    The seeds of each environment are drawn anew, with replacement, and the statistic is computed
    from what was drawn; the interval holds the middle of many such statistics (the percentile
    bootstrap, stratified by environment, of Agarwal et al., 2021). It rests on the scores that
    are there: the interval of normally distributed scores' interquartile mean, meant to hold the
    truth in 95% of all studies, does so in 93% with 10 seeds, 91% with 5 and 73% with 3. One seed
    says nothing about others; its interval is all numbers.

    Parameters
    ----------
    scores : array-like of shape (n_seeds, n_envs) or (n_seeds,)
        Finite scores.
    statistic : callable, default=interquartile_mean
        ``statistic(samples, axis=1)`` computes one number per row, as `numpy.mean` does.
    confidence : float in (0, 1), default=0.95
        How probable it is to be that the interval holds the true number.
    n_resamples : int, default=5,000
        How often to draw.
    random_state : int, numpy.random.Generator or None, default=0
        Source of the draws.

    Returns
    -------
    (float, float)
        The ends of the interval.

    Raises
    ------
    ValueError
        If the scores or another parameter will not do.

    Examples
    --------
    >>> low, high = stratified_bootstrap([490.0, 500.0, 500.0, 470.0, 500.0, 120.0])
    >>> low < interquartile_mean([490.0, 500.0, 500.0, 470.0, 500.0, 120.0]) < high
    np.True_
    """
    array = _as_scores(scores)
    _check_bootstrap(confidence, n_resamples)
    if len(array) == 1:
        return -inf, inf

    def pooled(*columns: np.ndarray, axis: int) -> Any:
        return statistic(np.concatenate(columns, axis=axis), axis=axis)

    interval = stats.bootstrap(
        tuple(array.T),  # each environment is drawn from for itself
        pooled,
        method="percentile",
        confidence_level=confidence,
        n_resamples=n_resamples,
        rng=np.random.default_rng(random_state),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def probability_of_improvement(
    scores: Any,
    other_scores: Any,
    *,
    confidence: float = 0.95,
    n_resamples: int = N_RESAMPLES,
    random_state: int | Generator | None = 0,
) -> Estimate:
    """Probability that a run of one agent scores higher than a run of another.

    In each environment it is P(X > Y) + P(X = Y) / 2, which is Mann and Whitney's U divided by
    the number of pairs; the result is the mean over the environments (Agarwal et al., 2021). It
    does not say how much higher. The interval is a stratified bootstrap's, and too narrow where few
    runs are almost all won: where all are, it has no width. See `n_seeds_needed` for such cases.

    Parameters
    ----------
    scores, other_scores : array-like of shape (n_seeds, n_envs) or (n_seeds,)
        Finite scores of the two agents, X and Y. The numbers of seeds may differ.
    confidence : float in (0, 1), default=0.95
        How probable it is to be that the interval holds the true probability.
    n_resamples : int, default=5,000
        How often to draw for the interval.
    random_state : int, numpy.random.Generator or None, default=0
        Source of the draws.

    Returns
    -------
    Estimate
        The probability, in [0, 1], and its interval: from 0 to 1, if an agent has one seed only.

    Raises
    ------
    ValueError
        If the scores are not of the same environments, or another parameter will not do.

    Examples
    --------
    >>> probability_of_improvement([3, 4, 5], [1, 2, 3]).value  # 8 of 9 pairs, and a tie
    0.9444444444444444
    """
    first, second = _as_scores(scores), _as_scores(other_scores)
    _check_bootstrap(confidence, n_resamples)
    (n, n_envs), (m, n_other_envs) = first.shape, second.shape
    if n_envs != n_other_envs:
        raise ValueError(
            f"The scores are of {n_envs} and {n_other_envs} environments; give those of the same "
            "environments, in arrays of shape (n_seeds, n_envs)."
        )
    rng = np.random.default_rng(random_state)
    probability, resampled = 0.0, np.zeros(n_resamples)
    for x, y in zip(first.T, second.T, strict=True):
        # 1 where X > Y, 1/2 where X = Y, 0 where X < Y
        wins = (np.sign(x[:, np.newaxis] - y) + 1) / 2
        # U / (n m) = P(X > Y) + P(X = Y) / 2
        probability += wins.mean() / n_envs
        drawn_x, drawn_y = _draw(n, n_resamples, rng), _draw(m, n_resamples, rng)
        resampled += (drawn_x @ wins * drawn_y).sum(axis=1) / (n * m * n_envs)
    interval = (0.0, 1.0) if 1 in (n, m) else _middle(resampled, confidence)
    return Estimate(float(probability), *interval)


def performance_profile(scores: Any, thresholds: Any) -> Float64[np.ndarray, " n_thresholds"]:
    """Share of the runs that score higher than each threshold.

    The whole distribution of the scores in one curve, which falls from 1 to 0; the higher the
    better. Where it is 1/2 there is the median (Agarwal et al., 2021; Dolan & Moré, 2002).

    Parameters
    ----------
    scores : array-like of shape (n_seeds, n_envs) or (n_seeds,)
        Finite scores; on one scale, if they are of several environments.
    thresholds : array-like of shape (n_thresholds,)
        tau.

    Returns
    -------
    ndarray of shape (n_thresholds,)
        The shares, in [0, 1].

    Raises
    ------
    ValueError
        If the scores will not do.

    Examples
    --------
    >>> performance_profile([100, 475, 500, 500], thresholds=[0, 100, 475, 500])
    array([1.  , 0.75, 0.5 , 0.  ])
    """
    taus = np.asarray(thresholds, dtype=np.float64).reshape(-1, 1)
    # share(tau) = mean over runs of [score > tau]
    shares: np.ndarray = (_as_scores(scores).ravel() > taus).mean(axis=1)
    return shares


def n_seeds_needed(
    probability: float, n_envs: int = 1, *, error: float = 0.05, power: float = 0.8
) -> float:
    """How many seeds show that one agent is better than another.

    If its true probability of improvement is p, then so many seeds of both, in each of n_envs
    environments, make Mann and Whitney's two-sided test find it with the probability `power`
    (Noether, 1987)::

        n = (z(1 - error / 2) + z(power))^2 / (6 n_envs (p - 1/2)^2)

    where z are quantiles of the normal distribution. The p of a study that has few seeds is a
    guess, and so is the number then.

    Parameters
    ----------
    probability : float in [0, 1]
        p, see `probability_of_improvement`.
    n_envs : int, default=1
        Number of environments.
    error : float in (0, 1), default=0.05
        Probability of finding a difference where there is none.
    power : float in [0.5, 1), default=0.8
        Probability of finding the difference where it is there.

    Returns
    -------
    float
        A whole number, at least 2; or infinity where p is at most 1/2.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> n_seeds_needed(0.75), n_seeds_needed(0.6), n_seeds_needed(0.5)
    (21.0, 131.0, inf)
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability!r}.")
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs!r}.")
    if not 0 < error < 1:
        raise ValueError(f"error must be in (0, 1), got {error!r}.")
    if not 0.5 <= power < 1:
        raise ValueError(f"power must be in [0.5, 1), got {power!r}.")
    if probability <= 0.5:
        return inf
    z = NormalDist().inv_cdf
    # n = (z(1 - error / 2) + z(power))^2 / (6 n_envs (p - 1/2)^2)
    n = (z(1 - error / 2) + z(power)) ** 2 / (6 * n_envs * (probability - 0.5) ** 2)
    return float(max(2, ceil(n)))


def _as_scores(scores: Any) -> Float64[np.ndarray, "n_seeds n_envs"]:
    """Check scores; those of a single environment become a column."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(
            "Scores must have the shape (n_seeds, n_envs), or (n_seeds,) for one environment, and "
            f"there must be some; got the shape {np.shape(scores)}."
        )
    if not np.isfinite(array).all():
        raise ValueError(
            f"Scores must be finite, but {np.count_nonzero(~np.isfinite(array))} of {array.size} "
            "are NaN or infinite. Find out which runs gave them, and why."
        )
    return array


def _check_bootstrap(confidence: float, n_resamples: int) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples!r}.")


def _draw(n: int, n_resamples: int, rng: Generator) -> Int64[np.ndarray, "n_resamples n"]:
    """How often each of n seeds comes up when n are drawn with replacement."""
    return rng.multinomial(n, np.full(n, 1 / n), size=n_resamples)


def _middle(resampled: Float64[np.ndarray, " n"], confidence: float) -> tuple[float, float]:
    """Interval that holds the middle of the resampled statistics."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(resampled, [tail, 1 - tail])
    return float(low), float(high)
