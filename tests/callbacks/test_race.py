"""Race: which of several Q functions is kept, by their returns in the same episodes."""

import numpy as np
import pytest

from skrl.callbacks.race import MAX_CONTENDERS, Race, compare


def race(*returns):
    race = Race()
    for name, one in enumerate(returns):
        race.enter({"name": name}, np.array(one, dtype=float))
    return race


def names(race):
    return [contender.state["name"] for contender in race.contenders]


def test_only_episodes_that_both_played_are_compared():
    gain, error = compare(np.array([1.0, 3.0, 100.0]), np.array([0.0, 0.0]))
    # Differences of 1 and 3: mean 2, standard deviation sqrt(2), standard error 1.
    assert (gain, error) == (2.0, pytest.approx(1.0))
    assert compare(np.array([]), np.array([1.0])) == (np.inf, 0.0)


def test_who_is_behind_by_two_standard_errors_is_dropped():
    assert names(race([0, 0], [1, 3])) == [0, 1]  # by exactly two
    assert names(race([0, 0, 0], [1, 3, 2])) == [1]
    assert names(race([1, 3, 2], [0, 0, 0])) == [0]


def test_of_equals_the_later_wins():
    assert race([1, 2], [1, 2], [1, 2]).winner().state["name"] == 2


def test_the_leader_wins_where_the_others_are_half_a_standard_error_behind():
    # Differences of 2, -1, ...: behind by a mean of 0.5 and a standard error of 0.5.
    assert race([2, -1] * 5, [0] * 10).winner().state["name"] == 0
    # Behind by 0.05, with the same error.
    assert race([1.55, -1.45] * 5, [0] * 10).winner().state["name"] == 1


def test_the_worst_leaves_when_there_are_too_many():
    returns = [[0, 10 + k] for k in (3, 1, 2, 4, 5, 6, 7, 8, 9)]
    assert len(returns) == MAX_CONTENDERS + 1
    assert names(race(*returns)) == [0, 2, 3, 4, 5, 6, 7, 8]


def test_a_candidate_may_win_until_it_is_clearly_behind():
    leader = race([4, 0, 4, 0])
    assert leader.may_win(np.empty(0))
    assert leader.may_win(np.array([0.0, 3.0]))
    assert not leader.may_win(np.array([1.0, -3.0]))  # 3 behind in both
    assert Race().may_win(np.array([-1e9]))


def test_contenders_with_the_fewest_episodes_play_next_the_latest_first():
    contest = race([1, 2], [2, 1], [1])
    assert contest.next_to_play(n_episodes=3) == 2
    contest.extend(2, np.array([2.0]))
    assert contest.next_to_play(n_episodes=3) == 2
    contest.extend(2, np.array([2.0]))
    assert contest.next_to_play(n_episodes=3) == 1
    assert contest.next_to_play(n_episodes=2) is None
    assert race([1, 2]).next_to_play(n_episodes=3) is None  # the only one has won
    assert len(contest.winner().returns) == 3
