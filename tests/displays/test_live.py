"""LiveCurve: it shows the history of the run, seldom, and stays out of the way."""

import base64
import pickle
import subprocess
import sys
from threading import Thread

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from sklearn.base import clone

from skrl import Callback, QLearningAgent
from skrl.displays import LiveCurve


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


class Spy(Callback):
    """Counts the episodes that the first callback shows after each rollout."""

    def on_run_begin(self, run):
        self.counts_ = []

    def on_rollout_end(self, run):
        axes = run.callbacks[0].figure_.axes
        self.counts_.append(len(axes[0].lines[0].get_xdata()) if axes else 0)


def fit(*callbacks, env="skrl/CircularWorld-v0", **parameters):
    parameters = {"n_steps": 2_000, "n_evaluations": 0, "random_state": 0, **parameters}
    return QLearningAgent(callbacks=callbacks, **parameters).fit(env)


def shown(agent):
    """The points of the training episodes that are shown."""
    [ax] = agent.callbacks_[0].figure_.axes
    return ax.lines[0].get_xydata()


def expected(agent):
    return np.column_stack([agent.history_[:, "n_steps"], agent.history_[:, "return"]])


def test_at_the_end_all_episodes_and_evaluations_are_shown():
    agent = fit(LiveCurve(), n_evaluations=2, n_evaluation_episodes=5)
    np.testing.assert_array_equal(shown(agent), expected(agent))
    [ax] = agent.callbacks_[0].figure_.axes
    [evaluations] = ax.containers
    scores = agent.history_.evaluations[:, "score"]
    np.testing.assert_array_equal(evaluations[0].get_ydata(), scores)
    assert ax.get_xlabel() == "environment steps"


def test_no_figure_is_left_for_pyplot_to_show():
    fit(LiveCurve())
    assert not plt.get_fignums()


def test_the_environment_s_reward_threshold_is_shown():
    agent = fit(LiveCurve(), env="FrozenLake-v1")
    [ax] = agent.callbacks_[0].figure_.axes
    [line] = [line for line in ax.lines if line.get_label() == "reward threshold"]
    assert set(line.get_ydata()) == {0.7}


def test_it_does_not_change_what_is_learned():
    with_curve, without = fit(LiveCurve()), fit()
    np.testing.assert_array_equal(expected(with_curve), expected(without))


def test_it_draws_no_more_often_than_every_so_many_seconds():
    agent = fit(LiveCurve(every=1_000), Spy())
    # First after 256 steps, which are two episodes of 100. Then only at the end.
    assert agent.callbacks_[1].counts_ == [2] * 8
    assert len(shown(agent)) == 20


def test_it_grows(monkeypatch):
    monkeypatch.setattr("skrl.displays.live.MAX_SHARE", np.inf)
    agent = fit(LiveCurve(every=0), Spy())
    assert agent.callbacks_[1].counts_ == [2, 5, 7, 10, 12, 15, 17, 20]


def test_a_run_without_a_finished_episode():
    agent = fit(LiveCurve(), n_steps=50)
    assert not agent.callbacks_[0].figure_.axes


def test_partial_fit_continues_in_the_same_figure():
    agent = fit(LiveCurve())
    figure = agent.callbacks_[0].figure_
    agent.partial_fit("skrl/CircularWorld-v0", n_steps=500)
    assert agent.callbacks_[0].figure_ is figure
    assert len(shown(agent)) == 25
    np.testing.assert_array_equal(shown(agent), expected(agent))


def test_clone_and_pickle_leave_the_figure_out():
    agent = fit(LiveCurve(every=0.5))
    copy = clone(agent.callbacks_[0])
    assert copy.every == 0.5
    assert not hasattr(copy, "figure_")

    loaded = pickle.loads(pickle.dumps(agent))
    assert not hasattr(loaded.callbacks_[0], "figure_")
    assert hasattr(agent.callbacks_[0], "figure_")
    loaded.partial_fit("skrl/CircularWorld-v0", n_steps=500)
    np.testing.assert_array_equal(shown(loaded), expected(loaded))


def test_it_works_in_a_thread():
    agents = []
    thread = Thread(target=lambda: agents.append(fit(LiveCurve())))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(shown(agents[0]), expected(agents[0]))


def test_negative_seconds():
    with pytest.raises(ValueError, match="every must be at least 0 seconds, got -1"):
        fit(LiveCurve(every=-1))


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ValueError, match=r"pip install 'skrl-toolkit\[plot\]'"):
        fit(LiveCurve())


def test_a_notebook_shows_one_picture_and_updates_it(tmp_path):
    train = """
from skrl import QLearningAgent
from skrl.displays import LiveCurve
agent = QLearningAgent(n_steps=2_000, n_evaluations=0, callbacks=[LiveCurve()])
agent.fit("skrl/CircularWorld-v0");"""
    save = "agent.callbacks_[0].figure_.savefig('last.png')"
    cells = [nbformat.v4.new_code_cell(source) for source in (train, save)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, timeout=300).execute(cwd=tmp_path)
    [picture] = [out for out in cells[0].outputs if "image/png" in out.get("data", {})]
    # The first one, after two episodes, has been replaced by the last one.
    last = (tmp_path / "last.png").read_bytes()
    assert base64.b64decode(picture["data"]["image/png"]) == last


def test_displays_load_matplotlib_and_ipython_on_use():
    code = (
        "import sys, skrl, skrl.displays;"
        "assert not {'matplotlib', 'IPython', 'tensorflow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
