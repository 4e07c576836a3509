import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete, Text
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl.base import Transitions
from skrl.qfunctions.tables.double_memoization import DoubleMemoizationQFunction
from skrl.qfunctions.tables.memoization import MemoizationQFunction

GAMMA = 0.9

# What makes an update easy to work out by hand.
PLAIN = {"learning_rate": 0.1, "learning_rate_decay": 0.0, "initial_value": 0.0}


def batch(states, actions, rewards, next_states, discounts):
    """Transitions of any batch shape, from lists."""
    shape = np.shape(actions)
    return Transitions(
        states=np.asarray(states),
        actions=np.asarray(actions),
        rewards=np.asarray(rewards, dtype=float),
        next_states=np.asarray(next_states),
        discounts=np.asarray(discounts, dtype=float),
        terminated=np.asarray(discounts) == 0,
        truncated=np.zeros(shape, dtype=bool),
    )


def random_batch(shape, n_states=7, n_actions=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    transitions = batch(
        rng.integers(n_states, size=shape),
        rng.integers(n_actions, size=shape),
        rng.normal(size=shape),
        rng.integers(n_states, size=shape),
        rng.choice([0, GAMMA, GAMMA**3], size=shape),
    )
    transitions.rewards = transitions.rewards.astype(dtype)
    transitions.discounts = transitions.discounts.astype(dtype)
    return transitions


def table(space=None, n_actions=3, **parameters):
    space = Discrete(7) if space is None else space
    parameters = PLAIN | parameters
    return MemoizationQFunction(**parameters).build(space, n_actions, random_state=None)


def filled_table(values, **parameters):
    values = np.asarray(values, dtype=float)
    qfunction = table(Discrete(len(values)), values.shape[1], **parameters)
    qfunction.table_[:] = values
    return qfunction


# Against numbers worked out by hand


@pytest.mark.parametrize(
    ("discount", "target"),
    [
        (0.0, 1.0),  # terminated: the reward is all
        (0.5, 1.0 + 0.5 * 4.0),  # goes on, or truncated: the best next value counts
        (0.125, 1.0 + 0.125 * 4.0),  # the return of three steps: gamma^3
    ],
)
@pytest.mark.parametrize("n", [1, 2])
def test_update_moves_the_value_towards_the_target(discount, target, n):
    qfunction = filled_table([[8.0, 2.0], [4.0, 3.0], [0.0, 0.0]], learning_rate=0.25)
    # In state 0 action 1 leads to state 1; the second transition is one of state 2.
    transitions = batch([0, 2], [1, 0], [1.0, 0.0], [1, 2], [discount, 0.0])[:n]
    td_errors = qfunction.update(transitions)
    assert td_errors.shape == (n,)
    assert td_errors.dtype == np.float64
    assert td_errors[0] == target - 2.0
    np.testing.assert_array_equal(
        qfunction.table_, [[8.0, 2.0 + 0.25 * (target - 2.0)], [4.0, 3.0], [0.0, 0.0]]
    )


def test_truncated_transitions_bootstrap():
    qfunction = filled_table([[0.0, 0.0], [4.0, 3.0]], learning_rate=1.0)
    transitions = batch([0], [1], [1.0], [1], [0.5])
    transitions.truncated = np.array([True])
    assert qfunction.update(transitions) == [3.0]


def test_repeated_transitions_of_a_batch_add_up():
    qfunction = filled_table([[0.0, 0.0]], learning_rate=0.25)
    td_errors = qfunction.update(batch([0, 0, 0], [1, 1, 1], [1.0, 1.0, 2.0], [0, 0, 0], [0] * 3))
    # All errors are those of before the update.
    np.testing.assert_array_equal(td_errors, [1.0, 1.0, 2.0])
    np.testing.assert_array_equal(qfunction.table_, [[0.0, 0.25 * 4.0]])


@pytest.mark.parametrize("n", [1, 2])
def test_weights_multiply_the_steps_and_not_the_errors(n):
    qfunction = filled_table([[0.0], [0.0]], learning_rate=0.5)
    transitions = batch([0, 1], [0, 0], [1.0, 1.0], [0, 1], [0.0, 0.0])[:n]
    transitions.weights = np.array([0.25, 2.0])[:n]
    np.testing.assert_array_equal(qfunction.update(transitions), [1.0, 1.0][:n])
    np.testing.assert_array_equal(qfunction.table_[:n], [[0.125], [1.0]][:n])


def test_errors_of_a_batch_are_those_of_before_the_update():
    qfunction = filled_table([[0.0], [0.0]], learning_rate=1.0)
    # The second transition would bootstrap from what the first one learns.
    np.testing.assert_array_equal(
        qfunction.update(batch([0, 1], [0, 0], [1.0, 0.0], [1, 0], [0.0, 1.0])), [1.0, 0.0]
    )


@pytest.mark.parametrize("shape", [(), (2,), (3,)])
def test_initial_values(shape):
    space = Box(0, 1, shape) if shape else Discrete(5)
    qfunction = table(space, n_actions=2, initial_value=1.5)
    states = np.zeros((2, *shape), dtype=space.dtype)
    np.testing.assert_array_equal(qfunction.values(states), np.full((2, 2), 1.5))
    assert qfunction.values(states).dtype == np.float64


def test_values_are_a_copy():
    qfunction = table()
    for states in ([0], [0, 1]):
        qfunction.values(np.array(states))[:] = 99.0
    assert (qfunction.table_ == 0).all()


def test_value_iteration_on_a_chain():
    # States 0 - 1 - 2 - 3, actions left and right. Arriving in 3 pays 1 and ends the episode, so
    # that Q*(s, right) = gamma^(2 - s), and going left costs two steps more, or one at the wall.
    states = np.repeat(np.arange(3), 2)
    actions = np.tile([0, 1], 3)
    next_states = np.clip(states + 2 * actions - 1, 0, 3)
    arrived = next_states == 3
    transitions = batch(states, actions, arrived, next_states, np.where(arrived, 0.0, GAMMA))
    optimum = np.array([[GAMMA**3, GAMMA**2], [GAMMA**3, GAMMA], [GAMMA**2, 1.0], [0.0, 0.0]])

    for learning_rate, n_sweeps in ((1.0, 5), (0.5, 200)):
        qfunction = table(Discrete(4), n_actions=2, learning_rate=learning_rate)
        for _ in range(n_sweeps):
            qfunction.update(transitions)
        np.testing.assert_allclose(qfunction.table_, optimum, atol=1e-12)
        np.testing.assert_allclose(qfunction.update(transitions), 0, atol=1e-12)


# Facts that the transitions know: allowed actions, and probabilities of the next ones


def with_facts(shape, masks=None, probabilities=None):
    """Copies of one transition: action 1 of state 0 earns 1 and leads to state 1, worth half."""
    transitions = batch([0], [1], [1.0], [1], [0.5])[np.zeros(shape, dtype=int)]
    if masks is not None:
        transitions.next_action_masks = np.tile(np.array(masks, dtype=bool), (*shape, 1))
    if probabilities is not None:
        transitions.next_probabilities = np.tile(np.array(probabilities), (*shape, 1))
    return transitions


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 1), (1, 3)])
@pytest.mark.parametrize(
    ("facts", "bootstrap"),
    [
        ({}, 9.0),
        ({"masks": [1, 1, 1]}, 9.0),
        ({"masks": [1, 1, 0]}, 5.0),
        ({"masks": [0, 1, 0]}, 4.0),
        ({"probabilities": [0.0, 1.0, 0.0]}, 4.0),
        ({"probabilities": [0.5, 0.25, 0.25]}, 2.5 + 1.0 + 2.25),
        ({"masks": [1, 1, 0], "probabilities": [0.5, 0.5, 0.0]}, 4.5),
    ],
)
def test_the_bootstrap_value_knows_the_facts(shape, facts, bootstrap):
    qfunction = filled_table([[0.0, 2.0, 0.0], [5.0, 4.0, 9.0]], learning_rate=0.125)
    td_errors = qfunction.update(with_facts(shape, **facts))
    td_error = 1.0 + 0.5 * bootstrap - 2.0
    np.testing.assert_array_equal(td_errors, np.full(shape, td_error))
    n = np.prod(shape)
    np.testing.assert_array_equal(qfunction.table_[0], [0.0, 2.0 + n * 0.125 * td_error, 0.0])


