"""TensorFlow and Keras, loaded when they are first used. No other module imports them.

``from skrl.qfunctions.deep.tensorflow import keras, tf`` costs nothing: both stand for the
packages, and load them with the first attribute that is looked up.
"""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

__all__ = ["check_not_forked", "keras", "tf"]


class _Lazy:
    """Stands for a package until it is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        _load()
        value = getattr(sys.modules[self._name], attribute)
        setattr(self, attribute, value)  # found at once from now on
        return value


tf: Any = _Lazy("tensorflow")
keras: Any = _Lazy("keras")

# The process in which TensorFlow was loaded.
_process: int | None = None


def check_not_forked() -> None:
    """Raise a ValueError if this process was forked after TensorFlow had been loaded.

    The threads of TensorFlow are missing in a forked process, and it waits for them indefinitely.
    """
    if _process not in (None, os.getpid()):
        raise ValueError(
            "This process was forked after TensorFlow had been loaded, and TensorFlow does not "
            "work in it: networks can predict here, but not learn. Start processes with joblib, "
            "or with multiprocessing.get_context('spawn')."
        )


def _load() -> None:
    """Load both packages, the first time."""
    global _process
    if _process is not None:
        return
    # The order of sums must not depend on the machine.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    # joblib limits the threads of its worker processes by this variable; TensorFlow's pools of
    # threads have their own.
    if "OMP_NUM_THREADS" in os.environ:
        for pool in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
            os.environ.setdefault(pool, os.environ["OMP_NUM_THREADS"])
    is_first = "tensorflow" not in sys.modules
    with _quietly():
        tensorflow, found = import_module("tensorflow"), import_module("keras")
        if is_first:
            for gpu in tensorflow.config.list_physical_devices("GPU"):
                # Several processes may share a GPU.
                tensorflow.config.experimental.set_memory_growth(gpu, True)
        # Look for accelerators now, not in the first computation.
        tensorflow.config.list_logical_devices()
    if found.config.backend() != "tensorflow":
        raise ValueError(
            f"skrl needs Keras on TensorFlow, but its backend is {found.config.backend()!r}. Set "
            "the environment variable KERAS_BACKEND=tensorflow before the first import of keras."
        )
    _process = os.getpid()


@contextmanager
def _quietly() -> Iterator[None]:
    """Drop what TensorFlow's libraries print while they start.

    They write to the standard error of the process before any log level applies. The environment
    variable TF_CPP_MIN_LOG_LEVEL=0 shows it all. (The import also draws from Python's global
    generator, which is put back as it was.)
    """
    state = random.getstate()
    # A child process finds the level that its parent has set here.
    is_muted = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3"
    if is_muted:
        error, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
    try:
        yield
    finally:
        if is_muted:
            os.dup2(error, 2)
            os.close(error)
            os.close(null)
        random.setstate(state)
