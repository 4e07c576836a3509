"""Implicit quantile networks, against the equations of Dabney et al. (2018)."""

import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from sklearn.base import clone

from skrl import DQN, IQN
from skrl.base import Transitions
from skrl.qfunctions.deep.layers import FewOutputs, ImplicitQuantiles
from skrl.qfunctions.deep.networks import convolutional_network
from skrl.qfunctions.deep.tensorflow import keras, tf
from worlds import make_transitions

CARTPOLE = gymnasium.make("CartPole-v1").observation_space
IMAGE = spaces.Box(0.0, 1.0, (6, 6, 2), np.float32)
STATES = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)


def built(qfunction, space=CARTPOLE, n_actions=2):
    """Build it, and let no weight be equal to another one."""
    qfunction = clone(qfunction).build(space, n_actions, random_state=0)
    rng, state = np.random.default_rng(3), qfunction.state()
    state["weights"] = [
        w + 0.1 * rng.normal(size=w.shape).astype(np.float32) for w in state["weights"]
    ]
    qfunction.set_state(state)
    return qfunction


def quantiles(qfunction, states, levels):
    """Z_tau(s, a) of a network with one hidden layer, of shape (m, n_actions, n_levels)."""
    kernel, bias, w, b, last_kernel, last_bias = qfunction.weights_
    psi = np.maximum(states @ kernel + bias, 0)
    # Equation 4: phi_j(tau) = relu(sum_i cos(pi i tau) w_ij + b_j)
    phi = np.maximum(np.cos(np.pi * np.outer(levels, np.arange(64))) @ w + b, 0)
    products = psi[:, None, :] * phi
    return np.swapaxes(products @ last_kernel + last_bias, 1, 2)


# ---- values ------------------------------------------------------------------------------------


def test_values_are_means_of_the_quantiles_at_32_midpoints():
    qfunction = built(IQN(hidden_layer_sizes=(8,), scale_states=False))
    midpoints = (np.arange(32) + 0.5) / 32
    expected = quantiles(qfunction, STATES, midpoints).mean(axis=2)
    np.testing.assert_allclose(qfunction.values(STATES), expected, rtol=1e-4, atol=1e-5)


def functional(state_shape, n_outputs):
    inputs = keras.layers.Input(state_shape)
    outputs = keras.layers.Dense(n_outputs)(keras.layers.Dense(8, "tanh")(inputs))
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize(
    ("variant", "space"),
    [
        (IQN(hidden_layer_sizes=(16, 8), dueling=True, layer_norm=True), CARTPOLE),
        (IQN(hidden_layer_sizes=(16, 8), noisy=True), CARTPOLE),
        (IQN(), IMAGE),
        (IQN(noisy=True), IMAGE),
        (IQN(network=functional), CARTPOLE),
    ],
    ids=["dueling", "noisy", "image", "noisy-image", "functional"],
)
def test_numpy_and_keras_agree(variant, space):
    qfunction = built(variant, space, n_actions=3)
    assert (qfunction._numpy_network is None) == (variant.network is functional)
    states = np.random.default_rng(0).normal(size=(5, *space.shape)).astype(np.float32)
    expected = qfunction._learner().values(qfunction._state, states)
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-3, atol=1e-4)