def test_k_batches_have_their_own_facts():
    qfunction = filled_table([[0.0, 0.0], [5.0, 4.0], [1.0, 7.0]], learning_rate=1.0)
    transitions = batch([[0], [0]], [[0], [1]], [[0.0], [0.0]], [[1], [2]], [[1.0], [1.0]])
    transitions.next_action_masks = np.array([[[False, True]], [[True, False]]])
    qfunction.update(transitions)
    np.testing.assert_array_equal(qfunction.table_[0], [4.0, 1.0])


@pytest.mark.parametrize("n", [1, 2])
def test_at_the_end_of_an_episode_no_action_need_be_allowed(n):
    qfunction = filled_table([[2.0], [3.0]])
    transitions = batch([0, 1], [0, 0], [1.0, 1.0], [1, 1], [0.0, 0.0])[:n]
    transitions.next_action_masks = np.zeros((n, 1), dtype=bool)
    np.testing.assert_array_equal(qfunction.update(transitions), [-1.0, -2.0][:n])


# Step sizes that decay with the number of updates


def rewarded(*rewards):
    """A batch of rows in which action 0 of state 0 earns these rewards and ends the episode."""
    n = len(rewards)
    return batch([0] * n, [0] * n, rewards, [0] * n, [0.0] * n)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "in K batches of one"])
