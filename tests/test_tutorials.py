"""The tutorials run, and what their text claims is true of their runs."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

TUTORIALS = Path(__file__).parents[1] / "examples" / "tutorials"

# Runs a tutorial in a process of its own, where types are not checked at every call: that is many
# times faster. Saves the global variables that the test asks for.
CHILD = """
import runpy, sys
import joblib, matplotlib.pyplot
tutorial, file, *names = sys.argv[1:]
seen = runpy.run_path(tutorial, run_name="__main__")
assert matplotlib.pyplot.get_fignums(), "a tutorial shows at least one figure"
joblib.dump({name: seen[name] for name in names}, file)
"""


@pytest.fixture
def run(tmp_path):
    """Run a tutorial without a screen, and give its global variables of these names."""

    def run_tutorial(tutorial, *names):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, TUTORIALS / f"{tutorial}.py", tmp_path / "seen", *names],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "MPLBACKEND": "Agg"},
        )
        assert done.returncode == 0, done.stderr
        return joblib.load(tmp_path / "seen")

    return run_tutorial


def scores(agents, row=-1):
    return np.array([agent.history_.evaluations[row]["score"] for agent in agents])


def last_values(agents):
    return np.array([agent.history_.metrics[-1]["q_mean"] for agent in agents])


def test_every_tutorial_is_tested():
    source = Path(__file__).read_text()
    names = [path.stem for path in TUTORIALS.glob("*.py")]
    assert len(names) == 10
    assert [name for name in names if f'"{name}"' not in source] == []


# ---- from the table to the DQN -------------------------------------------------------------------


@pytest.mark.slow
def test_a_forest_learns_more_than_a_table_and_stays_within_its_bound(run):
    seen = run("plot_1_fitted_q_iteration", "forests", "tables", "q_max", "bound")
    assert scores(seen["forests"]).min() > scores(seen["tables"]).max()
    assert (np.array(seen["q_max"]) <= seen["bound"]).all()


@pytest.mark.slow
def test_a_network_that_learns_from_every_step_diverges(run):
    seen = run("plot_2_online_network", "onlines", "forests")
    assert (scores(seen["onlines"]) < 15).all()
    assert (last_values(seen["onlines"]) > 1_000).all()
    assert scores(seen["forests"]).min() > 100


@pytest.mark.slow
def test_replay_alone_does_not_help(run):
    seen = run("plot_3_replay", "online", "replays", "n_draws")
    assert (scores([seen["online"], *seen["replays"]]) < 15).all()
    assert (last_values(seen["replays"]) > 1_000).all()
    assert seen["n_draws"].mean() == 32


@pytest.mark.slow
def test_the_target_network_learns_and_the_soft_one_does_not(run):
    seen = run("plot_4_target_network", "replays", "targets", "softs")
    assert (scores(seen["replays"]) < 15).all()
    assert (scores(seen["targets"]) > 50).all()
    assert (last_values(seen["targets"]) < 100).all()
    assert scores(seen["softs"], 0).min() > scores(seen["targets"], 0).max()
    assert scores(seen["softs"]).mean() < scores(seen["targets"]).mean() / 2


@pytest.mark.slow
def test_five_steps_learn_faster_at_the_beginning(run):
    seen = run("plot_5_n_step_returns", "five_steps", "one_steps", "mean_length")
    assert scores(seen["five_steps"], 0).min() > scores(seen["one_steps"], 0).max()
    assert seen["mean_length"] < 30


@pytest.mark.slow
def test_the_default_agent_balances_the_pole(run):
    seen = run(
        "plot_6_default_agent", "default_scores", "five_steps", "defaults", "five_step_scores"
    )
    assert np.median(seen["default_scores"]) >= 475
    best = [agent.best_score_ for agent in (*seen["five_steps"], *seen["defaults"])]
    assert np.mean(best) > np.mean([*seen["five_step_scores"], *seen["default_scores"]])


# ---- my agent does not learn ---------------------------------------------------------------------


@pytest.mark.slow
def test_large_rewards_clip_all_errors(run):
    seen = run("plot_fault_1_reward_scale", "broken_scores", "repaired_scores", "broken")
    assert max(seen["broken_scores"]) < 20
    assert min(seen["repaired_scores"]) > 100
    for agent in seen["broken"]:
        assert agent.history_.metrics[:, "td_error"].min() > 500


@pytest.mark.slow
def test_a_time_limit_that_terminates_spoils_the_values(run):
    seen = run(
        "plot_fault_2_time_limit",
        "places",
        "GOAL",
        "broken",
        "repaired",
        "repaired_scores",
        "broken_scores",
        "finding",
    )
    places, goal = seen["places"], seen["GOAL"]
    exact = -(1 - 0.99 ** (goal - places)) / 0.01
    for broken, repaired in zip(seen["broken"], seen["repaired"], strict=True):
        # The training returns are the same; the values are not.
        returns = [agent.history_[-200:, "return"].mean() for agent in (broken, repaired)]
        assert returns[0] == pytest.approx(returns[1], abs=1.0)
        assert broken.decision_function(places).max(axis=1)[0] > exact[0] + 2
        assert repaired.decision_function(places).max(axis=1) == pytest.approx(exact, abs=0.1)
    assert np.mean(seen["repaired_scores"]) > np.mean(seen["broken_scores"]) + 20
    assert seen["finding"].code == "time-limit-terminates"


@pytest.mark.slow
def test_observations_in_millimetres_need_a_scale(run):
    seen = run(
        "plot_fault_3_observation_scale", "repaired_scores", "broken_scores", "broken", "repaired"
    )
    assert min(seen["repaired_scores"]) > 2 * max(seen["broken_scores"])
    first = [agent.history_.metrics[0]["loss"] for agent in seen["broken"]]
    assert min(first) > 3 * max(a.history_.metrics[0]["loss"] for a in seen["repaired"])


@pytest.mark.slow
def test_too_little_exploration_finds_the_near_exit_only(run):
    seen = run("plot_fault_4_exploration", "broken_scores", "repaired_scores", "broken")
    assert seen["broken_scores"] == [1.0] * 3
    assert seen["repaired_scores"] == [10.0] * 3
    for agent in seen["broken"]:
        assert agent.history_.metrics[-1]["td_error"] < 0.05
