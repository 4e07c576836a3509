"""The benchmarks: exact values of policies, statistics over seeds, and the file of runs."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from exact import greedy_policy_value, load, optimal_value, policy_value
from seed_statistics import (
    ROUNDING,
    first_solved,
    median_solved,
    summarize,
)
from study import TASKS, Run, alternating_pairs, append, read

from skrl import MemoizationQFunction, QLearningAgent
from skrl.evaluation import MAX_EPISODE_STEPS

# ---- exact values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env_id", "expected"),
    # The lake within its 100 steps; the taxi's 300 starts; 13 steps along the cliff.
    [("FrozenLake-v1", 0.7442), ("Taxi-v4", 7.93), ("CliffWalking-v1", -13)],
)
def test_optimal_values(env_id, expected):
    assert optimal_value(load(env_id)) == pytest.approx(expected, abs=5e-5)


def test_value_of_the_uniform_policy_on_the_lake():
    world = load("FrozenLake-v1")
    assert policy_value(world, np.full((16, 4), 1 / 4)) == pytest.approx(0.0139, abs=5e-5)


def test_the_time_limit_counts():
    # Without one, the lake's optimum is 14/17.
    world = replace(load("FrozenLake-v1"), n_steps=10_000)
    assert optimal_value(world) == pytest.approx(14 / 17)


def train(env_id, n_steps):
    qfunction = MemoizationQFunction(learning_rate=0.5)
    agent = QLearningAgent(qfunction, n_steps=n_steps, n_evaluations=0, random_state=0)
    return agent.fit(env_id)


def test_value_of_an_agent_is_its_score_in_a_deterministic_world():
    agent = train("CliffWalking-v1", 10_000)
    assert greedy_policy_value(agent, "CliffWalking-v1") == -13
    assert agent.score("CliffWalking-v1", n_episodes=1) == -13


def test_an_endless_episode_is_cut_off():
    agent = train("CliffWalking-v1", 100)
    assert greedy_policy_value(agent, "CliffWalking-v1") == -MAX_EPISODE_STEPS


@pytest.mark.slow
def test_value_of_an_agent_is_its_mean_score_in_a_stochastic_world():
    agent = train("FrozenLake-v1", 5_000)
    value, n = greedy_policy_value(agent, "FrozenLake-v1"), 500
    assert 0.01 < value < 0.75
    standard_error = np.sqrt(value * (1 - value) / n)
    score = agent.score("FrozenLake-v1", n_episodes=n)
    assert score == pytest.approx(value, abs=4 * standard_error)


# ---- statistics --------------------------------------------------------------------------------


def test_summary():
    summary = summarize([500, 475, 20, 474.9], threshold=475)
    assert summary.mean == pytest.approx((475 + 474.9) / 2)
    assert (summary.n_solved, summary.worst) == (2, 20)


def test_an_exact_value_may_have_a_rounding_error():
    assert summarize([7.93 - 1e-12, 7.93 - 1e-6], threshold=7.93).n_solved == 1


EARLY = [(100, 20.0, 1.0), (200, 480.0, 2.0), (300, 470.0, 3.0), (400, 500.0, 4.0)]
LATE = [(100, 20.0, 2.0), (300, 475.0, 6.0)]
NEVER = [(100, 20.0, 1.0), (200, 474.0, 2.0)]


def test_first_solved():
    assert first_solved(EARLY, 475) == (200, 2.0)
    assert first_solved(NEVER, 475) == (inf, inf)


def test_median_solved_counts_runs_that_never_solve():
    assert median_solved([EARLY, LATE, NEVER], 475) == (300, 6.0)
    assert median_solved([NEVER, EARLY, NEVER], 475) == (inf, inf)


# ---- runs --------------------------------------------------------------------------------------

RUN = Run("cartpole", "ours", 0, None, 500.0, 2.5, 7_500, 900, EARLY, {"numpy": "2"}, "today", 1)


def test_runs_are_read_back(tmp_path):
    file = tmp_path / "runs.jsonl"
    assert read(file) == []
    runs = [RUN, replace(RUN, seed=1)]
    for run in runs:
        append(file, run)
    assert [run.key for run in read(file)] == [run.key for run in runs]
    assert first_solved(read(file)[0].evaluations, 475) == (200, 2.0)


def test_only_alternating_runs_are_compared():
    theirs = replace(RUN, library="sb3")
    assert alternating_pairs([RUN, theirs]) == [(RUN, theirs)]
    for other in ({"seed": 1}, {"session": "yesterday"}, {"n_jobs": 2}):
        assert alternating_pairs([RUN, replace(theirs, **other)]) == []


def test_thresholds_of_tables_can_be_reached():
    for task in TASKS:
        if task.is_table:
            assert 0 <= optimal_value(load(task.env_id)) - task.threshold + ROUNDING < 0.015
