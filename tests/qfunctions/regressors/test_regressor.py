"""Linear methods and fitted Q iteration, against tables and value iteration."""

import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skrl import (
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    RandomPolicy,
    SimpleRunner,
)
from skrl.base import Transitions
from skrl.qfunctions.regressors.regressor import RegressorQFunction
from skrl.qfunctions.regressors.tile_coding import TileCoding
from skrl.runners import ReplayBuffer
from worlds import make_transitions

GAMMA = 0.9
UNBOUNDED = Box(-np.inf, np.inf, (4,), np.float32)
BOUNDED = Box(np.array([-1.2, -0.07], np.float32), np.array([0.6, 0.07], np.float32))


def linear(step_size=0.5, **parameters):
    """Plain stochastic gradient descent."""
    parameters = {"penalty": None, "fit_intercept": False} | parameters
    return SGDRegressor(learning_rate="constant", eta0=step_size, **parameters)


def forest():
    return ExtraTreesRegressor(n_estimators=3, max_features=1)


def build(estimator, space=UNBOUNDED, n_actions=2, features=None, random_state=0):
    return RegressorQFunction(estimator, features).build(space, n_actions, random_state)


def batch(shape=(64,), space=UNBOUNDED, n_actions=2, seed=0):
    return make_transitions(np.random.default_rng(seed), shape, space.shape, n_actions)


def discrete_batch(shape, n_states, n_actions, seed=0):
    rng = np.random.default_rng(seed)
    transitions = make_transitions(rng, shape, (), n_actions)
    transitions.states = rng.integers(n_states, size=shape)
    transitions.next_states = rng.integers(n_states, size=shape)
    return transitions


def every_step(successors, rewards, terminated):
    """One transition for every state and action of a deterministic world."""
    states, actions = (index.ravel() for index in np.indices(successors.shape))
    ended = terminated.ravel()
    return Transitions(
        states=states,
        actions=actions,
        rewards=rewards.ravel(),
        next_states=successors.ravel(),
        discounts=np.where(ended, 0.0, GAMMA),
        terminated=ended,
        truncated=np.zeros(len(states), dtype=bool),
    )


def random_world(n_states=12, n_actions=3, seed=0):
    rng = np.random.default_rng(seed)
    shape = n_states, n_actions
    return rng.integers(n_states, size=shape), rng.normal(size=shape), rng.random(shape) < 0.2


def value_iteration(successors, rewards, terminated, n_sweeps):
    values = np.zeros(successors.shape)
    for _ in range(n_sweeps):
        values = rewards + np.where(terminated, 0.0, GAMMA) * values.max(axis=1)[successors]
    return values


# What is learned


@pytest.mark.parametrize("space", [Discrete(7), MultiDiscrete([7])])
def test_a_linear_method_on_one_hot_states_is_a_table(space):
    transitions = discrete_batch((200, 1), n_states=7, n_actions=3)
    if space.shape:
        transitions.states = transitions.states[..., np.newaxis]
        transitions.next_states = transitions.next_states[..., np.newaxis]
    qfunction = build(linear(0.5), space, n_actions=3)
    table = MemoizationQFunction(learning_rate=0.5, learning_rate_decay=0.0, initial_value=0.0)
    table.build(space, 3, None)
    td_errors = qfunction.update(transitions)
    np.testing.assert_allclose(td_errors, table.update(transitions), atol=1e-12)
    states = np.arange(7).reshape(7, *space.shape)
    np.testing.assert_allclose(qfunction.values(states), table.values(states), atol=1e-12)


def test_a_linear_method_learns_the_exact_values_of_a_chain():
    """Action 1 goes on to the right, action 0 stays; the end of the chain earns 1."""
    n_states = 6
    right = np.arange(n_states) + 1
    successors = np.stack([np.arange(n_states), np.minimum(right, n_states - 1)], axis=1)
    terminated = np.stack([np.zeros(n_states, dtype=bool), right == n_states], axis=1)
    chain = every_step(successors, terminated.astype(float), terminated)
    qfunction = build(linear(1.0), Discrete(n_states))
    for _ in range(n_states + 1):
        qfunction.update(chain)
    to_go = np.arange(n_states)[::-1]
    exact = np.stack([GAMMA ** (to_go + 1), GAMMA**to_go], axis=1)
    np.testing.assert_allclose(qfunction.values(np.arange(n_states)), exact, rtol=1e-12)


@pytest.mark.parametrize("n_iterations", [1, 2, 10])
def test_fitted_q_iteration_with_a_tree_is_value_iteration(n_iterations):
    world = random_world()
    steps = every_step(*world)
    qfunction = build(DecisionTreeRegressor(), Discrete(12), n_actions=3)
    qfunction.update(steps[np.tile(np.arange(len(steps)), (n_iterations, 1))])
    exact = value_iteration(*world, n_iterations)
    np.testing.assert_allclose(qfunction.values(np.arange(12)), exact, atol=1e-12)


