"""Pong from pixels on a plain CPU: a learning curve of two hours.

`ParallelQ` learns the game from 84 x 84 grey images, by the network for images that `DQN` has by
default. It needs ale-py and OpenCV: ``pip install ".[atari,images]"``.

    python examples/benchmarks/pong.py --folder pong
    python examples/benchmarks/pong.py --folder pong --draw pong.png

The first command trains; it writes the episodes and evaluations to CSV files while it does. The
second one draws them.
"""

import argparse
import csv
import platform
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
from speed import at_least_one, cpu_model

import skrl
from skrl import (
    DQN,
    Callback,
    EpsilonGreedy,
    GymEnvironment,
    LinearSchedule,
    ParallelQ,
    QLearningAgent,
    atari_env,
)
from skrl.base import Run
from skrl.callbacks import CSVLogger
from skrl.qfunctions.deep.networks import convolutional_network

N_ENVS, WINDOW = 64, 64
PONG = atari_env("ALE/Pong-v5")


class Until(Callback):
    """Ends the run after some hours."""

    def __init__(self, hours: float) -> None:
        self.hours = hours

    def on_run_begin(self, run: Run) -> None:
        self.end_ = perf_counter() + 3600 * self.hours

    def on_rollout_end(self, run: Run) -> None:
        if perf_counter() > self.end_:
            run.stop(f"after {self.hours} hours")


def make_agent(seed: int, n_steps: int, hours: float, folder: Path) -> QLearningAgent:
    return QLearningAgent(
        DQN(network=partial(convolutional_network, layer_norm=True), learning_rate=2.5e-4),
        EpsilonGreedy(LinearSchedule(1.0, 0.01, fraction=0.1)),
        ParallelQ(train_freq=2048, n_epochs=2, batch_size=64, trace_decay=0.65),
        n_steps=n_steps,
        n_evaluations=40,
        n_evaluation_episodes=2,
        callbacks=[Until(hours), CSVLogger(folder)],
        random_state=seed,
    )


def train(seed: int, n_steps: int, hours: float, folder: Path) -> None:
    begin = perf_counter()
    agent = make_agent(seed, n_steps, hours, folder)
    agent.fit(GymEnvironment(PONG, n_envs=N_ENVS))
    seconds = perf_counter() - begin
    skrl.save(agent, folder / "pong.skrl")
    print(
        f"{agent.n_steps_:,} steps in {seconds:.0f} s, {agent.n_steps_ / seconds:.0f} per second; "
        f"greedy return {agent.score(PONG, n_episodes=10):.1f}"
    )


def draw(folder: Path, picture: Path) -> None:
    """Draw the mean return of the latest episodes, and the evaluations."""
    import matplotlib.pyplot as plt

    newest = max(folder.glob("run-*"), key=lambda run: int(run.name.removeprefix("run-")))
    steps, returns = columns(newest / "episodes.csv", "n_steps", "return")
    means = np.convolve(returns, np.full(WINDOW, 1 / WINDOW), "valid")
    figure, ax = plt.subplots(figsize=(6, 3.5), layout="constrained")
    ax.plot(steps[WINDOW - 1 :], means, label=f"training, mean of {WINDOW} games")
    ax.plot(*columns(newest / "evaluations.csv", "n_steps", "score"), ".-", label="greedy")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set(title="Pong from pixels", xlabel="environment steps (4 frames each)",
           ylabel="return of a game", ylim=(-22, 22))  # fmt: skip
    ax.legend(loc="upper left")
    figure.savefig(picture, dpi=120)


def columns(file: Path, *names: str) -> list[np.ndarray]:
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [np.array([float(row[name]) for row in rows]) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("pong"), metavar="DIR",
                        help="where the files are written (default: pong)")  # fmt: skip
    parser.add_argument("--draw", type=Path, metavar="FILE", help="only draw the curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=at_least_one, default=3_000_000, metavar="N",
                        help="steps, of 4 frames each (default: 3,000,000)")  # fmt: skip
    parser.add_argument("--hours", type=float, default=2.0, help="at most so long (default: 2)")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.folder, arguments.draw)
        return
    print(f"{cpu_model()}, Python {platform.python_version()}, seed {arguments.seed}", flush=True)
    train(arguments.seed, arguments.steps, arguments.hours, arguments.folder)


if __name__ == "__main__":
    main()
