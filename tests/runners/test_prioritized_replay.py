"""Prioritized experience replay (Schaul et al., 2016)."""

import pickle
from itertools import product

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from sklearn.base import clone

from skrl import (
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    RandomPolicy,
    Transitions,
)
from skrl.environments.worlds import BlindCliffwalk
from skrl.runners import PrioritizedBuffer, ReplayBuffer
from worlds import begun


def steps(first, last, terminated=False):
    """Steps of one environment from number to number; with `terminated`, each ends an episode."""
    states = np.arange(first, last)
    ends = np.full(len(states), terminated)
    return Transitions(
        states=states,
        actions=0 * states,
        rewards=1.0 * states,
        next_states=-1 - states if terminated else states + 1,
        discounts=1.0 - ends,
        terminated=ends,
        truncated=np.zeros(len(states), dtype=bool),
        env_ids=0 * states,
    )


def add(buffer, first, last, terminated=False):
    """Add such steps, all of which can then be drawn."""
    buffer.add(steps(first, last, terminated))
    buffer.end_episode()


def filled(priorities, **parameters):
    """Make a buffer whose transition i has the TD error priorities[i]."""
    priorities = np.array(priorities)
    buffer = begun(PrioritizedBuffer(capacity=100, n_step_return=1, **parameters))
    add(buffer, 0, len(priorities))
    # New ones all have the same priority, so that every batch contains each of them.
    batch = buffer.sample(np.random.default_rng(0), 1, len(priorities))
    buffer.update_priorities(priorities[batch.states])
    return buffer


def frequencies(buffer, n_batches=100, batch_size=100):
    """How often each state is drawn."""
    states = buffer.sample(np.random.default_rng(1), n_batches, batch_size).states
    assert states.min() >= 0
    return np.bincount(states.ravel()) / states.size


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.6, 1.0])
def test_transitions_are_drawn_as_often_as_their_priorities_say(alpha):
    td_errors = [3.0, -0.5, 0.0, 1.0, 12.0, -0.1]
    buffer = filled(td_errors, alpha=alpha)
    p = (np.abs(td_errors) + 1e-6) ** alpha
    # Batches of one are independent draws: within four standard deviations.
    expected = p / p.sum()
    margin = 4 * np.sqrt(expected * (1 - expected) / 10_000) + 1e-4
    assert (np.abs(frequencies(buffer, 10_000, 1) - expected) <= margin).all()


def test_a_batch_has_one_transition_from_each_part_of_equal_mass():
    buffer = filled([1.0, 1.0, 2.0, 4.0], alpha=1.0)
    states = buffer.sample(np.random.default_rng(0), 50, 8).states
    counts = np.stack([np.bincount(batch, minlength=4) for batch in states])
    # 1e-6 is so little that a draw from it does not happen.
    assert (counts == [1, 1, 2, 4]).all()


def test_weights_make_up_for_the_priorities():
    """Four transitions with P = (1, 1, 2, 4) / 8: (N P)^-1 = (2, 2, 1, 1/2)."""
    by_hand = np.array([1.0, 1.0, 1 / 2, 1 / 4])
    for beta in (0.0, 0.4, 1.0):
        buffer = filled([1.0, 1.0, 2.0, 4.0], alpha=1.0, beta=beta)
        batch = buffer.sample(np.random.default_rng(0), 5, 8, progress=0.0)
        assert batch.weights.dtype == np.float32
        np.testing.assert_allclose(batch.weights, by_hand[batch.states] ** beta, rtol=1e-5)


def test_the_largest_weight_of_each_batch_is_1():
    buffer = filled([0.01, 1.0, 100.0], alpha=1.0, beta=1.0)
    weights = buffer.sample(np.random.default_rng(0), 200, 2).weights
    assert (weights.max(axis=1) == 1).all()
    assert weights.min() < 0.02


def test_weighted_draws_are_unbiased_with_beta_1():
    """The mean over a batch, weighted, is that over the memory, up to the batch's largest weight."""
    buffer = filled([0.5, 1.0, 2.0, 5.0], alpha=1.0, beta=1.0)
    batch = buffer.sample(np.random.default_rng(0), 1, 8500)
    mean = np.average(batch.rewards, weights=batch.weights)
    assert mean == pytest.approx((0 + 1 + 2 + 3) / 4, abs=0.01)


def test_what_is_new_has_the_largest_priority_seen_so_far():
    buffer = filled([3.0, 1.0, 1.0], alpha=1.0)
    buffer.update_priorities(
        np.array([[2.0, 1.0, 1.0]])
    )  # 3 has been seen, though it is not there any more
    add(buffer, 3, 6)
    np.testing.assert_allclose(frequencies(buffer), np.array([2, 1, 1, 3, 3, 3]) / 13, atol=0.005)


