"""Replay memories are written step by step, and read as they were."""

import numpy as np
import pytest
from sklearn.base import clone

from skrl.base import Transitions
from skrl.checkpoints.files import CheckpointFile
from skrl.runners import PrioritizedBuffer, ReplayBuffer
from worlds import begun

CAPACITY = 60


class World:
    """Episodes of random numbers, or of stacks of four random images, of two environments."""

    def __init__(self, seed, has_stacks=False, has_facts=False):
        self.rng = np.random.default_rng(seed)
        self.has_stacks, self.has_facts = has_stacks, has_facts
        self.states = np.stack([self.begin(), self.begin()])

    def draw(self):
        if self.has_stacks:
            return self.rng.integers(256, size=(3, 2, 1), dtype=np.uint8)
        return self.rng.random(3, np.float32)

    def begin(self):
        return np.repeat(self.draw(), 4, axis=-1) if self.has_stacks else self.draw()

    def step(self):
        states, news = self.states, [self.draw() for _ in range(2)]
        if self.has_stacks:
            news = [np.concatenate([s[..., 1:], n], -1) for s, n in zip(states, news, strict=True)]
        next_states = np.stack(news)
        terminated = self.rng.random(2) < 0.2
        self.states = next_states.copy()
        for i in np.flatnonzero(terminated):
            self.states[i] = self.begin()
        step = Transitions(
            states,
            self.rng.integers(2, size=2),
            self.rng.random(2),
            next_states,
            np.where(terminated, 0.0, 1.0),
            terminated,
            np.zeros(2, dtype=bool),
        )
        step.is_greedy = self.rng.random(2) < 0.7
        if self.has_facts:
            step.next_action_masks = self.rng.random((2, 2)) < 0.5
        return step


def draw(buffer):
    """Draw, and change the priorities of what was drawn."""
    batch = buffer.sample(np.random.default_rng(0), 2, 30, progress=0.5)
    buffer.update_priorities(batch.rewards.astype(float))
    return {name: column.copy() for name, column in batch.to_dict().items()}


@pytest.mark.parametrize("every", [9, 35])
@pytest.mark.parametrize(
    ("buffer", "facts"),
    [
        (ReplayBuffer(CAPACITY, 3), {}),
        (ReplayBuffer(CAPACITY, 3), {"has_stacks": True}),
        (PrioritizedBuffer(CAPACITY, 3), {"has_stacks": True, "has_facts": True}),
    ],
    ids=["plain", "stacks", "all"],
)
def test_a_memory_that_was_read_goes_on_like_the_one_that_was_written(
    buffer, facts, every, tmp_path
):
    world, buffer = World(0, **facts), begun(clone(buffer), 0.9)
    file = CheckpointFile(tmp_path / "run")
    for i in range(1, 121):
        buffer.add(world.step())
        if i % 10 == 0:
            draw(buffer)
        if i % every:
            continue
        file.write(buffer.live_state())
        if i > 80:
            other = begun(clone(buffer), 0.9)
            other.set_state(CheckpointFile(tmp_path / "run").read())
            np.testing.assert_equal(other.state(), buffer.state())
    # The last one goes on for as long again.
    other = begun(clone(buffer), 0.9)
    file.write(buffer.live_state())
    other.set_state(CheckpointFile(tmp_path / "run").read())
    for _ in range(100):
        step = world.step()
        for one in (buffer, other):
            one.add(step)
        np.testing.assert_equal(draw(other), draw(buffer))
    np.testing.assert_equal(other.state(), buffer.state())
