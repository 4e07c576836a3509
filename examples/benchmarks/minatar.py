"""How well does `ParallelQ` play MinAtar, and how fast? One command trains it with many seeds.

The five games of Young & Tian (2019), "MinAtar: an Atari-inspired testbed for thorough and
reproducible reinforcement learning experiments": pictures of 10 x 10 pixels, sticky actions and
growing difficulty, with the minimal action sets of their "-v1" versions. The agent is the one of
Gallici et al. (2025), "Simplifying deep temporal difference learning".

The package `minatar` is published under the GPL, so skrl does not depend on it. The first
command installs it, without the packages that draw its pictures, in a separate folder:

    python examples/benchmarks/minatar.py --setup
    python examples/benchmarks/minatar.py --seeds 5

A run that is finished is written to a file, and is not repeated.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from minatar_games import GAMES, MinAtar
from speed import at_least_one, cpu_model

from skrl import DQN, EpsilonGreedy, GymEnvironment, LinearSchedule, ParallelQ, QLearningAgent
from skrl.qfunctions.deep.tensorflow import keras
from skrl.studies.statistics import interquartile_mean, stratified_bootstrap

HERE = Path(__file__).parent
REQUIREMENT = "minatar==1.0.15"
# The mean returns that each game should exceed after so many frames.
BARS = {
    2_000_000: dict(zip(GAMES, (10.3, 16.7, 50.0, 19.4, 45.0), strict=True)),
    10_000_000: dict(zip(GAMES, (28.0, 33.0, 55.0, 19.4, 131.0), strict=True)),
}
N_STEPS, N_ENVS, N_EPISODES = 2_000_000, 128, 100
TRAIN_FREQ, N_EPOCHS, BATCH_SIZE = 4096, 2, 128


class Run(NamedTuple):
    """A finished run, a line of the file."""

    game: str
    seed: int
    n_steps: int
    score: float  # mean return of greedy episodes after training
    training: float  # mean return of the last episodes of training, with exploration
    seconds: float  # of fit
    updates: int


def network(state_shape: tuple[int, ...], n_outputs: int) -> Any:
    """The network of the paper: a convolution, a dense layer, each normalized."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(state_shape),
            layers.Conv2D(16, 3),
            layers.LayerNormalization(epsilon=1e-6),
            layers.Activation("relu"),
            layers.Flatten(),
            layers.Dense(128),
            layers.LayerNormalization(epsilon=1e-6),
            layers.Activation("relu"),
            layers.Dense(n_outputs),
        ]
    )


def optimizer(learning_rate: float, n_updates: int) -> Any:
    """RAdam, with clipped gradients and steps that shrink linearly to 0."""
    from skrl.qfunctions.deep.radam import RAdam

    schedule = keras.optimizers.schedules.PolynomialDecay(learning_rate, n_updates, 0.0)
    return RAdam(schedule, global_clipnorm=10.0)


def make_agent(seed: int, n_steps: int) -> QLearningAgent:
    """The agent, with the settings of the paper."""
    n_updates = n_steps // TRAIN_FREQ * (N_EPOCHS * TRAIN_FREQ // BATCH_SIZE)
    return QLearningAgent(
        DQN(
            network=network,
            learning_rate=5e-4,
            optimizer=partial(optimizer, n_updates=n_updates),
            scale_states=False,
        ),
        EpsilonGreedy(LinearSchedule(1.0, 0.05, fraction=0.1)),
        ParallelQ(TRAIN_FREQ, N_EPOCHS, BATCH_SIZE, trace_decay=0.65),
        n_steps=n_steps,
        n_evaluations=0,  # the last Q function is judged, not the best one
        random_state=seed,
    )


def train(game: str, seed: int, n_steps: int) -> Run:
    make = partial(MinAtar, game)
    agent = make_agent(seed, n_steps)
    begin = perf_counter()
    agent.fit(GymEnvironment(make, n_envs=N_ENVS))
    seconds = perf_counter() - begin
    returns = agent.history_[-N_EPISODES:, "return"]
    training = float(np.mean(returns)) if len(returns) else np.nan
    score = float(agent.score(GymEnvironment(make), n_episodes=N_EPISODES))
    return Run(game, seed, n_steps, score, training, seconds, agent.qfunction_.n_updates_)


def read(file: Path) -> list[Run]:
    """The finished runs of a file."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Run(**json.loads(line)) for line in lines]


def run_all(games: list[str], seeds: range, n_steps: int, file: Path) -> Iterator[Run]:
    """All runs: those of the file, and those that are missing there. Seeds before games."""
    finished = {run[:3]: run for run in read(file)}
    for seed in seeds:
        for game in games:
            run = finished.get((game, seed, n_steps))
            if run is None:
                run = train(game, seed, n_steps)
                with file.open("a") as lines:
                    lines.write(json.dumps(run._asdict()) + "\n")
            yield run


def table(runs: list[Run]) -> str:
    """A row for each game: interquartile means over the seeds, with intervals."""
    rows = ["| game | seeds | greedy return | 95% interval | bar | training return | fit (mean) |",
            "|---|---|---|---|---|---|---|"]  # fmt: skip
    for game in GAMES:
        own = [run for run in runs if run.game == game]
        if not own:
            continue
        bar = BARS.get(own[0].n_steps, {}).get(game, "-")
        scores = [run.score for run in own]
        low, high = stratified_bootstrap(scores) if len(own) > 1 else (np.nan, np.nan)
        training, seconds = (np.mean([getattr(r, n) for r in own]) for n in ("training", "seconds"))
        rows.append(
            f"| {game} | {len(own)} | {interquartile_mean(scores):.1f} | {low:.1f} to {high:.1f} "
            f"| {bar} | {training:.1f} | {seconds:.0f} s |"
        )
    return "\n".join(rows)


def setup(folder: Path) -> None:
    """Install MinAtar in a folder, without its dependencies: only NumPy is needed to play."""
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, REQUIREMENT], check=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setup", action="store_true", help="only install MinAtar")
    parser.add_argument("--games", nargs="+", choices=GAMES, default=GAMES, metavar="GAME",
                        help=f"only these games: {', '.join(GAMES)}")  # fmt: skip
    parser.add_argument("--seeds", type=at_least_one, default=5, metavar="N",
                        help="seeds 0 to N - 1 (default: 5)")  # fmt: skip
    parser.add_argument("--first-seed", type=int, default=0, metavar="SEED")
    parser.add_argument("--steps", type=at_least_one, default=N_STEPS, metavar="N",
                        help=f"frames of each run (default: {N_STEPS:,})")  # fmt: skip
    parser.add_argument("--file", type=Path, default=HERE / "minatar.jsonl",
                        help="where runs are kept")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=HERE / ".venv-minatar", metavar="DIR",
                        help="where MinAtar is installed")  # fmt: skip
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    if arguments.setup:
        setup(arguments.folder)
        return
    if not (arguments.folder / "minatar").exists():
        raise SystemExit(f"MinAtar is not installed in {arguments.folder}. Use --setup first.")
    # Before the folder of this script, which has the same name as the package.
    sys.path.insert(0, str(arguments.folder.resolve()))
    print(f"{cpu_model()}, Python {platform.python_version()}, {arguments.steps:,} frames\n")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    runs = []
    for run in run_all(arguments.games, seeds, arguments.steps, arguments.file):
        runs.append(run)
        print(
            f"{run.game:14} seed {run.seed}: greedy {run.score:6.1f}, training "
            f"{run.training:6.1f}, {run.seconds:.0f} s, {run.updates:,} updates",
            flush=True,
        )
    print(f"\n{table(runs)}")


if __name__ == "__main__":
    main()
