"""The sequential test, on returns drawn from a normal distribution."""

import numpy as np
import pytest

from skrl.callbacks.solved import SolvedTest


def attempt(rng, mean, number=1, n_episodes=20):
    """Make an attempt with returns of this mean around the threshold 0, in heats of 20."""
    test, returns, is_solved = SolvedTest(0.0, number, n_episodes), np.empty(0), None
    while is_solved is None:
        returns = np.concatenate([returns, rng.normal(mean, 1.0, 20)])
        is_solved = test.look(returns)
    return is_solved, len(returns)


def test_a_mean_at_the_threshold_is_rarely_called_solved_in_ten_attempts():
    rng, n_runs = np.random.default_rng(0), 2000
    n_errors = sum(any(attempt(rng, 0.0, j)[0] for j in range(1, 11)) for _ in range(n_runs))
    # At most 5 %, and three standard errors of the simulation.
    assert n_errors <= n_runs * (0.05 + 3 * np.sqrt(0.05 * 0.95 / n_runs))


def test_a_mean_half_a_standard_deviation_above_is_found_with_few_episodes():
    rng = np.random.default_rng(1)
    attempts = [attempt(rng, 0.5) for _ in range(500)]
    assert np.mean([is_solved for is_solved, _ in attempts]) > 0.97
    assert np.mean([n for _, n in attempts]) < 60


def test_it_gives_up_after_20_times_the_episodes():
    returns = np.tile([-1.0, 1.0], 1000)  # the mean is the threshold
    test = SolvedTest(0.0, 1, 20)
    looks = [n for n in range(2, 402, 2) if test.look(returns[:n]) is not None]
    assert looks[0] == 400


@pytest.mark.parametrize(("value", "expected"), [(500.0, True), (475.0, True), (474.0, False)])
def test_equal_returns_have_no_error(value, expected):
    assert SolvedTest(475.0, 1, 10).look(np.full(20, value)) is expected


def test_fewer_than_20_episodes_claim_nothing():
    returns = np.full(20, 1.0)
    assert SolvedTest(0.0, 1, 100).look(returns[:19], is_last=True) is False
    assert SolvedTest(0.0, 1, 100).look(returns, is_last=True) is True
    assert SolvedTest(0.0, 1, 1).look(returns[:19]) is None
    assert SolvedTest(0.0, 1, 1).look(returns) is True
