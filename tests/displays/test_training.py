"""TrainingDisplay: what is drawn is what the metrics hold."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skrl import EpsilonGreedy, ExponentialSchedule, QLearningAgent, Softmax
from skrl.displays import TrainingDisplay


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def fit(**parameters):
    parameters = {"n_steps": 2_000, "n_evaluations": 0, "random_state": 0, **parameters}
    return QLearningAgent(**parameters).fit("FrozenLake-v1")


@pytest.fixture(scope="module")
def agent():
    return fit(policy=EpsilonGreedy(ExponentialSchedule(1.0, 0.1)))


COLUMNS = [["loss"], ["td_error"], ["q_mean", "q_max"], ["epsilon"]]
LABELS = [
    "loss",
    "mean |TD error| (rewards)",
    "Q(s, a) (discounted return)",
    "epsilon (probability)",
]


def test_all_metrics(agent):
    metrics = agent.history_.metrics
    display = TrainingDisplay.from_agent(agent)
    assert [ax.get_ylabel() for ax in display.axes_] == LABELS
    assert display.figure_.axes == list(display.axes_)
    for ax, columns in zip(display.axes_, COLUMNS, strict=True):
        assert ax.get_xlabel() == "environment steps"
        for line, column in zip(ax.lines, columns, strict=True):
            expected = np.column_stack([metrics[:, "n_steps"], metrics[:, column]])
            np.testing.assert_array_equal(line.get_xydata(), expected)
    assert np.ptp(metrics[:, "epsilon"]) > 0.5
    legend = display.axes_[2].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["mean", "maximum"]


def test_a_policy_without_epsilon_makes_room_for_the_learning_rate():
    agent = fit(policy=Softmax())
    metrics = agent.history_.metrics
    assert np.isnan(metrics[:, "epsilon"]).all()
    display = TrainingDisplay.from_agent(agent)
    assert [ax.get_ylabel() for ax in display.axes_] == [*LABELS[:3], "learning rate"]
    [line] = display.axes_[3].lines
    np.testing.assert_array_equal(line.get_ydata(), metrics[:, "learning_rate"])


def test_unknown_metrics_are_left_out(agent):
    metrics = type(agent.history_)().metrics
    for i in range(3):
        known = {"n_steps": 256 * i, "loss": 1.0 / (i + 1), "td_error": 0.5, "seconds": 0.0}
        metrics.append(**dict.fromkeys(metrics.columns, np.nan) | known)
    display = TrainingDisplay(metrics).plot()
    assert [ax.get_ylabel() for ax in display.axes_] == LABELS[:2]
    assert len(display.figure_.axes) == 2


def test_given_axes(agent):
    figure, axes = plt.subplots(2, 3)
    display = TrainingDisplay.from_agent(agent, axes=axes)
    assert list(display.axes_) == list(axes.flat[:4])
    assert display.figure_ is figure
    assert not axes.flat[4].lines
    assert plt.get_fignums() == [figure.number]


def test_too_few_axes(agent):
    with pytest.raises(ValueError, match=r"There are 4 plots to draw, got 1 axes. .*subplots"):
        TrainingDisplay.from_agent(agent, axes=plt.figure().subplots())


def test_an_unfitted_agent():
    with pytest.raises(NotFittedError):
        TrainingDisplay.from_agent(QLearningAgent())


def test_an_agent_that_has_not_learned(agent):
    with pytest.raises(ValueError, match="no metrics"):
        TrainingDisplay(type(agent.history_)().metrics).plot()
