"""Updates and decisions of a DQN on random images, as JSON: ``pixels.py SIZE BATCH K CALLS``."""

import argparse
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from skrl import DQN, Transitions

N_ACTIONS = 6
N_DECISIONS = 200


def random_batches(rng: np.random.Generator, size: int, B: int, K: int) -> Transitions:
    """K batches of B transitions of four frames each."""
    states, next_states = rng.integers(0, 256, (2, K, B, size, size, 4), dtype=np.uint8)
    return Transitions(
        states=states,
        actions=rng.integers(N_ACTIONS, size=(K, B)),
        rewards=np.ones((K, B), np.float32),
        next_states=next_states,
        discounts=np.full((K, B), 0.99, np.float32),
        terminated=np.zeros((K, B), bool),
        truncated=np.zeros((K, B), bool),
    )


def seconds(call: Callable[[], Any]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("size", "batch", "k", "calls"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()

    space = Box(0, 255, (arguments.size, arguments.size, 4), np.uint8)
    qfunction = DQN(double=False, target_update_interval=10_000, tau=1.0)
    qfunction.build(space, N_ACTIONS, random_state=0)
    rng = np.random.default_rng(0)
    batches = random_batches(rng, arguments.size, arguments.batch, arguments.k)
    qfunction.update(batches)  # compiles
    updates = [seconds(lambda: qfunction.update(batches)) for _ in range(arguments.calls)]
    state = batches.states[0, :1]
    decisions = [seconds(lambda: qfunction.values(state)) for _ in range(N_DECISIONS)]
    update, decision = min(updates) / arguments.k * 1e3, float(np.median(decisions)) * 1e6
    print(json.dumps({"update_ms": update, "decision_us": decision}))


if __name__ == "__main__":
    main()