@pytest.mark.parametrize(
    ("learning_rate", "decay", "step_sizes"),
    [
        (0.5, 0.0, [1 / 2, 1 / 2, 1 / 2]),
        (0.5, 1.0, [1 / 2, 1 / 4, 1 / 6]),
        (1.0, 1.0, [1, 1 / 2, 1 / 3]),
        (1.0, 1 - GAMMA, [1, 1 / 1.1, 1 / 1.2]),
    ],
)
def test_step_sizes_of_the_first_updates(learning_rate, decay, step_sizes, at_once):
    qfunction = filled_table([[8.0, 8.0]], learning_rate=learning_rate, learning_rate_decay=decay)
    value, errors = 8.0, []
    for reward, step_size in zip([4.0, 0.0, 1.0], step_sizes, strict=True):
        errors.append(reward - value)
        value += step_size * errors[-1]

    if at_once:
        transitions = rewarded(4.0, 0.0, 1.0)
        in_batches = transitions[np.arange(3)[:, np.newaxis]]
        td_errors = qfunction.update(in_batches)[:, 0]
    else:
        td_errors = [qfunction.update(rewarded(r))[0] for r in (4.0, 0.0, 1.0)]
    np.testing.assert_allclose(td_errors, errors, rtol=1e-14)
    np.testing.assert_allclose(qfunction.table_, [[value, 8.0]], rtol=1e-14)


def test_each_entry_counts_its_own_updates():
    qfunction = table(n_actions=2, learning_rate=1.0, learning_rate_decay=1.0)
    for state, action in ((0, 1), (0, 1), (3, 0), (0, 0), (0, 1)):
        qfunction.update(batch([state], [action], [6.0], [5], [0.0]))
    assert qfunction.n_updates_.dtype == np.int64
    expected = np.zeros((7, 2))
    expected[0], expected[3, 0] = (1, 3), 1
    np.testing.assert_array_equal(qfunction.n_updates_, expected)


def test_a_constant_step_size_counts_nothing():
    qfunction = table()
    qfunction.update(rewarded(1.0))
    assert qfunction.n_updates_ is None


