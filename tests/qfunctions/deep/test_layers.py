import numpy as np
import pytest
import tensorflow as tf

from skrl.qfunctions.deep.layers import FewOutputs
from skrl.qfunctions.deep.tensorflow import keras


@pytest.mark.parametrize("units", [1, 2, 4])
def test_values_and_gradients_equal_those_of_a_dense_layer(units):
    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(size=(7, 5)).astype(np.float32))
    upstream = rng.normal(size=(7, units)).astype(np.float32)
    plain, few = keras.layers.Dense(units), FewOutputs(units)
    plain.build((None, 5))
    few.build((None, 5))
    few.set_weights(plain.get_weights())

    def evaluate(layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            values = layer(x)
            loss = tf.reduce_sum(values * upstream)
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        return [values.numpy(), *[gradient.numpy() for gradient in gradients]]

    for expected, found in zip(evaluate(plain), evaluate(few), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
