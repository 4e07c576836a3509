"""Trainings of tables that take a moment, and how they are interrupted."""

import pytest

from skrl import (
    Callback,
    DoubleMemoizationQFunction,
    ExperienceReplay,
    MemoizationQFunction,
    PrioritizedBuffer,
    QLearningAgent,
    SegmentedEpsilonGreedy,
)

EVALUATED = {"n_evaluations": 2, "n_evaluation_episodes": 5, "early_stopping": False}


class Interrupt(Callback):
    """Stops a training as a crash does: at a rollout's end, with an error."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_rollout_end(self, run):
        if run.history.n_steps >= self.n_steps:
            raise RuntimeError("power failure")


def table(**parameters):
    defaults = {"n_steps": 700, "random_state": 0, **EVALUATED}
    return QLearningAgent(DoubleMemoizationQFunction(), **{**defaults, **parameters})


def replay(**parameters):
    """A table that learns from a replay memory."""
    defaults = {
        "policy": SegmentedEpsilonGreedy(linear_fraction=0.5),
        "runner": ExperienceReplay(
            PrioritizedBuffer(300, n_step_return=4), batch_size=16, train_freq=64, gradient_steps=8
        ),
        "n_steps": 2_000,
        "random_state": 0,
        **EVALUATED,
    }
    return QLearningAgent(MemoizationQFunction(), **{**defaults, **parameters})


def interrupted(agent, env, n_steps, checkpoint):
    """Train until a crash."""
    agent.set_params(callbacks=[checkpoint, Interrupt(n_steps)])
    with pytest.raises(RuntimeError, match="power failure"):
        agent.fit(env)
