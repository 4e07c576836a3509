"""A dense network without TensorFlow: a hundred times faster for a single state."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from skrl.qfunctions.deep.tensorflow import keras
from skrl.qfunctions.encoding import Moments, StateEncoder

# What the unit that is always one must feed itself to stay one: relu(1) = 1, and in float32
# tanh(20) = 1.
STAYS_ONE = {"relu": 1.0, "linear": 1.0, "tanh": 20.0}


class DenseLayer(NamedTuple):
    """A dense layer, as Keras describes it.

    Parameters
    ----------
    activation : {"relu", "tanh", "linear"}
        Its activation function.
    norm_epsilon : float or None
        If its units are normalized before the activation: what is added to their variance.
    """

    activation: str
    norm_epsilon: float | None = None


class NumpyNetwork:
    """Evaluates a stack of dense layers with NumPy, from a copy of the Keras weights.

    Calling Keras for one state costs 100 times more than the arithmetic. Here a layer is one
    matrix product: the bias is the weight of an additional unit that is always one. All memory is
    kept between calls.

    Parameters
    ----------
    layers : list of DenseLayer
        From the first to the last, which is linear.
    encoder : StateEncoder
        How states become inputs. Scaling costs nothing: it is folded into the first layer.
    output_matrix : ndarray of shape (n_outputs, n_actions) or None
        Turns outputs into action values, and is folded into the last layer, which must be linear.
        None: the outputs are the values.
    """

    def __init__(
        self,
        layers: list[DenseLayer],
        encoder: StateEncoder,
        output_matrix: Float32[np.ndarray, "n_outputs n_actions"] | None = None,
    ) -> None:
        self.layers = layers
        self.encoder = encoder
        self.output_matrix = output_matrix

    def load(self, weights: list[np.ndarray], moments: Moments) -> None:
        """Use these weights: a kernel (n_in, n_out) and a bias (n_out,) for every layer.

        A normalized layer has gamma (n_out,) and beta (n_out,) besides.

        Parameters
        ----------
        weights : list of ndarray
            As Keras orders them.
        moments : Moments
            They decide on the scale of the states.
        """
        remaining = iter(weights)
        kernels, biases, self._norms = [], [], []
        for layer in self.layers:
            kernels.append(next(remaining))
            biases.append(next(remaining))
            norm = None
            if layer.norm_epsilon is not None:
                norm = Norm(next(remaining), next(remaining), layer.norm_epsilon)
            self._norms.append(norm)
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
        for i, norm in enumerate(self._norms):
            if norm is not None:
                kernels[i], biases[i] = centered(kernels[i], biases[i])
        activations = [layer.activation for layer in self.layers]
        self._matrices = [
            _with_bias(*layer) for layer in zip(kernels, biases, activations, strict=True)
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
        for matrix, norm, activation, zeros, out in self._memory:
            x.dot(matrix, out)  # the method takes less time than np.dot
            if norm is not None:
                norm.apply(out[:, :-1])
            if activation == "relu":
                np.maximum(out, zeros, out=out)
            elif activation == "tanh":
                np.tanh(out, out=out)
            x = out
        return x

    def __getstate__(self) -> dict[str, Any]:
        """Leave the memory of calls out: a copy of a view would no longer be a view."""
        memory = {"_inputs", "_states", "_memory"}
        kept = {name: value for name, value in vars(self).items() if name not in memory}
        return {**kept, "_m": 0}

    def _allocate(self, m: int) -> None:
        self._m = m
        self._inputs = np.ones((m, len(self._matrices[0])), np.float32)
        self._states = self._inputs[:, :-1].reshape(m, *self.encoder.shape)  # a view
        self._memory = []
        for matrix, norm, layer in zip(self._matrices, self._norms, self.layers, strict=True):
            # A comparison with an array of zeros is faster than one with the number.
            zeros, out = np.zeros((2, m, matrix.shape[1]), np.float32)
            self._memory.append((matrix, norm, layer.activation, zeros, out))


class Norm(NamedTuple):
    """Layer normalization of units whose mean is 0 already."""

    gamma: Float32[np.ndarray, " n_units"]
    beta: Float32[np.ndarray, " n_units"]
    epsilon: float

    def apply(self, units: Float32[np.ndarray, "m n_units"]) -> None:
        """Normalize, in place."""
        # gamma x / sqrt(variance + epsilon) + beta
        variance = np.einsum("ij,ij->i", units, units) / units.shape[1]
        units *= (1 / np.sqrt(variance + self.epsilon))[:, None]
        units *= self.gamma
        units += self.beta


def centered(
    kernel: Float32[np.ndarray, "n_in n_out"], bias: Float32[np.ndarray, " n_out"]
) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the mean over the units, x W 1 / n + b 1 / n, from the weights."""
    return kernel - kernel.mean(axis=1, keepdims=True), bias - bias.mean()


def _with_bias(
    kernel: Float32[np.ndarray, "n_in n_out"], bias: Float32[np.ndarray, " n_out"], activation: str
) -> Float32[np.ndarray, "n_in+1 n_out+1"]:
    """Append the unit that is always one: its weights are the bias, and what it feeds itself."""
    matrix = np.zeros((len(kernel) + 1, len(bias) + 1), np.float32)
    matrix[:-1, :-1] = kernel
    matrix[-1, :-1] = bias
    matrix[-1, -1] = STAYS_ONE[activation]
    return matrix


def dense_layers(model: Any) -> list[DenseLayer] | None:
    """The layers of a Keras model that is a plain stack of dense layers, else None."""
    return read_dense_layers(model.layers) if isinstance(model, keras.Sequential) else None


def read_dense_layers(keras_layers: list[Any]) -> list[DenseLayer] | None:
    """Describe a plain stack of dense Keras layers, else None.

    Each may be followed by a `LayerNormalization`, and that by an `Activation`.
    """
    from skrl.qfunctions.deep.layers import FewOutputs  # needs Keras to be loaded

    layers: list[DenseLayer] = []
    for layer in keras_layers:
        kind = type(layer)
        is_first = not layers
        if kind in (keras.layers.InputLayer, keras.layers.Flatten) and is_first:
            continue
        if kind in (keras.layers.Dense, FewOutputs) and layer.use_bias:
            layers.append(DenseLayer(keras.activations.serialize(layer.activation)))
            continue
        if is_first or layers[-1].activation != "linear":
            return None
        if kind is keras.layers.LayerNormalization and is_plain_norm(layer, layers[-1]):
            layers[-1] = DenseLayer("linear", layer.epsilon)
        elif kind is keras.layers.Activation:
            layers[-1] = layers[-1]._replace(
                activation=keras.activations.serialize(layer.activation)
            )
        else:
            return None
    is_known = all(layer.activation in STAYS_ONE for layer in layers)
    return layers if is_known and layers[-1:] == [DenseLayer("linear")] else None


def is_plain_norm(norm: Any, normalized: Any) -> bool:
    """Whether a `LayerNormalization` is the only one of its layer, and has all its weights."""
    n_axes = len(norm.input.shape)
    is_over_units = [axis % n_axes for axis in np.ravel(norm.axis)] == [n_axes - 1]
    is_complete = norm.center and norm.scale and not getattr(norm, "rms_scaling", False)
    return is_over_units and is_complete and normalized.norm_epsilon is None
