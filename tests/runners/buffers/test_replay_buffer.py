import numpy as np
import pytest
from sklearn.base import clone

from skrl.base import Transitions
from skrl.runners import PrioritizedBuffer, ReplayBuffer
from worlds import begun


def chain(first, rewards, terminated=(), truncated=(), env_id=0, discount=0.5):
    """Steps of one environment: state i leads to i + 1, whatever the action."""
    n = len(rewards)
    steps = np.arange(first, first + n)
    return Transitions(
        states=steps,
        actions=steps % 3,
        rewards=np.array(rewards, dtype=float),
        next_states=steps + 1,
        discounts=np.where(np.isin(steps, terminated), 0.0, discount),
        terminated=np.isin(steps, terminated),
        truncated=np.isin(steps, truncated),
        env_ids=np.full(n, env_id),
    )


def contents(buffer):
    """Every transition in the buffer by its state, found by sampling often enough."""
    batch = buffer.sample(np.random.default_rng(0), 40, 50)
    found = {}
    for i in np.ndindex(batch.actions.shape):
        found[int(batch.states[i])] = (
            float(batch.rewards[i]),
            float(batch.discounts[i]),
            int(batch.next_states[i]),
            bool(batch.terminated[i]),
            bool(batch.truncated[i]),
        )
    return found


@pytest.mark.parametrize("size", [1, 3, 7, 10, 25])
def test_the_newest_remain_however_they_come(size):
    buffer = begun(ReplayBuffer(capacity=10, n_step_return=1))
    rewards = np.arange(100.0, 150.0)
    for first in range(0, 50, size):
        buffer.add(chain(first, rewards[first : first + size]))
    buffer.end_episode()
    assert len(buffer) == 10
    assert contents(buffer) == {i: (100.0 + i, 0.5, i + 1, False, False) for i in range(40, 50)}


def test_every_transition_is_drawn_equally_often():
    buffer = begun(ReplayBuffer(capacity=8, n_step_return=1))
    buffer.add(chain(0, np.zeros(13)))
    drawn = buffer.sample(np.random.default_rng(0), 100, 80).states
    counts = np.bincount(drawn.ravel())[4:]
    assert counts.sum() == 8000
    assert np.abs(counts - 1000).max() < 4 * np.sqrt(1000)


def test_shapes_and_dtypes():
    buffer = begun(ReplayBuffer(capacity=5, n_step_return=1))
    no = np.ones(2, dtype=bool)
    images = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    buffer.add(Transitions(images, np.array([0, 1]), np.ones(2), images + 1, np.ones(2), no, no))
    batch = buffer.sample(np.random.default_rng(0), 4, 6)
    assert batch.states.shape == batch.next_states.shape == (4, 6, 3, 3)
    assert batch.states.dtype == np.uint8
    assert batch.actions.dtype == np.int64
    assert batch.rewards.dtype == batch.discounts.dtype == np.float32
    np.testing.assert_array_equal(batch.states + 1, batch.next_states)


def test_sampling_again_reuses_the_memory():
    buffer = begun(ReplayBuffer(capacity=5, n_step_return=1))
    buffer.add(chain(0, np.zeros(6)))
    rng = np.random.default_rng(0)
    first = buffer.sample(rng, 2, 3)
    kept = first.states.copy()
    # What was drawn may still be learned from while the next batches are drawn.
    second = buffer.sample(rng, 2, 3)
    np.testing.assert_array_equal(first.states, kept)
    assert not np.shares_memory(first.states, second.states)
    assert buffer.sample(rng, 2, 3).states is first.states


