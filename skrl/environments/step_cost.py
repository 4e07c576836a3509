"""Measure what a step costs, to find out whether processes are worth their messages."""

import contextlib
import multiprocessing
import random
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from math import ceil
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import joblib
import numpy as np

from skrl.environments.processes import CONTEXT, can_begin_processes

# Rounds of steps of a scratch copy. A round has so many, or as many as take so many seconds.
N_ROUNDS, N_STEPS, SECONDS = 3, 40, 0.03
N_MESSAGES = 100


def pays_in_processes(make: Callable[[], gymnasium.Env[Any, Any]], n_envs: int) -> bool:
    """Measure whether environments side by side are faster in processes.

    Of the time n t of n steps, p processes on as many cores save (1 - 1/p) n t. They cost p
    messages and answers, for n/p environments each, and about as much again for what is not
    measured: checking observations and copying them.

    Parameters
    ----------
    make : callable
        Makes a scratch copy of the environment. Neither it nor global generators of random
        numbers are left changed.
    n_envs : int
        How many run side by side.

    Returns
    -------
    bool
        False also if the scratch copy fails.
    """
    p: int = min(n_envs, joblib.cpu_count())
    if p < 2 or not can_begin_processes():
        return False
    try:
        saved = n_envs * step_seconds(make) * (1 - 1 / p)
    except Exception:  # a user's environment may raise anything; it will do so again when used
        return False
    share = ceil(n_envs / p)
    # The second measurement begins a process; the first one is quick, and less than the second.
    return saved > 2 * p * pipe_seconds(share) and saved > 2 * p * message_seconds(share)


def step_seconds(make: Callable[[], gymnasium.Env[Any, Any]]) -> float:
    """Measure the time of a random step of a scratch copy: the mean of the fastest round."""
    with random_numbers_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        env = make()
        try:
            _, info = env.reset(seed=0)
            env.action_space.seed(0)
            info = _step(env, info)  # the first step may load something
            means = []
            for _ in range(N_ROUNDS):  # a busy machine slows some of them down
                begin, n = perf_counter(), 0
                while n < N_STEPS and (n == 0 or perf_counter() - begin < SECONDS):
                    info = _step(env, info)
                    n += 1
                means.append((perf_counter() - begin) / n)
            return min(means)
        finally:
            env.close()


def _step(env: gymnasium.Env[Any, Any], info: dict[str, Any]) -> dict[str, Any]:
    """Take a random step that is allowed, and begin the next episode if it ends one."""
    mask = info.get("action_mask")
    action = env.action_space.sample(None if mask is None else np.asarray(mask, np.int8))
    _, _, terminated, truncated, info = env.step(action)
    if terminated or truncated:
        _, info = env.reset()
    return info


@contextlib.contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Restore the global generators of random numbers."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@cache
def pipe_seconds(share: int) -> float:
    """Measure what the messages of a step take without another process."""
    here, there = multiprocessing.Pipe()
    with here, there:
        return _median_seconds(here, there, share)


@cache
def message_seconds(share: int) -> float:
    """Measure what the messages of a step take, to a process with a share of them and back."""
    context: Any = multiprocessing.get_context(CONTEXT)
    here, there = context.Pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        process = context.Process(target=_answer, args=(there, share), daemon=True)
        process.start()
    try:
        return _median_seconds(here, here, share)
    finally:
        here.send(None)
        process.join()
        here.close()
        there.close()


def _answer(pipe: Any, share: int) -> None:
    """Answer every question, as a process of `ProcessVectorEnv` does, until there are no more."""
    answer = [(0.0, False, False, None)] * share, ""
    while pipe.recv() is not None:
        pipe.send(answer)


def _median_seconds(sender: Any, receiver: Any, share: int) -> float:
    question = "step", (range(share), np.zeros(share, np.int64))
    times = []
    for _ in range(N_MESSAGES):
        begin = perf_counter()
        sender.send(question)
        receiver.recv()
        times.append(perf_counter() - begin)
    return median(times)
