"""A dense network without TensorFlow: a hundred times faster for a single state."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped
from numpy.random import Generator

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
    is_noisy : bool
        Whether its weights have noise, whose sizes follow them in the list of weights.
    """

    activation: str
    norm_epsilon: float | None = None
    is_noisy: bool = False


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

        A noisy layer also has the sizes of the noise of both, and a normalized one has gamma
        (n_out,) and beta (n_out,).

        Parameters
        ----------
        weights : list of ndarray
            As Keras orders them.
        moments : Moments
            They decide on the scale of the states.
        """
        remaining = iter(weights)
        kernels, biases, self._noises, self._norms = [], [], [], []
        for layer in self.layers:
            kernels.append(next(remaining))
            biases.append(next(remaining))
            noise = norm = None
            if layer.is_noisy:
                sizes = np.vstack([next(remaining), next(remaining)])
                noise = Noise(sizes, is_centered=layer.norm_epsilon is not None)
            if layer.norm_epsilon is not None:
                norm = Norm(next(remaining), next(remaining), layer.norm_epsilon)
            self._noises.append(noise)
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
            if (noise := self._noises[-1]) is not None:
                self._noises[-1] = noise._replace(output_matrix=self.output_matrix)
        for i, norm in enumerate(self._norms):
            if norm is not None:
                # The mean over the units, x W 1 / n + b 1 / n, is subtracted from the weights.
                kernels[i] = kernels[i] - kernels[i].mean(axis=1, keepdims=True)
                biases[i] = biases[i] - biases[i].mean()
        activations = [layer.activation for layer in self.layers]
        self._matrices = [
            _with_bias(*layer) for layer in zip(kernels, biases, activations, strict=True)
        ]
        self._matrices[-1] = np.ascontiguousarray(self._matrices[-1][:, :-1])  # values only
        self._m = 0

    def __call__(
        self, states: Shaped[np.ndarray, "m ..."], rng: Generator | None = None
    ) -> Float32[np.ndarray, "m n_actions"]:
        """Action values of a batch of states, in memory that the next call reuses.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states.
        rng : numpy.random.Generator or None
            Draws noise for noisy layers, for each state. None computes with the means.

        Returns
        -------
        ndarray of shape (m, n_actions), dtype float32
        """
        m = len(states)
        if m != self._m:
            self._allocate(m)
        if self.encoder.n_categories is not None:
            states = self.encoder.encode(states)
        self._states[...] = states
        x = self._inputs
        for matrix, noise, norm, activation, zeros, out in self._memory:
            x.dot(matrix, out)  # the method takes less time than np.dot
            if noise is not None and rng is not None:
                noise.add_to(out, x, rng)
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
        for matrix, noise, norm, layer in zip(
            self._matrices, self._noises, self._norms, self.layers, strict=True
        ):
            # A comparison with an array of zeros is faster than one with the number.
            zeros, out = np.zeros((2, m, matrix.shape[1]), np.float32)
            self._memory.append((matrix, noise, norm, layer.activation, zeros, out))


class Noise(NamedTuple):
    """Noise on the weights of a layer; see `skrl.qfunctions.deep.layers.NoisyDense`.

    Parameters
    ----------
    sizes : ndarray of shape (n_in, n_out)
        sigma of the kernel, and in the last row of the bias.
    is_centered : bool
        Whether the mean over the outputs is subtracted from them.
    output_matrix : ndarray of shape (n_out, n_actions) or None
        What the outputs are multiplied by.
    """

    sizes: Float32[np.ndarray, "n_in n_out"]
    is_centered: bool = False
    output_matrix: Float32[np.ndarray, "n_out n_actions"] | None = None

    def add_to(
        self, out: Float32[np.ndarray, "m n"], x: Float32[np.ndarray, "m n_in"], rng: Generator
    ) -> None:
        """Add what new noise on the weights adds to the outputs of inputs x, for each of them."""
        n_in, n_out = self.sizes.shape
        e = rng.standard_normal((len(x), n_in + n_out), np.float32)
        # f(e) = sgn(e) sqrt(|e|)
        f = np.copysign(np.sqrt(np.abs(e)), e)
        f_in, f_out = f[:, :n_in], f[:, n_in:]
        f_in[:, -1] = 1.0  # of the bias
        # sum_i x_i sigma_ij f(e_i) f(e_j) + sigma_j f(e_j)
        noise = ((x * f_in) @ self.sizes) * f_out
        if self.is_centered:
            noise -= noise.mean(axis=1, keepdims=True)
        if self.output_matrix is not None:
            noise = noise @ self.output_matrix
        out[:, : noise.shape[1]] += noise  # the unit that is always one has none


class Norm(NamedTuple):
    """Layer normalization of units whose mean is 0 already."""

    gamma: Float32[np.ndarray, " n_units"]
    beta: Float32[np.ndarray, " n_units"]
    epsilon: float

    def apply(self, units: Float32[np.ndarray, "m n_units"]) -> None:
        """Normalize units in place."""
        # gamma x / sqrt(variance + epsilon) + beta
        variance = np.einsum("ij,ij->i", units, units) / units.shape[1]
        units *= (1 / np.sqrt(variance + self.epsilon))[:, None]
        units *= self.gamma
        units += self.beta


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
    layers = dense_layers_of(model.layers) if isinstance(model, keras.Sequential) else None
    # The scale of the states cannot be folded into a noisy layer.
    return None if layers is None or layers[0].is_noisy else layers


def dense_layers_of(keras_layers: list[Any]) -> list[DenseLayer] | None:
    """Describe a plain stack of dense Keras layers; None if it is something else.

    Each may be followed by a `LayerNormalization`, and that by an `Activation`.
    """
    from skrl.qfunctions.deep.layers import (  # needs Keras to be loaded
        FewOutputs,
        ImplicitQuantiles,
        NoisyDense,
    )

    layers: list[DenseLayer] = []
    for layer in keras_layers:
        if isinstance(layer, ImplicitQuantiles):
            layer = layer.output_layer  # of the mean embedding
        kind = type(layer)
        is_first = not layers
        if kind in (keras.layers.InputLayer, keras.layers.Flatten) and is_first:
            continue
        if kind in (keras.layers.Dense, FewOutputs, NoisyDense) and layer.use_bias:
            activation = keras.activations.serialize(layer.activation)
            layers.append(DenseLayer(activation, is_noisy=kind is NoisyDense))
            continue
        if is_first or layers[-1].activation != "linear":
            return None
        is_second = layers[-1].norm_epsilon is not None
        if kind is keras.layers.LayerNormalization and is_plain_norm(layer, 1) and not is_second:
            layers[-1] = layers[-1]._replace(norm_epsilon=layer.epsilon)
        elif kind is keras.layers.Activation:
            layers[-1] = layers[-1]._replace(
                activation=keras.activations.serialize(layer.activation)
            )
        else:
            return None
    is_known = all(layer.activation in STAYS_ONE for layer in layers)
    is_linear = bool(layers) and layers[-1]._replace(is_noisy=False) == DenseLayer("linear")
    return layers if is_known and is_linear else None


def is_plain_norm(norm: Any, axis: int) -> bool:
    """Whether a `LayerNormalization` is over the last axis, the `axis`, and has all its weights."""
    is_last = np.atleast_1d(norm.axis).tolist() in ([-1], [axis])
    return is_last and norm.center and norm.scale and not getattr(norm, "rms_scaling", False)
