import pickle
import subprocess
import sys
import time

import numpy as np
import pytest
from gymnasium import spaces
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl import DQN
from skrl.base import Transitions
from skrl.qfunctions.deep.learner import keras
from worlds import make_transitions

CARTPOLE = spaces.Box(-np.inf, np.inf, (4,), np.float32)


def two_towers(state_shape, n_actions):
    """A network that is no stack of dense layers."""
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
    qfunction.set_params(scale_states=False, target_update_freq=10**9, learning_rate_decay=0.1)
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


def test_a_stretch_equals_its_updates_one_by_one():
    """Also when target updates fall into it."""
    together = DQN((8,), target_update_freq=3, scale_states=False)
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
def test_an_update_in_the_background_comes_into_force_when_it_is_finished(network):
    states = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    batches = make_transitions(np.random.default_rng(0), (30, 16))
    results = []
    for in_background in (False, True):
        qfunction = DQN((8,), network=network).build(CARTPOLE, 2, random_state=0)
        qfunction.update(batches)  # now the scale of the states is fixed
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


def test_what_is_being_learned_is_saved():
    batches = make_transitions(np.random.default_rng(0), (30, 16))
    qfunction = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    finish = qfunction.start_update(batches)
    saved = pickle.loads(pickle.dumps(qfunction))
    finish()
    for one, other in zip(qfunction.update(batches), saved.update(batches), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_shorter_stretch_is_not_compiled_again():
    qfunction = DQN((9,)).build(CARTPOLE, 2, random_state=0)
    rng = np.random.default_rng(0)
    qfunction.update(make_transitions(rng, (10, 16)))
    errors = qfunction.update(make_transitions(rng, (7, 16)))
    assert errors.shape == (7, 16)
    assert qfunction._learner._learn.experimental_get_tracing_count() == 1


def test_networks_of_one_shape_share_what_is_compiled_but_nothing_else():
    """Learning by turns gives what learning alone gives, and nothing is compiled again."""
    rng = np.random.default_rng(0)
    batches = [make_transitions(rng, (10, 16)) for _ in range(4)]
    seeds, rates = (1, 2), (1e-3, 1e-2)

    def build(seed, rate):
        qfunction = DQN((11,), learning_rate=rate, target_update_freq=7)
        return qfunction.build(CARTPOLE, 2, random_state=seed)

    alone = []
    for seed, rate in zip(seeds, rates, strict=True):
        qfunction = build(seed, rate)
        alone.append([qfunction.update(batch) for batch in batches])
    by_turns = [build(seed, rate) for seed, rate in zip(seeds, rates, strict=True)]
    for k, batch in enumerate(batches):
        for i in (0, 1):
            np.testing.assert_array_equal(by_turns[i].update(batch), alone[i][k])
    assert by_turns[0]._learner is by_turns[1]._learner is qfunction._learner
    assert qfunction._learner._learn.experimental_get_tracing_count() == 1


def test_networks_that_compile_differently_share_nothing():
    learners = [
        DQN(**parameters).build(CARTPOLE, 2, random_state=0)._learner
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
    scaled = (states - qfunction._encoder.shift) * qfunction._encoder.factor
    expected = np.asarray(qfunction._learner.model(scaled))
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
    np.testing.assert_allclose(*errors, atol=1e-3)


def test_the_scale_adapts_to_the_first_states_and_is_then_fixed(monkeypatch):
    monkeypatch.setattr("skrl.qfunctions.encoding.N_STATES_FOR_SCALE", 1000)
    qfunction = DQN((8,)).build(CARTPOLE, 2, random_state=0)
    rng = np.random.default_rng(0)
    first = make_transitions(rng, (16, 64))
    qfunction.update(first)
    flat = first.states.reshape(-1, 4)
    np.testing.assert_allclose(qfunction._encoder.shift, flat.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(1 / qfunction._encoder.factor, flat.std(axis=0), rtol=1e-4)
    qfunction.update(make_transitions(rng, (16, 64), state_shape=(4,)))
    np.testing.assert_allclose(qfunction._encoder.shift, flat.mean(axis=0), rtol=1e-4)


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
    qfunction = DQN((16,), network=network, target_update_freq=50)
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


def test_a_snapshot_brings_back_values_and_learning():
    rng = np.random.default_rng(0)
    qfunction = DQN((16,)).build(CARTPOLE, 2, random_state=0)
    qfunction.update(make_transitions(rng, (20, 64)))
    states = rng.normal(size=(5, 4)).astype(np.float32)
    before = qfunction.values(states).copy()
    snapshot = qfunction.snapshot()
    qfunction.update(make_transitions(rng, (20, 64)))
    assert not np.allclose(qfunction.values(states), before)
    qfunction.restore(snapshot)
    np.testing.assert_array_equal(qfunction.values(states), before)
    np.testing.assert_allclose(
        qfunction._learner.values(states, qfunction._encoder.scale), before, atol=1e-5
    )  # what the next update starts from


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


def uncompilable(state_shape, n_actions):
    """XLA cannot compile a call back into Python."""
    import tensorflow as tf

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
        (
            {"hidden_layer_sizes": 64},
            ValueError,
            r"got 64.*One hidden layer of 64 units is \(64,\)",
        ),
        ({"hidden_layer_sizes": (64, 0)}, ValueError, "positive integers"),
        ({"activation": "sigmoidal"}, ValueError, "activation must be one of"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be positive, got 0.0"),
        ({"huber_delta": -1.0}, ValueError, "huber_delta must be positive"),
        ({"target_update_freq": 0}, ValueError, "target_update_freq must be positive, got 0"),
        ({"optimizer": "adamant"}, ValueError, "'adamant' is no Keras optimizer"),
        ({"optimizer": lambda rate: "sgd"}, TypeError, "must make a keras.optimizers.Optimizer"),
        ({"network": no_model}, TypeError, "network must build a keras.Model, got 'a network'"),
        (
            {"network": one_output},
            ValueError,
            r"shape \(None, 2\), but its output has .*\(None, 1\)",
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
    learner = qfunction._learner
    assert learner._forward.experimental_get_tracing_count() == 8
    assert learner._forward_any.experimental_get_tracing_count() <= 2


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


def test_an_optimizer_of_ones_own_takes_smaller_steps_as_well():
    changes = []
    for decay in (0.0, 1e9):
        qfunction = DQN((8,), optimizer=plain_sgd, learning_rate_decay=decay)
        qfunction.build(CARTPOLE, 2, random_state=0)
        batches = make_transitions(np.random.default_rng(0), (5, 16))
        qfunction.update(batches[:1])
        first = qfunction.weights_[0]
        qfunction.update(batches[1:])
        changes.append(np.abs(qfunction.weights_[0] - first).max())
    assert changes[0] > 1e-4
    assert changes[1] < 1e-9  # only the first step was one