def test_returns_over_several_steps():
    """G = r + g r' + g^2 r'', discount g^3, up to the end of the episode."""
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=3))
    # States 0..3 end by termination, 4..6 by truncation, 7..8 are cut off.
    buffer.add(chain(0, [1, 2, 4, 8, 16, 32, 64, 128, 256], terminated=[3], truncated=[6]))
    assert set(contents(buffer)) == set(range(7))  # the newest wait for their last steps
    buffer.end_episode()
    assert contents(buffer) == {
        0: (1 + 2 / 2 + 4 / 4, 1 / 8, 3, False, False),
        1: (2 + 4 / 2 + 8 / 4, 0, 4, True, False),
        2: (4 + 8 / 2, 0, 4, True, False),
        3: (8, 0, 4, True, False),
        4: (16 + 32 / 2 + 64 / 4, 1 / 8, 7, False, True),
        5: (32 + 64 / 2, 1 / 4, 7, False, True),
        6: (64, 1 / 2, 7, False, True),
        7: (128 + 256 / 2, 1 / 4, 9, False, False),
        8: (256, 1 / 2, 9, False, False),
    }


@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_returns_of_environments_side_by_side_are_kept_apart(size):
    """Two environments, of which the second sits out every third step."""
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=2))
    alone = [chain(0, np.arange(30)), chain(1000, np.arange(20) + 100, env_id=1)]
    steps, n_second = [], 0
    for i in range(30):
        rows = [alone[0][i : i + 1]]
        if i % 3:
            rows.append(alone[1][n_second : n_second + 1])
            n_second += 1
        joined = Transitions.concatenate(rows)
        joined.env_ids = np.array([0, 1])[: len(rows)]
        steps.append(joined)
    for i in range(0, 30, size):
        buffer.add(Transitions.concatenate(steps[i : i + size]))
    found = contents(buffer)
    for i in range(28):
        assert found[i] == (i + (i + 1) / 2, 0.25, i + 2, False, False)
    for i in range(18):
        assert found[1000 + i] == (100 + i + (101 + i) / 2, 0.25, 1002 + i, False, False)


@pytest.mark.parametrize("size", [1, 2, 4, 9])
def test_returns_end_before_the_agent_explores(size):
    """Watkins's Q(lambda), Sutton & Barto (2018), section 12.10: what an exploratory action
    earned says nothing of the greedy policy. The first action of a return may be any."""
    steps = chain(0, [1, 2, 4, 8, 16, 32, 64, 128, 256], terminated=[6])
    steps.is_greedy = np.array([0, 1, 1, 1, 0, 1, 0, 1, 1], dtype=bool)
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=3))
    for i in range(0, 9, size):
        buffer.add(steps[i : i + size])
    buffer.end_episode()
    assert contents(buffer) == {
        0: (1 + 2 / 2 + 4 / 4, 1 / 8, 3, False, False),
        1: (2 + 4 / 2 + 8 / 4, 1 / 8, 4, False, False),
        2: (4 + 8 / 2, 1 / 4, 4, False, False),
        3: (8, 1 / 2, 4, False, False),
        4: (16 + 32 / 2, 1 / 4, 6, False, False),
        5: (32, 1 / 2, 6, False, False),
        6: (64, 0, 7, True, False),
        7: (128 + 256 / 2, 1 / 4, 9, False, False),
        8: (256, 1 / 2, 9, False, False),
    }


def test_facts_of_the_next_state_are_those_of_the_last_step():
    steps = chain(0, np.zeros(6))
    steps.next_action_masks = np.eye(6, dtype=bool)
    steps.next_probabilities = np.eye(6)
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=3))
    buffer.add(steps)
    buffer.end_episode()
    batch = buffer.sample(np.random.default_rng(0), 5, 20)
    last = np.minimum(batch.states + 2, 5)
    np.testing.assert_array_equal(batch.next_action_masks, np.eye(6, dtype=bool)[last])
    np.testing.assert_array_equal(batch.next_probabilities, np.eye(6)[last])