@pytest.mark.parametrize("estimator", [linear(0.01, fit_intercept=True), LinearRegression()])
def test_values_are_what_the_regressors_predict(estimator):
    """Also where the Q function computes them itself."""
    qfunction = build(estimator)
    qfunction.update(batch((3, 64)))
    states = batch().next_states
    predicted = [regressor.predict(states) for regressor in qfunction.regressors_]
    values = qfunction.values(states)
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, np.stack(predicted, axis=1), rtol=1e-6)


def test_errors_are_those_before_the_update():
    qfunction = build(linear(0.01))
    qfunction.update(batch())
    transitions = batch(seed=1)
    bootstrap = qfunction.values(transitions.next_states).max(axis=1)
    targets = transitions.rewards + transitions.discounts * bootstrap
    before = qfunction.values(transitions.states)[np.arange(64), transitions.actions]
    np.testing.assert_allclose(qfunction.update(transitions), targets - before, atol=1e-12)


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
@pytest.mark.parametrize(
    ("facts", "bootstrap"),
    [
        ({}, 9.0),
        ({"next_action_masks": [True, True, False]}, 5.0),
        ({"next_action_masks": [False, True, False]}, 4.0),
        ({"next_probabilities": [0.0, 1.0, 0.0]}, 4.0),
        ({"next_probabilities": [0.5, 0.25, 0.25]}, 2.5 + 1.0 + 2.25),
    ],
)
@pytest.mark.parametrize("estimator", [linear(1.0), DecisionTreeRegressor()])
def test_the_bootstrap_value_knows_the_facts(shape, facts, bootstrap, estimator):
    qfunction = build(estimator, Discrete(2), n_actions=3)
    values = np.array([5.0, 4.0, 9.0])
    known = every_step(np.ones((2, 3), int), np.tile(values, (2, 1)), np.ones((2, 3), bool))
    qfunction.update(known)  # in both states the actions are worth 5, 4 and 9
    transitions = known[np.zeros(shape, dtype=int)]
    transitions.discounts = np.full(shape, 0.5)
    for name, fact in facts.items():
        setattr(transitions, name, np.tile(fact, (*shape, 1)))
    td_errors = qfunction.update(transitions)
    np.testing.assert_allclose(td_errors, np.full(shape, 0.5 * bootstrap), atol=1e-12)
    np.testing.assert_allclose(
        qfunction.values(np.array([0])), [[5.0 + 0.5 * bootstrap, 4.0, 9.0]], atol=1e-12
    )


@pytest.mark.parametrize("estimator", [linear(0.01), DecisionTreeRegressor(max_depth=3)])
def test_k_updates_in_one_call_are_k_calls(estimator):
    transitions = batch((4, 32))
    one_call, four_calls = build(estimator), build(estimator)
    td_errors = one_call.update(transitions)
    assert td_errors.shape == (4, 32)
    np.testing.assert_array_equal(td_errors, [four_calls.update(transitions[k]) for k in range(4)])
    states = transitions.states[0]
    np.testing.assert_array_equal(one_call.values(states), four_calls.values(states))


@pytest.mark.parametrize("estimator", [linear(), forest()])
def test_what_was_not_learned_from_is_worth_0(estimator):
    qfunction = build(estimator, n_actions=3)
    transitions = batch()  # of the actions 0 and 1
    assert qfunction.values(transitions.states).tolist() == [[0.0] * 3] * 64
    qfunction.update(transitions)
    values = qfunction.values(transitions.states)
    assert np.ptp(values[:, :2], axis=0).min() > 0
    assert not values[:, 2].any()


@pytest.mark.parametrize("estimator", [LinearRegression(), linear(0.01, shuffle=False)])
def test_weights_weigh(estimator):
    """A row without weight is as good as absent."""
    transitions = batch()
    some = transitions[:32]
    transitions.weights = (np.arange(64) < 32).astype(np.float32)
    weighted, fewer = build(estimator), build(estimator)
    weighted.update(transitions)
    fewer.update(some)
    states = transitions.next_states
    np.testing.assert_allclose(weighted.values(states), fewer.values(states), atol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "starts_afresh"),
    [(linear(0.01), False), (make_pipeline(linear(0.01)), True), (forest(), True)],
)
def test_only_an_incremental_regressor_continues_from_what_it_knows(estimator, starts_afresh):
    last = batch(seed=1)
    last.discounts[:] = 0  # what was known does not count in the targets
    both, last_only = build(estimator), build(estimator)
    both.update(batch())
    both.update(last)
    last_only.update(last)
    states = last.next_states
    assert np.array_equal(both.values(states), last_only.values(states)) == starts_afresh


