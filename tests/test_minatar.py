"""The MinAtar benchmark keeps its runs, and sums them up."""

import importlib.util
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "examples/benchmarks/minatar.py"


@pytest.fixture
def minatar():
    """The script. Its name is that of the package that it plays."""
    spec = importlib.util.spec_from_file_location("minatar_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_finished_runs_are_not_repeated(minatar, tmp_path, monkeypatch):
    trained = []

    def train(game, seed, n_steps):
        trained.append((game, seed))
        return minatar.Run(game, seed, n_steps, 10.0 * (seed + 1), 9.0, 1.0, 7)

    monkeypatch.setattr(minatar, "train", train)
    file, games = tmp_path / "runs.jsonl", ["breakout", "freeway"]
    first = list(minatar.run_all(games, range(1), 100, file))
    runs = list(minatar.run_all(games, range(2), 100, file))
    assert trained == [("breakout", 0), ("freeway", 0), ("breakout", 1), ("freeway", 1)]
    assert runs[:2] == first
    rows = minatar.table(runs).splitlines()
    assert len(rows) == 4
    assert rows[2].startswith("| breakout | 2 | 15.0 | ")
    # Runs of another length are separate.
    list(minatar.run_all(games, range(1), 200, file))
    assert len(trained) == 6


def test_the_agent_learns_from_pictures(minatar):
    agent = minatar.make_agent(0, n_steps=minatar.N_STEPS)
    assert agent.qfunction.optimizer.keywords["n_updates"] == 488 * 64
    model = minatar.network((10, 10, 4), 3)
    assert model.output_shape == (None, 3)
    optimizer = agent.qfunction.optimizer(5e-4)
    assert float(optimizer.learning_rate) == pytest.approx(5e-4)
