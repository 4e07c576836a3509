"""Trainings that are killed at random moments end like one that was not interrupted."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "kill_runs.py"


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process group by its number")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow)
        for kind in ("table", "processes", "search", "DQN", "LunarLander")
    ],
)
def test_killed_trainings_end_like_one_that_was_not_interrupted(kind):
    if kind == "LunarLander":
        pytest.importorskip("Box2D")
    command = [sys.executable, str(SCRIPT), "5", kind]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind}: 5 of 5 ended bit-identical" in done.stdout
