"""TensorBoard: the event files, read back, agree with the history."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from skrl import DQN, ExperienceReplay, GymEnvironment, QLearningAgent
from skrl.base import Callback
from skrl.callbacks import TensorBoard
from skrl.qfunctions.deep.tensorflow import tf

WORLD = "skrl/CircularWorld-v0"
METRICS = ["loss", "td_error", "q_mean", "q_max", "epsilon", "learning_rate"]


def make_agent(*callbacks, **parameters):
    defaults = {
        "n_steps": 1_024,
        "n_evaluations": 4,
        "n_evaluation_episodes": 5,
        "evaluation_ratio": None,
        "random_state": 0,
    }
    return QLearningAgent(callbacks=list(callbacks), **{**defaults, **parameters})


def read(folder):
    """All curves in the event files of a folder: arrays of steps and values, by tag."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    curves = {}
    for tag in accumulator.Tags()["tensors"]:
        events = accumulator.Tensors(tag)
        steps = [event.step for event in events]
        curves[tag] = steps, [float(tf.make_ndarray(event.tensor_proto)) for event in events]
    return curves


def assert_curves_agree(folder, history):
    curves = read(folder)
    known = [c for c in METRICS if not np.isnan(history.metrics[:, c]).all()]
    expected = {
        "evaluations/score": (history.evaluations, "score"),
        **{f"metrics/{column}": (history.metrics, column) for column in known},
    }
    assert sorted(curves) == sorted([*expected, "episodes/return", "episodes/length"])
    for tag, (table, column) in expected.items():
        steps, values = curves[tag]
        assert steps == table[:, "n_steps"].tolist()
        np.testing.assert_array_equal(values, table[:, column].astype(np.float32))
    assert_episodes_agree(curves, history)


def assert_episodes_agree(curves, history):
    for column in ("return", "length"):
        steps, values = curves[f"episodes/{column}"]
        assert steps[-1] <= history.n_steps
        n_steps = history[:, "n_steps"]
        earlier = 0
        for step, value in zip(steps, values, strict=True):
            ended = (n_steps > earlier) & (n_steps <= step)
            assert value == pytest.approx(history[:, column][ended].mean(), rel=1e-6)
            earlier = step
        assert not (n_steps > earlier).any()


@pytest.mark.parametrize("n_envs", [1, 8])
def test_the_curves_agree_with_the_history(tmp_path, n_envs):
    agent = make_agent(TensorBoard(tmp_path)).fit(GymEnvironment(WORLD, n_envs=n_envs))
    assert agent.callbacks_[0].folder_ == tmp_path / "run-0"
    assert_curves_agree(tmp_path / "run-0", agent.history_)


def test_a_network_has_all_curves(tmp_path):
    agent = make_agent(
        TensorBoard(tmp_path),
        qfunction=DQN((8,)),
        runner=ExperienceReplay(batch_size=16, gradient_steps=4, learning_starts=256),
    )
    agent.fit("CartPole-v1")
    assert_curves_agree(tmp_path / "run-0", agent.history_)
    assert {f"metrics/{column}" for column in METRICS} < set(read(tmp_path / "run-0"))


def test_partial_fit_goes_on_and_fit_begins_anew(tmp_path):
    agent = make_agent(TensorBoard(tmp_path))
    for _ in range(3):
        agent.partial_fit(WORLD, n_steps=500)
    agent = pickle.loads(pickle.dumps(agent)).partial_fit(WORLD, n_steps=500)
    first = agent.history_
    agent.fit(WORLD)
    assert_curves_agree(tmp_path / "run-0", first)
    assert_curves_agree(tmp_path / "run-1", agent.history_)
    assert len(list(tmp_path.iterdir())) == 2


class FailOnce(Callback):
    """Fails at step 1,500, the first time."""

    is_done = False

    def on_rollout_end(self, run):
        if run.history.n_steps >= 1_500 and not self.is_done:
            self.is_done = True
            raise RuntimeError("not today")


def test_a_run_after_one_that_failed_is_written(tmp_path):
    agent = make_agent(TensorBoard(tmp_path), FailOnce(), n_steps=2_000)
    agent.partial_fit(WORLD, n_steps=1_000)
    with pytest.raises(RuntimeError, match="not today"):
        agent.partial_fit(WORLD, n_steps=1_000)
    agent.partial_fit(WORLD, n_steps=1_000)
    assert agent.callbacks_[0]._writer is None
    steps, _ = read(tmp_path / "run-0")["evaluations/score"]
    # The files of the two runs may be read in any order.
    assert agent.history_.evaluations[:, "n_steps"].tolist() == sorted(steps[-4:])


def test_the_state_continues_in_another_callback(tmp_path):
    first = make_agent(TensorBoard(tmp_path)).fit(WORLD).callbacks_[0]
    other = clone(first)
    assert other.get_params() == {"log_dir": tmp_path}
    assert other.state() == {}
    other.set_state(first.state())
    assert other.folder_ == tmp_path / "run-0"
    assert other.state() == first.state()
    other.set_state({})
    assert other.folder_ is None


def test_tensorflow_is_loaded_only_by_a_run():
    code = (
        "import sys, tempfile\n"
        "from skrl import QLearningAgent\n"
        "from skrl.callbacks import TensorBoard\n"
        "callback = TensorBoard(tempfile.gettempdir())\n"
        "QLearningAgent(n_steps=500, n_evaluations=0, callbacks=[]).fit('FrozenLake-v1')\n"
        "assert not {'tensorflow', 'keras', 'tensorboard'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