def test_the_last_td_error_of_a_transition_counts():
    buffer = begun(PrioritizedBuffer(capacity=10, n_step_return=1, alpha=1.0))
    add(buffer, 0, 2)
    states = buffer.sample(np.random.default_rng(0), 3, 2).states
    assert (np.sort(states) == [0, 1]).all()
    buffer.update_priorities(np.array([[9.0, 9.0], [7.0, 7.0], [1.0, 3.0]]))
    np.testing.assert_allclose(frequencies(buffer), [1 / 4, 3 / 4], atol=0.005)


def test_what_has_been_overwritten_passes_no_priority_on():
    buffer = begun(PrioritizedBuffer(capacity=8, n_step_return=1, alpha=1.0))
    add(buffer, 0, 8)
    drawn = buffer.sample(np.random.default_rng(0), 1, 8).states
    assert sorted(drawn[0]) == list(range(8))
    add(buffer, 8, 13)  # in the places of 0 to 4, while these are being learned
    buffer.update_priorities(np.where(drawn < 5, 1000.0, 2.0))
    expected = np.array([0] * 5 + [2] * 3 + [1] * 5) / 11
    np.testing.assert_allclose(frequencies(buffer), expected, atol=0.005)


def test_what_has_lost_its_frames_is_never_drawn():
    """Episodes of one step have two frames per step: the memory holds fewer of them."""
    buffer = begun(PrioritizedBuffer(capacity=200, n_step_return=1))
    rng = np.random.default_rng(0)
    for first in range(0, 1200, 30):
        add(buffer, first, first + 30, terminated=True)
        batch = buffer.sample(rng, 10, 50)
        np.testing.assert_array_equal(batch.next_states, -1 - batch.states)
        assert batch.states.min() >= first + 30 - len(buffer)
        assert batch.states.max() < first + 30
        buffer.update_priorities(rng.normal(size=(10, 50)))
    assert 80 <= len(buffer) < 200


def test_a_memory_smaller_than_what_comes_in_at_once():
    buffer = begun(PrioritizedBuffer(capacity=2, n_step_return=3))
    add(buffer, 0, 50)
    assert set(buffer.sample(np.random.default_rng(0), 10, 10).states.ravel()) == {48, 49}


def test_memory_counts_the_tree():
    alone, prioritized = begun(ReplayBuffer(1000)), begun(PrioritizedBuffer(1000))
    for buffer in (alone, prioritized):
        add(buffer, 0, 1)
    assert prioritized.nbytes == alone.nbytes + 2 * 1024 * 8


def test_td_errors_that_make_no_sense_are_refused():
    buffer = filled([1.0, 2.0])
    with pytest.raises(ValueError, match=r"of shape \(1, 2\), got shape \(2, 2\)"):
        buffer.update_priorities(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="finite and at least 0, got nan"):
        buffer.update_priorities(np.array([[1.0, np.nan]]))


@pytest.mark.parametrize("parameters", [{"alpha": -0.1}, {"alpha": 1.5}, {"beta": 2.0}])
def test_exponents_out_of_range_are_refused(parameters):
    (name, value) = next(iter(parameters.items()))
    message = rf"{name} must be in \[0, 1\], got {value}"
    with pytest.raises(ValueError, match=message):
        PrioritizedBuffer(10, **parameters).begin(1.0)
    with pytest.raises(ValueError, match=message):
        run(ExperienceReplay(PrioritizedBuffer(**parameters)), n_steps=2000)


class Surprised(MemoizationQFunction):
    """Is much surprised in state 3, and little elsewhere. Notes the weights it is given."""

    def update(self, transitions):
        self.weights = [*getattr(self, "weights", []), transitions.weights]
        return np.where(transitions.states == 3, 5.0, 0.05)


def run(runner, qfunction=None, n_steps=300, callbacks=()):
    environment = GymEnvironment("skrl/CircularWorld-v0")
    qfunction = MemoizationQFunction() if qfunction is None else qfunction
    qfunction.build(environment.state_space, environment.n_actions, 0)
    runner.run(environment, qfunction, RandomPolicy(), n_steps=n_steps, rng=0, callbacks=callbacks)
    return qfunction


def small(**parameters):
    """A runner that learns soon and often."""
    buffer = PrioritizedBuffer(n_step_return=1, **parameters)
    return ExperienceReplay(buffer, train_freq=50, gradient_steps=20, learning_starts=100)


