import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl.base import Transitions
from skrl.qfunctions.random_qfunction import RandomQFunction


def some_transitions(*batch_shape, state_shape=()):
    return Transitions(
        states=np.zeros((*batch_shape, *state_shape)),
        actions=np.zeros(batch_shape, np.int64),
        rewards=np.full(batch_shape, 10.0),
        next_states=np.zeros((*batch_shape, *state_shape)),
        discounts=np.full(batch_shape, 0.0),
        terminated=np.full(batch_shape, True),
        truncated=np.full(batch_shape, False),
    )


def test_values_are_uniform_and_drawn_anew():
    qfunction = RandomQFunction().build(Discrete(3), 4, random_state=0)
    values = qfunction.values(np.zeros(10_000, np.int64))
    assert values.shape == (10_000, 4)
    assert 0 <= values.min() < 0.01 < 0.99 < values.max() < 1
    # The mean of n uniform numbers has standard deviation 1 / sqrt(12 n).
    assert abs(values.mean() - 0.5) < 4 / np.sqrt(12 * values.size)
    assert len(np.unique(values)) == values.size


def test_a_seed_decides_everything():
    first, second = (RandomQFunction().build(Discrete(3), 4, random_state=5) for _ in range(2))
    for _ in range(3):
        states = np.array([0, 1])
        np.testing.assert_array_equal(first.values(states), second.values(states))


@pytest.mark.parametrize("batch_shape", [(1,), (6,), (2, 3)])
@pytest.mark.parametrize("space", [Discrete(3), Box(0, 1, (2, 2))])
def test_update_gives_the_errors_of_random_values(batch_shape, space):
    qfunction = RandomQFunction().build(space, 4, random_state=0)
    td_errors = qfunction.update(some_transitions(*batch_shape, state_shape=space.shape))
    assert td_errors.shape == batch_shape
    # Terminal transitions: the target is the reward of 10, the value is in [0, 1).
    assert ((td_errors > 9) & (td_errors <= 10)).all()


@pytest.mark.parametrize("name", ["next_action_masks", "next_probabilities"])
def test_an_action_that_is_certain_is_bootstrapped_from(name):
    """One random value instead of the highest of 50."""
    n = 20_000
    transitions = some_transitions(n)
    transitions.discounts[:] = 1.0
    certain = np.eye(50)[np.full(n, 7)]
    setattr(transitions, name, certain.astype(bool) if name == "next_action_masks" else certain)
    td_errors = RandomQFunction().build(Discrete(3), 50, random_state=0).update(transitions)
    # 10 + U - U, of mean 10 and variance 1/6
    assert td_errors.mean() == pytest.approx(10, abs=4 / np.sqrt(6 * n))


def test_a_state_brings_the_same_values_again():
    qfunction, other = (RandomQFunction().build(Discrete(3), 4, seed) for seed in (0, 1))
    qfunction.values(np.array([0]))
    state = qfunction.state()
    expected = qfunction.values(np.array([0, 1]))
    for one in (qfunction, other):
        one.set_state(state)
        np.testing.assert_array_equal(one.values(np.array([0, 1])), expected)


def test_a_state_leaves_a_shared_generator_alone():
    shared = np.random.default_rng(0)
    qfunction = RandomQFunction().build(Discrete(3), 4, shared)
    qfunction.set_state(qfunction.state())
    qfunction.values(np.array([0]))
    assert shared.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    "state",
    [{}, {"table": 1}, {"rng": np.random.Generator(np.random.MT19937(0)).bit_generator.state}],
)
def test_other_states_are_refused(state):
    with pytest.raises(ValueError, match="state"):
        RandomQFunction().build(Discrete(3), 4, 0).set_state(state)


def test_clone_and_pickle():
    qfunction = RandomQFunction().build(Discrete(3), 4, random_state=0)
    assert not hasattr(clone(qfunction), "n_actions_")
    copy = pickle.loads(pickle.dumps(qfunction))
    np.testing.assert_array_equal(copy.values(np.array([1])), qfunction.values(np.array([1])))


def test_before_build():
    with pytest.raises(NotFittedError, match=r"RandomQFunction does not know .* Call build"):
        RandomQFunction().values(np.array([0]))
    with pytest.raises(NotFittedError, match="Call build"):
        RandomQFunction().update(some_transitions(1))
