"""Environments side by side, in several processes."""

import contextlib
import multiprocessing
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import gymnasium
import joblib
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
from skrl.environments.backends import has_time_limit, unpack_reset, unpack_step
from skrl.environments.capture import capture, restore
from skrl.environments.spaces import (
    StateTranslator,
    check_equal_spaces,
    check_observation_space,
)

# On Linux, a forked process begins at once, and needs no `if __name__ == "__main__"` in the user's
# script. It runs nothing but the environment, so the threads of TensorFlow that it lacks are not
# missed. Elsewhere the system's own way to begin a process is used.
CONTEXT = "fork" if sys.platform == "linux" else None
# Seconds that a process is given to close its environment.
CLOSING_SECONDS = 5.0
# After so many seconds, a reset is said to be slow.
PATIENCE_SECONDS = 60.0


class Facts(NamedTuple):
    """What is known of an environment in a process."""

    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    reward_threshold: float | None
    has_time_limit: bool
    name: str


class ProcessVectorEnv(VectorEnv[Any, Any, Any]):
    """Environments that run in as many processes as there are cores. None is reset automatically.

    Each process has a share of the environments, and steps them sequentially. Observations come
    through shared memory, everything else through pipes. Of the infos, only the action masks are
    sent.

    Parameters
    ----------
    functions : sequence of callable
        Make the environments, which must have equal spaces.

    Attributes
    ----------
    facts : list of Facts
        What is known of each environment.
    shares : list of range
        The environments of each process.

    Raises
    ------
    ValueError
        If the spaces differ, or are not supported.
    RuntimeError
        If an environment fails in its process, or the process dies. All processes are then ended.
    """

    def __init__(self, functions: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        self.num_envs = len(functions)
        n_processes = min(self.num_envs, joblib.cpu_count())
        limits = [self.num_envs * k // n_processes for k in range(n_processes + 1)]
        self.shares = [range(*pair) for pair in pairwise(limits)]
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
        # Which environment each process is busy with.
        self.busy = context.RawArray("q", [share[0] for share in self.shares])
        try:
            for k, share in enumerate(self.shares):
                self._begin_process(context, k, {i: functions[i] for i in share})
            self.facts = self._ask("make", [None] * self.num_envs)
            names = [self._name(i) for i in range(self.num_envs)]
            check_equal_spaces([first, *self.facts], [names[0], *names])
        except BaseException:
            self.close()
            raise

    def _begin_process(self, context: Any, k: int, functions: dict[int, Callable[[], Any]]) -> None:
        pipe, pipe_of_process = context.Pipe()
        self.pipes.append(pipe)
        make: Any = CloudpickleWrapper(lambda: functions)
        arguments = k, self.num_envs, make, self.memory, self.busy, pipe_of_process, self.pipes
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
        rows: Sequence[int] = range(self.num_envs)
        if options is not None and "reset_mask" in options:
            options = dict(options)
            rows = np.flatnonzero(options.pop("reset_mask")).tolist()
        masks: list[Any] = [None] * self.num_envs
        seeds = masks if seed is None else seed
        items = [{"seed": seeds[i], "options": options} for i in rows]
        for i, mask in zip(rows, self._ask("reset", items, rows), strict=True):
            masks[i] = mask
        return self.observations, as_infos(masks)

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take an action in every environment. The observations are a view."""
        steps = self._ask("step", actions)
        rewards, terminated, truncated, masks = zip(*steps, strict=True)
        columns = np.array(rewards), np.array(terminated), np.array(truncated)
        return self.observations, *columns, as_infos(masks)

    def render(self) -> tuple[Any, ...]:
        """Draw every environment."""
        return tuple(self._ask("call", ["render"] * self.num_envs))

    def capture(self) -> list[Any] | None:
        """Copy where each environment stands; None if one cannot be captured."""
        answers = self._ask("capture", [None] * self.num_envs)
        return None if None in answers else [captured for (captured,) in answers]

    def restore(self, captured: list[Any]) -> None:
        """Put each environment where `capture` found it."""
        self._ask("restore", [[one] for one in captured])

    def _ask(self, command: str, items: Any, rows: Sequence[int] | None = None) -> list[Any]:
        """Send a command with an item to each of some environments, and give the answers.

        `items` is a list, or an array, which is much faster to send. `rows` are the environments,
        in their order; None stands for all.
        """
        if self.closed:
            raise RuntimeError(
                "The processes of the environments have been ended, by close() or after an error. "
                "Call GymEnvironment.close(): its next use begins new ones."
            )
        shares: list[tuple[Sequence[int], Any]]
        if rows is None:
            shares = [(share, items[share.start : share.stop]) for share in self.shares]
        else:
            limits = np.searchsorted(rows, [share.stop for share in self.shares]).tolist()
            shares = [(rows[a:b], items[a:b]) for a, b in pairwise([0, *limits])]
        asked = [k for k, (share, _) in enumerate(shares) if len(share)]
        answers: list[Any] = []
        try:
            for k in asked:
                self.pipes[k].send((command, shares[k]))
            for k in asked:
                if command == "reset" and not self.pipes[k].poll(PATIENCE_SECONDS):
                    warnings.warn(
                        f"{self._busy_name(k)} has not begun an episode for {PATIENCE_SECONDS:g} "
                        "seconds. If it hangs, interrupt the training with Ctrl-C.",
                        stacklevel=2,
                    )
                share_answers, error = self.pipes[k].recv()
                if error:
                    raise RuntimeError(
                        f"{self._busy_name(k)} failed in its process: {error}. "
                        "GymEnvironment(..., asynchronous=False) runs it in this process, where a "
                        "debugger and the whole traceback are at hand."
                    )
                answers += share_answers
        except BaseException as error:
            death = self._describe_death(k) if isinstance(error, EOFError | OSError) else ""
            self.close(is_idle=False)
            if death:
                raise RuntimeError(death) from None
            raise
        return answers

    def _describe_death(self, k: int) -> str:
        """Say how process k died, whose connection is lost."""
        self.processes[k].join(CLOSING_SECONDS)
        code = self.processes[k].exitcode
        how = signal.Signals(-code).name if code and code < 0 else f"exit code {code}"
        return (
            f"The process of {self._busy_name(k)} died ({how}). It may have run out of memory, or "
            "compiled code of the environment may have crashed. Use fewer environments, or "
            "GymEnvironment(..., asynchronous=False)."
        )

    def _busy_name(self, k: int) -> str:
        return self._name(self.busy[k])

    def _name(self, i: int) -> str:
        name = f" ({self.facts[i].name})" if self.facts else ""
        return f"Environment {i} of {self.num_envs}{name}"

    def close_extras(self, is_idle: bool = True) -> None:
        """Close the environments if they are idle, and end all processes."""
        if is_idle:
            for pipe in self.pipes:
                with contextlib.suppress(OSError):  # the process may be dead
                    pipe.send(("close", ((), ())))
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
    k: int, n_envs: int, make: Any, memory: Any, busy: Any, pipe: Any, parent_pipes: Sequence[Any]
) -> None:
    """Run a share of the environments in this process.

    A command comes with an item for each environment that it is for. The answer is a list with
    what each gives, and the text of an error.
    """
    for parent_pipe in parent_pipes:
        parent_pipe.close()  # only then does `pipe` report the death of the main process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles it, and ends this one
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked process inherits the user's handler
    envs = {i: ServedEnvironment(i, n_envs, function, memory) for i, function in make().items()}
    with contextlib.suppress(EOFError, OSError):  # the main process died
        while True:
            command, (rows, items) = pipe.recv()
            if command == "close":
                break
            answers = []
            try:
                for i, item in zip(rows, items, strict=True):
                    busy[k] = i
                    answers.append(envs[i].answer(command, item))
                pipe.send((answers, ""))
            except Exception as error:  # a user's environment may raise anything
                pipe.send((None, describe_error(error)))
    with contextlib.ExitStack() as closing:  # all of them, also if one fails
        for env in envs.values():
            closing.callback(env.close)


class ServedEnvironment:
    """An environment in a process: it answers commands, and writes its observations to a memory."""

    def __init__(self, i: int, n_envs: int, make: Callable[[], Any], memory: Any) -> None:
        self.i, self.n_envs, self.make, self.memory = i, n_envs, make, memory
        self.env: Any = None
        self.array: Any = None

    def answer(self, command: str, item: Any) -> Any:
        """Do what a command says."""
        if command == "step":
            observation, reward, terminated, truncated, info = unpack_step(self.env.step(item))
            self._write(observation)
            return reward, terminated, truncated, info.get(KEY)
        if command == "reset":
            observation, info = unpack_reset(self.env.reset(**item))
            self._write(observation)
            return info.get(KEY)
        if command == "make":
            self.env = self.make()
            self.observations = StateTranslator(self.env.observation_space, n_envs=1)
            return gather_facts(self.env)
        if command == "capture":
            return capture([self.env])
        if command == "restore":
            return restore([self.env], item)
        return getattr(self.env, item)()

    def _write(self, observation: Any) -> None:
        self.observations.translate(observation)  # raises an error; the memory takes any number
        space = self.env.observation_space
        if self.observations.is_nested:
            write_to_shared_memory(space, self.i, observation, self.memory)
            return
        if self.array is None:
            self.array = read_from_shared_memory(space, self.memory, self.n_envs)
        self.array[self.i] = observation  # much faster

    def close(self) -> None:
        """Close the environment, if it was made."""
        if self.env is not None:
            self.env.close()


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
