"""The thread that learns while the main thread acts."""

import os
from concurrent.futures import ThreadPoolExecutor

# One for this process: a forked process has no threads.
_executors: dict[int, ThreadPoolExecutor] = {}


def background() -> ThreadPoolExecutor:
    """The thread, made at the first call. One is enough: TensorFlow has its own."""
    process = os.getpid()
    if process not in _executors:
        _executors[process] = ThreadPoolExecutor(1, thread_name_prefix="skrl-learning")
    return _executors[process]
