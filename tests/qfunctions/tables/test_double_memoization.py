import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from test_memoization import GAMMA, PLAIN, batch, random_batch, with_facts

from skrl.environments.worlds import MaximizationBias
from skrl.environments.worlds.maximization_bias import A, B
from skrl.policies import EpsilonGreedy
from skrl.qfunctions import DoubleMemoizationQFunction, MemoizationQFunction


def double(space=None, n_actions=3, seed=0, **parameters):
    space = Discrete(7) if space is None else space
    return DoubleMemoizationQFunction(**PLAIN | parameters).build(space, n_actions, seed)


def filled(first, second, seed=0, **parameters):
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    qfunction = double(Discrete(len(first)), first.shape[1], seed, **parameters)
    qfunction.tables_[:] = first, second
    return qfunction


# Against numbers worked out by hand

FIRST = [[8.0, 2.0], [4.0, 3.0]]
SECOND = [[1.0, 6.0], [5.0, 9.0]]


def test_the_other_table_values_the_action_that_is_best_in_the_updated_one():
    # In state 0 action 1 earns 1 and leads to state 1. Table 1 likes action 0 there, which is
    # worth 5 in table 2; table 2 likes action 1, which is worth 3 in table 1.
    after_first = [[8.0, 2.0 + 0.25 * (1.0 + 0.5 * 5.0 - 2.0)], [4.0, 3.0]]
    after_second = [[1.0, 6.0 + 0.25 * (1.0 + 0.5 * 3.0 - 6.0)], [5.0, 9.0]]
    updated = []
    for seed in range(20):
        for shape in ((1,), (1, 1)):
            qfunction = filled(FIRST, SECOND, seed, learning_rate=0.25)
            one = batch([0], [1], [1.0], [1], [0.5])[np.zeros(shape, dtype=int)]
            td_error = qfunction.update(one).item()
            first_changed = (qfunction.tables_[0] != FIRST).any()
            expected = (after_first, SECOND) if first_changed else (FIRST, after_second)
            np.testing.assert_array_equal(qfunction.tables_, expected)
            assert td_error == (1.5 if first_changed else -3.5)
            updated.append(first_changed)
    assert updated[::2] == updated[1::2]  # alone or in a batch, the same coin
    assert {*updated} == {False, True}


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
@pytest.mark.parametrize(
    ("facts", "by_first", "by_second"),
    [
        ({"masks": [1, 1, 1]}, 5.0, 3.0),
        ({"masks": [0, 1, 1]}, 9.0, 3.0),  # table 1 chooses action 1, as table 2 does
        ({"masks": [1, 0, 1]}, 5.0, 4.0),
        ({"probabilities": [0.0, 1.0, 0.0]}, 9.0, 3.0),
        ({"probabilities": [0.5, 0.25, 0.25]}, 2.5 + 2.25, 2.0 + 0.75),
    ],
)
def test_the_bootstrap_value_knows_the_facts(shape, facts, by_first, by_second):
    first, second = [[0.0] * 3, [4.0, 3.0, 0.0]], [[0.0] * 3, [5.0, 9.0, 0.0]]
    seen = set()
    for seed in range(20):
        qfunction = filled(first, second, seed, learning_rate=1.0)
        td_error = qfunction.update(with_facts(shape, **facts)).item()
        changed = qfunction.tables_[:, 0, 1]
        np.testing.assert_array_equal(changed, [td_error, 0.0] if changed[0] else [0.0, td_error])
        assert td_error == 1.0 + 0.5 * (by_first if changed[0] else by_second)
        seen.add(bool(changed[0]))
    assert seen == {False, True}


def test_values_are_the_mean_of_both_tables():
    qfunction = filled(FIRST, SECOND)
    mean = [[4.5, 4.0], [4.5, 6.0]]
    np.testing.assert_array_equal(qfunction.values(np.array([1, 0, 1])), [mean[1], *mean])
    np.testing.assert_array_equal(qfunction.table_, mean)
    assert qfunction.values(np.array([0])).dtype == np.float64


@pytest.mark.parametrize("shape", [(4000,), (40, 100)])
def test_the_coin_is_fair_and_tossed_for_each_transition(shape):
    qfunction = double(Discrete(4000), 1, learning_rate=1.0)
    states = np.arange(4000).reshape(shape)
    qfunction.update(batch(states, np.zeros(shape, int), np.ones(shape), states, np.zeros(shape)))
    first, second = qfunction.tables_[:, :, 0]
    np.testing.assert_array_equal(first + second, 1)
    assert abs(first.sum() - 2000) < 130  # four standard deviations


