"""LearningCurveDisplay: what is drawn is what the history holds."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.testing.compare import compare_images
from matplotlib.testing.decorators import remove_ticks_and_titles
from sklearn.exceptions import NotFittedError

from skrl import History, QLearningAgent
from skrl.displays import LearningCurveDisplay
from skrl.displays._style import COLORS
from skrl.displays.learning_curve import mean_of_last, summarize

BASELINE = Path(__file__).parent / "baseline" / "learning_curve.png"
# Root mean square of the differences of colour. Returns that are 5 % higher make 13, a window of 11
# episodes instead of 10 makes 11, another color of one curve 15. Matplotlib 3.10 and 3.11 draw the
# same.
TOLERANCE = 2


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def fit(seed=0, **parameters):
    parameters = {"n_steps": 2_000, "n_evaluations": 3, "n_evaluation_episodes": 10, **parameters}
    return QLearningAgent(random_state=seed, **parameters).fit("FrozenLake-v1")


@pytest.fixture(scope="module")
def agents():
    return [fit(seed) for seed in range(3)]


def history(n_steps, returns):
    """A run whose episodes ended after these steps."""
    run = History()
    for n, value in zip(n_steps, returns, strict=True):
        run.append(
            episode=len(run), env_id=0, n_steps=n, length=1, seconds=0.0, **{"return": value}
        )
    run.n_steps = n_steps[-1] if n_steps else 0
    return run


def lines(ax):
    """The lines of the axes, by their names in the legend."""
    return {line.get_label(): line for line in ax.lines if not line.get_label().startswith("_")}


def names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_one_run(agents):
    history = agents[0].history_
    display = LearningCurveDisplay.from_agent(agents[0], window=20)
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_xlabel() == "environment steps"
    assert display.ax_.get_ylabel() == "return (sum of rewards)"

    drawn = lines(display.ax_)
    episodes, means = drawn["training episodes"], drawn["mean of the last 20 episodes"]
    np.testing.assert_array_equal(episodes.get_xdata(), history[:, "n_steps"])
    np.testing.assert_array_equal(episodes.get_ydata(), history[:, "return"])
    np.testing.assert_array_equal(means.get_xdata(), history[:, "n_steps"])
    expected = [np.mean(history[max(0, i - 19) : i + 1, "return"]) for i in range(len(history))]
    np.testing.assert_allclose(means.get_ydata(), expected, atol=1e-12)


def test_evaluations_have_standard_errors(agents):
    evaluations = agents[0].history_.evaluations
    ax = LearningCurveDisplay.from_agent(agents[0]).ax_
    [container] = ax.containers
    points, _, [bars] = container
    assert container.get_label() == "evaluations of the greedy policy"
    np.testing.assert_array_equal(points.get_xdata(), evaluations[:, "n_steps"])
    np.testing.assert_array_equal(points.get_ydata(), evaluations[:, "score"])
    lengths = [high - low for (_, low), (_, high) in bars.get_segments()]
    errors = evaluations[:, "std"] / np.sqrt(evaluations[:, "n_episodes"])
    np.testing.assert_allclose(lengths, 2 * errors, atol=1e-12)
    assert max(lengths) > 0


def test_an_agent_without_evaluations():
    ax = LearningCurveDisplay.from_agent(fit(n_evaluations=0), window=10).ax_
    assert not ax.containers
    assert names(ax) == ["training episodes", "mean of the last 10 episodes"]


def test_several_runs(agents):
    display = LearningCurveDisplay.from_agent(agents, window=20)
    thin = [line for line in display.ax_.lines if line.get_linewidth() < 1]
    for line, agent in zip(thin[:3], agents, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), agent.history_[:, "n_steps"])
        returns = agent.history_[:, "return"]
        np.testing.assert_array_equal(line.get_ydata(), mean_of_last(returns, 20))

    steps, middle, low, high = summarize([agent.history_ for agent in agents], window=20)
    line = lines(display.ax_)["interquartile mean of 3 runs"]
    np.testing.assert_array_equal(line.get_xydata(), np.column_stack([steps, middle]))
    [band] = display.ax_.collections
    outline = {tuple(point) for point in band.get_paths()[0].vertices}
    assert {*zip(steps, low, strict=True), *zip(steps, high, strict=True)} <= outline

    points = [container[0].get_xydata() for container in display.ax_.containers]
    for drawn, agent in zip(points, agents, strict=True):
        evaluations = agent.history_.evaluations
        expected = np.column_stack([evaluations[:, "n_steps"], evaluations[:, "score"]])
        np.testing.assert_array_equal(drawn, expected)
    assert names(display.ax_) == [
        "each run, mean of the last 20 episodes",
        "interquartile mean of 3 runs",
        "its 95 % interval",
        "evaluations of the greedy policy",
    ]


def test_the_summary_begins_when_all_have_an_episode_and_keeps_last_values():
    # Runs that always return 1, 2, 3, 4 and 5; the second ends early.
    runs = [history([10 * i, 100, 200], [float(i)] * 3) for i in (1, 3, 4, 5)]
    runs.insert(1, history([20, 60], [2.0, 2.0]))
    steps, middle, low, high = summarize(runs, window=1)
    assert (steps[0], steps[-1]) == (50, 200)
    np.testing.assert_array_equal(middle, 3.0)  # the middle three of five
    np.testing.assert_array_equal(low, low[0])  # the same draws at every step
    assert 1 <= low[0] < 3 < high[0] <= 5


def test_the_summary_takes_the_last_episode_that_ended_before():
    runs = [history([0, 100, 199], [0.0, 1.0, 2.0]) for _ in range(2)]
    steps, middle, low, high = summarize(runs, window=1)
    np.testing.assert_array_equal(steps, np.arange(200.0))
    np.testing.assert_allclose(middle, [0.0] * 100 + [1.0] * 99 + [2.0])
    np.testing.assert_array_equal(low, high)  # no difference between the runs


@pytest.mark.parametrize("window", [1, 3, 50])
def test_mean_of_last(window):
    returns = np.random.default_rng(0).normal(size=20)
    expected = [returns[max(0, i + 1 - window) : i + 1].mean() for i in range(20)]
    np.testing.assert_allclose(mean_of_last(returns, window), expected)


@pytest.mark.parametrize(("n_episodes", "window"), [(1, 1), (9, 1), (50, 5), (5_000, 100)])
def test_the_window_is_a_tenth_of_the_episodes_up_to_100(n_episodes, window):
    run = history(list(range(1, n_episodes + 1)), [0.0] * n_episodes)
    ax = LearningCurveDisplay([run]).plot().ax_
    assert f"mean of the last {window} episodes" in lines(ax)


def test_curves_on_given_axes_differ_in_color(agents):
    _, (ax, other) = plt.subplots(1, 2)
    first = LearningCurveDisplay.from_agent(agents[0], ax=ax, label="one")
    second = LearningCurveDisplay.from_agent(agents[1:], ax=ax, label="two")
    assert first.ax_ is second.ax_ is ax
    assert not other.lines
    drawn = lines(ax)
    assert [drawn[name].get_color() for name in ("one", "two")] == list(COLORS[:2])
    assert names(ax) == ["one", "two", "one, evaluations", "two, evaluations"]


def test_reward_threshold(agents):
    display = LearningCurveDisplay.from_agent(agents[0], reward_threshold=0.7)
    assert set(lines(display.ax_)["reward threshold"].get_ydata()) == {0.7}


def test_plot_returns_the_display_and_draws_again(agents):
    display = LearningCurveDisplay([agents[0].history_])
    assert display.plot() is display
    first = display.ax_
    assert display.plot().ax_ is not first


def test_an_unfitted_agent(agents):
    with pytest.raises(NotFittedError):
        LearningCurveDisplay.from_agent(QLearningAgent())
    with pytest.raises(NotFittedError):
        LearningCurveDisplay.from_agent([agents[0], QLearningAgent()])
    assert not plt.get_fignums()


def test_no_agent():
    with pytest.raises(ValueError, match="at least one run"):
        LearningCurveDisplay.from_agent([])


def test_no_finished_episode():
    unfinished = QLearningAgent(n_steps=50, n_evaluations=0).fit("skrl/CircularWorld-v0")
    with pytest.raises(ValueError, match="run 0 of 1 has none after 50 steps. Train for more"):
        LearningCurveDisplay.from_agent(unfinished)


def test_bad_window(agents):
    with pytest.raises(ValueError, match="window must be at least 1 episode or None, got 0"):
        LearningCurveDisplay.from_agent(agents, window=0)


def draw_reference(path):
    """Draw fixed data: three noisy runs, and one run with evaluations."""
    rng = np.random.default_rng(0)
    steps = list(range(20, 2_001, 20))
    rising = np.linspace(0, 100, len(steps))
    runs = [history(steps, (rising + rng.normal(0, 20, len(steps))).tolist()) for _ in range(3)]
    single = history(steps, (rising / 2).tolist())
    for n in (500, 1_000, 1_500, 2_000):
        single.evaluations.append(
            n_steps=n, score=n / 25, std=20.0, n_episodes=16, evaluation_steps=n, seconds=0.0
        )
    with plt.style.context("default"):
        figure, ax = plt.subplots(figsize=(4, 3), dpi=80)
        LearningCurveDisplay(runs, window=10).plot(ax)
        LearningCurveDisplay([single], window=10, reward_threshold=90).plot(ax)
        # Text looks different in every version of matplotlib.
        ax.get_legend().remove()
        ax.set(xlabel="", ylabel="")
        remove_ticks_and_titles(figure)
        figure.savefig(path)


def test_the_picture(tmp_path):
    draw_reference(tmp_path / "drawn.png")
    # To renew it: draw_reference(BASELINE), and look at it.
    assert compare_images(BASELINE, tmp_path / "drawn.png", TOLERANCE) is None