@pytest.mark.parametrize("buffer", [ReplayBuffer(50, 3), PrioritizedBuffer(50, 3)])
def test_a_state_continues_bit_for_bit(buffer):
    def use(buffer, first, rng):
        drawn = []
        for i in range(first, first + 40, 4):
            buffer.add(chain(i, np.arange(4.0), terminated=[i + 1]))
            batch = buffer.sample(rng, 2, 8, progress=0.5)
            buffer.update_priorities(batch.rewards.astype(float))
            drawn.append([batch.states.copy(), batch.rewards.copy(), batch.discounts.copy()])
        return drawn

    begun(buffer, 0.9)
    use(buffer, 0, np.random.default_rng(0))
    other = begun(clone(buffer), 0.9)
    other.set_state(buffer.state())
    again = use(other, 40, np.random.default_rng(1))
    for one, two in zip(use(buffer, 40, np.random.default_rng(1)), again, strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


def test_returns_do_not_run_into_the_next_episode():
    buffer = begun(ReplayBuffer(capacity=100, n_step_return=2))
    buffer.add(chain(0, [1, 2]))
    buffer.end_episode()
    buffer.add(chain(50, [4, 8]))
    assert contents(buffer) == {
        0: (1 + 2 / 2, 0.25, 2, False, False),
        1: (2, 0.5, 2, False, False),
    }


def test_returns_never_mix_old_and_new_when_the_ring_wraps():
    buffer = begun(ReplayBuffer(capacity=7, n_step_return=3))
    for first in range(0, 60, 5):
        buffer.add(chain(first, [1] * 5))
        newest = first + 5 - 4  # later ones wait for their last steps
        expected = {i: (1.75, 0.125, i + 3, False, False) for i in range(newest - 6, newest + 1)}
        assert contents(buffer) == {i: t for i, t in expected.items() if i >= 0}


@pytest.mark.parametrize("n_step_return", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_episodes_so_short_that_frames_run_out_cost_the_oldest(n_step_return, length):
    """Every episode has a frame more than steps; what lost a frame must not be sampled."""
    buffer = begun(ReplayBuffer(capacity=200, n_step_return=n_step_return))
    for first in range(0, 1200, 30):
        ends = [i for i in range(first, first + 30) if i % length == length - 1]
        # The last observation of an episode is -1 - its last state.
        block = chain(first, np.arange(first, first + 30), terminated=ends)
        block.next_states[np.isin(block.states, ends)] = -1 - np.array(ends)
        buffer.add(block)
    found = contents(buffer)
    assert 80 <= len(buffer) <= 200
    assert max(found) >= 1200 - length
    for state, (_, _, next_state, terminated, _) in found.items():
        end = state + length - 1 - state % length
        assert terminated == (state + n_step_return > end)
        assert next_state == (-1 - end if terminated else state + n_step_return)


def test_images_are_stored_once():
    """Also when episodes end, and in their own dtype."""
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(1001, 20, 20), dtype=np.uint8)
    no, steps = np.zeros(1000, dtype=bool), np.arange(1000)
    buffer = begun(ReplayBuffer(capacity=1000, n_step_return=1))
    buffer.add(
        Transitions(
            images[:-1],
            steps,
            np.ones(1000),
            images[1:],
            np.ones(1000),
            no,
            steps % 100 == 99,
            env_ids=np.zeros(1000, dtype=np.int64),
        )
    )
    buffer.end_episode()
    batch = buffer.sample(rng, 20, 100)
    assert batch.states.dtype == np.uint8
    np.testing.assert_array_equal(batch.states, images[batch.actions])
    np.testing.assert_array_equal(batch.next_states, images[batch.actions + 1])
    assert buffer.nbytes <= 1.2 * images.nbytes


def test_memory_is_close_to_the_raw_bytes():
    buffer = begun(ReplayBuffer(capacity=1000, n_step_return=1))
    no, state = np.array([False]), np.zeros((1, 4), np.float32)
    buffer.add(Transitions(state, np.array([0]), np.ones(1), state, np.ones(1), no, no))
    raw = 1000 * (16 + 8 + 4 + 16 + 4)
    assert 0.8 * raw <= buffer.nbytes <= 1.2 * raw


def test_an_empty_buffer_and_no_capacity_are_refused():
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        begun(ReplayBuffer(capacity=0, n_step_return=1))
    with pytest.raises(ValueError, match="empty"):
        begun(ReplayBuffer(capacity=3)).sample(np.random.default_rng(0), 1, 1)