def test_each_table_counts_its_own_updates():
    qfunction = double(n_actions=1, learning_rate=1.0, learning_rate_decay=1.0)
    rewards = {0: [], 1: []}
    for reward in np.random.default_rng(1).normal(size=30):
        before = qfunction.tables_.copy()
        qfunction.update(batch([2], [0], [reward], [2], [0.0]))
        (changed,) = np.flatnonzero((qfunction.tables_ != before).any(axis=(1, 2)))
        rewards[int(changed)].append(reward)
    means = [np.mean(rewards[0]), np.mean(rewards[1])]
    np.testing.assert_allclose(qfunction.tables_[:, 2, 0], means)
    assert qfunction.n_updates_[2, 0] == 30
    assert qfunction.n_updates_.sum() == 30
    assert double().n_updates_ is None


def test_both_tables_find_the_optimum_of_a_chain():
    # As for the single table: arriving in 3 pays 1 and ends the episode.
    states, actions = np.repeat(np.arange(3), 2), np.tile([0, 1], 3)
    next_states = np.clip(states + 2 * actions - 1, 0, 3)
    arrived = next_states == 3
    transitions = batch(states, actions, arrived, next_states, np.where(arrived, 0.0, GAMMA))
    optimum = np.array([[GAMMA**3, GAMMA**2], [GAMMA**3, GAMMA], [GAMMA**2, 1.0], [0.0, 0.0]])
    qfunction = double(Discrete(4), 2, learning_rate=1.0)
    for _ in range(100):
        qfunction.update(transitions)
    np.testing.assert_allclose(qfunction.tables_, [optimum, optimum], atol=1e-12)


# Several ways to say the same, bit for bit


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_transition_alone_or_in_a_batch(decay, weighted):
    alone, in_batch = (double(learning_rate_decay=decay) for _ in range(2))
    transitions = random_batch((300,))
    if weighted:
        transitions.weights = np.random.default_rng(1).random(300)
    for i in range(300):
        np.testing.assert_array_equal(
            alone.update(transitions[i : i + 1]), in_batch.update(transitions[[[i]]])[0]
        )
    np.testing.assert_array_equal(alone.tables_, in_batch.tables_)
    assert alone.tables_.any(axis=(1, 2)).all()


@pytest.mark.parametrize("shape", [(1,), (20,), (3, 20)])
def test_remembered_states_learn_like_numbered_ones(shape):
    parameters = {"initial_value": 0.5, "learning_rate_decay": 0.1}
    numbered, remembered = double(**parameters), double(Box(-9, 9, ()), **parameters)
    for seed in range(30):
        transitions = random_batch(shape, seed=seed)
        expected = numbered.update(transitions)
        transitions.states = transitions.states.astype(np.float32)
        transitions.next_states = transitions.next_states.astype(np.float32)
        np.testing.assert_array_equal(remembered.update(transitions), expected)
    np.testing.assert_array_equal(
        remembered.values(np.arange(9, dtype=np.float32))[:7], numbered.table_
    )
    assert remembered.tables_.shape == (2, 7, 3)
    assert remembered.n_updates_.sum() == 30 * np.prod(shape)


def test_k_updates_in_one_call():
    transitions = random_batch((6, 20))
    fused, single = double(), double()
    td_errors = fused.update(transitions)
    np.testing.assert_array_equal(td_errors, [single.update(transitions[k]) for k in range(6)])
    np.testing.assert_array_equal(fused.tables_, single.tables_)


# An estimator


def test_the_random_state_decides():
    tables = []
    for seed in (1, 1, 2, np.random.default_rng(1)):
        qfunction = double(seed=seed)
        qfunction.update(random_batch((100,)))
        tables.append(qfunction.tables_)
    np.testing.assert_array_equal(tables[0], tables[1])
    np.testing.assert_array_equal(tables[0], tables[3])
    assert (tables[0] != tables[2]).any()


