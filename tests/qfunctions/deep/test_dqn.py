import copy
import dataclasses
import os
import pickle
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from gymnasium import spaces
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl import DQN
from skrl.base import Transitions
from skrl.qfunctions.deep.networks import convolutional_network, dense_network
from skrl.qfunctions.deep.tensorflow import keras, tf
from worlds import make_transitions

CARTPOLE = spaces.Box(-np.inf, np.inf, (4,), np.float32)


def two_towers(state_shape, n_actions):
    """A network that is not a stack of dense layers."""
    inputs = keras.layers.Input(state_shape)
    left = keras.layers.Dense(8, "tanh")(inputs)
    right = keras.layers.Dense(8, "relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(n_actions)(left * right))


def plain_sgd(learning_rate):
    return keras.optimizers.SGD(learning_rate)


def forward(weights, states):
    """A dense network with relu, written out; also the inputs of every layer."""
    inputs = [states]
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        inputs.append(np.maximum(inputs[-1] @ kernel + bias, 0))
    return inputs[-1] @ weights[-2] + weights[-1], inputs


def gradients(weights, states, actions, slopes):
    """Gradient of sum_i slopes_i * Q(states_i, actions_i), by backpropagation."""
    values, inputs = forward(weights, states)
    upstream = np.zeros_like(values)
    upstream[np.arange(len(actions)), actions] = slopes
    result = []
    for layer in reversed(range(len(inputs))):
        result = [inputs[layer].T @ upstream, upstream.sum(axis=0), *result]
        upstream = (upstream @ weights[2 * layer].T) * (inputs[layer] > 0)
    return result


def three_kinds_of_transitions():
    """A terminated, a truncated, a three-step transition, and a plain one with a large error."""
    rng = np.random.default_rng(0)
    transitions = make_transitions(rng, (4,))
    transitions.discounts[:] = [0.0, 0.9, 0.9**3, 0.9]
    transitions.terminated[:] = [True, False, False, False]
    transitions.truncated[:] = [False, True, False, False]
    transitions.rewards[:] = [0.5, -0.3, 0.2, 50.0]  # the last on the straight part of the loss
    return transitions


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_one_update_equals_the_one_written_out_by_hand(double, optimizer):
    qfunction = DQN((16, 8), learning_rate=0.1, optimizer=optimizer, double=double, huber_delta=2.0)
    qfunction.set_params(scale_states=False, target_update_interval=10**9, learning_rate_decay=0.1)
    qfunction.build(CARTPOLE, 2, random_state=3)
    # One update first, so that online and target network differ.
    target_weights = [w.astype(np.float64) for w in qfunction.weights_]
    warm_up = make_transitions(np.random.default_rng(5), (10, 32))
    warm_up.rewards[:] = 3 * warm_up.actions
    t = three_kinds_of_transitions()
    if optimizer == "sgd":
        qfunction.update(warm_up)
    weights = [w.astype(np.float64) for w in qfunction.weights_]

    # Targets: r + discount * bootstrap
    online, _ = forward(weights, t.next_states)
    target, _ = forward(target_weights, t.next_states)
    chosen = (online if double else target).argmax(axis=1)
    bootstrap = target[np.arange(4), chosen]
    assert (online.argmax(axis=1) != target.argmax(axis=1)).any() or optimizer == "adam"
    values, _ = forward(weights, t.states)
    errors = t.rewards + t.discounts * bootstrap - values[np.arange(4), t.actions]
    assert abs(errors[3]) > 2 > np.abs(errors[:2]).max()

    # Mean Huber loss: its slope in Q is -error, but at most delta in size.
    slopes = -np.clip(errors, -2.0, 2.0) / 4
    descent = gradients(weights, t.states, t.actions, slopes)
    if optimizer == "sgd":
        # After 10 updates the step size is alpha_11 = 0.1 / (1 + 0.1 * 10).
        expected = [w - 0.05 * g for w, g in zip(weights, descent, strict=True)]
    else:
        # The first step of Adam: m / (1 - b1) = g and v / (1 - b2) = g^2.
        expected = [
            w - 0.1 * g / (np.abs(g) + 1e-7 / np.sqrt(1 - 0.999))
            for w, g in zip(weights, descent, strict=True)
        ]
    td_errors = qfunction.update(t)
    np.testing.assert_allclose(td_errors, errors, atol=1e-5)
    for ours, theirs in zip(qfunction.weights_, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_k_updates_in_one_call_equal_k_calls():
    """Also when target updates fall into it."""
    together = DQN((8,), target_update_interval=3, scale_states=False)
    together.build(CARTPOLE, 2, random_state=0)
    one_by_one = clone(together).build(CARTPOLE, 2, random_state=0)
    batches = make_transitions(np.random.default_rng(0), (10, 16))
    errors = together.update(batches)
    singly = np.array([one_by_one.update(batches[k]) for k in range(10)])
    np.testing.assert_allclose(errors, singly, atol=1e-5)
    for a, b in zip(together.weights_, one_by_one.weights_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert together.n_updates_ == one_by_one.n_updates_ == 10


@pytest.mark.parametrize("network", [None, two_towers])
def test_an_update_in_the_background_takes_effect_when_it_is_finished(network):
    states = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    batches = make_transitions(np.random.default_rng(0), (30, 16))
    results = []
    for in_background in (False, True):
        qfunction = DQN((8,), network=network).build(CARTPOLE, 2, random_state=0)
        qfunction.update(batches)
        before = qfunction.values(states).copy()
        if in_background:
            finish = qfunction.start_update(batches)
            time.sleep(0.1)  # it could have learned by now
            np.testing.assert_array_equal(qfunction.values(states), before)
            errors = finish()
        else:
            errors = qfunction.update(batches)
        assert not np.array_equal(qfunction.values(states), before)
        results.append([errors, *qfunction.weights_])
    for alone, in_background in zip(*results, strict=True):
        np.testing.assert_array_equal(alone, in_background)


def test_a_state_that_is_set_while_something_is_learned_is_not_lost():
    """Section 2 of the design: learning is a function of the state that it began with."""
    rng = np.random.default_rng(0)
    batches = make_transitions(rng, (30, 16))
    qfunction = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    qfunction.update(batches)
    state, states = qfunction.state(), batches.states[0]
    qfunction.update(batches)
    finish = qfunction.start_update(batches)
    qfunction.set_state(state)
    before = qfunction.values(states).copy()
    time.sleep(0.1)  # it could have learned by now
    np.testing.assert_array_equal(qfunction.values(states), before)
    finish()  # learns from the state that was set
    expected = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    expected.set_state(state)
    expected.update(batches)
    np.testing.assert_array_equal(qfunction.values(states), expected.values(states))
    np.testing.assert_array_equal(qfunction.update(batches), expected.update(batches))


def compiled_for(qfunction):
    """The functions that were compiled for networks like this one."""
    return [compiled for _, compiled in qfunction._learner()._compiled.values()]


def test_fewer_updates_are_not_compiled_again():
    qfunction = DQN((9,)).build(CARTPOLE, 2, random_state=0)
    rng = np.random.default_rng(0)
    qfunction.update(make_transitions(rng, (10, 16)))
    errors = qfunction.update(make_transitions(rng, (7, 16)))
    assert errors.shape == (7, 16)
    assert [c.experimental_get_tracing_count() for c in compiled_for(qfunction)] == [1]


def test_networks_of_one_shape_share_what_is_compiled_but_nothing_else():
    """Learning by turns gives what learning alone gives, and nothing is compiled again."""
    rng = np.random.default_rng(0)
    batches = [make_transitions(rng, (10, 16)) for _ in range(4)]
    seeds, rates = (1, 2), (1e-3, 1e-2)

    def build(seed, rate):
        qfunction = DQN((11,), learning_rate=rate, target_update_interval=7)
        return qfunction.build(CARTPOLE, 2, random_state=seed)

    alone = []
    for seed, rate in zip(seeds, rates, strict=True):
        qfunction = build(seed, rate)
        alone.append([qfunction.update(batch) for batch in batches])
    by_turns = [build(seed, rate) for seed, rate in zip(seeds, rates, strict=True)]
    for k, batch in enumerate(batches):
        for i in (0, 1):
            np.testing.assert_array_equal(by_turns[i].update(batch), alone[i][k])
    assert by_turns[0]._learner() is by_turns[1]._learner() is qfunction._learner()
    assert [c.experimental_get_tracing_count() for c in compiled_for(qfunction)] == [1]


def test_equal_partials_share_what_is_compiled():
    first, second = (
        DQN(
            network=partial(dense_network, hidden_layer_sizes=(7,)),
            optimizer=partial(keras.optimizers.Adam, beta_1=0.8),
        ).build(CARTPOLE, 2, random_state=0)
        for _ in range(2)
    )
    assert first._learner() is second._learner()
    other = DQN(network=partial(dense_network, hidden_layer_sizes=(6,)))
    assert other.build(CARTPOLE, 2, random_state=0)._learner() is not first._learner()


def test_networks_that_compile_differently_share_nothing():
    learners = [
        DQN(**parameters).build(CARTPOLE, 2, random_state=0)._learner()
        for parameters in ({}, {"double": False}, {"huber_delta": 2.0}, {"optimizer": "sgd"})
    ]
    assert len(set(learners)) == 4


SPACES = {
    "unbounded": (CARTPOLE, 32),
    "counted": (spaces.Discrete(7), None),
    "several counted": (spaces.MultiDiscrete([[3, 2], [2, 4]]), None),
    "bits": (spaces.MultiBinary(5), None),
    "numbers in a grid": (spaces.Box(-1, 1, (2, 3), np.float64), 1),
    "image": (spaces.Box(0, 255, (12, 12), np.uint8), None),
    "image with channels": (spaces.Box(0, 255, (48, 48, 3), np.uint8), None),
}


def batches_from(space, shape):
    """Transitions whose states are drawn from a space."""
    n = int(np.prod(shape))
    rng = np.random.default_rng(0)
    space.seed(0)
    states = [np.array([space.sample() for _ in range(n)]) for _ in range(2)]
    states = [s.reshape(*shape, *s.shape[1:]).astype(space.dtype) for s in states]
    other = make_transitions(rng, shape)
    return Transitions(
        states[0], other.actions, other.rewards, states[1], other.discounts,
        other.terminated, other.truncated,
    )  # fmt: skip


@pytest.mark.parametrize("name", SPACES)
def test_every_kind_of_state_is_learned_from(name):
    """Repeating one batch without bootstrap drives its error down; acting sees the same values."""
    space, _ = SPACES[name]
    qfunction = DQN((32,), learning_rate=3e-3).build(space, 2, random_state=0)
    batches = batches_from(space, (1, 8))
    batches.discounts[:] = 0
    batches.rewards[:] = 2 * batches.actions - 1
    many = Transitions(*(np.repeat(getattr(batches, f), 60, axis=0) for f in (
        "states", "actions", "rewards", "next_states", "discounts", "terminated", "truncated"
    )))  # fmt: skip
    errors = qfunction.update(many)
    assert np.abs(errors[-1]).mean() < 0.5 * np.abs(errors[0]).mean()

    values = qfunction.values(batches.states[0])
    assert values.shape == (8, 2)
    last = qfunction.update(batches[0])
    chosen = values[np.arange(8), batches.actions[0]]
    np.testing.assert_allclose(batches.rewards[0] - chosen, last, atol=1e-4)


@pytest.mark.parametrize("network", [None, two_towers])
def test_acting_equals_keras(network):
    qfunction = DQN((16, 16), "tanh", network).build(CARTPOLE, 3, random_state=0)
    qfunction.update(make_transitions(np.random.default_rng(0), (5, 32), n_actions=3))
    states = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    model = qfunction._build_model(np.random.default_rng(0))
    model.set_weights(qfunction.weights_)
    expected = np.asarray(model(qfunction.encode(states)))
    np.testing.assert_allclose(qfunction.values(states), expected, atol=1e-5)
    np.testing.assert_allclose(qfunction.values(states[:1]), expected[:1], atol=1e-5)


def test_states_of_arbitrary_units_make_no_difference():
    """Metres or millimetres: standardized states are the same."""
    rng = np.random.default_rng(0)
    batches = make_transitions(rng, (20, 64))
    scaled = make_transitions(np.random.default_rng(0), (20, 64))
    units = np.array([1000.0, 1.0, 0.001, 5.0], np.float32)
    scaled.states, scaled.next_states = batches.states * units, batches.next_states * units
    errors = [DQN((16,)).build(CARTPOLE, 2, random_state=0).update(t) for t in (batches, scaled)]
    # The very first batch only sets the scale.
    np.testing.assert_allclose(errors[0][1:], errors[1][1:], atol=1e-3)


def test_the_scale_adapts_to_the_first_states_and_is_then_fixed(monkeypatch):
    monkeypatch.setattr("skrl.qfunctions.encoding.N_STATES_FOR_SCALE", 1000)
    qfunction = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    rng = np.random.default_rng(0)
    first = make_transitions(rng, (16, 64))
    qfunction.update(first)
    flat = first.states.reshape(-1, 4)
    expected = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    np.testing.assert_allclose(qfunction.encode(flat), expected, rtol=1e-3, atol=1e-4)
    qfunction.update(make_transitions(rng, (16, 64), state_shape=(4,)))
    np.testing.assert_allclose(qfunction.encode(flat), expected, rtol=1e-3, atol=1e-4)


def test_the_very_first_batch_only_sets_the_scale():
    batches = make_transitions(np.random.default_rng(0), (2, 64))
    qfunction = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    weights = [w.copy() for w in qfunction.weights_]
    qfunction.update(batches[0])
    for before, after in zip(weights, qfunction.weights_, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.allclose(qfunction.encode(batches.states[0]), batches.states[0])
    qfunction.update(batches[1])
    assert not np.array_equal(qfunction.weights_[0], weights[0])


def test_a_seed_gives_the_same_weights():
    batches = make_transitions(np.random.default_rng(0), (5, 32))

    def trained(seed, network):
        qfunction = DQN((16,), network=network).build(CARTPOLE, 2, random_state=seed)
        qfunction.update(batches)
        return qfunction.weights_

    first, second = trained(0, two_towers), trained(0, two_towers)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first[0], trained(1, two_towers)[0])


@pytest.mark.parametrize("network", [None, two_towers])
def test_a_saved_network_goes_on_learning_as_if_it_had_never_been_saved(network):
    rng = np.random.default_rng(0)
    batches = [make_transitions(rng, (20, 32)) for _ in range(3)]
    qfunction = DQN((16,), network=network, target_update_interval=50)
    qfunction.build(CARTPOLE, 2, random_state=0)
    qfunction.update(batches[0])
    loaded = pickle.loads(pickle.dumps(qfunction))
    states = batches[0].states[0]
    np.testing.assert_array_equal(loaded.values(states).copy(), qfunction.values(states))
    for batch in batches[1:]:
        np.testing.assert_array_equal(loaded.update(batch), qfunction.update(batch))
    for a, b in zip(loaded.weights_, qfunction.weights_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loaded_dense_network_acts_without_tensorflow(tmp_path):
    qfunction = DQN((16,)).build(CARTPOLE, 2, random_state=0)
    qfunction.update(make_transitions(np.random.default_rng(0), (2, 32)))
    file = tmp_path / "qfunction.pickle"
    file.write_bytes(pickle.dumps(qfunction))
    script = (
        "import pickle, sys, numpy as np\n"
        f"qfunction = pickle.loads(open({str(file)!r}, 'rb').read())\n"
        "print(qfunction.values(np.ones((1, 4), np.float32)).tolist())\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert eval(output) == qfunction.values(np.ones((1, 4), np.float32)).tolist()


def test_a_state_brings_back_values_and_learning():
    rng = np.random.default_rng(0)
    qfunction = DQN((16,)).build(CARTPOLE, 2, random_state=0)
    qfunction.update(make_transitions(rng, (20, 64)))
    states = rng.normal(size=(5, 4)).astype(np.float32)
    before = qfunction.values(states).copy()
    state = qfunction.state()
    batches = make_transitions(rng, (20, 64))
    td_errors = qfunction.update(batches)
    assert not np.allclose(qfunction.values(states), before)
    qfunction.set_state(state)
    np.testing.assert_array_equal(qfunction.values(states), before)
    # Learning goes on with the same moments of Adam.
    np.testing.assert_array_equal(qfunction.update(batches), td_errors)


def test_a_state_of_another_shape_is_refused():
    state = DQN((16,)).build(CARTPOLE, 2, random_state=0).state()
    with pytest.raises(ValueError, match="does not fit this network: its weights have the shapes"):
        DQN((8,)).build(CARTPOLE, 2, random_state=0).set_state(state)


def with_dropout(state_shape, n_outputs):
    return keras.Sequential(
        [
            keras.layers.Input(state_shape),
            keras.layers.Dense(16, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(n_outputs),
        ]
    )


def test_dropout_repeats_with_the_seed_and_goes_on_from_a_state():
    batches = make_transitions(np.random.default_rng(0), (10, 16))
    runs = []
    for _ in range(2):
        qfunction = DQN(network=with_dropout).build(CARTPOLE, 2, random_state=0)
        first = qfunction.update(batches)
        state = qfunction.state()
        second = qfunction.update(batches)
        qfunction.set_state(state)
        np.testing.assert_array_equal(qfunction.update(batches), second)
        runs.append([first, second])
    np.testing.assert_array_equal(*runs)


@pytest.mark.slow
def test_building_leaves_the_global_generator_alone():
    """In its own process: the type checks of the tests use that generator."""
    script = (
        "import random, numpy as np\n"
        "from gymnasium.spaces import Box\n"
        "from skrl import DQN\n"
        "from skrl.qfunctions.deep.tensorflow import keras\n"
        "def network(state_shape, n_outputs):\n"
        "    layers = keras.layers\n"
        "    return keras.Sequential([\n"
        "        layers.Input(state_shape), layers.Dropout(0.5), layers.Dense(n_outputs)])\n"
        "random.seed(7)\n"
        "before = random.getstate()\n"
        "DQN(network=network).build(Box(-1, 1, (4,)), 2, random_state=0)\n"
        "assert random.getstate() == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def with_its_own_weights(state_shape, n_outputs):
    model = keras.Sequential([keras.layers.Input(state_shape), keras.layers.Dense(n_outputs)])
    model.set_weights([np.full((*state_shape, n_outputs), 0.25), np.arange(float(n_outputs))])
    return model


def test_weights_that_a_builder_sets_are_kept():
    qfunction = DQN(network=with_its_own_weights).build(CARTPOLE, 2, random_state=0)
    assert (qfunction.weights_[0] == 0.25).all()
    assert qfunction.weights_[1].tolist() == [0.0, 1.0]


class Subclassed(keras.Model):
    def __init__(self, n_outputs):
        super().__init__()
        self.out = keras.layers.Dense(n_outputs)

    def build(self, shape):
        self.out.build(shape)
        self.built = True

    def call(self, x):
        return self.out(x)


def subclassed(state_shape, n_outputs):
    return Subclassed(n_outputs)


def test_layers_that_cannot_be_given_seeds_are_reported():
    with pytest.warns(UserWarning, match="neither Sequential nor Functional.*argument `seed`"):
        qfunction = DQN(network=subclassed).build(CARTPOLE, 2, random_state=0)
    batches = make_transitions(np.random.default_rng(0), (3, 8))
    assert np.isfinite(qfunction.update(batches)).all()


class Squares(DQN):
    """Values that are not linear in the outputs."""

    def values_of(self, outputs):
        return outputs**2


def test_values_that_are_not_linear_in_the_outputs_are_right():
    qfunction = Squares((8,), scale_states=False).build(CARTPOLE, 2, random_state=0)
    states = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    expected = forward(qfunction.weights_, states)[0] ** 2
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-4, atol=1e-6)


def test_the_bootstrap_value_follows_the_facts_of_the_transitions():
    """Allowed actions only; or sum_a p(a|s') Q(s', a)."""
    transitions = make_transitions(np.random.default_rng(0), (16,), n_actions=3)
    qfunction = DQN((8,), scale_states=False).build(CARTPOLE, 3, random_state=0)
    values = qfunction.values(transitions.states).copy()
    next_values = qfunction.values(transitions.next_states).copy()
    chosen = values[np.arange(16), transitions.actions]
    masks = np.random.default_rng(1).random((16, 3)) < 0.5
    masks[:, 1] |= ~masks.any(axis=1)
    p = np.random.default_rng(2).dirichlet(np.ones(3), size=16)
    for facts, bootstrap in (
        ({"next_action_masks": masks}, np.where(masks, next_values, -np.inf).max(axis=1)),
        ({"next_probabilities": p}, (p * next_values).sum(axis=1)),
    ):
        fresh = clone(qfunction).build(CARTPOLE, 3, random_state=0)
        td_errors = fresh.update(dataclasses.replace(transitions, **facts))
        expected = transitions.rewards + transitions.discounts * bootstrap - chosen
        np.testing.assert_allclose(td_errors, expected, rtol=1e-4, atol=1e-5)


def test_metrics_say_loss_and_learning_rate():
    qfunction = DQN((8,), scale_states=False, learning_rate_decay=0.1)
    qfunction.build(CARTPOLE, 2, random_state=0)
    td_errors = qfunction.update(make_transitions(np.random.default_rng(0), (10, 16)))
    sizes = np.abs(td_errors)
    huber = np.where(sizes < 1, sizes**2 / 2, sizes - 0.5)
    metrics = qfunction.metrics()
    assert metrics["loss"] == pytest.approx(huber.mean(), rel=1e-4)
    assert metrics["learning_rate"] == pytest.approx(1e-3 / 2)  # after 10 updates


def test_nothing_is_lost_when_the_data_or_the_training_breaks():
    rng = np.random.default_rng(0)
    qfunction = DQN((16,), optimizer=plain_sgd).build(CARTPOLE, 2, random_state=0)
    qfunction.update(make_transitions(rng, (20, 64)))
    weights = [w.copy() for w in qfunction.weights_]
    for name in ("states", "rewards", "next_states"):
        broken = make_transitions(rng, (5, 8))
        getattr(broken, name)[3, 2] = np.nan
        broken.discounts[:] = 0.9
        with pytest.raises(ValueError, match=f"environment gave {name} that are NaN"):
            qfunction.update(broken)
        for a, b in zip(qfunction.weights_, weights, strict=True):
            np.testing.assert_array_equal(a, b)

    wild = clone(qfunction).set_params(learning_rate=1e30).build(CARTPOLE, 2, random_state=0)
    with pytest.raises(ValueError, match="diverged.*Lower learning_rate"):
        wild.update(make_transitions(rng, (20, 64)))
    assert np.isfinite(wild.values(np.ones((1, 4), np.float32))).all()


def test_weights_that_overflow_in_the_last_update_are_not_kept():
    qfunction = DQN((16,), optimizer=plain_sgd, learning_rate=1e37, huber_delta=1e6)
    qfunction.build(CARTPOLE, 2, random_state=0)
    # The errors are those before the update: they are fine. (The first batch only sets the scale.)
    transitions = make_transitions(np.random.default_rng(0), (2, 8))
    transitions.rewards[:] = 1e5
    weights = qfunction.weights_
    with pytest.raises(ValueError, match=r"diverged.*weights.*scale the rewards.*up to 1e\+05"):
        qfunction.update(transitions)
    for a, b in zip(qfunction.weights_, weights, strict=True):
        np.testing.assert_array_equal(a, b)


def uncompilable(state_shape, n_actions):
    """XLA cannot compile a call back into Python."""

    class Identity(keras.layers.Layer):
        def call(self, x):
            y = tf.py_function(lambda z: z, [x], tf.float32)
            y.set_shape(x.shape)
            return y

    return keras.Sequential(
        [keras.layers.Input(state_shape), Identity(), keras.layers.Dense(n_actions)]
    )


def test_what_xla_cannot_compile_is_trained_with_a_warning():
    qfunction = DQN(network=uncompilable).build(CARTPOLE, 2, random_state=0)
    batches = make_transitions(np.random.default_rng(0), (3, 8))
    with pytest.warns(UserWarning, match="XLA cannot compile"):
        errors = qfunction.update(batches)
    assert errors.shape == (3, 8)


def no_model(state_shape, n_actions):
    return "a network"


def one_output(state_shape, n_actions):
    return keras.Sequential([keras.layers.Input(state_shape), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"hidden_layer_sizes": "64"}, TypeError, r"got '64'.*units are \(64, 64\)"),
        ({"hidden_layer_sizes": (64, 0)}, ValueError, r"at least 1, got 0\. .*=\(64, 0\)"),
        ({"activation": "sigmoidal"}, ValueError, "activation must be one of"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive and finite, got 0.0"),
        ({"huber_delta": -1.0}, ValueError, "huber_delta must be positive"),
        (
            {"target_update_interval": 0},
            ValueError,
            "target_update_interval must be at least 1, got 0",
        ),
        ({"optimizer": "adamant"}, ValueError, "'adamant' is not a Keras optimizer"),
        ({"optimizer": lambda rate: "sgd"}, TypeError, "must make a keras.optimizers.Optimizer"),
        ({"network": no_model}, TypeError, "network must build a keras.Model, got 'a network'"),
        (
            {"network": one_output},
            ValueError,
            r"shape \(m, 2\) for m states, but for one state it gave the shape \(1, 1\)",
        ),
    ],
)
def test_bad_parameters_are_refused(parameters, error, message):
    with pytest.raises(error, match=message):
        DQN().set_params(**parameters).build(CARTPOLE, 2, random_state=0)


def test_before_build_there_is_nothing():
    with pytest.raises(NotFittedError, match="build"):
        DQN().values(np.zeros((1, 4), np.float32))
    with pytest.raises(NotFittedError, match="build"):
        DQN().update(make_transitions(np.random.default_rng(0), (2,)))


def test_batches_of_many_sizes_are_evaluated_by_one_function():
    qfunction = DQN(network=two_towers).build(CARTPOLE, 2, random_state=0)
    states = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    all_at_once = qfunction.values(states)
    for m in range(1, 20):
        np.testing.assert_allclose(qfunction.values(states[:m]), all_at_once[:m], rtol=1e-4)
    assert qfunction._learner()._forward.experimental_get_tracing_count() <= 3


def test_an_optimizer_with_a_schedule_follows_that():
    def sgd_that_stops(learning_rate):
        return keras.optimizers.SGD(
            keras.optimizers.schedules.PiecewiseConstantDecay([4], [learning_rate, 0.0])
        )

    qfunction = DQN((8,), optimizer=sgd_that_stops, tau=1.0).build(CARTPOLE, 2, random_state=0)
    batches = make_transitions(np.random.default_rng(0), (5, 16))
    qfunction.update(batches)
    learned = qfunction.weights_
    qfunction.update(batches)
    for before, after in zip(learned, qfunction.weights_, strict=True):
        np.testing.assert_array_equal(before, after)


def test_a_custom_optimizer_takes_smaller_steps_as_well():
    changes = []
    for decay in (0.0, 1e9):
        qfunction = DQN((8,), optimizer=plain_sgd, learning_rate_decay=decay, scale_states=False)
        qfunction.build(CARTPOLE, 2, random_state=0)
        batches = make_transitions(np.random.default_rng(0), (5, 16))
        qfunction.update(batches[:1])
        first = qfunction.weights_[0]
        qfunction.update(batches[1:])
        changes.append(np.abs(qfunction.weights_[0] - first).max())
    assert changes[0] > 1e-4
    assert changes[1] < 1e-9  # only the first step was one


def test_a_single_number_is_one_hidden_layer():
    weights = DQN(16).build(CARTPOLE, 2, random_state=0).weights_
    assert [w.shape for w in weights] == [(4, 16), (16,), (16, 2), (2,)]


def is_convolved(space):
    weights = DQN((8,)).build(space, 2, random_state=0).weights_
    return any(w.ndim == 4 for w in weights)


def test_only_images_are_convolved():
    assert not is_convolved(spaces.Box(-1, 1, (5, 5), np.float32))  # a table of features
    assert is_convolved(spaces.Box(0, 255, (12, 12), np.uint8))
    assert is_convolved(spaces.Box(0, 1, (12, 12, 3), np.float32))


def test_channels_may_come_first():
    shape = 4, 42, 42
    weights = DQN().build(spaces.Box(0, 255, shape, np.uint8), 2, random_state=0).weights_
    assert weights[0].shape == (8, 8, 4, 16)
    with pytest.raises(ValueError, match="channels in the first or in the last axis. Say which"):
        DQN().build(spaces.Box(0, 255, (12, 12, 12), np.uint8), 2, random_state=0)
    explicit = DQN(network=partial(convolutional_network, channels="last"))
    explicit.build(spaces.Box(0, 255, (12, 12, 12), np.uint8), 2, random_state=0)


@pytest.mark.slow
def test_many_shapes_of_batches_are_learned_from_without_a_warning(capfd):
    """TensorFlow complains when it traces one function again and again."""
    qfunction = DQN(network=two_towers).build(CARTPOLE, 2, random_state=0)
    rng = np.random.default_rng(0)
    for m in range(3, 12):
        qfunction.update(make_transitions(rng, (2, m)))
        qfunction.values(rng.normal(size=(m, 4)).astype(np.float32))
    assert "retracing" not in capfd.readouterr().err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_predicts_and_refuses_to_learn(tmp_path):
    script = tmp_path / "forked.py"
    script.write_text(
        "import os, numpy as np\n"
        "from gymnasium.spaces import Box\n"
        "from skrl import DQN, QLearningAgent\n"
        "agent = QLearningAgent(DQN((8,)), n_steps=1300, n_evaluations=0, random_state=0)\n"
        "agent.fit('CartPole-v1')\n"
        "if os.fork() == 0:\n"
        "    agent.predict(np.zeros(4))\n"
        "    try:\n"
        "        agent.fit('CartPole-v1')\n"
        "    except ValueError as error:\n"
        "        print(error)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "forked after TensorFlow had been loaded" in done.stdout


def test_long_spaces_that_differ_in_the_middle_share_nothing():
    sizes = np.full(1500, 2)
    longer = sizes.copy()
    longer[700] = 3
    longer[701] = 1
    learners = [
        DQN((4,)).build(spaces.MultiDiscrete(n), 2, random_state=0)._learner()
        for n in (sizes, longer)
    ]
    assert learners[0] is not learners[1]


@pytest.mark.parametrize("copy", [copy.deepcopy, lambda part: pickle.loads(pickle.dumps(part))])
def test_a_copy_does_not_answer_for_the_states_seen_before(copy):
    qfunction = DQN((16,)).build(CARTPOLE, 2, random_state=0)
    first, second = np.random.default_rng(0).normal(size=(2, 1, 4)).astype(np.float32)
    expected = qfunction.values(second).copy()
    qfunction.values(first)
    np.testing.assert_array_equal(copy(qfunction).values(second), expected)
