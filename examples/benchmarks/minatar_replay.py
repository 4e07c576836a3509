"""DQN with a replay memory on MinAtar, beside Stable-Baselines3: seconds and scores.

Both libraries train the same network with the same number of updates, batches and steps, in fresh
processes that alternate. ``minatar.py --setup`` installs the games.

    python examples/benchmarks/minatar_replay.py --seeds 1

A run that is finished is written to a file, and is not repeated.
"""

import argparse
import json
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from learning_rows import peers_python
from measuring import HERE, run_child
from minatar_games import GAMES
from speed import at_least_one, cpu_model

LIBRARIES = {"ours": "skrl", "sb3": "Stable-Baselines3"}
KEYS = ("library", "game", "seed", "steps")
Run = dict[str, Any]


def run_all(arguments: argparse.Namespace) -> Iterator[Run]:
    """All runs: those of the file, and those that are missing there."""
    lines = arguments.file.read_text().splitlines() if arguments.file.exists() else []
    finished = {tuple(run[key] for key in KEYS): run for run in map(json.loads, lines)}
    for seed in range(arguments.seeds):
        for game in arguments.games:
            for library in LIBRARIES:
                key = library, game, seed, arguments.steps
                yield finished.get(key) or train(arguments, dict(zip(KEYS, key, strict=True)))


def train(arguments: argparse.Namespace, run: Run) -> Run:
    python = sys.executable if run["library"] == "ours" else peers_python(arguments.peers)
    options = ["--folder", arguments.folder, "--seed", run["seed"], "--steps", run["steps"]]
    run |= run_child(
        "minatar_dqn.py",
        run["library"],
        run["game"],
        *options,
        python=python,
        n_threads=arguments.threads,
    )
    with arguments.file.open("a") as lines:
        lines.write(json.dumps(run) + "\n")
    return run


def table(runs: list[Run]) -> str:
    """A row for each game: means over the seeds, and how many times faster ours is."""
    rows = ["| game | seeds | skrl | Stable-Baselines3 | skrl | Stable-Baselines3 | faster |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    for game in dict.fromkeys(run["game"] for run in runs):
        ours, theirs = (
            [run for run in runs if (run["game"], run["library"]) == (game, library)]
            for library in LIBRARIES
        )
        scores = [np.mean([run["score"] for run in side]) for side in (ours, theirs)]
        seconds = [np.mean([run["seconds"] for run in side]) for side in (ours, theirs)]
        rows.append(
            f"| {game} | {len(theirs)} | {scores[0]:.1f} | {scores[1]:.1f} | {seconds[0]:.0f} s "
            f"| {seconds[1]:.0f} s | {seconds[1] / seconds[0]:.1f} x |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--games", nargs="+", choices=GAMES, default=GAMES, metavar="GAME",
                        help=f"only these games: {', '.join(GAMES)}")  # fmt: skip
    parser.add_argument("--seeds", type=at_least_one, default=1, metavar="N",
                        help="seeds 0 to N - 1 (default: 1)")  # fmt: skip
    parser.add_argument("--steps", type=at_least_one, default=1_000_000, metavar="N",
                        help="frames of each run (default: 1,000,000)")  # fmt: skip
    parser.add_argument("--threads", type=at_least_one, metavar="N",
                        help="threads of the numerical libraries (default: their own)")  # fmt: skip
    parser.add_argument("--file", type=Path, default=HERE / "minatar_replay.jsonl",
                        help="where runs are kept")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=HERE / ".venv-minatar", metavar="DIR",
                        help="where MinAtar is installed")  # fmt: skip
    parser.add_argument("--peers", type=Path, default=HERE / ".venv-peers", metavar="DIR",
                        help="virtual environment of the peers")  # fmt: skip
    arguments = parser.parse_args()
    print(f"{cpu_model()}, Python {platform.python_version()}, {arguments.steps:,} frames\n")
    runs = []
    for run in run_all(arguments):
        runs.append(run)
        print(
            f"{run['game']:14} {LIBRARIES[run['library']]:17} seed {run['seed']}: "
            f"{run['score']:6.1f}, {run['seconds']:.0f} s, {run['updates']:,} updates",
            flush=True,
        )
    print(f"\nScores, then seconds\n\n{table(runs)}")


if __name__ == "__main__":
    main()
