"""Measure what a step costs, to find out whether processes are worth their messages."""

import contextlib
import multiprocessing
import random
import warnings
from collections.abc import Callable, Iterator
from functools import cache
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
# What `ProcessVectorEnv` sends to an environment for each step, and what comes back.
QUESTION = ("step", np.int64(0))
ANSWER: Any = ((0.0, False, False, None), "")


def pays_in_processes(make: Callable[[], gymnasium.Env[Any, Any]], n_envs: int) -> bool:
    """Measure whether environments side by side are faster in processes.

    Of the time t of a step, processes on p cores save (1 - 1/p) t. They cost the messages to and
    from the environment.

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
    n_parallel: int = min(n_envs, joblib.cpu_count())
    if n_parallel < 2 or not can_begin_processes():
        return False
    try:
        saved = step_seconds(make) * (1 - 1 / n_parallel)
    except Exception:  # a user's environment may raise anything; it will do so again when used
        return False
    # The second measurement begins a process; the first one is quick, and less than the second.
    return saved > pipe_seconds() and saved > message_seconds()


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
def pipe_seconds() -> float:
    """Measure what the messages of a step take without another process."""
    here, there = multiprocessing.Pipe()
    with here, there:
        return _median_seconds(here, there)


@cache
def message_seconds() -> float:
    """Measure what the messages of a step take, to another process and back."""
    context: Any = multiprocessing.get_context(CONTEXT)
    here, there = context.Pipe()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        process = context.Process(target=_answer, args=(there,), daemon=True)
        process.start()
    try:
        return _median_seconds(here, here)
    finally:
        here.send(None)
        process.join()
        here.close()
        there.close()


def _answer(pipe: Any) -> None:
    """Answer every question until there are no more."""
    while pipe.recv() is not None:
        pipe.send(ANSWER)


def _median_seconds(sender: Any, receiver: Any) -> float:
    times = []
    for _ in range(N_MESSAGES):
        begin = perf_counter()
        sender.send(QUESTION)
        receiver.recv()
        times.append(perf_counter() - begin)
    return median(times)
