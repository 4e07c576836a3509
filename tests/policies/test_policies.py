"""What all policies have in common, and what each one does."""

import pickle

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from sklearn.base import clone

from skrl.base import MaskedQFunction, mask_probabilities
from skrl.policies import (
    ConstantSchedule,
    EpsilonGreedy,
    ExponentialSchedule,
    Greedy,
    LinearSchedule,
    RandomPolicy,
    SegmentedEpsilonGreedy,
    Softmax,
)
from skrl.policies.greedy import draw_greedy_action, draw_greedy_actions
from skrl.qfunctions import RandomQFunction

TABLE = np.array(
    [
        [1.0, 3.0, 2.0],  # one best action
        [2.0, 2.0, 1.0],  # two
        [0.0, 0.0, 0.0],  # three
        [-1.0, -2.0, -1.0],  # two, not side by side
        [-5.0, -9.0, -1.0],
    ]
)


class FixedQFunction(RandomQFunction):
    """Looks up a table that never changes, and counts how often."""

    def __init__(self, table):
        self.table = table
        self.build(Discrete(len(table)), np.shape(table)[1], None)

    def build(self, state_space, n_actions, random_state):
        self.state_space_, self.n_actions_ = state_space, n_actions
        self.n_calls = 0
        return self

    def values(self, states):
        self.n_calls += 1
        return self.table[states]


POLICIES = [
    RandomPolicy(),
    Greedy(),
    EpsilonGreedy(),
    EpsilonGreedy(0.0),
    EpsilonGreedy(0.3),
    EpsilonGreedy(1.0),
    EpsilonGreedy(LinearSchedule(0.8, 0.0)),
    Softmax(),
    Softmax(0.2),
    Softmax(ExponentialSchedule(10.0, 0.1)),
]
ALL = pytest.mark.parametrize("policy", POLICIES, ids=repr)


@ALL
@pytest.mark.parametrize("progress", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_sum_to_one(policy, progress, dtype):
    qfunction = FixedQFunction(TABLE.astype(dtype))
    probabilities = policy.probabilities(np.arange(5), qfunction, progress)
    assert probabilities.shape == (5, 3)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


@ALL
@pytest.mark.parametrize(
    ("states", "n_calls"),
    [([0], 1000), ([1], 1000), ([0, 1, 2, 3, 4], 1000), ([0, 1, 2, 3, 4] * 20_000, 1)],
    ids=["m=1", "m=1 tied", "m=5", "m=100000"],
)
def test_decisions_are_as_frequent_as_the_probabilities_say(policy, states, n_calls):
    qfunction, states, rng = FixedQFunction(TABLE), np.array(states), np.random.default_rng(0)
    counts = np.zeros((5, 3))
    for _ in range(n_calls):
        actions = policy.decide(states, qfunction, 0.1, rng).actions
        np.add.at(counts, (states, actions), 1)

    n = counts.sum(axis=1, keepdims=True)
    p = policy.probabilities(np.arange(5), qfunction, 0.1)
    four_sigma = 4 * np.sqrt(n * p * (1 - p))
    assert (np.abs(counts - n * p) <= four_sigma + 1e-9).all()


@ALL
@pytest.mark.parametrize("m", [1, 5])
def test_decisions_are_fresh_int64_arrays_and_reproducible(policy, m):
    qfunction, states = FixedQFunction(TABLE), np.arange(m)

    def decide_often(seed):
        rng = np.random.default_rng(seed)
        return [policy.decide(states, qfunction, 0.1, rng).actions for _ in range(50)]

    first, second = decide_often(7), decide_often(7)
    assert all(actions.shape == (m,) and actions.dtype == np.int64 for actions in first)
    assert not np.shares_memory(first[0], first[1])
    np.testing.assert_array_equal(first, second)


@ALL
def test_clone_and_pickle(policy):
    # The representation of an estimator shows its parameters, those of its parts included.
    assert repr(clone(policy)) == repr(policy)
    assert repr(pickle.loads(pickle.dumps(policy))) == repr(policy)
    assert type(policy)(**policy.get_params(deep=False)).get_params() == policy.get_params()


@ALL
def test_policies_hold_no_state(policy):
    before = dict(vars(policy))
    policy.decide(np.arange(5), FixedQFunction(TABLE), 0.5, np.random.default_rng(0))
    policy.probabilities(np.arange(5), FixedQFunction(TABLE), 0.5)
    assert vars(policy) == before
    assert policy.state() == {}


# Which actions are greedy, and which are allowed

MASKS = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
MORE = pytest.mark.parametrize("policy", [*POLICIES, SegmentedEpsilonGreedy(0.3, 0.5)], ids=repr)


@MORE
@pytest.mark.parametrize("states", [[0, 1, 2, 3, 4] * 200, [1], [0], [3]])
@pytest.mark.parametrize("masked", [False, True])
def test_greedy_are_the_actions_of_the_highest_allowed_value(policy, states, masked):
    states, rng = np.array(states), np.random.default_rng(0)
    masks = MASKS[states] if masked else None
    values = np.where(masks, TABLE[states], -np.inf) if masked else TABLE[states]
    for progress in np.arange(20) / 20:
        decision = policy.decide(states, FixedQFunction(TABLE), progress, rng, masks)
        chosen = values[np.arange(len(states)), decision.actions]
        np.testing.assert_array_equal(decision.is_greedy, chosen == values.max(axis=1))


@MORE
@pytest.mark.parametrize("m", [1, 5, 100_000])
def test_masked_actions_are_never_chosen_and_the_others_in_proportion(policy, m):
    rng, counts = np.random.default_rng(0), np.zeros((5, 3))
    states = np.arange(m) % 5
    qfunction, masks = FixedQFunction(TABLE), MASKS[states]
    for _ in range(1 if m > 5 else 600):
        policy = clone(policy)  # forgets
        actions = policy.decide(states, qfunction, 0.05, rng, masks).actions
        np.add.at(counts, (states, actions), 1)
    assert not counts[~MASKS].any()
    masked = MaskedQFunction(qfunction, MASKS)
    p = mask_probabilities(policy.probabilities(np.arange(5), masked, 0.05), MASKS)
    n = counts.sum(axis=1, keepdims=True)
    assert (np.abs(counts - n * p) <= 4 * np.sqrt(n * p * (1 - p)) + 1e-9).all()


def test_exploratory_actions_that_happen_to_be_the_best_are_greedy():
    states, rng = np.zeros(30_000, np.int64), np.random.default_rng(0)
    is_greedy = EpsilonGreedy(1.0).decide(states, FixedQFunction(TABLE), 0.0, rng).is_greedy
    assert is_greedy.mean() == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 30_000))


