"""Environments side by side, each in a separate process."""

import contextlib
import multiprocessing
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import (
    CloudpickleWrapper,
    batch_space,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from skrl.environments.action_masks import KEY
from skrl.environments.backends import has_time_limit
from skrl.environments.capture import capture, restore
from skrl.environments.spaces import check_equal_spaces, check_observation_space

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


class ProcessVectorEnv(VectorEnv[Any, Any, Any]):
    """Environments that each run in a process. None of them is reset automatically.

    Observations come through shared memory, everything else through pipes. Of the infos, only the
    action masks are sent.

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
        If the spaces differ, or are not supported.
    RuntimeError
        If an environment fails in its process, or the process dies. All processes are then ended.
    """

    def __init__(self, functions: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        self.num_envs = len(functions)
        self.facts: list[Facts] = []
        self.pipes: list[Any] = []
        self.processes: list[Any] = []
        # The memory must be allocated before the processes begin. If the function fails, its error
        # is raised here, with its traceback.
        with functions[0]() as scratch:
            first = gather_facts(scratch)
            self.metadata = {**scratch.metadata, "autoreset_mode": AutoresetMode.DISABLED}
            self.render_mode = scratch.render_mode
        self.single_observation_space, self.single_action_space = first[:2]
        check_observation_space(first.observation_space)
        self.observation_space = batch_space(first.observation_space, self.num_envs)
        self.action_space = batch_space(first.action_space, self.num_envs)
        context: Any = multiprocessing.get_context(CONTEXT)
        self.memory = create_shared_memory(first.observation_space, self.num_envs, context)
        self.observations = read_from_shared_memory(
            first.observation_space, self.memory, self.num_envs
        )
        try:
            for i, function in enumerate(functions):
                self._begin_process(context, i, CloudpickleWrapper(function))
            self.facts = self._ask("make", dict.fromkeys(range(self.num_envs)))
            names = [self._name(i) for i in range(self.num_envs)]
            check_equal_spaces([first, *self.facts], [names[0], *names])
        except BaseException:
            self.close()
            raise

    def _begin_process(self, context: Any, i: int, make: Callable[[], Any]) -> None:
        pipe, pipe_of_process = context.Pipe()
        self.pipes.append(pipe)
        arguments = i, make, self.memory, pipe_of_process, self.pipes
        process = context.Process(target=answer_commands, args=arguments, daemon=True)
        with warnings.catch_warnings():
            # Python warns of forking with threads, see CONTEXT.
            warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
            process.start()
        self.processes.append(process)
        pipe_of_process.close()

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, everywhere or where ``options["reset_mask"]`` is True.

        `seed` is None or has one seed per environment. The observations are a view.
        """
        rows: Iterable[int] = range(self.num_envs)
        if options is not None and "reset_mask" in options:
            options = dict(options)
            rows = np.flatnonzero(options.pop("reset_mask")).tolist()
        masks: list[Any] = [None] * self.num_envs
        seeds = masks if seed is None else seed
        resets = {i: {"seed": seeds[i], "options": options} for i in rows}
        for i, mask in zip(resets, self._ask("reset", resets), strict=True):
            masks[i] = mask
        return self.observations, as_infos(masks)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take an action in every environment. The observations are a view."""
        steps = self._ask("step", dict(enumerate(actions)))
        rewards, terminated, truncated, masks = zip(*steps, strict=True)
        ended = np.array(terminated, dtype=bool), np.array(truncated, dtype=bool)
        return self.observations, np.array(rewards, dtype=float), *ended, as_infos(masks)

    def render(self) -> tuple[Any, ...]:
        """Draw every environment."""
        return tuple(self._ask("call", dict.fromkeys(range(self.num_envs), "render")))

    def capture(self) -> list[Any] | None:
        """Copy where each environment stands; None if one cannot be captured."""
        answers = self._ask("capture", dict.fromkeys(range(self.num_envs)))
        return None if None in answers else [captured for (captured,) in answers]

    def restore(self, captured: list[Any]) -> None:
        """Put each environment where `capture` found it."""
        self._ask("restore", {i: [captured[i]] for i in range(self.num_envs)})

    def _ask(self, command: str, data: dict[int, Any]) -> list[Any]:
        """Send a command to each environment in `data`, and give the answers."""
        if self.closed:
            raise RuntimeError(
                "The processes of the environments have been ended, by close() or after an error. "
                "Call GymEnvironment.close(): its next use begins new ones."
            )
        answers = []
        try:
            for i, item in data.items():
                self.pipes[i].send((command, item))
            for i in data:
                answer, error = self.pipes[i].recv()
                if error:
                    raise RuntimeError(
                        f"{self._name(i)} failed in its process: {error}. "
                        "GymEnvironment(..., asynchronous=False) runs it in this process, where a "
                        "debugger and the whole traceback are at hand."
                    )
                answers.append(answer)
        except BaseException as error:
            death = self._describe_death(i) if isinstance(error, EOFError | OSError) else ""
            self.close(is_idle=False)
            if death:
                raise RuntimeError(death) from None
            raise
        return answers

    def _describe_death(self, i: int) -> str:
        """Say how process i died, whose connection is lost."""
        self.processes[i].join(CLOSING_SECONDS)
        code = self.processes[i].exitcode
        how = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
        return (
            f"The process of {self._name(i)} died ({how}). It may have run out of memory, or "
            "compiled code of the environment may have crashed. Use fewer environments, or "
            "GymEnvironment(..., asynchronous=False)."
        )

    def _name(self, i: int) -> str:
        name = f" ({self.facts[i].name})" if self.facts else ""
        return f"Environment {i} of {self.num_envs}{name}"

    def close_extras(self, is_idle: bool = True) -> None:
        """Close the environments if they are idle, and end all processes."""
        if is_idle:
            for pipe in self.pipes:
                with contextlib.suppress(OSError):  # the process may be dead
                    pipe.send(("close", None))
        for process in self.processes:
            process.join(CLOSING_SECONDS if is_idle else 0)
            process.kill()
        for process in self.processes:
            process.join()
        for pipe in self.pipes:
            pipe.close()

    def __del__(self) -> None:
        self.close()


def answer_commands(
    index: int, make: Callable[[], Any], memory: Any, pipe: Any, parent_pipes: Sequence[Any]
) -> None:
    """Run an environment in this process. Answer each command with a result and an error text."""
    for parent_pipe in parent_pipes:
        parent_pipe.close()  # only then does `pipe` report the death of the main process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles it, and ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked process inherits the user's handler
    env: Any = None
    answer: Any
    with contextlib.suppress(EOFError, OSError):  # the main process died
        while True:
            command, data = pipe.recv()
            if command == "close":
                break
            try:
                if command == "make":
                    env = make()
                    answer = gather_facts(env)
                elif command == "reset":
                    observation, info = env.reset(**data)
                    answer = info.get(KEY)
                elif command == "step":
                    observation, reward, terminated, truncated, info = env.step(data)
                    answer = reward, terminated, truncated, info.get(KEY)
                elif command == "capture":
                    answer = capture([env])
                elif command == "restore":
                    restore([env], data)
                    answer = None
                else:
                    answer = getattr(env, data)()
                if command in ("reset", "step"):
                    write_to_shared_memory(env.observation_space, index, observation, memory)
                pipe.send((answer, ""))
            except Exception as error:  # a user's environment may raise anything
                pipe.send((None, describe_error(error)))
    if env is not None:
        env.close()


def gather_facts(env: gymnasium.Env[Any, Any]) -> Facts:
    """Gather what the main process cannot see."""
    spec = env.spec
    name = type(env.unwrapped).__name__ if spec is None else spec.id
    threshold = None if spec is None else spec.reward_threshold
    return Facts(env.observation_space, env.action_space, threshold, has_time_limit(env), name)


def describe_error(error: BaseException) -> str:
    """Name an error, and the line of code where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno}, in {last.name})"


def as_infos(masks: Sequence[Any]) -> dict[str, Any]:
    """Give action masks, one or None per environment, the form of Gymnasium's infos."""
    return {} if all(mask is None for mask in masks) else {KEY: masks}


def can_begin_processes() -> bool:
    """Whether this process may start others; those of a pool may not."""
    return not multiprocessing.current_process().daemon
