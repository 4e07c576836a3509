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


def test_frozen_lake_is_crossed(tmp_path):
    output = run("frozen_lake.py", tmp_path)
    assert float(re.search(r"goal in ([\d.]+)%", output)[1]) >= 70
    assert output.count("H") == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solve_cartpole_concise.py", "solve_cartpole.py"])
def test_cartpole_is_solved(tmp_path, name):
    output = run(name, tmp_path)
    assert float(re.search(r"fresh episodes: ([\d.]+)", output)[1]) >= 475


@pytest.mark.slow
def test_study_compares_three_agents(tmp_path):
    output = run("study.py", tmp_path)
    assert output.count("epsilon 0.5 > epsilon") == 2
    assert "10 seeds" in output
