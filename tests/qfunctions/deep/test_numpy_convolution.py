import pickle
import subprocess
import sys

import numpy as np
import pytest
from gymnasium import spaces

from skrl import DQN
from skrl.qfunctions.deep.numpy_convolution import NumpyConvolutionalNetwork
from skrl.qfunctions.deep.tensorflow import keras


def several(state_shape, n_outputs):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(state_shape),
            layers.Conv2D(5, 4, 3, "valid", activation="relu"),
            layers.Conv2D(3, (2, 3), padding="same", activation="tanh"),
            layers.Conv2D(4, 2, 2, "valid"),
            layers.Flatten(),
            layers.Dense(8, "tanh"),
            layers.Dense(n_outputs),
        ]
    )


def unusual(state_shape, n_outputs):
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(state_shape),
            layers.Conv2D(3, 3, dilation_rate=2),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(n_outputs),
        ]
    )


def build(space, **parameters):
    qfunction = DQN(**parameters).build(space, 3, random_state=0)
    state = qfunction.state()
    rng = np.random.default_rng(1)
    state["weights"] = [rng.normal(size=w.shape, scale=0.1).astype("f4") for w in state["weights"]]
    if space.dtype == np.float32:
        n, shape = 10, space.shape
        sums, squares = rng.normal(size=shape), np.full(shape, 2.0 * n)
        state["moments"] = {"n": n, "sums": sums, "squares": squares}
    qfunction.set_state(state)
    return qfunction


def by_keras(qfunction, states):
    return qfunction._learner().values(qfunction._state, states)


@pytest.mark.parametrize("m", [1, 5, 70])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize(
    ("shape", "network"),
    [((10, 10, 4), None), ((3, 42, 44), None), ((17, 19, 2), several)],
)
def test_values_equal_those_of_keras(shape, network, dueling, dtype, m):
    space = spaces.Box(0, 255, shape, dtype)
    qfunction = build(space, network=network, dueling=dueling)
    assert isinstance(qfunction._numpy_network, NumpyConvolutionalNetwork)
    states = np.random.default_rng(0).integers(0, 256, (m, *shape)).astype(dtype)
    if dtype == np.float32:
        states /= 100
    expected = by_keras(qfunction, states)
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-4, atol=1e-4)


def test_normalized_layers_equal_those_of_keras():
    space = spaces.Box(0, 255, (10, 10, 4), np.uint8)
    qfunction = build(space, layer_norm=True)
    assert isinstance(qfunction._numpy_network, NumpyConvolutionalNetwork)
    states = np.random.default_rng(0).integers(0, 256, (5, 10, 10, 4), dtype=np.uint8)
    expected = by_keras(qfunction, states)
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-4, atol=1e-4)
    copied = pickle.loads(pickle.dumps(qfunction))
    np.testing.assert_allclose(copied.values(states[::-1])[::-1], expected, rtol=1e-4, atol=1e-4)


def test_images_without_an_axis_of_channels():
    space = spaces.Box(0, 255, (12, 13), np.uint8)
    qfunction = build(space)
    assert isinstance(qfunction._numpy_network, NumpyConvolutionalNetwork)
    states = np.random.default_rng(0).integers(0, 256, (4, 12, 13), dtype=np.uint8)
    expected = by_keras(qfunction, states)
    np.testing.assert_allclose(qfunction.values(states), expected, rtol=1e-4, atol=1e-4)
    as_float = qfunction.values(states.astype(np.float64))
    np.testing.assert_allclose(as_float, expected, rtol=1e-4, atol=1e-4)


def test_other_networks_are_evaluated_by_tensorflow():
    space = spaces.Box(0, 255, (12, 12, 2), np.uint8)
    qfunction = build(space, network=unusual)
    assert qfunction._numpy_network is None
    assert qfunction.values(np.zeros((2, 12, 12, 2), np.uint8)).shape == (2, 3)


def test_an_unpickled_convolutional_network_does_not_load_tensorflow(tmp_path):
    space = spaces.Box(0, 255, (10, 10, 4), np.uint8)
    qfunction = build(space)
    states = np.random.default_rng(0).integers(0, 256, (2, 10, 10, 4), dtype=np.uint8)
    values = qfunction.values(states).copy()
    (tmp_path / "qfunction").write_bytes(pickle.dumps(qfunction))
    np.save(tmp_path / "states.npy", states)
    code = (
        "import pickle, sys, numpy as np\n"
        "qfunction = pickle.load(open('qfunction', 'rb'))\n"
        "np.save('values.npy', qfunction.values(np.load('states.npy')))\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "values.npy"), values)
