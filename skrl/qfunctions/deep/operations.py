"""Building blocks of the variants of DQN, in TensorFlow operations."""

from typing import Any

from skrl.qfunctions.deep.tensorflow import tf


def pick(values: Any, actions: Any) -> Any:
    """The values of one action in each row: of shape (B, ...) out of (B, n_actions, ...)."""
    return tf.gather(values, actions, batch_dims=1)


def duel(outputs: Any, axis: int) -> Any:
    """Combine the state value, the first output along an axis, and the advantages."""
    value, advantages = tf.split(outputs, [1, -1], axis=axis)
    # Q(s, a) = V(s) + A(s, a) - mean_b A(s, b)
    return value + advantages - tf.reduce_mean(advantages, axis=axis, keepdims=True)


def huber(errors: Any, delta: float) -> Any:
    """Huber's loss: e^2 / 2 up to delta, and linear with slope delta beyond."""
    size = tf.abs(errors)
    bounded = tf.minimum(size, delta)
    return bounded * (size - 0.5 * bounded)


def scaled_log_softmax(values: Any, temperature: float) -> Any:
    """``tau log pi`` with ``pi = softmax(values / tau)``, for a temperature tau."""
    # tau log pi(a) = Q(a) - tau log sum_b exp(Q(b) / tau)
    return temperature * tf.nn.log_softmax(values / temperature)
