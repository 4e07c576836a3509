"""Rows about acting: what the learning loop costs beyond the environment itself.

The baseline is a bare loop of `env.step`, and of `env.reset` where an episode ends. It replays the
actions of an earlier, untimed skrl run from the same seed. So the environments do the same on both
sides, resets included; the numbers of episodes are compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np
from measuring import Options, Row, alternate, ratios

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    SimpleRunner,
)
from skrl.base import QFunction, Transitions
from skrl.runners import ReplayBuffer

TRAIN_FREQ = 256
N_SIDE_BY_SIDE = 128
DEFAULT_N_STEP = ReplayBuffer().n_step_return


class FrozenDQN(DQN):
    """A network that acts and never learns."""

    def update(self, transitions: Transitions) -> np.ndarray:
        return np.zeros(transitions.actions.shape)

    def metrics(self) -> dict[str, float]:
        return {}


@dataclass
class Tape:
    """The seed and the actions that an environment received."""

    seed: int | None = None
    actions: list[Any] = field(default_factory=list)

    def note_reset(self, seed: Any) -> None:
        self.seed = self.seed if seed is None else seed


class Recorder(gymnasium.Wrapper):
    """Records the tape of one environment."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.tape = Tape()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.tape.note_reset(seed)
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        self.tape.actions.append(action)
        return super().step(action)


class VectorRecorder(gymnasium.vector.VectorWrapper):
    """Records the tape of many environments side by side."""

    def __init__(self, env: gymnasium.vector.VectorEnv) -> None:
        super().__init__(env)
        self.tape = Tape()

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        self.tape.note_reset(seed)
        return super().reset(seed=seed, options=options)

    def step(self, actions: np.ndarray) -> Any:
        self.tape.actions.append(actions.copy())
        return super().step(actions)


def make_env(env_id: str) -> gymnasium.Env:
    """Make an environment as skrl does, without Gymnasium's checker."""
    return gymnasium.make(env_id, disable_env_checker=True)


def make_vector_env() -> gymnasium.vector.VectorEnv:
    return gymnasium.make_vec("CartPole-v1", N_SIDE_BY_SIDE, "vector_entry_point")


# ---- the bare loops --------------------------------------------------------------------------


def replay(env: gymnasium.Env, tape: Tape) -> tuple[float, int]:
    """Replay the actions; return the seconds and the number of finished episodes."""
    actions = [int(action) for action in tape.actions]
    n_episodes = 0
    env.reset(seed=tape.seed)
    begin = perf_counter()
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()
            n_episodes += 1
    return perf_counter() - begin, n_episodes


def replay_vector(env: gymnasium.vector.VectorEnv, tape: Tape) -> tuple[float, int]:
    """Do the same side by side; an environment resets itself at the end of an episode."""
    ends = []
    env.reset(seed=tape.seed)
    begin = perf_counter()
    for actions in tape.actions:
        _, _, terminated, truncated, _ = env.step(actions)
        ends.append((terminated, truncated))
    seconds = perf_counter() - begin
    return seconds, int(sum((terminated | truncated).sum() for terminated, truncated in ends))


# ---- acting and recording, without learning --------------------------------------------------


def acting_1(options: Options) -> Iterator[Row]:
    n_steps = options.work(400 * TRAIN_FREQ, multiple_of=TRAIN_FREQ)
    recorder = Recorder(make_env("CartPole-v1"))
    env = make_env("CartPole-v1")
    title = "act and remember, one CartPole (DQN 2x64), against bare steps"
    yield acting_row(
        "acting-1", title, GymEnvironment("CartPole-v1"), recorder, n_steps, options,
        bare=lambda: replay(env, recorder.tape),
    )  # fmt: skip


def acting_128(options: Options) -> Iterator[Row]:
    n_steps = options.work(4000 * TRAIN_FREQ, multiple_of=TRAIN_FREQ)
    env = make_vector_env()
    environment = GymEnvironment("CartPole-v1", n_envs=N_SIDE_BY_SIDE)
    title = f"the same, {N_SIDE_BY_SIDE} CartPoles side by side"
    for name, n_step_return, what in (
        ("acting-128", DEFAULT_N_STEP, title),
        ("acting-128-single-steps", 1, f"{title}, remembering single steps (n_step_return=1)"),
    ):
        recorder = VectorRecorder(make_vector_env())
        yield acting_row(
            name, what, environment, recorder, n_steps, options,
            bare=lambda tape=recorder.tape: replay_vector(env, tape),
            n_step_return=n_step_return,
        )  # fmt: skip


