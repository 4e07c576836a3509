"""Environments side by side, each in its own process."""

import contextlib
import multiprocessing
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing.connection import wait
from typing import Any, NamedTuple

import gymnasium
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState, _async_worker

from skrl.environments.backends import has_time_limit

# On Linux, a forked process begins at once, and needs no `if __name__ == "__main__"` in the user's
# script. It runs nothing but the environment, so the threads of TensorFlow that it lacks are not
# missed. Elsewhere the system's own way to begin a process is used.
CONTEXT = "fork" if sys.platform == "linux" else None
# Seconds that a process is given to close its environment.
CLOSING_SECONDS = 5.0


class Facts(NamedTuple):
    """What is known of an environment in a process."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    reward_threshold: float | None
    has_time_limit: bool
    name: str


class Served:
    """An environment in a process. Its errors become text, which every process can read.

    Parameters
    ----------
    make : callable
        Makes the environment.
    """

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]]) -> None:
        self.env: gymnasium.Env[Any, Any] | None = None
        self.error = ""
        try:
            self.env = make()
        except Exception as error:  # a user's function may raise anything
            self.error = describe_error(error)
        self.observation_space = getattr(self.env, "observation_space", None)
        self.action_space = getattr(self.env, "action_space", None)
        self.metadata = getattr(self.env, "metadata", {})
        self.render_mode = getattr(self.env, "render_mode", None)

    def get_wrapper_attr(self, name: str) -> Any:
        """Find what the main process asks for by name."""
        return partial(self.call, name)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of this class or of the environment."""
        if self.env is None:
            raise RuntimeError(self.error)
        try:
            if name == "facts":
                return self.facts(self.env)
            return getattr(self.env, name)(*args, **kwargs)
        except Exception as error:  # a user's environment may raise anything
            raise RuntimeError(describe_error(error)) from None

    def facts(self, env: gymnasium.Env[Any, Any]) -> Facts:
        """Tell what the main process cannot see."""
        spec = env.spec
        name = type(env.unwrapped).__name__ if spec is None else spec.id
        threshold = None if spec is None else spec.reward_threshold
        spaces = env.observation_space, env.action_space
        return Facts(*spaces, threshold, has_time_limit(env), name)

    def reset(self, **kwargs: Any) -> Any:
        """Begin an episode."""
        return self.call("reset", **kwargs)

    def step(self, action: Any) -> Any:
        """Take an action."""
        return self.call("step", action)

    def close(self) -> None:
        """Close the environment."""
        if self.env is not None:
            self.env.close()


