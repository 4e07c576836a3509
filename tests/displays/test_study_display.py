"""StudyDisplay: what is drawn is what the study computes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex

from skrl.displays import StudyDisplay
from skrl.studies.study import Result, Study

SCORES = {
    "old": {"lake": [0.1, 0.3, 0.2, 0.5], "cliff": [-90.0, -80.0, -13.0, -40.0]},
    "new": {"lake": [0.6, 0.4, 0.7, 0.7], "cliff": [-13.0, -50.0, -17.0, -13.0]},
    "wild": {"lake": [0.0, 0.9, 0.2, 0.3], "cliff": [-99.0, -13.0, -20.0, -60.0]},
}
STEPS = {"old": 1000, "new": 2000, "wild": 500}
ENVS = pytest.mark.parametrize("env", [None, "lake", "cliff"])


@pytest.fixture(autouse=True)
def no_window():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def curve(agent, seed, score):
    """Half the score for the first half of the steps."""
    return [[100 + seed, score / 2], [STEPS[agent] // 2, score]]


def study_of(scores, n_steps=lambda agent, seed: STEPS[agent] + seed):
    return Study([
        Result(agent, env, seed, score, n_steps(agent, seed), 1.0, curve(agent, seed, score))
        for agent, of_env in scores.items()
        for env, of_seed in of_env.items()
        for seed, score in enumerate(of_seed)
    ])  # fmt: skip


@pytest.fixture(scope="module")
def study():
    return study_of(SCORES)


def labels(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def ends(container):
    """Ends of an error bar: (x, y) of both."""
    (bar,) = container[2][0].get_segments()
    return bar


@ENVS
def test_intervals(study, env):
    display = StudyDisplay.from_study(study, "intervals", env=env)
    ax = display.ax_
    assert labels(ax.yaxis) == ["old", "new", "wild"]
    assert ax.get_ylim() == (2.5, -0.5)  # the first one on top
    for row, agent in enumerate(SCORES):
        value, low, high = study.interquartile_mean(agent, env)
        container = ax.containers[row]
        assert container[0].get_xydata().tolist() == [[value, row]]
        np.testing.assert_allclose(ends(container), [[low, row], [high, row]])
    scale = "scaled return" if env is None else "return"
    assert ax.get_xlabel() == f"interquartile mean of the {scale}"


@ENVS
def test_profiles(study, env):
    ax = StudyDisplay.from_study(study, "profiles", env=env).ax_
    assert [line.get_label() for line in ax.lines] == list(SCORES)
    for agent, line in zip(SCORES, ax.lines, strict=True):
        taus, shares = line.get_data()
        np.testing.assert_array_equal(shares, study.performance_profile(taus, env)[agent])
        # The whole distribution is in view.
        assert shares[0] == 1
        assert shares[-1] == 0
        assert line.get_drawstyle() == "steps-post"
    assert ax.get_legend() is not None
    assert ax.get_ylabel() == "share of runs with score > τ"


def test_a_profile_is_the_share_of_runs_above_the_threshold():
    study = study_of({"old": {"lake": [1.0, 2.0, 3.0, 4.0]}})
    (line,) = StudyDisplay.from_study(study, "profiles").ax_.lines
    taus, shares = line.get_data()
    for tau, share in ((1.5, 0.75), (2.5, 0.5), (3.5, 0.25)):
        assert shares[np.searchsorted(taus, tau)] == share


@ENVS
def test_improvement(study, env):
    display = StudyDisplay.from_study(study, "improvement", env=env)
    ax = display.ax_
    pairs = [name.split(" > ") for name in labels(ax.yaxis)]
    assert {frozenset(pair) for pair in pairs} == {
        frozenset(pair) for pair in (("old", "new"), ("new", "wild"), ("old", "wild"))
    }
    for row, (a, b) in enumerate(pairs):
        assert study.interquartile_mean(a, env).value >= study.interquartile_mean(b, env).value
        value, low, high = study.probability_of_improvement(a, b, env)
        container = ax.containers[row]
        assert container[0].get_xydata().tolist() == [[value, row]]
        np.testing.assert_allclose(ends(container), [[low, row], [high, row]])
    assert 0.5 in [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"]
    assert ax.get_xlabel() == "probability of improvement"


@ENVS
def test_efficiency(study, env):
    ax = StudyDisplay.from_study(study, "efficiency", env=env).ax_
    for agent, line, band in zip(SCORES, ax.lines, ax.collections, strict=True):
        assert line.get_label() == agent
        steps, means = line.get_data()
        # From the step at which all four seeds have been evaluated.
        assert (steps[0], steps[-1]) == (103, STEPS[agent] // 2)
        first, last = study.sample_efficiency(agent, 103, env), study.interquartile_mean(agent, env)
        assert (means[0], means[-1]) == (first.value, last.value)
        corners = band.get_paths()[0].vertices
        for step, estimate in ((steps[0], first), (steps[-1], last)):
            at = corners[corners[:, 0] == step, 1]
            np.testing.assert_allclose([at.min(), at.max()], [estimate.low, estimate.high])
    assert ax.get_xlabel() == "environment steps of training"
    assert ax.get_xlim()[0] == 0


def test_an_agent_has_the_same_colour_in_all_pictures(study):
    intervals = StudyDisplay.from_study(study, "intervals").ax_.containers
    profiles = StudyDisplay.from_study(study, "profiles").ax_.lines
    efficiency = StudyDisplay.from_study(study, "efficiency").ax_.lines
    colors = [
        [to_hex(line.get_color()) for line in lines]
        for lines in ([c[0] for c in intervals], profiles, efficiency)
    ]
    assert colors[0] == colors[1] == colors[2]
    assert len(set(colors[0])) == 3


def test_a_single_seed_has_no_interval():
    study = study_of({"old": {"lake": [1.0]}, "new": {"lake": [2.0]}})
    ax = StudyDisplay.from_study(study, "intervals").ax_
    assert all(container[2] == () for container in ax.containers)
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
    assert not StudyDisplay.from_study(study, "efficiency").ax_.collections


def test_equal_scores_have_a_profile():
    (line,) = StudyDisplay.from_study(study_of({"old": {"lake": [1.0, 1.0]}}), "profiles").ax_.lines
    assert set(line.get_ydata()) == {0.0, 1.0}


def test_plot_draws_where_it_is_told_and_returns_itself(study):
    figure, (left, right) = plt.subplots(1, 2)
    display = StudyDisplay.from_study(study, ax=right)
    assert display.kind == "intervals"
    assert (display.ax_, display.figure_) == (right, figure)
    assert not left.containers
    assert display.plot() is display
    assert display.figure_ is not figure


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (SCORES, {"kind": "violins"}, r"one of \['efficiency', 'improvement', 'intervals', 'profil"),
        (SCORES, {"env": "taxi"}, "does not contain 'taxi'"),
        ({"old": {"lake": [1.0]}}, {"kind": "improvement"}, "a study of at least two agents"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn(scores, arguments, message):
    with pytest.raises(ValueError, match=message):
        StudyDisplay.from_study(study_of(scores), **arguments)


def test_efficiency_needs_evaluations():
    study = Study([Result("old", "lake", seed, 1.0, 100, 1.0) for seed in range(2)])
    with pytest.raises(ValueError, match=r"needs evaluations during training in every run"):
        StudyDisplay.from_study(study, "efficiency")
