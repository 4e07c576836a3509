"""ScheduleDisplay: what is drawn is what the schedules give."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from skrl import ConstantSchedule, ExponentialSchedule, LinearSchedule
from skrl.displays import ScheduleDisplay
from skrl.displays._style import COLORS


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def test_one_schedule_against_progress():
    schedule = LinearSchedule(1.0, 0.2, fraction=0.5)
    display = ScheduleDisplay.from_schedule(schedule)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "progress (share of the training budget)"
    assert display.ax_.get_ylabel() == "value"
    [line] = display.ax_.lines
    assert line.get_label() == "LinearSchedule"
    x, y = line.get_data()
    np.testing.assert_array_equal(x, np.linspace(0, 1, 1_001))
    np.testing.assert_array_equal(y, [schedule(progress) for progress in x])
    assert (y[0], y[250], y[500], y[-1]) == (1.0, pytest.approx(0.6), 0.2, 0.2)


def test_several_schedules_against_steps():
    schedules = {"a": ExponentialSchedule(1.0, 0.25), "b": ConstantSchedule(0.5), "c": 0.1}
    ax = ScheduleDisplay.from_schedule(schedules, n_steps=10_000).ax_
    assert ax.get_xlabel() == "environment steps"
    a, b, c = ax.lines
    assert [line.get_color() for line in ax.lines] == list(COLORS[:3])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c"]
    np.testing.assert_allclose(a.get_xdata()[[0, 500, -1]], [0, 5_000, 10_000])
    np.testing.assert_allclose(a.get_ydata()[[0, 500, -1]], [1.0, 0.5, 0.25])
    assert set(b.get_ydata()) == {0.5}
    assert set(c.get_ydata()) == {0.1}


def test_given_axes():
    _, (ax, other) = plt.subplots(1, 2)
    display = ScheduleDisplay.from_schedule(ConstantSchedule(0.1), ax=ax)
    assert display.ax_ is ax
    assert not other.lines


@pytest.mark.parametrize("n_steps", [0, -5])
def test_bad_budget(n_steps):
    with pytest.raises(ValueError, match=f"n_steps must be at least 1 or None, got {n_steps}"):
        ScheduleDisplay.from_schedule(ConstantSchedule(0.1), n_steps=n_steps)


def test_what_is_not_a_schedule():
    with pytest.raises(TypeError, match="b must be a number or a Schedule"):
        ScheduleDisplay.from_schedule({"a": 0.1, "b": "linear"})
    with pytest.raises(ValueError, match="fraction must be in"):
        ScheduleDisplay.from_schedule(LinearSchedule(1.0, 0.1, fraction=2.0))
