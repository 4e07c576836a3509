"""Rows about learning: whole runs against the peers, and the fused update."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from measuring import Options, Row, alternate, ratios, run_child, run_python

# CartPole needs Gymnasium's extra. The version of torch is fixed to make results comparable. Both
# sides compute on the CPU.
PEER_PACKAGES = ("stable-baselines3", "sbx-rl", "torch==2.13.0", "gymnasium[classic-control]")
PEER_VERSIONS = """
import importlib.metadata, json
names = ["stable-baselines3", "sbx-rl", "torch", "jax", "gymnasium"]
print(json.dumps({name: importlib.metadata.version(name) for name in names}))
"""
N_STEPS = 50_000


def cartpole_sb3(options: Options) -> Iterator[Row]:
    yield cartpole_row(options, "sb3", "Stable-Baselines3", at_least=5)


def cartpole_sbx(options: Options) -> Iterator[Row]:
    yield cartpole_row(options, "sbx", "SBX", at_least=2)


def cartpole_row(options: Options, library: str, title: str, at_least: float) -> Row:
    """A whole training run on CartPole, of a peer and of skrl."""
    peer_python = peers_python(options.peers)
    n_steps = options.work(N_STEPS)

    def train(name: str, python: Path | str, seed: int) -> dict[str, Any]:
        arguments = (name, "--steps", n_steps, "--seed", seed)
        result: dict[str, Any] = run_child("zoo.py", *arguments, python=python)
        return result

    ours, theirs = alternate(
        lambda seed: train("skrl", sys.executable, seed),
        lambda seed: train(library, peer_python, seed),
        options.pairs,
    )
    our_seconds = [result["seconds"] for result in ours]
    their_seconds = [result["seconds"] for result in theirs]
    return Row(
        name=f"cartpole-{library}",
        title=f"CartPole, the zoo's DQN setting: how much faster than {title}",
        figures=ratios(their_seconds, our_seconds),
        at_least=at_least,
        sides={
            "skrl": f"{median(our_seconds):.2f} s",
            title: f"{median(their_seconds):.2f} s",
        },
        notes=[f"work done: skrl {describe_work(ours[0])}; {title} {describe_work(theirs[0])}"],
    )


def describe_work(result: dict[str, Any]) -> str:
    return f"{result['n_steps']:,} steps, {result['n_updates']:,} updates"


def fused_update(options: Options) -> Iterator[Row]:
    """128 updates in one call, after compilation."""
    n_calls = options.work(200)
    # A pair takes only a second or two, so there are three times as many.
    result = run_child("fused_update.py", "--pairs", 3 * options.pairs, "--calls", n_calls)
    yield Row(
        name="fused-update",
        title="one fused update (2x64, batch 64, K = 128) against a bare XLA loop",
        figures=ratios(result["ours"], result["bare"]),
        at_most=1.3,
        sides={
            "DQN.update": f"{median(result['ours']):.1f} us per update",
            "bare loop": f"{median(result['bare']):.1f} us per update",
        },
        notes=[
            "largest difference of the TD errors of both sides over the first 128 updates: "
            f"{result['difference']:.1g}"
        ],
    )


def peers_python(directory: Path) -> Path:
    """Python of the peers' virtual environment, which is made if it does not exist."""
    python = directory / "bin" / "python"
    if not python.exists():
        print(f"Making the peers' virtual environment in {directory} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    if not has_peers(python):
        print(f"Installing {', '.join(PEER_PACKAGES)} ...", file=sys.stderr)
        command = [str(python), "-m", "pip", "install", "--quiet", *PEER_PACKAGES]
        subprocess.run(command, check=True)
    return python


def has_peers(python: Path) -> bool:
    done = subprocess.run([str(python), "-c", PEER_VERSIONS], capture_output=True)
    return done.returncode == 0


def peers_versions(directory: Path) -> dict[str, str]:
    """Versions of the peers; empty if they are not installed."""
    python = directory / "bin" / "python"
    if not python.exists() or not has_peers(python):
        return {}
    versions: dict[str, str] = run_python("-c", PEER_VERSIONS, python=python)
    return versions
