"""Statistics over seeds: exact on small arrays, with intervals that have their coverage."""

from math import inf
from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats

from skrl.studies.statistics import (
    interquartile_mean,
    n_seeds_needed,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

TEN = [7, 1, 9, 3, 5, 0, 8, 2, 6, 400]


# ---- interquartile mean ------------------------------------------------------------------------


def test_the_lowest_and_highest_quarter_are_left_out():
    assert interquartile_mean([0, 100, 2, 3, 4, 5, 6, 1]) == (2 + 3 + 4 + 5) / 4
    # A quarter of ten, 2.5, is rounded down to 2.
    assert interquartile_mean(TEN) == (2 + 3 + 5 + 6 + 7 + 8) / 6


def test_fewer_than_four_scores_give_their_mean():
    assert interquartile_mean([0, 0, 9]) == 3
    assert interquartile_mean([5]) == 5


def test_all_environments_together_or_along_an_axis():
    scores = np.array([[0, 10], [1, 20], [2, 30], [3, 40]])
    assert interquartile_mean(scores) == (2 + 3 + 10 + 20) / 4
    assert interquartile_mean(scores, axis=0).tolist() == [1.5, 25]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 10, 30])
def test_it_is_scipys_trimmed_mean(n):
    scores = np.random.default_rng(n).standard_exponential((3, n))
    expected = stats.trim_mean(scores, 0.25, axis=1)
    np.testing.assert_allclose(interquartile_mean(scores, axis=1), expected)


def test_the_mean_needs_a_score():
    with pytest.raises(ValueError, match="at least one score"):
        interquartile_mean([])


# ---- stratified bootstrap ----------------------------------------------------------------------


def test_interval_of_two_seeds():
    # Of two draws from 0 and 1 the mean is 0, 1/2 or 1, with probabilities 1/4, 1/2 and 1/4.
    assert stratified_bootstrap([0, 1], np.mean) == (0, 1)
    assert stratified_bootstrap([0, 1], np.mean, confidence=0.4) == (0.5, 0.5)
    assert stratified_bootstrap([0, 1], np.max, confidence=0.4) == (1, 1)


def test_seeds_are_drawn_within_their_environment():
    # Every draw has as many scores of 0 as of 10.
    assert stratified_bootstrap([[0, 10], [0, 10], [0, 10]], np.mean) == (5, 5)


def test_it_is_scipys_bootstrap_for_one_environment():
    scores = np.random.default_rng(1).standard_exponential(30)
    expected = stats.bootstrap((scores,), np.mean, method="percentile", rng=0).confidence_interval
    assert stratified_bootstrap(scores, np.mean) == pytest.approx(expected, abs=0.03)


def test_the_interval_of_one_seed_is_infinite():
    assert stratified_bootstrap([[3.0, 4.0]]) == (-inf, inf)


def test_the_same_random_state_gives_the_same_interval():
    assert stratified_bootstrap(TEN) == stratified_bootstrap(TEN)
    assert stratified_bootstrap(TEN, random_state=1) != stratified_bootstrap(TEN)
    generator = np.random.default_rng(0)
    assert stratified_bootstrap(TEN, random_state=generator) == stratified_bootstrap(TEN)


@pytest.mark.parametrize("shape", [(20, 1), (10, 5)])
def test_coverage_of_the_interval(shape):
    rng = np.random.default_rng(0)
    n_studies, n_held = 400, 0
    for _ in range(n_studies):
        low, high = stratified_bootstrap(rng.standard_normal(shape), n_resamples=500)
        n_held += low <= 0 <= high
    # The standard deviation of a share of 95% of 400 studies is 1%; few seeds cover a bit less.
    assert 0.90 <= n_held / n_studies <= 0.98


# ---- probability of improvement ----------------------------------------------------------------


def test_pairs_are_counted_and_ties_are_half():
    assert probability_of_improvement([3, 4, 5], [1, 2, 3]).value == pytest.approx(8.5 / 9)
    assert probability_of_improvement([1, 1], [1, 1, 1]).value == 0.5


def test_it_is_mann_and_whitneys_u():
    rng = np.random.default_rng(0)
    x, y = rng.integers(20, size=12), rng.integers(25, size=9)
    u = stats.mannwhitneyu(x, y).statistic
    assert probability_of_improvement(x, y).value == pytest.approx(u / (12 * 9))


def test_probabilities_of_both_orders_sum_to_1():
    x, y = np.random.default_rng(0).standard_normal((2, 8, 3))
    there, back = probability_of_improvement(x, y), probability_of_improvement(y, x)
    assert there.value + back.value == pytest.approx(1)