@pytest.mark.parametrize("sizes", [[1] * 12, [12], [1, 2, 3, 1, 5]])
def test_one_nth_gives_the_mean_of_the_targets(sizes):
    """However the targets are cut into batches: the first value does not count any more."""
    rewards = np.random.default_rng(0).normal(size=12)
    qfunction = filled_table([[100.0]], learning_rate=1.0, learning_rate_decay=1.0)
    for part in np.split(rewards, np.cumsum(sizes)[:-1]):
        qfunction.update(rewarded(*part))
    assert qfunction.table_[0, 0] == pytest.approx(rewards.mean(), rel=1e-12)
    assert qfunction.n_updates_[0, 0] == 12


def test_a_constant_step_size_gives_the_recency_weighted_mean():
    # Sutton & Barto (2018), equation 2.6.
    rewards = np.random.default_rng(0).normal(size=12)
    qfunction = filled_table([[3.0]], learning_rate=0.3)
    for reward in rewards:
        qfunction.update(rewarded(reward))
    expected = 0.7**12 * 3.0 + sum(0.3 * 0.7 ** (11 - i) * r for i, r in enumerate(rewards))
    assert qfunction.table_[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("decay", "step_size"),
    [(1.0, 0.8 / 4), (0.01, 1 / 4)],
    ids=["the last of the four steps", "at most a whole step together"],
)
def test_repeated_transitions_of_a_batch_with_decay(decay, step_size):
    qfunction = filled_table([[0.0]], learning_rate=0.8, learning_rate_decay=decay)
    td_errors = qfunction.update(rewarded(1.0, 2.0, 3.0, 2.0))
    np.testing.assert_array_equal(td_errors, [1.0, 2.0, 3.0, 2.0])
    assert qfunction.table_[0, 0] == pytest.approx(step_size * 8.0)


def test_a_decaying_step_size_averages_over_chance():
    rng = np.random.default_rng(0)
    states = np.arange(100)
    zeros = np.zeros(100, dtype=int)
    constant, decaying = (
        table(Discrete(100), 1, learning_rate=0.5, learning_rate_decay=decay)
        for decay in (0.0, 0.5)
    )
    for _ in range(300):
        transitions = batch(states, zeros, rng.normal(3.0, 1.0, size=100), states, zeros)
        constant.update(transitions)
        decaying.update(transitions)
    # alpha / (2 - alpha) is the variance that a constant step size leaves, 1/n that of the mean.
    assert constant.table_.std() == pytest.approx((0.5 / 1.5) ** 0.5, rel=0.25)
    assert decaying.table_.std() == pytest.approx((1 / 300) ** 0.5, rel=0.25)