def describe_error(error: BaseException) -> str:
    """Name an error, and the line of code where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno}, in {last.name})"


class ErrorPipe:
    """Stands for the queue of Gymnasium's errors. What it sends arrives at once, or never.

    Parameters
    ----------
    pipe : multiprocessing.connection.Connection
        To the main process.
    """

    def __init__(self, pipe: Any) -> None:
        self.pipe = pipe

    def put(self, item: tuple[int, type[BaseException], BaseException, str]) -> None:
        """Send that the last command failed, and then why."""
        _, kind, error, _ = item
        self.pipe.send((None, False))
        self.pipe.send(str(error) if kind is RuntimeError else f"{kind.__name__}: {error}")


def work(index: int, make: Any, pipe: Any, parent_pipe: Any, *arguments: Any) -> None:
    """Run an environment in this process; the arguments are those of `AsyncVectorEnv.worker`."""
    memory, _, mode, semaphore = arguments
    errors: Any = ErrorPipe(pipe)
    with contextlib.suppress(OSError):  # the main process may be gone
        _async_worker(index, make, pipe, parent_pipe, memory, errors, mode, semaphore)


class ProcessVectorEnv(AsyncVectorEnv):
    """Gymnasium's vector of processes, which says what is wrong and leaves no process behind.

    It never resets by itself (`AutoresetMode.DISABLED`), and observations come through shared
    memory.

    Parameters
    ----------
    functions : sequence of callable
        Make the environments, which must have equal spaces.

    Attributes
    ----------
    facts : list of Facts
        What is known of each environment.

    Raises
    ------
    ValueError
        If the spaces differ.
    RuntimeError
        If an environment cannot be made in its process.
    """

    def __init__(self, functions: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        self.facts: list[Facts] = []
        self.processes, self.parent_pipes = [], []
        self._state = AsyncState.DEFAULT
        served = [partial(Served, function) for function in functions]
        try:
            with warnings.catch_warnings():
                # Python warns of forking with threads, see CONTEXT.
                warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
                super().__init__(
                    served,  # type: ignore[arg-type]
                    context=CONTEXT,
                    worker=work,
                    autoreset_mode=AutoresetMode.DISABLED,
                )
        except BaseException:
            self._end_processes(is_idle=False)
            raise

    def _check_spaces(self) -> None:
        """Ask for the facts, and compare the spaces."""
        self.facts = list(self.call("facts"))
        first = self.facts[0]
        for name in ("observation_space", "action_space"):
            for i, facts in enumerate(self.facts):
                if getattr(facts, name) != getattr(first, name):
                    raise ValueError(
                        f"Environments side by side must have equal spaces, but the {name} of "
                        f"{self._name(0)} is {getattr(first, name)} and that of {self._name(i)} "
                        f"is {getattr(facts, name)}."
                    )

    def reset(self, **kwargs: Any) -> Any:
        """Begin an episode in every environment."""
        with self._watched():
            return super().reset(**kwargs)

    def step(self, actions: Any) -> Any:
        """Take an action in every environment."""
        with self._watched():
            return super().step(actions)

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of every environment."""
        with self._watched():
            return super().call(name, *args, **kwargs)

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """End all processes after an error, and name the process that died."""
        try:
            yield
        except (EOFError, OSError):
            raise RuntimeError(self._find_dead()) from None
        finally:
            if self._state is not AsyncState.DEFAULT:
                self.close(terminate=True)

    def _find_dead(self) -> str:
        """Say which process died, and end the others."""
        reason = "The connection to the processes of the environments is lost."
        ended = wait([process.sentinel for process in self.processes], timeout=1)
        for i, process in enumerate(self.processes):
            if process.sentinel in ended:
                process.join(1)
            if process.exitcode is not None:
                code = process.exitcode
                how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
                reason = f"The process of {self._name(i)} died ({how})."
                break
        return (
            f"{reason} It may have run out of memory, or compiled code of the environment may have "
            "crashed. Use fewer environments, or GymEnvironment(..., asynchronous=False)."
        )

    def _raise_if_errors(self, successes: Any) -> None:
        """Report the error of the first environment that failed."""
        failed = [i for i, success in enumerate(successes) if not success]
        if not failed:
            return
        pipe = self.parent_pipes[failed[0]]
        error = pipe.recv() if pipe.poll(CLOSING_SECONDS) else "unknown error"
        raise RuntimeError(
            f"{self._name(failed[0])} failed in its process: {error}. "
            "GymEnvironment(..., asynchronous=False) runs it in this process, where a debugger and "
            "the whole traceback are at hand."
        )

    def _name(self, i: int) -> str:
        name = f" ({self.facts[i].name})" if self.facts else ""
        return f"Environment {i} of {self.num_envs}{name}"

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close all environments and end all processes, whatever they are doing."""
        self._end_processes(is_idle=self._state is AsyncState.DEFAULT and not terminate)

    def _end_processes(self, is_idle: bool) -> None:
        self._state = AsyncState.DEFAULT
        pipes = [pipe for pipe in self.parent_pipes if pipe is not None]
        if is_idle:
            for pipe in pipes:
                with contextlib.suppress(OSError):
                    pipe.send(("close", None))
            for process in self.processes:
                process.join(CLOSING_SECONDS)
        for process in self.processes:
            if process.is_alive():
                process.terminate()
        for process in self.processes:
            process.join(CLOSING_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in pipes:
            pipe.close()


def can_begin_processes() -> bool:
    """Whether this process may have processes of its own; those of a pool may not."""
    return not multiprocessing.current_process().daemon