# Features


def test_features_of_a_bounded_space_are_fitted_to_it():
    qfunction = build(linear(), BOUNDED, features=TileCoding(n_tilings=2, n_tiles=3))
    np.testing.assert_allclose(qfunction.features_.low_, BOUNDED.low, atol=0.02)
    np.testing.assert_allclose(qfunction.features_.high_, BOUNDED.high, atol=0.02)


@pytest.mark.parametrize(
    "space", [UNBOUNDED, Box(-3.4e38, 3.4e38, (4,), np.float32)], ids=["inf", "largest float"]
)
def test_features_of_an_unbounded_space_are_fitted_once_to_the_first_states(space):
    qfunction = build(linear(), space, features=StandardScaler())
    first = batch((10, 100), seed=1)
    assert qfunction.features_ is None
    assert not qfunction.values(first.states[0]).any()
    np.testing.assert_array_equal(qfunction.encode(first.states[0]), first.states[0])
    qfunction.update(first)
    features = qfunction.features_
    seen = first.states.reshape(-1, 4)
    np.testing.assert_allclose(features.mean_, seen.mean(axis=0), atol=1e-6)
    scaled = (seen - seen.mean(axis=0)) / seen.std(axis=0)
    np.testing.assert_allclose(qfunction.encode(seen), scaled, atol=1e-5)
    qfunction.update(batch((10, 100), seed=2))
    assert qfunction.features_ is features
    assert features.n_samples_seen_ == 1000


def test_frozen_features_stay_as_they_are():
    scaler = StandardScaler().fit([[0.0] * 4, [2.0] * 4])
    qfunction = build(linear(), features=FrozenEstimator(scaler))
    qfunction.update(batch((10, 100)))
    np.testing.assert_array_equal(qfunction.encode(np.ones((1, 4), np.float32)), [[0.0] * 4])


def test_encoded_states_are_the_features():
    qfunction = build(linear(), BOUNDED, features=TileCoding(n_tilings=2, n_tiles=3))
    states = np.zeros((5, 2), np.float32)
    encoded = qfunction.encode(states)
    np.testing.assert_array_equal(encoded, qfunction.features_.transform(states).toarray())
    qfunction = build(linear(), Discrete(3))
    assert qfunction.encode(np.array([2])).tolist() == [[0.0, 0.0, 1.0]]


# Seeds, files and states


def bits(qfunction, states):
    return qfunction.values(states).tobytes()


def learned(random_state, estimator):
    features = make_pipeline(StandardScaler(), RBFSampler(n_components=5))
    qfunction = build(estimator, BOUNDED, features=features, random_state=random_state)
    qfunction.update(batch((2, 50), BOUNDED))
    return qfunction


@pytest.mark.parametrize("estimator", [forest(), linear(0.01)])
def test_the_seed_decides_every_bit(estimator):
    global_state = np.random.get_state()[1].tobytes()  # noqa: NPY002
    states = batch(space=BOUNDED).next_states
    first, again, other = (bits(learned(seed, estimator), states) for seed in (1, 1, 2))
    assert first == again != other
    assert np.random.get_state()[1].tobytes() == global_state  # noqa: NPY002


def test_a_random_state_that_was_given_stays():
    estimator = ExtraTreesRegressor(random_state=7)
    features = make_pipeline(RBFSampler(random_state=8), RBFSampler())
    qfunction = build(estimator, BOUNDED, features=features)
    qfunction.update(batch(space=BOUNDED))
    assert [regressor.random_state for regressor in qfunction.regressors_] == [7, 7]
    assert qfunction.features_[0].random_state == 8
    assert qfunction.features_[1].random_state is not None
    assert features[1].random_state is None  # it was a clone that was changed


@pytest.mark.parametrize("estimator", [forest(), linear(0.01)])
def test_pickles_and_goes_on_the_same(estimator):
    qfunction = learned(0, estimator)
    loaded = pickle.loads(pickle.dumps(qfunction))
    states = batch(space=BOUNDED).next_states
    assert bits(loaded, states) == bits(qfunction, states)
    for each in (loaded, qfunction):
        each.update(batch(space=BOUNDED, seed=3))
    assert bits(loaded, states) == bits(qfunction, states)


@pytest.mark.parametrize("estimator", [forest(), linear(0.01)])
def test_learning_goes_on_from_a_state(estimator):
    """In the same Q function, and in one with other seeds."""
    qfunction, other = learned(0, estimator), learned(1, estimator)
    states = batch(space=BOUNDED).next_states
    before, state = bits(qfunction, states), qfunction.state()
    qfunction.update(batch(space=BOUNDED, seed=3))
    after = bits(qfunction, states)
    assert after != before
    for one in (qfunction, other):
        one.set_state(state)
        assert bits(one, states) == before
        one.update(batch(space=BOUNDED, seed=3))
        assert bits(one, states) == after


