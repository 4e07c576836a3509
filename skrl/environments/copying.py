"""Try whether environments can be captured: whether a copy goes on like the original."""

import copy
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.random import Generator

from skrl.base import Actions
from skrl.environments.backends import Backend
from skrl.environments.opening import is_live, open_backend
from skrl.environments.step_cost import random_numbers_kept

# Steps before and after the copy, and after the next reset.
N_STEPS_BEFORE, N_STEPS_AFTER, N_STEPS_RESET = 20, 40, 10


def survives_copying(env: Any, n_envs: int) -> bool:
    """Whether fresh environments, put where others stand, go on like them for some steps.

    Parameters
    ----------
    env : object
        What a `GymEnvironment` was given. Live environments are copied.
    n_envs : int
        How many run side by side.

    Returns
    -------
    bool
        False also if the environments fail.
    """
    with ExitStack() as opened:
        opened.enter_context(random_numbers_kept())
        try:
            one, other = (_open_copy(env, n_envs, seed, opened) for seed in range(2))
            return _go_on_alike(one, other)
        except Exception:  # a user's environment may raise anything
            return False


def _open_copy(env: Any, n_envs: int, seed: int, opened: ExitStack) -> Backend:
    backend = open_backend(copy.deepcopy(env) if is_live(env) else env, n_envs, None)
    opened.callback(backend.close)
    backend.reset(seed)
    return backend


def _go_on_alike(one: Backend, other: Backend) -> bool:
    """Take steps with one, put the other one there, and compare what both do next."""
    rng = np.random.default_rng(0)
    for _ in range(N_STEPS_BEFORE):
        one.step(_draw(one, rng))
    state = one.state()
    if state is None:
        return False
    other.set_state(state)
    if not _are_alike(one, other, N_STEPS_AFTER, rng):
        return False
    # Many environments draw random numbers only when an episode begins.
    same = np.array_equal(one.reset(None), other.reset(None))
    return same and _are_alike(one, other, N_STEPS_RESET, rng)


def _are_alike(one: Backend, other: Backend, n_steps: int, rng: Generator) -> bool:
    """Whether both give the same transitions."""
    for _ in range(n_steps):
        actions = _draw(one, rng)
        expected, got = one.step(actions).to_dict(), other.step(actions).to_dict()
        if any(not np.array_equal(expected[name], got[name]) for name in expected):
            return False
    return True


def _draw(backend: Backend, rng: Generator) -> Actions:
    """Draw actions that are allowed."""
    if backend.action_masks is None:
        return rng.integers(backend.n_actions, size=backend.n_envs)
    order = rng.random(backend.action_masks.shape)
    actions: Actions = np.where(backend.action_masks, order, -1).argmax(axis=1)
    return actions
