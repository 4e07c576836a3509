"""Ctrl-C at any moment: the agent keeps what it has learned, and its parts agree."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from interruptions import EVALUATED, replay, table

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    PrioritizedBuffer,
    QLearningAgent,
    ReplayBuffer,
)
from skrl.interruptions import handled_interrupts
from worlds import Identity

LAKE = {"id": "FrozenLake-v1", "is_slippery": False}


def lake():
    return gymnasium.make(**LAKE)


def remembering(**parameters):
    """A table that learns from a replay memory, early."""
    runner = ExperienceReplay(
        PrioritizedBuffer(300, n_step_return=1),
        batch_size=16,
        train_freq=64,
        gradient_steps=8,
        learning_starts=64,
    )
    return replay(runner=runner, **parameters)


def network(**parameters):
    defaults = {
        "policy": EpsilonGreedy(),
        "runner": ExperienceReplay(
            ReplayBuffer(300, n_step_return=1),
            batch_size=8,
            train_freq=64,
            gradient_steps=4,
            learning_starts=64,
        ),
        "n_steps": 600,
        "random_state": 0,
        **EVALUATED,
    }
    return QLearningAgent(DQN((8,)), **{**defaults, **parameters})


@contextmanager
def pressed_at(n_lines):
    """Press Ctrl-C when a number of lines of the library has been run; count all of them."""
    counted = [0]

    def trace_lines(frame, event, arg):
        if event == "line":
            counted[0] += 1
            if counted[0] == n_lines:
                signal.raise_signal(signal.SIGINT)
        return trace_lines

    def trace_calls(frame, event, arg):
        return trace_lines if "/skrl/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace_calls)
    try:
        yield counted
    finally:
        sys.settrace(before)


def check_memory(agent):
    """Everything in a replay memory has happened like this in the lake."""
    buffer = getattr(agent.runner_, "buffer_", None)
    if buffer is None or len(buffer) < 8:
        return
    dynamics = lake().unwrapped.P
    batch = buffer.sample(np.random.default_rng(0), 1, 300)
    assert (np.asarray(batch.rewards) <= 1).all()
    if buffer.n_step_return > 1:
        return
    columns = (batch.states, batch.actions, batch.next_states, batch.rewards, batch.terminated)
    for state, action, next_state, reward, terminated in zip(*(c[0] for c in columns), strict=True):
        ((_, *expected),) = dynamics[int(state)][int(action)]
        assert [next_state, reward, terminated] == expected


@pytest.mark.parametrize(
    ("make", "n_moments"),
    [
        (table, 4),
        (remembering, 2),
        pytest.param(table, 100, marks=pytest.mark.slow),
        pytest.param(remembering, 100, marks=pytest.mark.slow),
        pytest.param(network, 30, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_agent_keeps_what_it_has_learned(make, n_moments):
    with pressed_at(None) as counted:
        whole = make(n_steps=600).fit(lake)
    rng = np.random.default_rng(0)
    for n_lines in rng.integers(1, counted[0], size=n_moments).tolist():
        agent = make(n_steps=600)
        with pytest.raises(KeyboardInterrupt) as raised, pressed_at(n_lines):
            agent.fit(lake)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if not hasattr(agent, "qfunction_"):  # interrupted before the first step or within it
            continue
        n_steps = agent.n_steps_
        assert n_steps <= whole.n_steps_
        if n_steps < whole.n_steps_:
            assert f"interrupted after {n_steps:,} steps" in raised.value.__notes__[0]
        agent.predict(np.arange(16))
        check_memory(agent)
        agent.partial_fit(lake, n_steps=100)
        assert agent.n_steps_ == n_steps + 100
        assert agent.history_[:, "n_steps"].tolist() == sorted(agent.history_[:, "n_steps"])


class Hanging(Identity):
    """Never begins its second episode."""

    n_episodes = 0

    def reset(self, **arguments):
        self.n_episodes += 1
        if self.n_episodes > 1:
            print("hanging", flush=True)
            time.sleep(600)
        return super().reset(**arguments)


PROGRAM = """
import test_interruptions
from skrl import GymEnvironment, QLearningAgent
agent = QLearningAgent(n_evaluations=0, n_steps=5_000)
try:
    agent.fit(GymEnvironment(test_interruptions.Hanging, n_envs=2, asynchronous={}))
except KeyboardInterrupt as interrupt:
    print(interrupt.__notes__)
"""


@pytest.mark.parametrize("asynchronous", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_second_press_ends_an_environment_that_hangs(asynchronous):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(asynchronous)],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout.readline() == "hanging\n"
        for _ in range(2):
            program.send_signal(signal.SIGINT)
            time.sleep(0.2)
        assert "interrupted after 18 steps" in program.communicate(timeout=30)[0]


def press_in_a_block(n_times, done, end=lambda: None):
    with handled_interrupts() as interrupts, interrupts.delayed():
        for i in range(n_times):
            signal.raise_signal(signal.SIGINT)
            done.append(i)
        end()


def test_interrupts_are_delayed_to_the_end_of_a_block():
    done = []
    with pytest.raises(KeyboardInterrupt):
        press_in_a_block(1, done)
    assert done == [0]


def test_the_second_one_is_not_delayed():
    done = []
    with pytest.raises(KeyboardInterrupt):
        press_in_a_block(2, done)
    assert done == [0]


def test_outside_of_a_block_they_are_not_delayed():
    with handled_interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_an_error_within_a_block_comes_first():
    with pytest.raises(ZeroDivisionError):
        press_in_a_block(1, [], end=lambda: 1 / 0)


def test_a_handler_of_the_user_is_left_alone():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append("once"))
    try:
        with handled_interrupts() as interrupts, interrupts.delayed():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == ["once"]
    assert not interrupts.is_pending