def acting_row(
    name: str,
    title: str,
    environment: GymEnvironment,
    recorder: Recorder | VectorRecorder,
    n_steps: int,
    options: Options,
    bare: Any,
    n_step_return: int = DEFAULT_N_STEP,
) -> Row:
    """Time runs that act and remember, and the bare loop, alternately."""
    qfunction = FrozenDQN((64, 64))
    qfunction.build(environment.state_space, environment.n_actions, random_state=0)

    act(GymEnvironment(recorder), qfunction, n_steps, n_step_return)
    ours, theirs = alternate(
        lambda _: act(environment, qfunction, n_steps, n_step_return),
        lambda _: bare(),
        3 * options.pairs,
    )
    return row_of_steps(name, title, ours, theirs, n_steps, at_most=3)


def act(
    environment: GymEnvironment, qfunction: QFunction, n_steps: int, n_step_return: int
) -> tuple[float, int]:
    """Run with a fixed seed; return the seconds and the number of finished episodes."""
    runner = remembering_runner(n_steps, n_step_return)
    begin = perf_counter()
    history = runner.run(environment, qfunction, EpsilonGreedy(0.1), n_steps=n_steps, rng=0)
    return perf_counter() - begin, len(history)


def remembering_runner(n_steps: int, n_step_return: int = DEFAULT_N_STEP) -> ExperienceReplay:
    """Remember everything, and draw a few batches of one transition at the very end.

    (A run without an update is an error.)
    """
    return ExperienceReplay(
        train_freq=TRAIN_FREQ,
        learning_starts=n_steps - 5 * TRAIN_FREQ,
        gradient_steps=1,
        batch_size=1,
        buffer=ReplayBuffer(n_step_return=n_step_return),
    )


# ---- tables ----------------------------------------------------------------------------------


def table_frozenlake(options: Options) -> Iterator[Row]:
    yield table_row("table-frozenlake", "FrozenLake-v1", options)


def table_taxi(options: Options) -> Iterator[Row]:
    yield table_row("table-taxi", "Taxi-v4", options)


def table_row(name: str, env_id: str, options: Options) -> Row:
    """A whole fit of a table against the same number of bare steps, both with `make`."""
    n_steps = options.work(200_000)
    recorder = Recorder(make_env(env_id))
    fit_table(recorder, n_steps)

    def bare() -> tuple[float, int]:
        begin = perf_counter()
        env = make_env(env_id)
        made = perf_counter() - begin
        seconds, n_episodes = replay(env, recorder.tape)
        return made + seconds, n_episodes

    ours, theirs = alternate(
        lambda _: fit_table(env_id, n_steps), lambda _: bare(), 3 * options.pairs
    )
    title = f"a whole fit of a table on {env_id}, against bare steps"
    return row_of_steps(name, title, ours, theirs, n_steps, at_most=2.5)


def fit_table(env: str | gymnasium.Env, n_steps: int) -> tuple[float, int]:
    """Fit with a fixed seed; return the seconds and the number of finished episodes."""
    begin = perf_counter()
    agent = QLearningAgent(
        MemoizationQFunction(),
        EpsilonGreedy(0.1),
        SimpleRunner(),
        n_steps=n_steps,
        n_evaluations=0,
        random_state=0,
    )
    agent.fit(env)
    return perf_counter() - begin, agent.n_episodes_


# ---- both ------------------------------------------------------------------------------------


def row_of_steps(
    name: str,
    title: str,
    ours: Sequence[tuple[float, int]],
    theirs: Sequence[tuple[float, int]],
    n_steps: int,
    at_most: float,
) -> Row:
    """Make a row of seconds; all numbers of episodes must be the same."""
    n_episodes = {n for _, n in (*ours, *theirs)}
    if len(n_episodes) > 1:
        raise RuntimeError(
            f"{name}: the two sides played different numbers of episodes: {n_episodes}."
        )
    our_seconds, bare_seconds = ([seconds for seconds, _ in side] for side in (ours, theirs))
    return Row(
        name=name,
        title=title,
        figures=ratios(our_seconds, bare_seconds),
        at_most=at_most,
        sides={
            "skrl": f"{median(our_seconds) / n_steps * 1e6:.2f} us per step",
            "bare loop": f"{median(bare_seconds) / n_steps * 1e6:.2f} us per step",
        },
        notes=[f"{n_steps:,} steps, {n_episodes.pop():,} episodes on each side"],
    )