def test_what_surprised_is_learned_from_more_often():
    runner = small(alpha=1.0)
    qfunction = run(runner, Surprised())
    assert all(weights.shape == (20, 128) for weights in qfunction.weights)
    # In the first rollout all were new.
    assert (qfunction.weights[0] == 1).all()
    assert (qfunction.weights[-1] < 0.02).any()
    # Of the 300 transitions, about 27 begin in state 3.
    states = runner.buffer_.sample(np.random.default_rng(0), 20, 50).states
    assert (states == 3).mean() > 0.8


@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_beta_grows_to_1_over_the_budget(progress):
    by_hand = np.array([1.0, 1.0, 1 / 2, 1 / 4])
    buffer = filled([1.0, 1.0, 2.0, 4.0], alpha=1.0, beta=0.25)
    batch = buffer.sample(np.random.default_rng(0), 5, 8, progress)
    beta = 0.25 + 0.75 * progress
    np.testing.assert_allclose(batch.weights, by_hand[batch.states] ** beta, rtol=1e-5)


def test_without_priorities_all_weights_are_1():
    runner = small(alpha=0.0)
    run(runner)
    batch = runner.buffer_.sample(np.random.default_rng(0), 10, 64)
    assert (batch.weights == 1).all()


def test_the_same_seed_gives_the_same_table():
    tables = [run(small(alpha=alpha)).table_ for alpha in (0.6, 0.6, 0.7)]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert (tables[0] != tables[2]).any()


def test_saving_leaves_the_memory_out():
    runner = small(alpha=0.5)
    run(runner)
    assert len(pickle.dumps(runner)) < 2000
    loaded = pickle.loads(pickle.dumps(runner))
    assert not hasattr(loaded, "buffer_")
    assert repr(loaded) == repr(clone(runner)) == repr(runner)
    run(loaded)


def cliffwalk_steps(n):
    """What all 2^n sequences of actions lead to, each until its episode ends."""
    world = BlindCliffwalk(n)
    rows = []
    for sequence in product(range(2), repeat=n):
        state, _ = world.reset()
        for action in sequence:
            next_state, reward, terminated, _, _ = world.step(action)
            rows.append((state, action, reward, next_state, terminated))
            state = next_state
            if terminated:
                break
    states, actions, rewards, next_states, terminated = map(np.array, zip(*rows, strict=True))
    no = np.zeros(len(rows), dtype=bool)
    return Transitions(
        states, actions, rewards, next_states, 1.0 - terminated, terminated, no, env_ids=0 * states
    )


def n_updates_until_learned(buffer, transitions, n, rng):
    """Updates until the table is right, learned from a memory that holds all there is to know."""
    discount_factor = 1 - 1 / n  # as in the paper: the values are of about the same size for all n
    buffer.begin(discount_factor)
    buffer.add(transitions)
    buffer.end_episode()
    assert len(buffer) == 2 ** (n + 1) - 2
    states = np.arange(n)
    exact = np.zeros((n + 1, 2))
    exact[states, states % 2] = discount_factor ** (n - 1.0 - states)

    qfunction = MemoizationQFunction(1 / 4, learning_rate_decay=0.0, initial_value=0.0).build(
        Discrete(n + 1), 2, 0
    )
    n_batches = 8
    for n_updates in range(n_batches, 10_000, n_batches):
        td_errors = qfunction.update(buffer.sample(rng, n_batches, 4))
        if isinstance(buffer, PrioritizedBuffer):
            buffer.update_priorities(td_errors)
        if np.square(qfunction.table_ - exact)[:n].mean() < 1e-3:
            return n_updates
    raise AssertionError("The table is still wrong after 10,000 updates.")


def test_priorities_learn_the_blind_cliffwalk_in_a_fraction_of_the_updates():
    """Figure 1 of the paper, proportional variant: one reward among 254 transitions.

    Over 40 seeds the medians are 876 updates without and 176 with priorities.
    """
    n, capacity = 7, 500  # episodes are short, and their last states need room as well
    transitions = cliffwalk_steps(n)
    uniform, prioritized = [], []
    for seed in range(10):
        for buffer, found in (
            (ReplayBuffer(capacity, 1), uniform),
            (PrioritizedBuffer(capacity, 1), prioritized),
        ):
            rng = np.random.default_rng(seed)
            found.append(n_updates_until_learned(buffer, transitions, n, rng))
    assert np.median(prioritized) < np.median(uniform) / 3
    assert max(prioritized) < min(uniform)