# Several ways to say the same, bit for bit


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("learning_rate", [0.1, np.float32(0.1), 1])
@pytest.mark.parametrize("decay", [0, 0.01, np.float32(0.3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_transition_alone_or_in_a_batch_of_one(dtype, learning_rate, decay, weighted):
    alone, in_batch = (
        table()
        .set_params(learning_rate=learning_rate, learning_rate_decay=decay)
        .build(Discrete(7), 3, None)
        for _ in range(2)
    )
    transitions = random_batch((500,), dtype=dtype)
    if weighted:
        transitions.weights = np.random.default_rng(1).random(500).astype(dtype)
    for i in range(500):
        td_errors = in_batch.update(transitions[[[i]]])  # of batch shape (1, 1)
        np.testing.assert_array_equal(alone.update(transitions[i : i + 1]), td_errors[0])
    np.testing.assert_array_equal(alone.table_, in_batch.table_)
    assert alone.table_.any()


@pytest.mark.parametrize("space", [Discrete(7), MultiDiscrete([7, 7])])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_k_updates_in_one_call(space, decay):
    transitions = random_batch((6, 20))
    transitions.weights = np.random.default_rng(1).random((6, 20))
    if space.shape:
        # State s becomes the pair (s, 6 - s).
        for name in ("states", "next_states"):
            s = getattr(transitions, name)
            setattr(transitions, name, np.stack([s, 6 - s], axis=-1))
    fused, single = (table(space, learning_rate_decay=decay) for _ in range(2))
    td_errors = fused.update(transitions)
    assert td_errors.shape == (6, 20)
    np.testing.assert_array_equal(td_errors, [single.update(transitions[k]) for k in range(6)])
    np.testing.assert_array_equal(fused.table_, single.table_)


@pytest.mark.parametrize(
    ("space", "states_of"),
    [
        (Box(-9, 9, ()), lambda s: s.astype(np.float32)),
        (Box(-9, 9, (2,)), lambda s: np.stack([s / 3, -s], axis=-1).astype(np.float32)),
        (Box(0, 255, (2, 2), np.uint8), lambda s: np.multiply.outer(s, np.eye(2)).astype(np.uint8)),
        (MultiDiscrete([7, 7]), lambda s: np.stack([s, 6 - s], axis=-1)),
        (
            MultiBinary(3),
            lambda s: (s[..., np.newaxis] >> np.arange(3) & 1).astype(np.int8),
        ),
    ],
    ids=["number", "vector", "image", "counts", "bits"],
)
@pytest.mark.parametrize("shape", [(1,), (20,), (3, 20)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_remembered_states_learn_like_numbered_ones(space, states_of, shape, decay):
    parameters = {"initial_value": 0.5, "learning_rate_decay": decay}
    numbered, remembered = table(**parameters), table(space, **parameters)
    for seed in range(30):
        transitions = random_batch(shape, seed=seed)
        expected = numbered.update(transitions)
        transitions.states = states_of(transitions.states)
        transitions.next_states = states_of(transitions.next_states)
        np.testing.assert_array_equal(remembered.update(transitions), expected)
    everything = np.arange(7)
    np.testing.assert_array_equal(
        remembered.values(states_of(everything)), numbered.values(everything)
    )
    for s in everything:
        np.testing.assert_array_equal(
            remembered.values(states_of(everything[s : s + 1])), numbered.table_[s : s + 1]
        )


# States recognised by their content


def test_only_states_learned_from_are_remembered_in_order_of_their_first_visit():
    qfunction = table(Box(0, 9, (1,)), n_actions=1, learning_rate=1.0)
    qfunction.values(np.array([[7.0], [8.0]], dtype=np.float32))
    assert qfunction.table_.shape == (0, 1)
    states = np.array([[5.0], [3.0], [5.0], [4.0]], dtype=np.float32)
    qfunction.update(batch(states[:3], [0] * 3, [1.0, 2.0, 1.0], states[1:], [0] * 3))
    np.testing.assert_array_equal(qfunction.table_, [[2.0], [2.0]])
    np.testing.assert_array_equal(qfunction.values(states), [[2.0], [2.0], [2.0], [0.0]])


def test_many_states_in_sequence():
    qfunction = table(Box(-1e9, 1e9, ()), n_actions=1, learning_rate=1.0, initial_value=7.0)
    for i in range(100):
        state = np.array([i], dtype=np.float32)
        qfunction.update(batch(state, [0], [float(i)], state, [0.0]))
    np.testing.assert_array_equal(qfunction.table_[:, 0], np.arange(100))
    np.testing.assert_array_equal(qfunction.values(np.array([-1.0], np.float32)), [[7.0]])


@pytest.mark.parametrize("shape", [(1,), (20,), (3, 20)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_a_huge_discrete_space_gets_its_rows_on_demand(shape, decay):
    small, huge = (
        table(Discrete(7), learning_rate_decay=decay),
        table(Discrete(10**9), learning_rate_decay=decay),
    )
    far = 10**9 - 7
    for seed in range(10):
        transitions = random_batch(shape, seed=seed)
        expected = small.update(transitions)
        transitions.states = transitions.states + far
        transitions.next_states = transitions.next_states + far
        np.testing.assert_array_equal(huge.update(transitions), expected)
    np.testing.assert_array_equal(huge.values(far + np.arange(7)), small.table_)
    assert len(huge.table_) <= 7
    assert not huge.values(np.array([5])).any()
    state = pickle.dumps(huge.state())
    assert len(state) < 10_000
    copy = table(Discrete(10**9), learning_rate_decay=decay)
    copy.set_state(pickle.loads(state))
    np.testing.assert_array_equal(copy.values(far + np.arange(7)), small.table_)
    for states in ([10**9], [-1], [0, 10**9]):
        with pytest.raises(ValueError, match=r"integers in \[0, 1000000000\), got"):
            huge.values(np.array(states))


@pytest.mark.parametrize(("n", "n_rows"), [(2_500_000, 2_500_000), (2_500_001, 0)])
def test_up_to_ten_million_entries_all_rows_are_there(n, n_rows):
    assert table(Discrete(n), n_actions=4).table_.shape == (n_rows, 4)


def test_equal_states_are_the_same_state():
    qfunction = table(Box(-1, 1, (2,)), n_actions=1, learning_rate=1.0)
    zeros = np.zeros((1, 2), dtype=np.float32)
    qfunction.update(batch(zeros, [0], [5.0], zeros, [0.0]))
    for same in (-zeros, zeros.astype(np.float64), np.zeros((2, 1), np.float32).T):
        assert qfunction.values(same) == 5.0


def test_batches_without_rows():
    # A vector environment may spend a step on resetting.
    for space in (Discrete(7), Box(0, 1, (2,))):
        qfunction, states = table(space), np.zeros((0, *space.shape), dtype=space.dtype)
        assert qfunction.update(batch(states, np.zeros(0, int), [], states, [])).shape == (0,)
        assert qfunction.values(states).shape == (0, 3)


def test_states_of_a_small_dtype_do_not_overflow():
    qfunction = table(Discrete(200, dtype=np.uint8), n_actions=3, learning_rate=1.0)
    states = np.array([199, 150], dtype=np.uint8)
    qfunction.update(batch(states, [2, 1], [1.0, 2.0], states, [0.0, 0.0]))
    assert qfunction.table_[199, 2] == 1.0
    assert qfunction.table_[150, 1] == 2.0
    assert np.count_nonzero(qfunction.table_) == 2


# An estimator


@pytest.mark.parametrize("space", [Discrete(9), Box(0, 9, ()), Box(-9, 9, (2,)), Discrete(10**9)])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_learning_goes_on_from_a_state(space, decay):
    def on(space, transitions):
        if space.shape:
            transitions.states = np.stack([transitions.states] * 2, axis=-1)
            transitions.next_states = np.stack([transitions.next_states] * 2, axis=-1)
        return transitions

    qfunction, other = (table(space, learning_rate_decay=decay) for _ in range(2))
    qfunction.update(on(space, random_batch((10,))))
    other.update(on(space, random_batch((30,), seed=5)))
    state, rows = qfunction.state(), qfunction.table_.copy()
    learned = []
    for one in (qfunction, qfunction, other):  # a state may be used more than once
        one.set_state(state)
        np.testing.assert_array_equal(one.table_, rows)
        td_errors = one.update(on(space, random_batch((3, 10), seed=1, n_states=9)))
        learned.append((td_errors, one.table_.copy(), one.n_updates_))
        assert decay == 0 or one.n_updates_.sum() == 40
    for again in learned[1:]:
        for got, expected in zip(again, learned[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_a_state_holds_plain_arrays():
    qfunction = table(Box(0, 9, (2,)), learning_rate_decay=0.1)
    transitions = batch([[5.0, 3.0], [4.0, 3.0]], [0, 1], [1.0, 2.0], [[0.0, 0.0]] * 2, [0.0, 0.0])
    qfunction.update(transitions)
    state = qfunction.state()
    np.testing.assert_array_equal(state["table"], qfunction.table_)
    np.testing.assert_array_equal(state["n_updates"], [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(state["keys"], [[5.0, 3.0], [4.0, 3.0]])
    assert state["keys"].dtype == np.float32
    assert table().state().keys() == state.keys()
    assert table().state()["keys"] is table().state()["n_updates"] is None


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"table": np.zeros((7, 3))},
        table(Discrete(8)).state(),
        table(n_actions=2).state(),
        table(learning_rate_decay=0.1).state(),
        table(Box(0, 9, ())).state(),
        DoubleMemoizationQFunction(**PLAIN).build(Discrete(7), 3, 0).state(),
    ],
    ids=["empty", "part", "states", "actions", "decay", "keys", "double"],
)
def test_other_states_are_refused(state):
    qfunction = table()
    qfunction.update(random_batch((10,)))
    before = qfunction.table_.copy()
    with pytest.raises(ValueError, match="Use"):
        qfunction.set_state(state)
    np.testing.assert_array_equal(qfunction.table_, before)


def test_states_of_another_shape_are_refused():
    state = table(Box(0, 9, (2,))).state()
    with pytest.raises(ValueError, match=r"have the shapes .*\(0, 3\).*got .*\(0, 2\)"):
        table(Box(0, 9, (3,))).set_state(state)


def test_defaults_and_metrics():
    assert table(learning_rate=0.25).metrics() == {"learning_rate": 0.25}
    assert MemoizationQFunction.defaults == ("EpsilonGreedy", "SimpleRunner", 300_000)


@pytest.mark.parametrize("space", [Discrete(7), Box(0, 9, ())])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_pickle(space, decay):
    qfunction = table(space, learning_rate_decay=decay)
    qfunction.update(random_batch((10,)))
    copy = pickle.loads(pickle.dumps(qfunction))
    np.testing.assert_array_equal(copy.table_, qfunction.table_)
    for q in (copy, qfunction):
        q.update(random_batch((3, 10), seed=1))
    np.testing.assert_array_equal(copy.table_, qfunction.table_)


@pytest.mark.parametrize("space", [Discrete(7), Box(0, 9, ())])
def test_build_starts_afresh(space):
    qfunction = table(space, learning_rate_decay=0.1)
    qfunction.update(random_batch((10,)))
    qfunction.build(space, 3, None)
    assert not qfunction.table_.any()
    assert not qfunction.n_updates_.any()
    assert not qfunction.values(np.arange(7)).any()


def test_clone():
    qfunction = table(learning_rate=0.3, initial_value=2.0)
    copy = clone(qfunction)
    assert copy.get_params() == qfunction.get_params()
    assert (copy.learning_rate, copy.initial_value) == (0.3, 2.0)
    assert not hasattr(copy, "table_")


# Errors


@pytest.mark.parametrize(
    ("parameters", "error", "match"),
    [
        ({"learning_rate": 0.0}, ValueError, r"learning_rate must be in \(0, 1\], got 0\.0"),
        ({"learning_rate": 1.5}, ValueError, "learning_rate must be in"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be in"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate must be a number, got '0.1'"),
        ({"learning_rate": True}, TypeError, "learning_rate must be a number"),
        (
            {"learning_rate_decay": -0.1},
            ValueError,
            "learning_rate_decay must be at least 0 .* -0.1",
        ),
        (
            {"learning_rate_decay": float("inf")},
            ValueError,
            "must be at least 0 and finite, got inf",
        ),
        (
            {"learning_rate_decay": float("nan")},
            ValueError,
            "must be at least 0 and finite, got nan",
        ),
        (
            {"learning_rate_decay": None},
            TypeError,
            "learning_rate_decay must be a number, got None",
        ),
        ({"initial_value": float("inf")}, ValueError, "initial_value must be finite"),
        ({"initial_value": None}, TypeError, "initial_value must be a number, got None"),
    ],
)
def test_bad_parameters(parameters, error, match):
    with pytest.raises(error, match=match):
        MemoizationQFunction().set_params(**parameters).build(Discrete(2), 2, None)


@pytest.mark.parametrize(
    ("space", "n_actions", "error", "match"),
    [
        (Discrete(2), 0, ValueError, "n_actions must be at least 1, got 0"),
        (Discrete(2, start=1), 2, ValueError, "count from 0, got Discrete"),
        (Text(3), 2, TypeError, "needs states that are arrays .* got Text"),
    ],
)
def test_bad_spaces(space, n_actions, error, match):
    with pytest.raises(error, match=match):
        MemoizationQFunction().build(space, n_actions, None)


@pytest.mark.parametrize(
    ("states", "match"),
    [
        ([-1], r"States must be integers in \[0, 7\), got -1"),
        ([7], r"got 7"),
        ([0, -1, 3], r"got -1"),
        ([0, 3, 7], r"got 7"),
        ([2, 3, 7], r"got 7"),
        ([2.0], r"must be integers .* got 2\.0"),
        ([2.0, 3.5], r"must be integers"),
    ],
)
def test_states_out_of_range(states, match):
    qfunction, states = table(), np.array(states)
    fine, zeros = np.zeros(len(states), np.int64), [0.0] * len(states)
    with pytest.raises(ValueError, match=match):
        qfunction.values(states)
    with pytest.raises(ValueError, match=match):
        qfunction.update(batch(states, fine, zeros, fine, zeros))
    with pytest.raises(ValueError, match=match):
        qfunction.update(batch(fine, fine, zeros, states, zeros))
    assert not qfunction.table_.any()


@pytest.mark.parametrize(("actions", "culprit"), [([-1], -1), ([3], 3), ([0, -2], -2), ([1, 4], 4)])
def test_actions_out_of_range(actions, culprit):
    n = len(actions)
    with pytest.raises(ValueError, match=rf"Actions must be integers in \[0, 3\), got {culprit}"):
        table().update(batch([0] * n, actions, [0.0] * n, [0] * n, [0.0] * n))


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 4)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["rewards", "discounts", "weights"])
def test_numbers_that_are_not_finite(shape, bad, name):
    qfunction = table(initial_value=1.0, learning_rate_decay=0.1)
    transitions = random_batch(shape)
    transitions.weights = np.ones(shape)
    getattr(transitions, name)[..., 0] = bad
    with pytest.raises(ValueError, match="must be finite, got the TD error"):
        qfunction.update(transitions)
    assert (qfunction.table_ == 1.0).all()
    assert not qfunction.n_updates_.any()


@pytest.mark.parametrize(
    ("space", "states"),
    [
        (Discrete(7), np.zeros((2, 1), int)),
        (Discrete(7), np.zeros((), int)),
        (Box(0, 1, (3,)), np.zeros(3, np.float32)),
        (Box(0, 1, (3,)), np.zeros((2, 4), np.float32)),
        (Box(0, 1, (3,)), np.zeros((2, 5, 3), np.float32)),
        (Box(0, 1, ()), np.zeros((), np.float32)),
    ],
)
def test_states_that_are_not_a_batch(space, states):
    # Without the type hints' check, which would come first.
    values = getattr(MemoizationQFunction.values, "__wrapped__", MemoizationQFunction.values)
    with pytest.raises(ValueError, match=r"must come as a batch, an array of shape \(m, .*got sh"):
        values(table(space), states)


def test_states_of_another_kind():
    with pytest.raises(TypeError, match="same_kind"):
        table(MultiDiscrete([3, 3])).values(np.array([[0.5, 1.0]]))


def test_before_build():
    qfunction = MemoizationQFunction()
    match = r"MemoizationQFunction does not know its environment yet\. Call build"
    for use in (
        lambda: qfunction.values(np.array([0])),
        lambda: qfunction.update(random_batch((1,))),
        lambda: qfunction.update(random_batch((5,))),
        lambda: qfunction.state(),
        lambda: qfunction.set_state(table().state()),
        lambda: qfunction.table_,
        lambda: qfunction.n_updates_,
    ):
        with pytest.raises(NotFittedError, match=match):
            use()
