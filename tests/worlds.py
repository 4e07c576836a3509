"""Tiny worlds for the tests, whose answers are known."""

import gymnasium
import numpy as np
from gymnasium import spaces

from skrl.base import Transitions


class Identity(gymnasium.Env):
    """Shows one of two numbers; naming it earns 1. Ten guesses are an episode."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def _draw(self):
        self.answer = int(self.np_random.integers(2))
        return np.eye(2, dtype=np.float32)[self.answer]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_guesses = 0
        return self._draw(), {}

    def step(self, action):
        reward = float(action == self.answer)
        self.n_guesses += 1
        return self._draw(), reward, False, self.n_guesses == 10, {}


class Broken(Identity):
    """Gives NaN from its 300th step on."""

    n_steps = 0

    def step(self, action):
        self.n_steps += 1
        state, *rest = super().step(action)
        return (state * np.nan if self.n_steps >= 300 else state), *rest


def make_transitions(rng, shape, state_shape=(4,), n_actions=2):
    """Make random transitions of batch shape `shape`, a third of them terminated."""
    terminated = rng.random(shape) < 1 / 3
    return Transitions(
        states=rng.normal(size=(*shape, *state_shape)).astype(np.float32),
        actions=rng.integers(n_actions, size=shape),
        rewards=rng.normal(size=shape).astype(np.float32) * 2,
        next_states=rng.normal(size=(*shape, *state_shape)).astype(np.float32),
        discounts=np.where(terminated, 0, 0.9).astype(np.float32),
        terminated=terminated,
        truncated=np.zeros(shape, dtype=bool),
    )


def begun(buffer, discount_factor=1.0):
    """Get a buffer ready."""
    buffer.begin(discount_factor)
    return buffer
