"""Building blocks of the variants of DQN, in TensorFlow operations."""

from typing import Any

import numpy as np

from skrl.qfunctions.deep.tensorflow import tf

# Of implicit quantile networks: cosines per embedded level, and the levels at which the values of
# actions are computed (Dabney et al., 2018, section 4; there, these levels are random).
N_COSINES, N_MIDPOINTS = 64, 32
MIDPOINTS = ((np.arange(N_MIDPOINTS) + 0.5) / N_MIDPOINTS).astype(np.float32)


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


def quantile_huber(quantiles: Any, levels: Any, targets: Any, kappa: float) -> Any:
    """The quantile Huber loss of B states, of shape (B,).

    Parameters
    ----------
    quantiles : tensor of shape (B, N)
        theta.
    levels : tensor of shape (N,) or (B, N)
        tau: the fraction of the targets that should lie below each quantile.
    targets : tensor of shape (B, N')
        y.
    kappa : float
        Size of an error from which on the loss grows linearly.

    Returns
    -------
    tensor of shape (B,)
        The sum over the quantiles of the mean over the targets.
    """
    # u_ij = y_j - theta_i, of shape (B, N, N')
    errors = targets[:, None, :] - quantiles[:, :, None]
    # rho_i(u) = |tau_i - [u < 0]| * huber(u) / kappa
    weights = tf.abs(levels[..., None] - tf.cast(errors < 0, tf.float32))
    losses = weights * huber(errors, kappa) / kappa
    return tf.reduce_sum(tf.reduce_mean(losses, axis=2), axis=1)


def scaled_log_softmax(values: Any, temperature: float) -> Any:
    """``tau log pi`` with ``pi = softmax(values / tau)``, for a temperature tau."""
    # tau log pi(a) = Q(a) - tau log sum_b exp(Q(b) / tau)
    return temperature * tf.nn.log_softmax(values / temperature)