def test_the_epsilon_of_the_moment_is_reported():
    assert EpsilonGreedy(LinearSchedule(1.0, 0.0)).metrics(0.75) == {"epsilon": 0.25}
    assert EpsilonGreedy().metrics(1.0) == SegmentedEpsilonGreedy().metrics(1.0)
    assert SegmentedEpsilonGreedy().metrics(0.2) == {"epsilon": 0.05}
    for policy in (Greedy(), RandomPolicy(), Softmax()):
        assert policy.metrics(0.5) == {}


def test_nested_parameters():
    policy = EpsilonGreedy(LinearSchedule(1.0, 0.1))
    assert policy.get_params()["epsilon__start"] == 1.0
    policy.set_params(epsilon__start=0.5, epsilon__fraction=0.25)
    assert repr(policy.epsilon) == repr(LinearSchedule(0.5, 0.1, 0.25))
    policy.set_params(epsilon=0.2)
    assert policy.epsilon == 0.2
    assert Softmax(ConstantSchedule(2.0)).get_params()["temperature__value"] == 2.0


# Exact probabilities


def test_greedy_spreads_probability_over_ties():
    np.testing.assert_array_equal(
        Greedy().probabilities(np.arange(5), FixedQFunction(TABLE), 0.0),
        [[0, 1, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 0, 1]],
    )


def test_epsilon_is_the_probability_of_a_random_action():
    np.testing.assert_allclose(
        EpsilonGreedy(0.3).probabilities(np.array([0, 1]), FixedQFunction(TABLE), 0.0),
        [[0.1, 0.8, 0.1], [0.45, 0.45, 0.1]],
        rtol=1e-14,
    )


@pytest.mark.parametrize(
    ("progress", "epsilon"), [(0.0, 1.0), (0.05, 0.525), (0.1, 0.05), (1.0, 0.05)]
)
def test_the_default_epsilon_decays_over_the_first_tenth(progress, epsilon):
    probabilities = EpsilonGreedy().probabilities(
        np.array([0]), FixedQFunction(np.array([[0.0, 1.0]])), progress
    )
    np.testing.assert_allclose(probabilities, [[epsilon / 2, 1 - epsilon / 2]], rtol=1e-14)


def test_softmax_is_proportional_to_the_exponentials():
    qfunction = FixedQFunction(2.0 * np.log([[1.0, 3.0, 6.0]]))
    probabilities = Softmax(temperature=2.0).probabilities(np.array([0]), qfunction, 0.0)
    np.testing.assert_allclose(probabilities, [[0.1, 0.3, 0.6]], rtol=1e-14)


