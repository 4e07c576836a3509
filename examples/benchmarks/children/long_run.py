"""Measure the time and the memory of each tenth of a long training, and print them as JSON.

``python long_run.py table|network N_STEPS``
"""

import argparse
import json
from time import perf_counter

from memory import resident_bytes

from skrl import DQN, Callback, EpsilonGreedy, ExperienceReplay, QLearningAgent, ReplayBuffer
from skrl.base import Run

CAPACITY = 50_000


class Watch(Callback):
    """Notes the time and the resident memory at the end of each tenth of the steps."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def on_run_begin(self, run: Run) -> None:
        self.times_, self.resident_ = [perf_counter()], [resident_bytes()]

    def on_rollout_end(self, run: Run) -> None:
        if run.history.n_steps >= len(self.times_) * self.n_steps / 10:
            self.times_.append(perf_counter())
            self.resident_.append(resident_bytes())


def make_agent(kind: str, n_steps: int) -> tuple[QLearningAgent, str]:
    parameters = {"n_steps": n_steps, "n_evaluations": 0, "random_state": 0}
    if kind == "table":
        return QLearningAgent(policy=EpsilonGreedy(0.1), **parameters), "FrozenLake-v1"
    runner = ExperienceReplay(ReplayBuffer(min(CAPACITY, n_steps // 20)))
    return QLearningAgent(DQN(), EpsilonGreedy(0.1), runner, **parameters), "CartPole-v1"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["table", "network"])
    parser.add_argument("n_steps", type=int)
    arguments = parser.parse_args()
    agent, env = make_agent(arguments.kind, arguments.n_steps)
    agent.set_params(callbacks=[Watch(arguments.n_steps)]).fit(env)
    watch = agent.callbacks_[0]
    assert isinstance(watch, Watch)
    seconds = [b - a for a, b in zip(watch.times_, watch.times_[1:], strict=False)]
    print(
        json.dumps({"seconds": seconds, "resident": watch.resident_, "episodes": agent.n_episodes_})
    )
