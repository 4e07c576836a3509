"""What checkpoints cost during training."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from measuring import Options, Row, alternate

from skrl import DQN, Callback, EpsilonGreedy, ExperienceReplay, PrioritizedBuffer, QLearningAgent
from skrl.base import Run
from skrl.callbacks import Checkpoint

CAPACITY, N_STEPS, SECONDS = 100_000, 300_000, 10.0


class Clock(Callback):
    """Notes when the memory is full, and when the run ends."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity

    def on_rollout_end(self, run: Run) -> None:
        if run.history.n_steps >= self.capacity and not hasattr(self, "began_"):
            self.began_ = perf_counter()

    def on_run_end(self, run: Run) -> None:
        self.seconds_ = perf_counter() - self.began_


class TimedCheckpoint(Checkpoint):
    """Notes how long each checkpoint took once the memory was full."""

    def on_run_begin(self, run: Run) -> None:
        super().on_run_begin(run)
        self.write_seconds_: list[float] = []
        self.least_ = run.runner.buffer.capacity

    def on_rollout_end(self, run: Run) -> None:
        before, began = self._modified(), perf_counter()
        super().on_rollout_end(run)
        if self._modified() != before and run.history.n_steps >= self.least_:
            self.write_seconds_.append(perf_counter() - began)

    def _modified(self) -> int | None:
        path = Path(self.path)
        return path.stat().st_mtime_ns if path.exists() else None


def checkpoint(options: Options) -> Iterator[Row]:
    """The same training with a checkpoint every ten seconds and without any."""
    capacity, n_steps = options.work(CAPACITY), options.work(N_STEPS)
    every = SECONDS * n_steps / N_STEPS

    def train(seed: int, *callbacks: Callback) -> tuple[float, list[float]]:
        runner = ExperienceReplay(PrioritizedBuffer(capacity))
        agent = QLearningAgent(
            DQN(), EpsilonGreedy(), runner, n_steps=n_steps, n_evaluations=0, random_state=seed
        )
        agent.set_params(callbacks=[Clock(capacity), *callbacks]).fit("CartPole-v1")
        clock: Any
        clock, *others = agent.callbacks_
        return clock.seconds_, others[0].write_seconds_ if others else []

    def train_with_checkpoints(seed: int) -> tuple[float, list[float]]:
        with tempfile.TemporaryDirectory() as folder:
            return train(seed, TimedCheckpoint(f"{folder}/run.checkpoint", every=every))

    train(0)  # compiles
    with_them, without = alternate(train_with_checkpoints, train, options.pairs)
    writes = [seconds for _, all_seconds in with_them for seconds in all_seconds]
    yield Row(
        name="checkpoint",
        title=f"part of the time that goes to checkpoints, one every {every:g} s, with a "
        f"prioritized memory of {capacity:,} transitions",
        figures=[100 * sum(all_seconds) / seconds for seconds, all_seconds in with_them],
        unit="%",
        at_most=5,
        sides={
            "training with checkpoints": f"{median(seconds for seconds, _ in with_them):.1f} s",
            "without": f"{median(seconds for seconds, _ in without):.1f} s",
        },
        notes=[
            f"{len(writes)} checkpoints of {1e3 * median(writes):.0f} ms, at most "
            f"{1e3 * max(writes):.0f} ms"
        ],
    )
