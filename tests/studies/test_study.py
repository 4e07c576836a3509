"""Studies: reproducible tables, the file of finished runs, and the report."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from sklearn.base import BaseEstimator

from skrl import (
    EpsilonGreedy,
    GymEnvironment,
    LinearSchedule,
    MemoizationQFunction,
    QLearningAgent,
    make_envs,
)
from skrl.studies.study import Result, Study, compare
from worlds import Identity

RING = "skrl/CircularWorld-v0"


class Dice(BaseEstimator):
    """Learns nothing, draws its score from its seed, and logs every fit in a file."""

    def __init__(self, bonus=0.0, log=None, failure=None, random_state=None):
        self.bonus = bonus
        self.log = log
        self.failure = failure
        self.random_state = random_state

    def fit(self, env):
        assert not hasattr(self, "env_")  # a fresh clone
        self.env_ = env
        if self.failure is not None and Path(self.failure).exists() and self.random_state == 2:
            raise {"stop": KeyboardInterrupt, "error": ZeroDivisionError}[
                Path(self.failure).read_text()
            ]("seed 2 does not work")
        if self.log is not None:
            with open(self.log, "a") as log:
                print(self.bonus, env if isinstance(env, str) else env.id, file=log)
        return self

    def score(self, env, *, n_episodes):
        return self.bonus + np.random.default_rng(self.random_state).normal(size=n_episodes).mean()


def n_fits(log):
    return len(log.read_text().splitlines())


def tables(**parameters):
    return {
        name: QLearningAgent(
            MemoizationQFunction(learning_rate), n_steps=300, n_evaluations=0, **parameters
        )
        for name, learning_rate in (("slow", 0.01), ("fast", 0.5))
    }


def scores_of(study):
    return [(row["agent"], row["env"], row["seed"], row["score"]) for row in study.table()]


# ---- runs --------------------------------------------------------------------------------------


def test_every_run_can_be_repeated_by_hand():
    study = compare(tables(), [RING], n_seeds=2, n_episodes=5, random_state=7)
    agent = tables(random_state=8)["fast"].fit(RING)
    row = study.table()[3]
    assert row.pop("seconds") > 0
    assert row == {
        "agent": "fast", "env": RING, "seed": 8, "n_steps": 300,
        "score": agent.score(RING, n_episodes=5),
    }  # fmt: skip


@pytest.mark.slow
def test_the_same_table_for_any_number_of_jobs():
    arguments = {"agents": tables(), "envs": [RING, "FrozenLake-v1"], "n_seeds": 2, "n_episodes": 2}
    one = compare(**arguments, n_jobs=1)
    assert [row[:3] for row in scores_of(one)] == [
        (agent, env, seed)
        for agent in ("slow", "fast")
        for env in (RING, "FrozenLake-v1")
        for seed in range(2)
    ]
    assert scores_of(compare(**arguments, n_jobs=2)) == scores_of(one)


def test_a_study_with_more_seeds_contains_the_one_with_fewer():
    few, many = (compare({"dice": Dice()}, [RING], n_seeds=n) for n in (2, 4))
    assert scores_of(many)[:2] == scores_of(few)


def test_agents_and_environments_are_not_changed():
    agent, environment = Dice(), GymEnvironment(RING, n_envs=2)
    compare({"dice": agent}, {"ring": environment}, n_seeds=2)
    assert not hasattr(agent, "env_")
    assert environment._backend is None
    assert agent.random_state is None


@pytest.mark.parametrize(
    "env", [Identity, GymEnvironment(Identity, n_envs=2), [Identity] * 2, make_envs(RING, n=2)]
)
def test_every_form_of_environment(env):
    agent = QLearningAgent(MemoizationQFunction(0.5), n_steps=200, n_evaluations=0)
    study = compare({"table": agent}, {"world": env}, n_seeds=1, n_episodes=4)
    assert study.envs == ["world"]
    assert np.isfinite(study.scores("table")).all()


def test_ids_registered_in_this_process_only_work_in_workers():
    gymnasium.register("tests/Study-v0", Identity)
    try:
        study = compare(tables(), ["tests/Study-v0"], n_seeds=1, n_episodes=4, n_jobs=2)
    finally:
        del gymnasium.registry["tests/Study-v0"]
    same = compare(tables(), {"world": Identity}, n_seeds=1, n_episodes=4)
    assert study.scores("fast") == same.scores("fast")


# ---- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_error_names_the_run_and_finished_runs_are_kept(tmp_path, n_jobs):
    file, failure = tmp_path / "runs.jsonl", tmp_path / "failure"
    failure.write_text("error")
    agent = Dice(failure=str(failure))
    with pytest.raises(ZeroDivisionError, match="seed 2 does not work") as caught:
        compare({"dice": agent}, [RING], n_seeds=4, n_jobs=n_jobs, resume=file)
    assert caught.value.__notes__ == [
        f"This was the run of agent 'dice' in environment {RING!r} with seed 2."
    ]
    if n_jobs == 1:
        assert [json.loads(line)["seed"] for line in file.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"agents": Dice()}, TypeError, "agents must be a dict"),
        ({"agents": {}}, TypeError, "agents must be a dict"),
        ({"agents": {"dice": Dice}}, TypeError, "'dice' must have the methods"),
        ({"agents": {"table": MemoizationQFunction()}}, TypeError, "'table' must have the methods"),
        ({"envs": RING}, TypeError, r"\['CartPole-v1'\]"),
        ({"envs": []}, TypeError, "envs must be"),
        ({"envs": [Identity]}, TypeError, "a dict of names"),
        ({"envs": {"world": Identity()}}, TypeError, "'world' is live"),
        ({"envs": {"world": GymEnvironment(Identity())}}, TypeError, "'world' is live"),
        ({"n_seeds": 0}, ValueError, "n_seeds must be at least 1"),
        ({"n_episodes": 0}, ValueError, "n_episodes must be at least 1"),
        ({"random_state": None}, ValueError, "random_state must be an integer"),
        ({"random_state": -1}, ValueError, "random_state must be an integer"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_refused(changed, error, says):
    with pytest.raises(error, match=says):
        compare(**{"agents": {"dice": Dice()}, "envs": [RING], **changed})


def test_an_agent_without_random_state_is_refused():
    class Seedless(Dice):
        def __init__(self):
            pass

    with pytest.raises(TypeError, match="must have the parameter random_state"):
        compare({"dice": Seedless()}, [RING])


# ---- the file of finished runs -----------------------------------------------------------------


def test_finished_runs_are_not_repeated(tmp_path):
    file, log = tmp_path / "runs.jsonl", tmp_path / "log"
    agents = {name: Dice(bonus, str(log)) for name, bonus in (("a", 0.0), ("b", 1.0))}
    first = compare(agents, [RING], n_seeds=3, resume=file)
    assert n_fits(log) == len(file.read_text().splitlines()) == 6
    assert compare(agents, [RING], n_seeds=3, resume=str(file)).table() == first.table()
    assert n_fits(log) == 6
    # Other seeds, agents and environments are new runs; another name is not.
    compare(agents, [RING], n_seeds=4, resume=file)
    assert n_fits(log) == 8
    renamed = compare({"c": agents["a"]}, {"ring": RING}, n_seeds=4, resume=file)
    assert n_fits(log) == 8
    assert (renamed.agents, renamed.envs) == (["c"], ["ring"])
    compare({"a": Dice(0.5, str(log))}, [RING], n_seeds=1, resume=file)
    compare({"a": agents["a"]}, ["FrozenLake-v1"], n_seeds=1, resume=file)
    compare({"a": agents["a"]}, [RING], n_seeds=1, n_episodes=5, resume=file)
    assert n_fits(log) == 11
    assert len(file.read_text().splitlines()) == 11


def test_an_interrupted_study_continues(tmp_path):
    file, log, failure = (tmp_path / name for name in ("runs.jsonl", "log", "failure"))
    agents = {"dice": Dice(log=str(log), failure=str(failure))}
    failure.write_text("stop")
    with pytest.raises(KeyboardInterrupt):
        compare(agents, [RING], n_seeds=5, resume=file)
    assert n_fits(log) == 2
    failure.unlink()
    study = compare(agents, [RING], n_seeds=5, resume=file)
    assert n_fits(log) == 5
    assert scores_of(study) == scores_of(compare(agents, [RING], n_seeds=5))


@pytest.mark.parametrize("n_left", [3, 30, -1])
def test_the_run_of_an_incomplete_line_is_repeated(tmp_path, n_left):
    file, log = tmp_path / "runs.jsonl", tmp_path / "log"
    agents = {"dice": Dice(log=str(log))}
    first = compare(agents, [RING], n_seeds=2, resume=file)
    lines = file.read_text().splitlines()
    file.write_text(f"{lines[0]}\n{lines[1][:n_left]}")
    again = [compare(agents, [RING], n_seeds=2, resume=file) for _ in range(2)]
    assert n_fits(log) == 3
    assert scores_of(again[0]) == scores_of(again[1]) == scores_of(first)


def test_a_run_is_recognised_in_another_process(tmp_path):
    file = tmp_path / "runs.jsonl"
    script = (
        "import sys\n"
        "from skrl import *\n"
        "from skrl.studies.study import compare\n"
        "agent = QLearningAgent(MemoizationQFunction(), EpsilonGreedy(LinearSchedule(1.0, 0.1)),\n"
        "    n_steps=200, n_evaluations=0)\n"
        f"envs = {{'ring': GymEnvironment('{RING}', n_envs=2)}}\n"
        f"print(compare({{'table': agent}}, envs, n_seeds=1, resume={str(file)!r}).table())\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    agent = QLearningAgent(
        MemoizationQFunction(), EpsilonGreedy(LinearSchedule(1.0, 0.1)),
        n_steps=200, n_evaluations=0,
    )  # fmt: skip
    envs = {"ring": GymEnvironment(RING, n_envs=2)}
    study = compare({"table": agent}, envs, n_seeds=1, resume=file)
    assert str(study.table()) == run.stdout.strip()
    assert n_fits(file) == 1


def test_local_functions_cannot_be_recognised(tmp_path):
    agents, envs = {"dice": Dice()}, {"world": lambda: Identity()}
    with pytest.raises(ValueError, match=r"'world' cannot be recognised.*lambda"):
        compare(agents, envs, n_seeds=1, resume=tmp_path / "runs.jsonl")


def test_other_files_are_not_written_to(tmp_path):
    file = tmp_path / "scores.csv"
    file.write_text("agent,score\n")
    with pytest.raises(ValueError, match="not a file of finished runs"):
        compare({"dice": Dice()}, [RING], n_seeds=1, resume=file)
    assert file.read_text() == "agent,score\n"


# ---- statistics and report ---------------------------------------------------------------------

SCORES = {
    "good": {"lake": [0.5, 0.75, 0.75, 1.0], "cliff": [-13, -13, -15, -17]},
    "bad": {"lake": [0.0, 0.25, 0.5, 0.75], "cliff": [-13, -33, -33, -113]},
}
STUDY = Study([
    Result(agent, env, seed, float(score), 100 * (seed + 1), 0.5)
    for agent, envs in SCORES.items()
    for env, scores in envs.items()
    for seed, score in enumerate(scores)
])  # fmt: skip


def test_scores_of_one_environment_are_not_scaled():
    assert STUDY.scores("bad").tolist() == [[0, -13], [0.25, -33], [0.5, -33], [0.75, -113]]
    assert STUDY.scores("bad", "cliff").tolist() == [[-13], [-33], [-33], [-113]]
    assert STUDY.interquartile_mean("bad", "cliff").value == -33


def test_scores_of_several_environments_are_scaled_by_the_lowest_and_highest():
    # The cliff's -113 .. -13 becomes 0 .. 1, the lake's scores do not change: the mean of the
    # middle four of 0, 0, .25, .5, .75, .8, .8 and 1.
    estimate = STUDY.interquartile_mean("bad")
    assert estimate.value == pytest.approx((0.25 + 0.5 + 0.75 + 0.8) / 4)
    assert 0 <= estimate.low < estimate.value < estimate.high <= 1
    profile = STUDY.performance_profile([0, 0.5, 0.9])
    assert profile["bad"].tolist() == [6 / 8, 4 / 8, 1 / 8]
    assert profile["good"].tolist() == [1, 7 / 8, 5 / 8]


def test_equal_scores_in_an_environment_are_scaled_to_0():
    results = [replace(r, score=7.0) if r.env == "lake" else r for r in STUDY.results]
    assert Study(results).interquartile_mean("good").value == pytest.approx(
        (0 + 0 + 0.96 + 0.98) / 4
    )


def test_probability_of_improvement_and_seeds_needed():
    lake = (2.5 + 3.5 + 3.5 + 4) / 16
    cliff = (3.5 + 3.5 + 3 + 3) / 16
    assert STUDY.probability_of_improvement("good", "bad", "lake").value == lake
    assert STUDY.probability_of_improvement("good", "bad", "cliff").value == cliff
    assert STUDY.probability_of_improvement("good", "bad").value == (lake + cliff) / 2
    # 7.8489 / (6 * 2 * 0.328^2)
    assert STUDY.n_seeds_needed("good", "bad") == 7


def test_rows_are_dicts():
    row = STUDY.table()[-1]
    assert row == {
        "agent": "bad", "env": "cliff", "seed": 3, "score": -113.0, "n_steps": 400, "seconds": 0.5,
    }  # fmt: skip


def test_the_report():
    lake, cliff, together, pairs, conclusion = str(STUDY).split("\n\n")
    assert [line.split()[0] for line in lake.splitlines()] == ["lake", "good", "bad"]
    good = cliff.splitlines()[1].split()
    assert (good[:2], good[-3:]) == (["good", "-14"], ["4", "250", "0.5"])
    assert together.splitlines()[2].split()[:2] == ["bad", "0.575"]
    assert pairs.splitlines()[1].split()[:4] == ["good", ">", "bad", "0.8281"]
    assert conclusion == (
        "4 seeds are not enough to show that 'good' is better than 'bad':\n"
        "a probability of 0.83 needs 7 (5% error, 80% power)."
    )
    assert all(len(line) <= 100 for line in str(STUDY).splitlines())


def test_the_report_says_when_there_are_enough_seeds():
    results = [
        Result(agent, "lake", seed, seed % 5 + bonus, None, 1.0)
        for agent, bonus in (("good", 5.0), ("bad", 0.0))
        for seed in range(10)
    ]
    assert "10 seeds are enough to show that 'good' is better than 'bad'" in str(Study(results))
    equal = [replace(result, score=1.0) for result in results]
    assert "There is no evidence that 'good' is better than 'bad'" in str(Study(equal))


def test_the_report_of_one_agent_compares_nothing():
    results = [result for result in STUDY.results if (result.agent, result.env) == ("good", "lake")]
    assert str(Study(results)).count("\n\n") == 0


def test_an_incomplete_study_names_the_missing_runs():
    with pytest.raises(ValueError, match=r"Missing: \[\('bad', 'cliff', 3\)\]"):
        Study(STUDY.results[:-1])
    for results in ([], [*STUDY.results, STUDY.results[0]]):
        with pytest.raises(ValueError, match="exactly one result"):
            Study(results)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="does not contain 'ugly'"):
        STUDY.scores("ugly")
    with pytest.raises(ValueError, match="does not contain 'taxi'"):
        STUDY.interquartile_mean("good", "taxi")


def test_scores_in_the_middle_of_training():
    """The last evaluation by then counts; a run that stopped keeps its last score."""
    curves = {0: [[100, 1.0], [200, 3.0]], 1: [[150, 2.0]]}
    study = Study([Result("a", "lake", seed, 9.0, 200, 1.0, curves[seed]) for seed in curves])
    assert study.scores_at("a", 150).tolist() == [[1.0], [2.0]]
    assert study.scores_at("a", 500).tolist() == [[3.0], [2.0]]
    assert study.sample_efficiency("a", 500).value == 2.5
    with pytest.raises(ValueError, match="seed 1 has no evaluation within its first 149 steps"):
        study.scores_at("a", 149)


def test_a_run_keeps_its_evaluations(tmp_path):
    agent = QLearningAgent(n_steps=1000, n_evaluations=2, n_evaluation_episodes=5)
    file = tmp_path / "runs.jsonl"
    (result,) = compare({"a": agent}, [RING], n_seeds=1, resume=file).results
    assert [n for n, _ in result.evaluations] == [512, 1000]
    assert compare({"a": agent}, [RING], n_seeds=1, resume=file).results[0] == result
