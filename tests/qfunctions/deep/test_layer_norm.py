"""Networks with layer normalization, in Keras and in NumPy."""

import pickle
import subprocess
import sys

import gymnasium
import numpy as np
import pytest

from skrl import DQN, QRDQN
from skrl.qfunctions.deep.networks import dense_network
from skrl.qfunctions.deep.numpy_network import DenseLayer, dense_layers
from skrl.qfunctions.deep.tensorflow import keras
from worlds import make_transitions

CARTPOLE = gymnasium.make("CartPole-v1").observation_space


def by_hand(weights, x):
    """One hidden layer, in the equations of Ba et al. (2016)."""
    kernel, bias, gamma, beta, last_kernel, last_bias = weights
    a = x @ kernel + bias
    z = (a - a.mean(axis=1, keepdims=True)) / np.sqrt(a.var(axis=1, keepdims=True) + 1e-6)
    return np.maximum(gamma * z + beta, 0) @ last_kernel + last_bias


def random_weights(qfunction, rng):
    state = qfunction.state()
    state["weights"] = [rng.normal(size=w.shape).astype(np.float32) for w in state["weights"]]
    qfunction.set_state(state)


def test_values_by_hand():
    rng = np.random.default_rng(0)
    qfunction = DQN((8,), layer_norm=True, scale_states=False).build(CARTPOLE, 2, 0)
    random_weights(qfunction, rng)
    states = rng.normal(size=(5, 4)).astype(np.float32)
    expected = by_hand(qfunction.weights_, states)
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("make", [DQN, QRDQN])
def test_numpy_and_keras_agree(make, activation):
    rng = np.random.default_rng(0)
    qfunction = make(
        hidden_layer_sizes=(16, 8), activation=activation, layer_norm=True, dueling=True
    ).build(CARTPOLE, 2, random_state=0)
    random_weights(qfunction, rng)
    qfunction.update(make_transitions(rng, (4, 32)))  # with a scale
    assert qfunction._numpy_network is not None
    for m in (1, 7):
        states = rng.normal(size=(m, 4)).astype(np.float32)
        keras_values = qfunction._learner().values(qfunction._state, states)
        np.testing.assert_allclose(qfunction.values(states), keras_values, rtol=1e-3, atol=1e-4)


def test_it_acts_without_tensorflow(tmp_path):
    qfunction = DQN((16,), layer_norm=True).build(CARTPOLE, 2, random_state=0)
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


def test_images_are_normalized_over_channels():
    space = gymnasium.spaces.Box(0.0, 1.0, (10, 10, 4), np.float32)
    qfunction = DQN(layer_norm=True).build(space, 3, random_state=0)
    shapes = [w.shape for w in qfunction.weights_]
    assert shapes[2:4] == [(16,), (16,)]
    transitions = make_transitions(np.random.default_rng(0), (2, 8), (10, 10, 4), 3)
    assert qfunction.update(transitions).shape == (2, 8)
    random_weights(qfunction, np.random.default_rng(1))
    states = transitions.states[0]
    keras_values = qfunction._learner().values(qfunction._state, states)
    assert qfunction._numpy_network is not None
    np.testing.assert_allclose(qfunction.values(states), keras_values, rtol=1e-3, atol=0.05)


def test_layers_of_a_model():
    norm, activation = keras.layers.LayerNormalization, keras.layers.Activation
    layers = dense_layers(dense_network((4,), 2, (8, 8), "tanh", layer_norm=True))
    assert layers == [DenseLayer("tanh", 1e-6)] * 2 + [DenseLayer("linear")]

    def read(*hidden):
        model = keras.Sequential([keras.layers.Input((4,)), *hidden, keras.layers.Dense(2)])
        return dense_layers(model)

    dense = keras.layers.Dense
    assert read(dense(8), activation("relu")) == [DenseLayer("relu"), DenseLayer("linear")]
    # These are evaluated by TensorFlow.
    assert read(norm(), dense(8, "relu")) is None
    assert read(dense(8, "relu"), norm()) is None
    assert read(dense(8), norm(), norm(), activation("relu")) is None
    assert read(dense(8), norm(scale=False), activation("relu")) is None
    assert read(dense(8), activation("relu"), activation("tanh")) is None


def test_next_states_do_not_count_where_all_discounts_are_0():
    """Complete returns are learned without looking at the next states, with the same result."""
    transitions = make_transitions(np.random.default_rng(0), (3, 16))
    transitions.discounts[:] = 0
    results = []
    for has_tiny in (False, True):
        # A discount too small to matter lets the next states be evaluated.
        transitions.discounts[-1, -1] = 1e-30 * has_tiny
        qfunction = DQN((8,), layer_norm=True).build(CARTPOLE, 2, random_state=0)
        results.append([qfunction.update(transitions), *qfunction.weights_])
    for without, with_next in zip(*results, strict=True):
        np.testing.assert_allclose(without, with_next, rtol=1e-4, atol=1e-5)