def test_the_mean_over_environments():
    # All pairs of the first environment are won, half of those of the second.
    assert probability_of_improvement([[5, 0], [6, 3]], [[1, 1], [2, 2]]).value == 0.75


def test_interval_of_the_probability():
    # A draw from 0 and 1 beats 1/2 in 0, 1 or 2 of 2 cases, with probabilities 1/4, 1/2 and 1/4.
    assert probability_of_improvement([0, 1], [0.5, 0.5]) == (0.5, 0, 1)
    assert probability_of_improvement([0, 1], [0.5, 0.5], confidence=0.4) == (0.5, 0.5, 0.5)
    assert probability_of_improvement([5, 6], [1, 2]) == (1, 1, 1)
    assert probability_of_improvement([5, 6], [1]) == (1, 0, 1)


def test_coverage_of_the_interval_of_the_probability():
    # X - Y is normal with mean 1 and deviation sqrt(2).
    truth = NormalDist().cdf(1 / np.sqrt(2))
    rng = np.random.default_rng(0)
    n_studies, n_held = 400, 0
    for _ in range(n_studies):
        x, y = rng.standard_normal((2, 15))
        _, low, high = probability_of_improvement(x + 1, y, n_resamples=500)
        n_held += low <= truth <= high
    assert 0.90 <= n_held / n_studies <= 0.98


def test_different_numbers_of_environments_are_refused():
    with pytest.raises(ValueError, match="1 and 2 environments"):
        probability_of_improvement([1, 2], [[1, 2], [3, 4]])


# ---- performance profile -----------------------------------------------------------------------


def test_profile_counts_runs_above_the_threshold():
    scores = [[0.0, 1.0], [0.5, 0.5]]
    assert performance_profile(scores, [-1, 0, 0.5, 1]).tolist() == [1, 0.75, 0.25, 0]


# ---- how many seeds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("probability", "n_envs", "expected"),
    # (1.960 + 0.842)^2 / (6 n_envs (p - 1/2)^2) = 1.3081 / (n_envs (p - 1/2)^2), rounded up
    [
        (0.75, 1, 21),
        (0.6, 1, 131),
        (1.0, 1, 6),
        (0.75, 3, 7),
        (1.0, 6, 2),
        (0.5, 1, inf),
        (0, 1, inf),
    ],
)
def test_noethers_formula(probability, n_envs, expected):
    assert n_seeds_needed(probability, n_envs) == expected


def test_less_error_and_more_power_need_more_seeds():
    # (2.576 + 1.282)^2 / (6 * 0.25^2)
    assert n_seeds_needed(0.75, error=0.01, power=0.9) == 40


@pytest.mark.parametrize(("difference", "n_envs"), [(0.95, 1), (0.55, 4)])
def test_the_seeds_needed_find_the_difference_in_4_of_5_studies(difference, n_envs):
    p = NormalDist().cdf(difference / np.sqrt(2))
    n = int(n_seeds_needed(p, n_envs))
    x, y = np.random.default_rng(0).standard_normal((2, 1000, n, n_envs))
    u = stats.mannwhitneyu(x + difference, y, axis=1).statistic.mean(axis=1)
    # Without a difference, U has the variance n^2 (2 n + 1) / 12.
    z = (u - n**2 / 2) / np.sqrt(n**2 * (2 * n + 1) / 12 / n_envs)
    assert 0.75 <= (z > NormalDist().inv_cdf(0.975)).mean() <= 0.90


# ---- invalid arguments -------------------------------------------------------------------------


@pytest.mark.parametrize("scores", [[], [[]], np.zeros((2, 2, 2)), 3.0])
def test_scores_of_a_wrong_shape_are_refused(scores):
    with pytest.raises(ValueError, match=r"\(n_seeds, n_envs\)"):
        stratified_bootstrap(scores)


@pytest.mark.parametrize("score", [np.nan, -np.inf])
def test_scores_that_are_not_finite_are_refused(score):
    with pytest.raises(ValueError, match="1 of 2"):
        performance_profile([1.0, score], [0.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: stratified_bootstrap(TEN, confidence=95),
        lambda: probability_of_improvement(TEN, TEN, n_resamples=0),
        lambda: n_seeds_needed(1.5),
        lambda: n_seeds_needed(0.7, n_envs=0),
        lambda: n_seeds_needed(0.7, error=5),
        lambda: n_seeds_needed(0.7, power=0.2),
    ],
)
def test_parameters_out_of_range_are_refused(call):
    with pytest.raises(ValueError, match="must be"):
        call()
