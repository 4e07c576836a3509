"""When checkpoints are written, and when they are refused."""

import os
import pickle

import numpy as np
import pytest
from interruptions import Interrupt, interrupted, table
from outcomes import outcome
from sklearn.ensemble import ExtraTreesRegressor

import skrl
from skrl import (
    Callback,
    EpsilonGreedy,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    RegressorQFunction,
    SimpleRunner,
)
from skrl.callbacks import Checkpoint, CSVLogger, ProgressBar
from skrl.checkpoints.files import CheckpointFile


def pickle_copy(agent, folder):
    return pickle.loads(pickle.dumps(agent))


def skrl_copy(agent, folder):
    skrl.save(agent, folder / "agent.skrl")
    return skrl.load(folder / "agent.skrl")


def test_checkpoints_come_at_intervals_of_time_and_at_the_end(tmp_path):
    class Count(Callback):
        sizes: list = []  # noqa: RUF012 (shared by copies)

        def on_rollout_end(self, run):
            self.sizes.append(run.history.n_steps if path.exists() else 0)

    path = tmp_path / "run.checkpoint"
    table(callbacks=[Checkpoint(path, every=3600), Count()]).fit("FrozenLake-v1")
    assert not any(Count.sizes)
    assert path.exists()
    path.unlink()
    Count.sizes.clear()
    table(callbacks=[Checkpoint(path, every=0), Count()]).fit("FrozenLake-v1")
    assert Count.sizes == [0, 512, 700]


def test_an_existing_checkpoint_is_not_overwritten(tmp_path):
    path = tmp_path / "run.checkpoint"
    table(callbacks=[Checkpoint(path)]).fit("FrozenLake-v1")
    content = path.read_bytes()
    agent = table(callbacks=[Checkpoint(path)])
    with pytest.raises(
        ValueError, match=r"exists\. Go on from it with agent.fit\(env, resume_from="
    ):
        agent.fit("FrozenLake-v1")
    assert path.read_bytes() == content
    assert not hasattr(agent, "qfunction_")
    assert os.listdir(tmp_path) == ["run.checkpoint"]


def test_what_cannot_be_written_is_refused_before_training(tmp_path):
    forest = RegressorQFunction(ExtraTreesRegressor(n_estimators=2))
    agent = QLearningAgent(forest, callbacks=[Checkpoint(tmp_path / "c")])
    with pytest.raises(TypeError, match=r"cannot be saved safely: .* train without one"):
        agent.fit("CartPole-v1")
    assert os.listdir(tmp_path) == []


def test_other_callbacks_go_on_too(tmp_path):
    path = tmp_path / "run.checkpoint"
    loggers = [CSVLogger(tmp_path / "log"), Checkpoint(path, interval=256)]
    agent = table(callbacks=[*loggers, Interrupt(300)])
    with pytest.raises(RuntimeError, match="power failure"):
        agent.fit("FrozenLake-v1")
    # Those that remember nothing may be left out, and added.
    resumed = table(callbacks=[*loggers, ProgressBar()]).fit("FrozenLake-v1", resume_from=path)
    assert os.listdir(tmp_path / "log") == ["run-0"]
    lines = (tmp_path / "log" / "run-0" / "episodes.csv").read_text().splitlines()
    assert len(lines) == 1 + resumed.n_episodes_
    with pytest.raises(ValueError, match="watched by a CSVLogger, which is missing now"):
        table().fit("FrozenLake-v1", resume_from=path)


class Watch:
    """Follows scikit-learn's protocol for callbacks."""

    def __init__(self):
        self.n_steps = []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.n_steps.append(fitted_estimator.n_steps_)


def test_callbacks_of_scikit_learn_may_watch_any_part_of_a_training(tmp_path):
    path, (one, other) = tmp_path / "run.checkpoint", (Watch(), Watch())
    interrupted(table().set_callbacks(one), "FrozenLake-v1", 300, Checkpoint(path, interval=256))
    resumed = table().set_callbacks(other).fit("FrozenLake-v1", resume_from=path)
    assert other.n_steps == [512, 700, 700]  # the two tasks after the checkpoint, and the fit
    unwatched = table().fit("FrozenLake-v1", resume_from=path)
    for agent in (resumed, unwatched):
        np.testing.assert_equal(outcome(agent), outcome(table().fit("FrozenLake-v1")))


def test_equal_runs_at_the_same_time_have_their_own_files(tmp_path):
    class Inner(Callback):
        def on_run_begin(self, run):
            files.append(inner.fit("FrozenLake-v1").callbacks_[0].file_)

    files, checkpoint = [], Checkpoint(tmp_path, per_run=True)
    inner, outer = table(callbacks=[checkpoint]), table(callbacks=[checkpoint, Inner()])
    files.append(outer.fit("FrozenLake-v1").callbacks_[0].file_)
    assert len({file.name.rpartition("-")[0] for file in files}) == 1
    assert [file.name[-12:] for file in files] == ["1.checkpoint", "0.checkpoint"]
    np.testing.assert_equal(outcome(inner), outcome(outer))
    outer.set_params(callbacks=[Checkpoint(tmp_path / "one"), Inner()])
    inner.set_params(callbacks=[Checkpoint(tmp_path / "one")])
    with pytest.raises(ValueError, match="Another run writes the checkpoint '.*one'. Give each"):
        outer.fit("FrozenLake-v1")


@pytest.mark.parametrize(
    ("checkpoints", "message"),
    [
        ([{"every": -1.0}], "every must be at least 0 seconds, got -1.0"),
        ([{"interval": 0}], "interval must be at least 1 step or None, got 0"),
        ([{}, {}], r"may have one Checkpoint, got \[Check"),
    ],
)
def test_wrong_parameters_are_refused(checkpoints, message, tmp_path):
    callbacks = [Checkpoint(tmp_path / "run", **parameters) for parameters in checkpoints]
    with pytest.raises(ValueError, match=message):
        table(callbacks=callbacks).fit("FrozenLake-v1")
    assert os.listdir(tmp_path) == []


def test_a_runner_writes_checkpoints_without_an_agent(tmp_path):
    environment = GymEnvironment("FrozenLake-v1")
    qfunction = MemoizationQFunction().build(environment.state_space, environment.n_actions, 0)

    def run(**parameters):
        callbacks = [Checkpoint(tmp_path / "run", **parameters)]
        SimpleRunner().run(
            environment, qfunction, EpsilonGreedy(), n_steps=600, rng=0, callbacks=callbacks
        )

    run()
    assert os.listdir(tmp_path) == ["run"]
    state = CheckpointFile(tmp_path / "run").read()
    np.testing.assert_array_equal(state["run"]["qfunction"]["table"], qfunction.table_)
    with pytest.raises(ValueError, match=r"Checkpoint\(per_run=True\) .* needs a QLearningAgent"):
        run(per_run=True)
    with pytest.raises(ValueError, match="run' cannot be read"):
        table().fit("FrozenLake-v1", resume_from=tmp_path / "run")


@pytest.mark.parametrize("copy", [pickle_copy, skrl_copy])
def test_an_agent_is_saved_with_its_checkpoint(copy, tmp_path):
    path = tmp_path / "run"
    agent = table(callbacks=[Checkpoint(path)]).fit("FrozenLake-v1")
    loaded = copy(agent, tmp_path)
    assert loaded.callbacks_[0].file_ == path
    # It may go on, and write to its file.
    loaded.partial_fit("FrozenLake-v1", n_steps=300)
    assert table().fit("FrozenLake-v1", resume_from=path).n_steps_ == 1_000