@pytest.mark.parametrize(
    "other", [build(linear(), n_actions=3), build(linear(), BOUNDED)], ids=["actions", "inputs"]
)
def test_other_states_are_refused(other):
    qfunction = build(linear(0.01))
    qfunction.update(batch())
    before = bits(qfunction, batch().states)
    for state in (other.state(), {}):
        with pytest.raises(ValueError, match="Use"):
            qfunction.set_state(state)
    assert bits(qfunction, batch().states) == before


def test_build_forgets():
    qfunction = learned(0, forest())
    qfunction.build(BOUNDED, 2, 0)
    assert not qfunction.values(batch(space=BOUNDED).states).any()


def test_nested_parameters():
    agent = QLearningAgent(RegressorQFunction(linear(), make_pipeline(RBFSampler())))
    agent = clone(agent).set_params(
        qfunction__estimator__eta0=0.125, qfunction__features__rbfsampler__gamma=3.0
    )
    parameters = clone(agent).get_params()
    assert parameters["qfunction__estimator__eta0"] == 0.125
    assert parameters["qfunction__features__rbfsampler__gamma"] == 3.0


ONLINE = SimpleRunner()
BATCHES = ExperienceReplay(
    ReplayBuffer(n_step_return=1),
    batch_size=1_000,
    train_freq=512,
    gradient_steps=10,
    learning_starts=512,
)


@pytest.mark.parametrize(
    ("estimator", "runner"), [(linear(0.2), ONLINE), (DecisionTreeRegressor(), BATCHES)]
)
def test_it_learns_a_world(estimator, runner):
    # Random actions see all states: of those that a batch has not seen, a tree knows nothing.
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs=32)
    qfunction = build(estimator, environment.state_space, environment.n_actions)
    runner.run(environment, qfunction, RandomPolicy(), n_steps=4_096, rng=0)
    # To the right, stay, to the left.
    assert qfunction.values(np.arange(11)).argmax(axis=1).tolist() == [2] * 5 + [1] + [0] * 5


# Errors


@pytest.mark.parametrize(
    ("estimator", "features", "message"),
    [
        (SGDRegressor, None, "estimator must be an instance of a scikit-learn regressor"),
        (LogisticRegression(), None, "regressor.*got LogisticRegression"),
        (None, None, "regressor.*got None"),
        (linear(), StandardScaler, "features must be an instance of a scikit-learn transformer"),
        (linear(), linear(), "transformer.*got SGDRegressor"),
    ],
)
def test_other_estimators_are_refused(estimator, features, message):
    with pytest.raises(TypeError, match=message):
        build(estimator, features=features)


def test_nothing_works_before_build():
    qfunction, states = RegressorQFunction(linear()), np.zeros((1, 4), np.float32)
    for call in (
        lambda: qfunction.values(states),
        lambda: qfunction.encode(states),
        lambda: qfunction.update(batch()),
        qfunction.state,
    ):
        with pytest.raises(NotFittedError, match="build"):
            call()


@pytest.mark.parametrize("name", ["rewards", "discounts"])
def test_a_target_that_is_not_finite_is_not_learned(name):
    qfunction = build(linear(0.01))
    qfunction.update(batch())
    states = batch().states
    before = bits(qfunction, states)
    transitions = batch(seed=1)
    getattr(transitions, name)[3] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        qfunction.update(transitions)
    assert bits(qfunction, states) == before


@pytest.mark.parametrize("action", [-1, 2])
def test_an_action_out_of_range_is_refused(action):
    transitions = batch()
    transitions.actions[5] = action
    with pytest.raises(ValueError, match=rf"Actions must be integers in \[0, 2\), got {action}"):
        build(linear()).update(transitions)


def test_states_must_be_a_batch():
    with pytest.raises(ValueError, match=r"shape \(m, \*\(4,\)\), got shape \(4,\)"):
        build(linear()).values(np.zeros(4, np.float32))


@pytest.mark.parametrize("estimator", [KNeighborsRegressor(), make_pipeline(MLPRegressor())])
def test_weights_need_a_regressor_that_takes_them(estimator):
    transitions = batch()
    transitions.weights = np.ones(64, np.float32)
    with pytest.raises(ValueError, match="takes no sample_weight"):
        build(estimator).update(transitions)


def test_features_need_enough_states():
    qfunction = build(linear(), features=StandardScaler())
    with pytest.raises(ValueError, match=r"at least 1000 states .* got 1\. .*FrozenEstimator"):
        qfunction.update(batch((1,)))
