"""States that are stacks of frames: each frame is stored once, and what is drawn is exact."""

from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import FrameStackObservation
from sklearn.base import clone

from skrl import GymEnvironment, atari_env, image_env
from skrl.base import Transitions
from skrl.runners import PrioritizedBuffer, ReplayBuffer
from skrl.runners.buffers.frames import find_stack
from worlds import begun


class Noise(gymnasium.Env):
    """Random images; a step ends the episode with a probability, or after 40 steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, shape=(5, 4), p_end=0.1):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.p_end = p_end

    def observe(self):
        shape = self.observation_space.shape
        return self.np_random.integers(256, size=shape, dtype=np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        ends = bool(self.np_random.random() < self.p_end)
        return self.observe(), 1.0, ends, self.t == 40, {}


def stacked(n_stack=4, shape=(5, 4), p_end=0.1):
    grayscale = len(shape) == 2
    factory = partial(Noise, shape, p_end)
    return image_env(factory, size=None, n_stack=n_stack, grayscale=grayscale)


def channels_first():
    return FrameStackObservation(Noise(), 4)


def fill(buffer, environment, n_steps, chunk=1):
    """Take steps, and give them as they were: the action of step k is k, the reward is 2^(k % 5)."""
    rng = np.random.default_rng(0)
    environment.reset(seed=0)
    taken, waiting = [], []
    for _ in range(n_steps):
        t = environment.step(rng.integers(2, size=environment.n_envs_))
        t.env_ids = np.arange(len(t)) if t.env_ids is None else t.env_ids
        t.actions = sum(map(len, taken)) + np.arange(len(t))
        t.rewards = 2.0 ** (t.actions % 5)
        taken.append(t)
        waiting.append(Transitions(**{k: v.copy() for k, v in t.to_dict().items()}))
        if len(waiting) == chunk:
            buffer.add(Transitions.concatenate(waiting))
            waiting = []
    return Transitions.concatenate(taken)


def returns(steps, n_step_return, gamma):
    """Sum up step by step: (reward, discount, last row) for each first row."""
    following = {}
    newest = {}
    for row, env in enumerate(steps.env_ids):
        if env in newest:
            following[newest[env]] = row
        newest[env] = row
    found = {}
    for first in range(len(steps)):
        row, reward, discount = first, 0.0, 1.0
        for k in range(n_step_return):
            reward += discount * steps.rewards[row]
            discount *= gamma * steps.discounts[row]
            if k == n_step_return - 1 or steps.terminated[row] or steps.truncated[row]:
                found[first] = reward, discount, row
                break
            if row not in following:
                break  # it waits for the next step
            row = following[row]
    return found


def check(buffer, steps, n_step_return, at_least, gamma=0.5):
    """Everything that is drawn is exactly what was put in, and the newest is all there."""
    expected = returns(steps, n_step_return, gamma)
    batch = buffer.sample(np.random.default_rng(1), 20, 100)
    assert batch.states.dtype == batch.next_states.dtype == np.uint8
    drawn = set()
    for i in np.ndindex(batch.actions.shape):
        first = int(batch.actions[i])
        reward, discount, last = expected[first]
        assert batch.rewards[i] == reward
        assert batch.discounts[i] == discount
        assert np.array_equal(batch.states[i], steps.states[first])
        assert np.array_equal(batch.next_states[i], steps.next_states[last])
        drawn.add(first)
    assert len(buffer) >= at_least
    assert len(drawn) >= 0.9 * len(buffer)


ENVIRONMENTS = {
    "one": lambda: GymEnvironment(stacked()),
    "three": lambda: GymEnvironment(stacked(), n_envs=3),
    "short episodes": lambda: GymEnvironment(stacked(p_end=0.7), n_envs=2),
    "color": lambda: GymEnvironment(stacked(3, (5, 4, 3)), n_envs=2),
    "first axis": lambda: GymEnvironment(channels_first, n_envs=2),
    "next step": lambda: GymEnvironment(SyncVectorEnv([stacked()] * 3)),
    "same step": lambda: GymEnvironment(
        SyncVectorEnv([stacked()] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    ),
    "no stacks": lambda: GymEnvironment(stacked(1, (5, 4, 3)), n_envs=2),
}


@pytest.mark.parametrize("chunk", [1, 7])
@pytest.mark.parametrize("n_step_return", [1, 3])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_what_is_drawn_is_what_was_put_in(name, n_step_return, chunk):
    buffer = begun(ReplayBuffer(capacity=150, n_step_return=n_step_return), 0.5)
    with ENVIRONMENTS[name]() as environment:
        steps = fill(buffer, environment, 210, chunk)
    n_stack = {"no stacks": 1, "color": 3}.get(name, 4)
    assert buffer._frames.n_stack == n_stack
    # Single frames run short if episodes are, see `EXTRA_FRAMES`.
    check(buffer, steps, n_step_return, at_least=130 if n_stack > 1 else 100)


def test_a_prioritized_buffer_stores_them_in_the_same_way():
    buffer = begun(PrioritizedBuffer(capacity=150, n_step_return=3), 0.5)
    with ENVIRONMENTS["three"]() as environment:
        steps = fill(buffer, environment, 210)
    assert buffer._frames.n_stack == 4
    check(buffer, steps, 3, at_least=130)


def test_games_are_stored_exactly():
    pytest.importorskip("ale_py")
    pair = atari_env("ALE/Breakout-v5", size=(20, 16))
    buffer = begun(ReplayBuffer(capacity=400, n_step_return=3), 0.5)
    with GymEnvironment(pair, n_envs=2) as environment:
        steps = fill(buffer, environment, 300)
    assert steps.terminated.sum() > 5
    assert buffer._frames.n_stack == 4
    check(buffer, steps, 3, at_least=390)


@pytest.mark.parametrize("n_before", [20, 100])
def test_a_state_continues_bit_for_bit(n_before):
    buffers = [begun(ReplayBuffer(capacity=60, n_step_return=3), 0.5) for _ in range(2)]
    with ENVIRONMENTS["three"]() as environment:
        fill(buffers[0], environment, n_before)
        state = buffers[0].state()
        buffers[1] = begun(clone(buffers[0]), 0.5)
        buffers[1].set_state(state)
        for buffer in buffers:
            fill(buffer, environment, 50)
    one, two = (buffer.sample(np.random.default_rng(0), 4, 50).to_dict() for buffer in buffers)
    for name, column in one.items():
        np.testing.assert_array_equal(column, two[name])
    assert buffers[0].nbytes == buffers[1].nbytes


def test_after_an_end_of_the_run_the_next_state_is_a_new_stack():
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=1), 0.5)
    with ENVIRONMENTS["one"]() as environment:
        fill(buffer, environment, 3)
        buffer.end_episode()
        steps = fill(buffer, environment, 3)
    buffer.end_episode()
    batch = buffer.sample(np.random.default_rng(0), 1, 100)
    # Both runs are the same three steps.
    assert np.array_equal(batch.states, steps.states[batch.actions[0]][None])
    assert np.array_equal(batch.next_states, steps.next_states[batch.actions[0]][None])


def episodes(length, n_steps, n_stack=4, size=32):
    """Random stacks, with the frames in the last axis; all episodes have the same length."""
    rng = np.random.default_rng(0)
    never = np.zeros(length, dtype=bool)
    for _ in range(n_steps // length):
        images = rng.integers(256, size=(length + 1, size, size), dtype=np.uint8)
        numbers = np.arange(length + 1)[:, None] + np.arange(1 - n_stack, 1)
        states = np.moveaxis(images[np.maximum(numbers, 0)], 1, -1)
        truncated = never.copy()
        truncated[-1] = True
        ones, zeros = np.ones(length), np.zeros(length, np.int64)
        yield Transitions(states[:-1], zeros, ones, states[1:], ones, never, truncated, zeros)


def test_stacks_take_the_memory_of_single_frames():
    """At most 1.1 times the bytes of the images, without the 80 bytes of the other columns."""
    buffer = begun(ReplayBuffer(capacity=20_000, n_step_return=1))
    for transitions in episodes(500, 25_000):
        buffer.add(transitions)
    assert len(buffer) == 20_000
    assert buffer._rows.itemsize == 56
    assert buffer.nbytes - buffer._rows.nbytes <= 1.1 * 20_000 * 32 * 32
    raw = 20_000 * 32 * 32 * 4
    assert buffer.nbytes < 0.35 * raw


def test_with_short_episodes_the_memory_grows_rather_than_forget():
    buffer = begun(ReplayBuffer(capacity=1_000, n_step_return=1))
    expected = None
    for transitions in episodes(2, 4_000, size=4):
        buffer.add(transitions)
        expected = expected or buffer.nbytes
    assert len(buffer) >= 1_000 - 31  # a block of 31 steps is given up as a whole
    # Two steps have three frames.
    assert expected < buffer.nbytes < 1.7 * expected


def test_a_grey_first_frame_is_not_taken_for_a_stack_for_ever():
    """What looks like a stack at first is stored exactly, and the capacity is kept."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(301, 6, 6, 3), dtype=np.uint8)
    images[:2] = 7
    no, steps = np.zeros(300, dtype=bool), np.arange(300)
    ones, zeros = np.ones(300), np.zeros(300, np.int64)
    buffer = begun(ReplayBuffer(capacity=200, n_step_return=1))
    transitions = Transitions(images[:-1], steps, ones, images[1:], ones, no, no, zeros)
    for i in range(300):
        buffer.add(transitions[i : i + 1])
    assert buffer._frames.n_stack == 3
    assert len(buffer) == 200
    batch = buffer.sample(rng, 10, 100)
    np.testing.assert_array_equal(batch.states, images[batch.actions])
    np.testing.assert_array_equal(batch.next_states, images[batch.actions + 1])


@pytest.mark.parametrize(
    ("shape", "expected"), [((2, 3, 4), (-1, 4)), ((4, 3, 2), (0, 4)), ((2, 3, 12), (-1, 4))]
)
def test_stacks_are_found(shape, expected):
    rng = np.random.default_rng(0)
    axis, n_stack = expected
    depth = shape[axis] // n_stack
    states = rng.integers(256, size=(5, *shape))
    next_states = np.roll(states, -depth, axis=axis or 1)
    assert find_stack(states, next_states) == expected
    next_states[3] = 0
    assert find_stack(states, next_states) == (-1, 1)
    assert find_stack(states[:, 0], states[:, 0]) == (-1, 1)
