"""A dense network without TensorFlow: a hundred times faster for a single state."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped

from skrl.qfunctions.deep.tensorflow import keras
from skrl.qfunctions.encoding import Moments, StateEncoder

# What the unit that is always one must feed itself to stay one: relu(1) = 1, and in float32
# tanh(20) = 1.
STAYS_ONE = {"relu": 1.0, "linear": 1.0, "tanh": 20.0}


class NumpyNetwork:
    """Evaluates a stack of dense layers with NumPy, from a copy of the Keras weights.

    Calling Keras for one state costs 100 times more than the arithmetic. Here a layer is one
    matrix product: the bias is the weight of an additional unit that is always one. All memory is
    kept between calls.

    Parameters
    ----------
    activations : list of str
        One per layer: "relu", "tanh" or "linear".
    encoder : StateEncoder
        How states become inputs. Scaling costs nothing: it is folded into the first layer.
    output_matrix : ndarray of shape (n_outputs, n_actions) or None
        Turns outputs into action values, and is folded into the last layer, which must be linear.
        None: the outputs are the values.
    """

    def __init__(
        self,
        activations: list[str],
        encoder: StateEncoder,
        output_matrix: Float32[np.ndarray, "n_outputs n_actions"] | None = None,
    ) -> None:
        self.activations = activations
        self.encoder = encoder
        self.output_matrix = output_matrix

    def load(self, weights: list[np.ndarray], moments: Moments) -> None:
        """Use these weights: a kernel (n_in, n_out) and a bias (n_out,) for every layer.

        Parameters
        ----------
        weights : list of ndarray
            As Keras orders them.
        moments : Moments
            They decide on the scale of the states.
        """
        kernels, biases = list(weights[0::2]), list(weights[1::2])
        if self.encoder.n_categories is None:
            # ((s - shift) * factor) @ W + b  =  s @ (factor * W) + (b - (shift * factor) @ W)
            shift, factor = (scale.ravel() for scale in self.encoder.scale(moments))
            biases[0] = biases[0] - (shift * factor) @ kernels[0]
            kernels[0] = factor[:, None] * kernels[0]
        if self.output_matrix is not None:
            # (x W + b) T  =  x (W T) + b T
            kernels[-1], biases[-1] = (
                kernels[-1] @ self.output_matrix,
                biases[-1] @ self.output_matrix,
            )
        self._matrices = [
            _with_bias(*layer) for layer in zip(kernels, biases, self.activations, strict=True)
        ]
        self._matrices[-1] = np.ascontiguousarray(self._matrices[-1][:, :-1])  # values only
        self._m = 0

    def __call__(self, states: Shaped[np.ndarray, "m ..."]) -> Float32[np.ndarray, "m n_actions"]:
        """Action values of a batch of states, in memory that the next call reuses."""
        m = len(states)
        if m != self._m:
            self._allocate(m)
        if self.encoder.n_categories is not None:
            states = self.encoder.encode(states)
        self._states[...] = states
        x = self._inputs
        for matrix, activation, zeros, out in self._layers:
            x.dot(matrix, out)  # the method takes less time than np.dot
            if activation == "relu":
                np.maximum(out, zeros, out=out)
            elif activation == "tanh":
                np.tanh(out, out=out)
            x = out
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory of calls out: a copy of a view would no longer be a view."""
        memory = {"_inputs", "_states", "_layers"}
        kept = {name: value for name, value in vars(self).items() if name not in memory}
        return {**kept, "_m": 0}

    def _allocate(self, m: int) -> None:
        self._m = m
        self._inputs = np.ones((m, len(self._matrices[0])), np.float32)
        self._states = self._inputs[:, :-1].reshape(m, *self.encoder.shape)  # a view
        self._layers = []
        for matrix, activation in zip(self._matrices, self.activations, strict=True):
            # A comparison with an array of zeros is faster than one with the number.
            zeros, out = np.zeros((2, m, matrix.shape[1]), np.float32)
            self._layers.append((matrix, activation, zeros, out))


def _with_bias(
    kernel: Float32[np.ndarray, "n_in n_out"], bias: Float32[np.ndarray, " n_out"], activation: str
) -> Float32[np.ndarray, "n_in+1 n_out+1"]:
    """Append the unit that is always one: its weights are the bias, and what it feeds itself."""
    matrix = np.zeros((len(kernel) + 1, len(bias) + 1), np.float32)
    matrix[:-1, :-1] = kernel
    matrix[-1, :-1] = bias
    matrix[-1, -1] = STAYS_ONE[activation]
    return matrix


def dense_activations(model: Any) -> list[str] | None:
    """Activations of a Keras model that is a plain stack of dense layers, else None."""
    return activations_of(model.layers) if isinstance(model, keras.Sequential) else None


def activations_of(layers: list[Any]) -> list[str] | None:
    """Activations of a plain stack of dense Keras layers, else None."""
    from skrl.qfunctions.deep.layers import FewOutputs  # needs Keras to be loaded

    activations: list[str] = []
    for layer in layers:
        kind = type(layer)
        if kind in (keras.layers.InputLayer, keras.layers.Flatten) and not activations:
            continue
        if kind not in (keras.layers.Dense, FewOutputs) or not layer.use_bias:
            return None
        activations.append(keras.activations.serialize(layer.activation))
    is_known = set(activations) <= set(STAYS_ONE) and activations[-1:] == ["linear"]
    return activations if is_known else None
