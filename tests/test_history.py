import numpy as np
import pytest

from skrl.base import Transitions
from skrl.history import History, Table


def step(rewards, terminated, truncated=None, env_ids=None):
    n = len(rewards)
    return Transitions(
        states=np.zeros(n, np.int64),
        actions=np.zeros(n, np.int64),
        rewards=np.array(rewards, dtype=float),
        next_states=np.zeros(n, np.int64),
        discounts=np.ones(n),
        terminated=np.array(terminated, dtype=bool),
        truncated=np.array(truncated or [False] * n, dtype=bool),
        env_ids=None if env_ids is None else np.array(env_ids),
    )


def test_a_table_is_sliced_by_row_column_and_both():
    table = Table(["a", "b"])
    for i in range(5):
        table.append(a=i, b=i * i)
    assert len(table) == 5
    assert table[-1] == {"a": 4, "b": 16}
    assert table[1:3] == [{"a": 1, "b": 1}, {"a": 2, "b": 4}]
    assert table[:, "b"].tolist() == [0, 1, 4, 9, 16]
    assert table[-2:, "a"].tolist() == [3, 4]
    assert table[2, "b"] == 4


def test_a_table_refuses_unknown_columns():
    table = Table(["a"])
    with pytest.raises(KeyError, match="'b'"):
        table[:, "b"]
    with pytest.raises(ValueError, match="columns"):
        table.append(b=1)


def test_episodes_are_told_apart_by_environment():
    history = History()
    history.begin(n_envs=2)
    assert history.record(step([1, 10], [False, False])) is None
    assert history.record(step([2, 20], [True, False])).tolist() == [0]
    truncated = step([4, 40], [False, False], truncated=[False, True])
    assert history.record(truncated).tolist() == [1]
    assert history.record(step([8, 80], [True, True])).tolist() == [0, 1]

    assert history[:, "return"].tolist() == [3, 70, 12, 80]
    assert history[:, "length"].tolist() == [2, 3, 2, 1]
    assert history[:, "env_id"].tolist() == [0, 1, 0, 1]
    assert history[:, "n_steps"].tolist() == [4, 6, 8, 8]
    assert history[:, "episode"].tolist() == [0, 1, 2, 3]
    assert (np.diff(history[:, "seconds"]) >= 0).all()
    assert history.n_steps == 8


def test_rows_find_their_environment_by_env_ids():
    """An environment that spends the step on resetting has no row in it."""
    history = History()
    history.begin(n_envs=3)
    history.record(step([1, 2, 4], [False, True, False]))
    history.record(step([10, 40], [False, True], env_ids=[0, 2]))
    assert history[:, "env_id"].tolist() == [1, 2]
    assert history[:, "return"].tolist() == [2, 44]
    assert history.n_steps == 5


def test_a_second_run_goes_on_counting_but_begins_new_episodes():
    history = History()
    history.begin(n_envs=1)
    history.record(step([1], [True]))
    history.record(step([5], [False]))  # this episode is broken off
    history.begin(n_envs=1)
    history.record(step([2], [True]))
    assert history[:, "return"].tolist() == [1, 2]
    assert history[:, "length"].tolist() == [1, 1]
    assert history[1]["seconds"] >= history[0]["seconds"]
    assert history.n_steps == 3