def test_it_acts_without_tensorflow(tmp_path):
    parts = [IQN(hidden_layer_sizes=(8,)), IQN(hidden_layer_sizes=(8,), noisy=True)]
    qfunctions = [*map(built, parts), built(DQN((8, 8), noisy=True))]
    file = tmp_path / "qfunctions.pickle"
    file.write_bytes(pickle.dumps(qfunctions))
    script = (
        "import pickle, sys, numpy as np\n"
        f"qfunctions = pickle.loads(open({str(file)!r}, 'rb').read())\n"
        "print([q.values(np.ones((1, 4), np.float32)).tolist() for q in qfunctions])\n"
        "[q.for_exploration(np.random.default_rng(0)).values(np.ones((1, 4))) for q in qfunctions]\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
    assert eval(output) == [q.values(np.ones((1, 4), np.float32)).tolist() for q in qfunctions]


# ---- learning ----------------------------------------------------------------------------------


def test_levels_are_drawn_anew_one_from_each_part():
    layer = ImplicitQuantiles(FewOutputs(2), 8, seed=0)
    features = np.ones((3, 16), np.float32)
    outputs = np.array([layer(features, training=True) for _ in range(200)])
    assert outputs.shape == (200, 3, 9, 3)
    levels = outputs[:, :, 1:, 2]
    np.testing.assert_array_equal(levels, levels[:, :1].repeat(3, axis=1))  # the whole batch
    within = 8 * levels[:, 0] - np.arange(8)
    assert within.min() > 0
    assert within.max() < 1
    assert np.abs(within.mean(axis=0) - 0.5).max() < 4 / np.sqrt(12 * 200)
    np.testing.assert_allclose(outputs[:, :, 0, :2].mean(axis=0), layer(features), rtol=1e-5)


def test_outputs_in_learning_are_the_quantiles_at_the_levels():
    qfunction = built(IQN(5, hidden_layer_sizes=(8,), scale_states=False))
    learner, state = qfunction._learner(), qfunction._state
    outputs = learner.model.stateless_call(state.weights, state.other, STATES, training=True)[0]
    expected = quantiles(qfunction, STATES, outputs[0, 1:, -1].numpy())
    found = qfunction.quantiles_of(outputs).numpy()
    np.testing.assert_allclose(found[:, :, 1:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[:, :, 0], qfunction.values(STATES), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(qfunction.values_of(outputs), found[:, :, 0])


def test_the_loss_written_out():
    """Equation 3 of the paper, term by term, with levels that are not in order."""
    n, kappa = 3, 0.7
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(4, 1 + n, 3)).astype(np.float32)
    outputs[:, :, 2] = [0, 0.3, 0.9, 0.1]
    targets = rng.normal(size=(4, 1 + n)).astype(np.float32)
    actions = np.array([0, 1, 1, 0])
    qfunction = IQN(n, huber_delta=kappa).build(CARTPOLE, 2, random_state=0)
    losses, td_errors = qfunction.losses(tf.constant(outputs), tf.constant(actions), targets)
    for b, a in enumerate(actions):
        expected = 0.0
        for i in (1, 2, 3):
            for j in (1, 2, 3):
                u = targets[b, j] - outputs[b, i, a]
                size = 0.5 * u**2 if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
                expected += abs(outputs[b, i, 2] - (u < 0)) * size / kappa / n
        assert losses[b].numpy() == pytest.approx(expected, rel=1e-4)
        difference = targets[b, 0] - outputs[b, 0, a]
        assert td_errors[b].numpy() == pytest.approx(difference, rel=1e-4)


def walk(rng, shape):
    """From state 0 to state 1, and from there to the end, for a reward from U(-1, 1)."""
    is_last = rng.random(shape) < 0.5
    return Transitions(
        states=np.eye(2, dtype=np.float32)[is_last.astype(int)],
        actions=np.zeros(shape, np.int64),
        rewards=np.where(is_last, rng.uniform(-1, 1, shape), 0.0).astype(np.float32),
        next_states=np.broadcast_to(np.float32([0, 1]), (*shape, 2)),
        discounts=np.where(is_last, 0, 0.5).astype(np.float32),
        terminated=is_last,
        truncated=np.zeros(shape, dtype=bool),
    )


def test_the_distribution_of_the_return_is_learned():
    """U(-1, 1) in the last state, whose quantiles are 2 tau - 1, and half of it before."""
    rng, space = np.random.default_rng(0), spaces.Box(0, 1, (2,), np.float32)
    qfunction = IQN(8, hidden_layer_sizes=(32,), learning_rate=0.003, huber_delta=0.05, tau=0.05)
    qfunction.set_params(scale_states=False).build(space, 1, random_state=0)
    for _ in range(6):
        qfunction.update(walk(rng, (500, 64)))
    levels = np.linspace(0.05, 0.95, 19)
    found = quantiles(qfunction, np.eye(2, dtype=np.float32), levels)[:, 0]
    np.testing.assert_allclose(found[1], 2 * levels - 1, atol=0.12)
    np.testing.assert_allclose(found[0], 0.5 * (2 * levels - 1), atol=0.12)
    np.testing.assert_allclose(qfunction.values(np.eye(2, dtype=np.float32)), 0, atol=0.05)


def test_learning_goes_on_from_a_state_bit_for_bit():
    """Also in one call instead of several: the levels are drawn from seeds in the state."""
    variant = IQN(4, hidden_layer_sizes=(8,), dueling=True, scale_states=False)
    batches = make_transitions(np.random.default_rng(0), (6, 8))
    qfunction = built(variant)
    first = qfunction.update(batches)
    state, copied = qfunction.state(), pickle.loads(pickle.dumps(qfunction))
    other = clone(variant).build(CARTPOLE, 2, random_state=1)
    other.set_state(state)
    expected = [qfunction.update(batches), *qfunction.weights_]
    for continued in (copied, other):
        found = [continued.update(batches), *continued.weights_]
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(state["other"], qfunction.state()["other"], strict=True)
    )
    singly = built(variant)
    errors = np.array([singly.update(batches[k]) for k in range(6)])
    np.testing.assert_allclose(errors, first, rtol=1e-4, atol=1e-5)


# ---- networks of one's own ---------------------------------------------------------------------


def ends_with_relu(state_shape, n_outputs):
    return keras.Sequential(
        [keras.layers.Input(state_shape), keras.layers.Dense(n_outputs, "relu")]
    )


def two_ends(state_shape, n_outputs):
    inputs = keras.layers.Input(state_shape)
    one, other = keras.layers.Dense(n_outputs)(inputs), keras.layers.Dense(n_outputs)(inputs)
    return keras.Model(inputs, one + other)


class Subclassed(keras.Model):
    def __init__(self, n_outputs):
        super().__init__()
        self.dense = keras.layers.Dense(n_outputs)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs)


def subclassed(state_shape, n_outputs, seed):
    return Subclassed(n_outputs)


@pytest.mark.parametrize("network", [ends_with_relu, two_ends, subclassed])
def test_a_network_that_does_not_end_with_a_linear_layer_is_refused(network):
    with pytest.raises(ValueError, match="must be a Sequential or Functional model that ends with"):
        IQN(network=network).build(CARTPOLE, 2, random_state=0)


def test_a_network_for_images_of_ones_own():
    qfunction = built(IQN(network=convolutional_network), IMAGE)
    assert qfunction._numpy_network is not None
    assert qfunction.values(np.zeros((5, 6, 6, 2), np.float32)).shape == (5, 2)
