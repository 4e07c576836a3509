"""The example scripts run and print what they promise."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, folder):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_circular_world_finds_the_exact_values(tmp_path):
    rows = re.findall(
        r"^ +(-?\d) +(\S+) +([\d.]+) +([\d.]+)$", run("circular_world.py", tmp_path), re.M
    )
    assert [int(row[0]) for row in rows] == list(range(-5, 6))
    assert [row[1] for row in rows] == ["->"] * 5 + ["stay"] + ["<-"] * 5
    for _, _, learned, exact in rows:
        assert float(learned) == pytest.approx(float(exact), abs=0.1)


def test_values_spread_to_the_start(tmp_path):
    output = run("plot_values_spread.py", tmp_path)
    assert "V(start) = 0.59049, exact 0.59049" in output


def test_a_resumed_training_ends_with_the_same_agent(tmp_path):
    output = run("resume.py", tmp_path)
    assert re.findall(r"Same \w+: (\w+)", output) == ["True"] * 3


def test_frozen_lake_is_crossed(tmp_path):
    output = run("frozen_lake.py", tmp_path)
    assert float(re.search(r"goal in ([\d.]+)%", output)[1]) >= 70
    assert output.count("H") == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["solve_cartpole_concise.py", "solve_cartpole.py", "parallel_q.py"]
)
def test_cartpole_is_solved(tmp_path, name):
    output = run(name, tmp_path)
    assert float(re.search(r"fresh episodes: ([\d.]+)", output)[1]) >= 475


@pytest.mark.slow
def test_study_compares_three_agents(tmp_path):
    output = run("study.py", tmp_path)
    assert output.count("epsilon 0.5 > epsilon") == 2
    assert "10 seeds" in output


@pytest.mark.slow
def test_grid_search_ranks_its_candidates(tmp_path):
    output = run("grid_search.py", tmp_path)
    scores = [float(score) for score in re.findall(r"^ *([\d.]+)  \{", output, re.M)]
    assert len(scores) == 8
    assert scores == sorted(scores, reverse=True)
    assert float(re.search(r"balances for (\d+) steps", output)[1]) >= 200


@pytest.mark.slow
def test_cross_validation_scores_lengths_never_seen(tmp_path):
    output = run("cross_validation.py", tmp_path)
    assert len(re.findall(r"^lengths \[.*\]: \d+ steps; the others \d+$", output, re.M)) == 3


@pytest.mark.slow
def test_halving_gives_better_candidates_more_steps(tmp_path):
    output = run("halving.py", tmp_path)
    rows = re.findall(r"^ *([\d,]+) steps: +(\d+)  (.+)$", output, re.M)
    assert [steps for steps, _, _ in rows] == ["2,000"] * 9 + ["6,000"] * 3 + ["18,000"]
    candidates = [(int(score), candidate) for _, score, candidate in rows]
    for first, second in ((candidates[:9], candidates[9:12]), (candidates[9:12], candidates[12:])):
        best = sorted(first)[-len(second) :]
        assert {candidate for _, candidate in best} == {candidate for _, candidate in second}
    assert candidates[-1][0] >= 200


@pytest.mark.slow
def test_a_search_on_a_cluster_of_its_own(tmp_path):
    output = run("dask_cluster.py", tmp_path)
    assert len(re.findall(r"^ *[\d.]+  \{'qfunction__learning_rate'", output, re.M)) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mountain_car_linear.py", "fitted_q_iteration.py"])
def test_regressors_solve_the_mountain_car(tmp_path, name):
    output = run(name, tmp_path)
    assert float(re.search(r"100 fresh episodes: (-[\d.]+)", output)[1]) >= -130
