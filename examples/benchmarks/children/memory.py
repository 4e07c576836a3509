"""Measure the memory of a replay buffer, or of many consecutive fits, and print it as JSON.

``python memory.py cartpole|frames|stacks|fits AMOUNT``: one measurement per process.
"""

import argparse
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skrl import DQN, ExperienceReplay, QLearningAgent, Transitions
from skrl.runners import ReplayBuffer

EPISODE_LENGTH = 500
ROLLOUT = 250  # steps added at a time; a runner adds 256
RAW_BYTES = {
    "cartpole": 16 + 8 + 4 + 16 + 4,  # s float32 (4,), a int64, r float32, s', discount float32
    "frames": 84 * 84,  # each frame once
    "stacks": 84 * 84,  # each frame once, though a state consists of four
}
N_STACK = 4


def resident_bytes() -> int:
    """Resident memory of this process."""
    n_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return n_pages * resource.getpagesize()


def random_states(rng: np.random.Generator, kind: str, n: int) -> np.ndarray:
    if kind == "stacks":
        frames = random_states(rng, "frames", n)
        numbers = np.arange(n)[:, None] + np.arange(1 - N_STACK, 1)
        return np.moveaxis(frames[np.maximum(numbers, 0)], 1, -1)
    if kind == "frames":
        return rng.integers(256, size=(n, 84, 84), dtype=np.uint8)
    return rng.standard_normal((n, 4), dtype=np.float32)


def episodes(kind: str, n_steps: int) -> Iterator[Transitions]:
    """Consecutive steps of one environment, as a runner adds them."""
    rng = np.random.default_rng(0)
    for _ in range(n_steps // EPISODE_LENGTH):
        states = random_states(rng, kind, EPISODE_LENGTH + 1)
        for first in range(0, EPISODE_LENGTH, ROLLOUT):
            last = first + ROLLOUT
            truncated = np.zeros(ROLLOUT, bool)
            truncated[-1] = last == EPISODE_LENGTH
            yield Transitions(
                states=states[first:last].copy(),
                actions=rng.integers(2, size=ROLLOUT),
                rewards=np.ones(ROLLOUT, np.float32),
                next_states=states[first + 1 : last + 1].copy(),
                discounts=np.full(ROLLOUT, 0.99, np.float32),
                terminated=np.zeros(ROLLOUT, bool),
                truncated=truncated,
                env_ids=np.zeros(ROLLOUT, np.int64),
            )


def fill(kind: str, n_steps: int) -> ReplayBuffer:
    buffer = ReplayBuffer(n_steps, n_step_return=1)
    buffer.begin(discount_factor=1.0)
    for transitions in episodes(kind, n_steps):
        buffer.add(transitions)
    return buffer


def measure_replay(kind: str, n_steps: int) -> dict[str, int]:
    fill(kind, EPISODE_LENGTH)  # loads and allocates what the first use needs
    before = resident_bytes()
    buffer = fill(kind, n_steps)
    return {
        "stored": len(buffer),
        "raw": RAW_BYTES[kind] * len(buffer),
        "nbytes": buffer.nbytes,
        "resident": resident_bytes() - before,
    }


def measure_fits(n_fits: int) -> dict[str, list[int]]:
    """Resident memory after each fit."""
    resident = []
    for seed in range(n_fits):
        agent = QLearningAgent(
            DQN((32, 32)),
            runner=ExperienceReplay(train_freq=128, gradient_steps=32, learning_starts=256),
            n_steps=2000,
            n_evaluations=0,
            random_state=seed,
        )
        agent.fit("CartPole-v1")
        resident.append(resident_bytes())
    return {"resident": resident}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["cartpole", "frames", "stacks", "fits"])
    parser.add_argument("amount", type=int)
    arguments = parser.parse_args()
    if arguments.what == "fits":
        print(json.dumps(measure_fits(arguments.amount)))
    else:
        print(json.dumps(measure_replay(arguments.what, arguments.amount)))
