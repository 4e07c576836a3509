from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces

from skrl import DQN, Transitions
from skrl.qfunctions.deep.convolution import MatrixConv2D, with_matrix_products
from skrl.qfunctions.deep.networks import convolutional_network
from skrl.qfunctions.deep.tensorflow import keras

# height, width, channels, filters, kernel, strides
CASES = [
    (10, 10, 4, 16, 3, 1),
    (10, 10, 16, 32, 4, 2),
    (11, 9, 5, 3, 4, 2),
    (11, 9, 3, 2, 3, 2),
    (9, 12, 1, 4, 8, 4),
    (13, 13, 7, 5, (4, 2), (2, 1)),
    (8, 8, 3, 2, (1, 3), (3, 1)),
    (7, 7, 8, 4, 1, 1),
    (7, 7, 8, 4, 1, 2),
    (6, 6, 2, 3, (6, 2), (6, 2)),
]


def evaluate(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        loss = tf.reduce_sum(y * tf.reshape(tf.sin(tf.range(0.0, float(tf.size(y)))), y.shape))
    return [y, *tape.gradient(loss, [x, *layer.trainable_variables])]


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_those_of_keras(case, padding):
    height, width, channels, filters, kernel, strides = case
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(3, height, width, channels)).astype(np.float32))
    plain = keras.layers.Conv2D(filters, kernel, strides, padding, activation="tanh")
    plain.build(x.shape)
    ours = MatrixConv2D.from_config(plain.get_config())
    ours.build(x.shape)
    weights = [rng.normal(size=w.shape, scale=0.1) for w in plain.get_weights()]
    plain.set_weights(weights)
    ours.set_weights(weights)
    found = tf.function(partial(evaluate, ours), jit_compile=case in CASES[:3])(x)
    for a, b in zip(evaluate(plain, x), found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-5)


def two_paths(state_shape, n_outputs):
    inputs = keras.layers.Input(state_shape)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = x + keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(n_outputs)(x))


@pytest.mark.parametrize("builder", [convolutional_network, two_paths])
def test_the_rewritten_model_has_the_same_variables_in_the_same_order(builder):
    model = builder((10, 10, 4), 3)
    before = model.get_weights()
    rewritten = with_matrix_products(model)
    assert any(isinstance(layer, MatrixConv2D) for layer in rewritten.layers)
    assert not any(isinstance(layer, MatrixConv2D) for layer in model.layers)
    rewritten.set_weights(before)
    x = np.random.default_rng(0).normal(size=(5, 10, 10, 4)).astype(np.float32)
    np.testing.assert_allclose(rewritten(x), model(x), rtol=1e-5, atol=1e-5)


def test_a_model_without_convolutions_is_not_copied():
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2)])
    assert with_matrix_products(model) is model


def image_transitions(space, K, B, n_actions):
    rng = np.random.default_rng(0)
    states, next_states = rng.integers(0, 256, (2, K, B, *space.shape)).astype(space.dtype)
    return Transitions(
        states=states,
        actions=rng.integers(n_actions, size=(K, B)),
        rewards=rng.normal(size=(K, B)).astype(np.float32),
        next_states=next_states,
        discounts=np.full((K, B), 0.99, np.float32),
        terminated=np.zeros((K, B), bool),
        truncated=np.zeros((K, B), bool),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("interval", [1, 20])
def test_many_updates_of_images_in_one_call_equal_single_updates(dtype, interval):
    space = spaces.Box(0, 255, (10, 10, 2), dtype)
    transitions = image_transitions(space, 3, 4, 3)
    at_once, singly = (
        DQN(target_update_interval=interval, tau=0.5).build(space, 3, random_state=0)
        for _ in range(2)
    )
    errors = at_once.update(transitions)
    expected = np.stack([singly.update(transitions[k]) for k in range(3)])
    np.testing.assert_allclose(errors, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(at_once.weights_, singly.weights_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