@pytest.mark.parametrize(
    ("values", "temperature", "expected"),
    [
        ([1e300, -1e300, 1e300], 1e-300, [0.5, 0.0, 0.5]),
        ([1e6, 1e6 - 1, 0.0], 1.0, [1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0.0]),
        ([-np.inf, 1.0, 1.0], 1.0, [0.0, 0.5, 0.5]),
        ([0.0, 1.0, 2.0], 1e300, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_softmax_of_extreme_numbers(values, temperature, expected):
    qfunction = FixedQFunction(np.array([values]))
    probabilities = Softmax(temperature).probabilities(np.array([0]), qfunction, 0.0)
    np.testing.assert_allclose(probabilities, [expected], rtol=1e-9)


# One state or many: the same


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_greedy_draws_the_same_alone_as_in_a_batch_of_one(dtype):
    values = np.random.default_rng(0).integers(3, size=(500, 1, 4)).astype(dtype)
    alone, batch = np.random.default_rng(1), np.random.default_rng(1)
    for row in values:
        assert draw_greedy_action(row[0].tolist(), alone) == draw_greedy_actions(row, batch)
    assert alone.random() == batch.random()


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.5, 1.0])
def test_epsilon_greedy_draws_the_same_alone_as_in_a_batch(epsilon):
    # Without ties each state takes one draw, alone or in a batch.
    table = np.random.default_rng(0).random((500, 3))
    policy, qfunction, states = EpsilonGreedy(epsilon), FixedQFunction(table), np.arange(500)
    rng = np.random.default_rng(1)
    alone = [policy.decide(states[i : i + 1], qfunction, 0.0, rng) for i in states]
    batch = policy.decide(states, qfunction, 0.0, np.random.default_rng(1))
    np.testing.assert_array_equal([decision.actions[0] for decision in alone], batch.actions)
    np.testing.assert_array_equal([decision.is_greedy[0] for decision in alone], batch.is_greedy)


@ALL
def test_what_is_constant_for_a_single_state_cannot_be_overwritten(policy):
    qfunction, rng = FixedQFunction(TABLE), np.random.default_rng(0)
    for _ in range(20):
        is_greedy = policy.decide(np.array([0]), qfunction, 0.0, rng).is_greedy
        assert is_greedy.shape == (1,)
        if is_greedy.flags.writeable:
            is_greedy[:] = False
    assert Greedy().decide(np.array([0]), qfunction, 0.0, rng).is_greedy.all()
    assert EpsilonGreedy(0.0).decide(np.array([0]), qfunction, 0.0, rng).is_greedy.all()


@pytest.mark.parametrize("m", [1, 5])
def test_values_are_asked_for_once(m):
    for policy in (Greedy(), RandomPolicy(), EpsilonGreedy(0.0), EpsilonGreedy(1.0)):
        qfunction, rng = FixedQFunction(TABLE), np.random.default_rng(0)
        policy.decide(np.arange(m), qfunction, 0.0, rng)
        assert qfunction.n_calls == 1


@pytest.mark.parametrize("m", [1, 5])
def test_without_ties_greedy_leaves_the_generator_alone(m):
    rng = np.random.default_rng(0)
    Greedy().decide(np.arange(m), FixedQFunction(np.eye(5)), 0.0, rng)
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


# Errors


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, 2, float("nan")])
@pytest.mark.parametrize("m", [1, 5])
def test_epsilon_out_of_range(epsilon, m):
    policy = EpsilonGreedy().set_params(epsilon=epsilon)
    match = rf"epsilon must be in \[0, 1\], got {float(epsilon)}"
    with pytest.raises(ValueError, match=match):
        policy.decide(np.arange(m), FixedQFunction(TABLE), 0.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match=match):
        policy.probabilities(np.arange(m), FixedQFunction(TABLE), 0.0)


def test_a_schedule_that_leaves_the_range():
    policy = EpsilonGreedy(LinearSchedule(1.0, -1.0))
    policy.probabilities(np.arange(5), FixedQFunction(TABLE), 0.5)
    with pytest.raises(ValueError, match=r"got -0\.5 from LinearSchedule.* at progress 0\.75"):
        policy.probabilities(np.arange(5), FixedQFunction(TABLE), 0.75)


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperature_out_of_range(temperature):
    with pytest.raises(ValueError, match="temperature must be positive and finite, got"):
        Softmax(temperature).probabilities(np.arange(5), FixedQFunction(TABLE), 0.0)


@pytest.mark.parametrize(
    "policy", [EpsilonGreedy().set_params(epsilon="0.1"), Softmax().set_params(temperature="1")]
)
def test_settings_that_are_not_numbers(policy):
    with pytest.raises(TypeError, match="must be a number or a Schedule"):
        policy.decide(np.arange(1), FixedQFunction(TABLE), 0.0, np.random.default_rng(0))


@pytest.mark.parametrize("policy", [Greedy(), EpsilonGreedy(0.0), Softmax()])
@pytest.mark.parametrize("row", [[np.nan, 1, 2], [1, np.nan, 2], [1, 2, np.nan]])
@pytest.mark.parametrize("states", [[0], [0, 1]])
def test_values_that_are_nan(policy, row, states):
    qfunction = FixedQFunction(np.array([row, [5.0, 5.0, 1.0]]))
    with pytest.raises(ValueError, match="values contain NaN"):
        policy.decide(np.array(states), qfunction, 0.0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="values contain NaN"):
        policy.probabilities(np.array(states), qfunction, 0.0)


@pytest.mark.parametrize("states", [[0], [0, 0]])
def test_infinite_values_have_an_order(states):
    qfunction, rng = FixedQFunction(np.array([[-np.inf, 1.0, np.inf]])), np.random.default_rng(0)
    for policy in (Greedy(), EpsilonGreedy(0.0)):
        decision = policy.decide(np.array(states), qfunction, 0.0, rng)
        assert (decision.actions == 2).all()
        assert decision.is_greedy.all()
