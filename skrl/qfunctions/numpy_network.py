"""A dense network without TensorFlow: a hundred times faster for a single state."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from skrl.qfunctions.encoding import StateEncoder


class NumpyNetwork:
    """Evaluates a stack of dense layers with NumPy, from a copy of the Keras weights.

    Calling Keras for one state costs 100 times more than the arithmetic. All memory is kept
    between calls.

    Parameters
    ----------
    activations : list of str
        One per layer: "relu", "tanh" or "linear".
    encoder : StateEncoder
        How states become inputs. Scaling costs nothing: it is folded into the first layer.
    """

    def __init__(self, activations: list[str], encoder: StateEncoder) -> None:
        self.activations = activations
        self.encoder = encoder

    def load(self, weights: list[np.ndarray]) -> None:
        """Use these weights: a kernel (n_in, n_out) and a bias (n_out,) for every layer."""
        kernels, biases = list(weights[0::2]), list(weights[1::2])
        if self.encoder.n_categories is None:
            # ((s - shift) * factor) @ W + b  =  s @ (factor * W) + (b - (shift * factor) @ W)
            shift, factor = self.encoder.shift.ravel(), self.encoder.factor.ravel()
            biases[0] = biases[0] - (shift * factor) @ kernels[0]
            kernels[0] = factor[:, None] * kernels[0]
        self._layers = list(zip(kernels, biases, self.activations, strict=True))
        self._outputs: list[np.ndarray] = []

    def __call__(self, states: Shaped[np.ndarray, "m ..."]) -> Float32[np.ndarray, "m n_actions"]:
        """Action values of a batch of states, in memory that the next call reuses."""
        if self.encoder.n_categories is not None:
            x = self.encoder.one_hot(states)
        else:
            x = states.reshape(len(states), -1).astype(np.float32, copy=False)
        if not self._outputs or len(self._outputs[0]) != len(x):
            self._outputs = [
                np.empty((len(x), len(bias)), np.float32) for _, bias, _ in self._layers
            ]
        for (kernel, bias, activation), out in zip(self._layers, self._outputs, strict=True):
            x = np.dot(x, kernel, out=out)
            x += bias
            if activation == "relu":
                np.maximum(x, 0.0, out=x)
            elif activation == "tanh":
                np.tanh(x, out=x)
        return x


def dense_activations(model: Any) -> list[str] | None:
    """Activations of a Keras model that is a plain stack of dense layers, else None."""
    from skrl.qfunctions.compiled import keras

    if not isinstance(model, keras.Sequential):
        return None
    activations: list[str] = []
    for layer in model.layers:
        kind = type(layer).__name__
        if kind in ("InputLayer", "Flatten") and not activations:
            continue
        config = layer.get_config()
        if kind != "Dense" or not config["use_bias"]:
            return None
        activations.append(config["activation"])
    if not set(activations) <= {"relu", "tanh", "linear"}:
        return None
    return activations
