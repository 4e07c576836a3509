"""Implicit quantile networks: quantiles of the return at any level."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from skrl.qfunctions.deep.operations import MIDPOINTS, N_COSINES, duel, pick, quantile_huber
from skrl.qfunctions.deep.qr_dqn import QRDQN
from skrl.qfunctions.deep.tensorflow import keras, tf


@dataclass(eq=False, repr=False)
class IQN(QRDQN):
    """Implicit quantile network: the quantile of the return at any level, for every action.

    The level tau is an input of the network. Every update draws new levels, and their quantiles
    learn from the quantiles of the next state at other random levels, by the loss of `QRDQN`. So
    the network learns the whole distribution, not N points of it (Dabney, Ostrovski, Silver &
    Munos, 2018, "Implicit quantile networks for distributional reinforcement learning"). The value
    of an action is the mean of its quantiles at 32 fixed levels.

    Parameters
    ----------
    n_quantiles : int, default=8
        N: number of levels that are drawn in an update, for the quantiles and for their targets.
    hidden_layer_sizes : tuple of int or int, default=(128, 128)
        See `DQN`.
    activation : {"relu", "tanh"}, default="relu"
        See `DQN`.
    network : callable or None, default=None
        See `DQN`. A Sequential or Functional model, whose last layer must be a linear
        `keras.layers.Dense`. The inputs of this layer are multiplied by an embedding of the level.
    learning_rate, learning_rate_decay : float
        See `DQN`.
    optimizer : str or callable, default="adam"
        See `DQN`.
    target_update_interval : int, default=1
        See `DQN`.
    tau : float in (0, 1], default=0.015
        See `DQN`. It has nothing to do with the levels.
    double, dueling, munchausen : bool, bool, float
        See `DQN`. Dueling networks have quantiles of V(s) and of every A(s, a).
    huber_delta : float, default=1.0
        kappa: size of an error from which on the loss grows linearly, > 0.
    scale_states : bool, default=True
        See `DQN`.
    layer_norm, noisy : bool, default=False
        See `DQN`.

    Notes
    -----
    The last layer is linear, so the mean over the 32 levels is the output of a plain network, whose
    last weights are multiplied by the mean embedding. So an `IQN` is evaluated like a `DQN`: as
    fast, and without TensorFlow.

    Examples
    --------
    >>> import gymnasium, numpy as np
    >>> from skrl import IQN
    >>> space = gymnasium.make("CartPole-v1").observation_space
    >>> qfunction = IQN(hidden_layer_sizes=(32,)).build(space, n_actions=2, random_state=0)
    >>> qfunction.values(np.zeros((5, 4), np.float32)).shape
    (5, 2)
    """

    n_quantiles: int = 8

    is_random = True

    def n_outputs(self, n_actions: int) -> int:
        """How many outputs the network has at each level: one per action, and V(s) if dueling."""
        return n_actions + self.dueling

    def quantiles_of(self, outputs: Any) -> Any:
        """The mean and the quantiles, of shape (B, n_actions, 1 + N).

        Parameters
        ----------
        outputs : tensor of shape (B, 1 + N, n_outputs + 1)
            What `skrl.qfunctions.deep.layers.ImplicitQuantiles` gives in training.

        Returns
        -------
        tensor of shape (B, n_actions, 1 + N)
        """
        quantiles = tf.transpose(outputs[:, :, :-1], (0, 2, 1))
        return duel(quantiles, axis=1) if self.dueling else quantiles

    def values_of(self, outputs: Any) -> Any:
        """Q(s, .) from outputs with quantiles, or from their means of shape (B, n_outputs)."""
        # Q(s, a) = 1/32 sum_k Z_{tau_k}(s, a) with tau_k = (k - 1/2) / 32
        means = outputs[:, 0, :-1] if len(outputs.shape) == 3 else outputs
        return duel(means, axis=1) if self.dueling else means

    def losses(self, outputs: Any, actions: Any, targets: Any) -> tuple[Any, Any]:
        """Quantile Huber losses and TD errors of the means, each of shape (B,)."""
        levels, quantiles = outputs[:, 1:, -1], pick(self.quantiles_of(outputs), actions)
        losses = quantile_huber(quantiles[:, 1:], levels, targets[:, 1:], self.huber_delta)
        return losses, targets[:, 0] - quantiles[:, 0]

    def _build_model(self, rng: Generator) -> Any:
        """Build the network, and let its output layer give quantiles."""
        from skrl.qfunctions.deep.layers import ImplicitQuantiles  # needs Keras to be loaded

        model = super()._build_model(rng)
        last = model.layers[-1]
        is_linear = getattr(last, "activation", None) is keras.activations.linear
        is_output = hasattr(model, "outputs") and last.output is model.outputs[0]
        if not (isinstance(last, keras.layers.Dense) and is_linear and is_output):
            raise ValueError(
                "The network of an IQN must be a Sequential or Functional model that ends with a "
                f"linear keras.layers.Dense, got {model!r} with the last layer {last!r}. Let it "
                "end with keras.layers.Dense(n_outputs)."
            )
        quantiles = ImplicitQuantiles(last, self.n_quantiles, int(rng.integers(2**31)))
        if isinstance(model, keras.Sequential):
            inputs = keras.layers.Input(model.input_shape[1:])
            return keras.Sequential([inputs, *model.layers[:-1], quantiles])
        return keras.Model(model.inputs, quantiles(last.input))

    def _acting_weights(self) -> list[np.ndarray]:
        """The weights of a plain network with the same values."""
        layers: Any = self._layers
        last = layers[-1] if isinstance(layers, list) else layers.dense_layers[-1]
        n_last = 4 if last.is_noisy else 2  # a kernel and a bias, and the sizes of their noise
        *first, w, b = self.weights_[:-n_last]
        kernel, bias, *sizes = self.weights_[-n_last:]
        # mean_k phi(tau_k): its numbers are factors of the rows of the output layer's kernel.
        cosines = np.cos(np.pi * np.outer(MIDPOINTS, np.arange(N_COSINES)))
        mean = np.maximum(cosines @ w + b, 0).mean(axis=0).astype(np.float32)[:, np.newaxis]
        if sizes:
            sizes[0] = mean * sizes[0]
        return [*first, mean * kernel, bias, *sizes]
