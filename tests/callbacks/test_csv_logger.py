"""CSVLogger: the files agree with the history, and none is lost."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skrl import (
    EpsilonGreedy,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    SimpleRunner,
)
from skrl.base import Callback
from skrl.callbacks import CSVLogger

WORLD = "skrl/CircularWorld-v0"


def make_agent(*callbacks, **parameters):
    defaults = {
        "n_steps": 1_024,
        "n_evaluations": 4,
        "n_evaluation_episodes": 5,
        "evaluation_ratio": None,
        "random_state": 0,
    }
    return QLearningAgent(callbacks=list(callbacks), **{**defaults, **parameters})


def score(agent, env, y=None):
    return agent.score(env, n_episodes=2)


def read(folder):
    names = "episodes", "evaluations", "metrics"
    return [pd.read_csv(folder / f"{name}.csv") for name in names]


def assert_files_agree(folder, history):
    assert sorted(path.name for path in folder.iterdir()) == [
        "episodes.csv",
        "evaluations.csv",
        "metrics.csv",
    ]
    tables = history, history.evaluations, history.metrics
    for frame, table in zip(read(folder), tables, strict=True):
        assert frame.columns.tolist() == list(table.columns)
        assert len(frame) == len(table) > 0
        for column in table.columns:
            # Some versions of pandas round the last digit.
            np.testing.assert_allclose(frame[column], table[:, column], rtol=1e-15)


@pytest.mark.parametrize("n_envs", [1, 8])
def test_the_files_agree_with_the_history(tmp_path, n_envs):
    agent = make_agent(CSVLogger(tmp_path / "new")).fit(GymEnvironment(WORLD, n_envs=n_envs))
    assert agent.callbacks_[0].folder_ == tmp_path / "new" / "run-0"
    assert_files_agree(tmp_path / "new" / "run-0", agent.history_)


class CountLines(Callback):
    """Counts the rows of a file, at the end of each rollout, and those it should have."""

    def __init__(self, logger):
        self.logger = logger

    def on_rollout_end(self, run):
        rows = (self.logger.folder_ / "episodes.csv").read_text().count("\n") - 1
        self.counts = [*getattr(self, "counts", []), (rows, len(run.history))]


def test_rows_are_written_at_each_rollout_end(tmp_path):
    environment = GymEnvironment(WORLD)
    qfunction = MemoizationQFunction().build(environment.state_space, environment.n_actions, 0)
    logger = CSVLogger(tmp_path)
    count = CountLines(logger)
    SimpleRunner().run(
        environment, qfunction, EpsilonGreedy(), n_steps=1024, rng=0, callbacks=[logger, count]
    )
    assert count.counts == [(2, 2), (5, 5), (7, 7), (10, 10)]  # episodes of 100 steps


def test_partial_fit_appends_and_fit_begins_anew(tmp_path):
    agent = make_agent(CSVLogger(tmp_path))
    for _ in range(3):
        agent.partial_fit(WORLD, n_steps=500)
    first = agent.history_
    assert_files_agree(tmp_path / "run-0", first)
    agent.fit(WORLD)
    assert_files_agree(tmp_path / "run-1", agent.history_)
    assert_files_agree(tmp_path / "run-0", first)
    assert len(list(tmp_path.iterdir())) == 2


def test_warm_start_appends(tmp_path):
    agent = make_agent(CSVLogger(tmp_path), warm_start=True).fit(WORLD).fit(WORLD)
    assert agent.n_steps_ == 2_048
    assert_files_agree(tmp_path / "run-0", agent.history_)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_unpickled_agent_appends_also_if_the_files_are_gone(tmp_path):
    agent = pickle.loads(pickle.dumps(make_agent(CSVLogger(tmp_path)).fit(WORLD)))
    for path in (tmp_path / "run-0").iterdir():
        path.unlink()
    (tmp_path / "run-0").rmdir()
    agent.partial_fit(WORLD, n_steps=500)
    assert_files_agree(tmp_path / "run-0", agent.history_)


class Fail(Callback):
    """Fails at step 1,500 of the agent's life."""

    def on_rollout_end(self, run):
        if run.history.n_steps >= 1_500:
            raise RuntimeError("not today")


def test_a_run_that_fails_writes_its_last_rows_and_is_undone_by_the_next(tmp_path):
    agent = make_agent(CSVLogger(tmp_path), Fail()).partial_fit(WORLD, n_steps=1_000)
    with pytest.raises(RuntimeError, match="not today"):
        agent.partial_fit(WORLD, n_steps=1_000)
    assert len(read(tmp_path / "run-0")[0]) == 15  # the 5 of the failed run as well
    assert len(agent.history_) == 10
    agent.partial_fit(WORLD, n_steps=200)
    assert_files_agree(tmp_path / "run-0", agent.history_)


def test_the_state_continues_in_another_logger(tmp_path):
    first = make_agent(CSVLogger(tmp_path)).fit(WORLD).callbacks_[0]
    other = CSVLogger(tmp_path)
    other.set_state(first.state())
    assert other.folder_ == tmp_path / "run-0"
    assert other.state() == first.state() == {"folder": str(tmp_path / "run-0")}
    other.set_state(CSVLogger(tmp_path).state())
    assert other.folder_ is None


def test_clones_write_to_their_own_folders(tmp_path):
    logger = CSVLogger(tmp_path)
    assert clone(logger).get_params() == {"path": tmp_path}
    search = GridSearchCV(make_agent(logger), {"discount_factor": [0.5, 0.9]}, cv=2, scoring=score)
    search.fit([WORLD] * 4)
    folders = sorted(path.name for path in tmp_path.iterdir())
    assert folders == [f"run-{i}" for i in range(5)]
    assert_files_agree(
        search.best_estimator_.callbacks_[0].folder_, search.best_estimator_.history_
    )


def test_a_file_is_not_a_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"Expected a folder to write to, got the file .*file"):
        make_agent(CSVLogger(path)).fit(WORLD)
    assert path.read_text() == "mine"