@pytest.mark.parametrize("space", [Discrete(9), Box(0, 9, ()), Discrete(10**9)])
def test_state_pickle_and_build(space):
    qfunction, other = (double(space, seed=seed, learning_rate_decay=0.1) for seed in (0, 1))
    qfunction.update(random_batch((10,)))
    state, before = qfunction.state(), qfunction.tables_.copy()
    learned = []
    for one in (qfunction, qfunction, other):  # the coin continues as well
        one.set_state(state)
        np.testing.assert_array_equal(one.tables_, before)
        one.update(random_batch((3, 10), seed=1, n_states=9))
        learned.append(one.tables_)
    np.testing.assert_array_equal(learned[1], learned[0])
    np.testing.assert_array_equal(learned[2], learned[0])
    copy = pickle.loads(pickle.dumps(qfunction))
    for q in (copy, qfunction):
        q.update(random_batch((3, 10), seed=2))
    np.testing.assert_array_equal(copy.tables_, qfunction.tables_)
    qfunction.build(space, 3, 0)
    assert not qfunction.tables_.any()


def test_other_states_are_refused():
    qfunction = double()
    of_one_table = MemoizationQFunction(**PLAIN).build(Discrete(7), 3, 0).state()
    coin = {"rng": qfunction.state()["rng"]}
    of_mt19937 = {"rng": np.random.MT19937(0).state}
    for other in (
        of_one_table,
        {**of_one_table, **coin},
        double(n_actions=2).state(),
        {**qfunction.state(), **of_mt19937},
    ):
        with pytest.raises(ValueError, match="state"):
            qfunction.set_state(other)


def test_clone():
    copy = clone(double(learning_rate=0.3))
    assert isinstance(copy, DoubleMemoizationQFunction)
    assert copy.get_params() == PLAIN | {"learning_rate": 0.3}


def test_before_build():
    qfunction = DoubleMemoizationQFunction()
    for use in (
        lambda: qfunction.values(np.array([0])),
        lambda: qfunction.update(random_batch((1,))),
        lambda: qfunction.update(random_batch((5,))),
        lambda: qfunction.table_,
        lambda: qfunction.tables_,
        lambda: qfunction.n_updates_,
    ):
        with pytest.raises(NotFittedError, match="DoubleMemoizationQFunction does not know"):
            use()


@pytest.mark.parametrize(("actions", "culprit"), [([-1], -1), ([3], 3), ([0, -2], -2), ([1, 4], 4)])
def test_actions_out_of_range_are_not_those_of_the_other_table(actions, culprit):
    n = len(actions)
    qfunction = double()
    with pytest.raises(ValueError, match=rf"Actions must be integers in \[0, 3\), got {culprit}"):
        qfunction.update(batch([0] * n, actions, [1.0] * n, [0] * n, [0.0] * n))
    assert not qfunction.tables_.any()


# What it is for


def share_of_left(qfunction_class, n_runs, n_episodes, seed):
    """In how many of `n_runs` independent runs each episode went left, shape (n_episodes,).

    One table learns all runs side by side: it knows the states A and B of each.
    """
    world, rng = MaximizationBias(), np.random.default_rng(seed)
    world.reset(seed=seed)
    qfunction = qfunction_class(**PLAIN).build(Discrete(2 * n_runs), world.n_arms, seed)
    policy, runs = EpsilonGreedy(0.1), np.arange(n_runs)

    def learn(runs, state):
        states = 2 * runs + state
        actions = policy.decide(states, qfunction, 0.0, rng).actions
        steps = []
        for action in actions:
            world.reset()
            world.state = state
            steps.append(world.step(action)[:3])
        next_states, rewards, terminated = (np.array(column) for column in zip(*steps, strict=True))
        # The values of an end do not count.
        successors = np.where(terminated, states, 2 * runs + next_states)
        qfunction.update(batch(states, actions, rewards, successors, ~terminated))
        return ~terminated

    share = np.empty(n_episodes)
    for episode in range(n_episodes):
        went_left = learn(runs, A)
        share[episode] = went_left.mean()
        if went_left.any():
            learn(runs[went_left], B)
    return share


def test_double_learning_is_not_drawn_to_the_left():
    """Figure 6.5 of Sutton & Barto (2018); what to expect was computed with 2,000 runs."""
    single = share_of_left(MemoizationQFunction, n_runs=100, n_episodes=80, seed=0)
    twofold = share_of_left(DoubleMemoizationQFunction, n_runs=100, n_episodes=200, seed=0)
    assert single[30:60].mean() > 0.8  # 0.90 is to be expected
    assert twofold[30:60].mean() < 0.45  # 0.32
    assert single[60:80].mean() > twofold[60:80].mean() + 0.4  # 0.80 and 0.18
    # Of random actions, taken in 10 % of all cases, half go left.
    assert 0.04 < twofold[150:].mean() < 0.11  # 0.07
