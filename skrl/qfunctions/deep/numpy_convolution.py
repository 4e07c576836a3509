"""A convolutional network without TensorFlow, for acting and evaluation."""

from contextlib import nullcontext
from functools import cache
from math import prod
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float32, Shaped
from numpy.lib.stride_tricks import as_strided
from numpy.random import Generator
from threadpoolctl import ThreadpoolController

from skrl.qfunctions.deep.numpy_network import (
    STAYS_ONE,
    DenseLayer,
    Norm,
    NumpyNetwork,
    dense_layers_of,
    is_plain_norm,
)
from skrl.qfunctions.deep.tensorflow import keras
from skrl.qfunctions.encoding import Moments, StateEncoder

# How many states are evaluated at once: the patches of more would not stay in the cache.
N_AT_ONCE = 32
# Threads do not make a product of fewer multiplications faster. But they wait for the next one on
# a core, which learning or the environments need.
MIN_FOR_THREADS = 5_000_000


@cache
def thread_pools() -> ThreadpoolController:
    """The threads with which NumPy multiplies matrices."""
    return ThreadpoolController()


class Convolution(NamedTuple):
    """One layer: its kernel's shape (m, n, C, F), strides, zeros before the image, and output.

    If its channels are normalized before the activation, `norm_epsilon` is added to their variance.
    """

    kernel: tuple[int, int, int, int]
    strides: tuple[int, int]
    before: tuple[int, int]
    output: tuple[int, int]
    activation: str
    norm_epsilon: float | None = None

    @property
    def input(self) -> tuple[int, int]:
        """Height and width of the padded image that the layer sees."""
        (m, n, _, _), (s, t), (h, w) = self.kernel, self.strides, self.output
        return (h - 1) * s + m, (w - 1) * t + n


class ConvolutionalStack(NamedTuple):
    """A stack of convolutions, then dense layers.

    Parameters
    ----------
    axes : tuple of int
        How the axes of a state are permuted; see `numpy.transpose`.
    image_shape : tuple of int
        Height, width and channels after that.
    convolutions : tuple of Convolution
        At least one.
    dense_layers : list of DenseLayer
        What follows.
    """

    axes: tuple[int, ...]
    image_shape: tuple[int, int, int]
    convolutions: tuple[Convolution, ...]
    dense_layers: list[DenseLayer]


class NumpyConvolutionalNetwork:
    """Evaluates convolutions, then dense layers with NumPy, from a copy of the Keras weights.

    A convolution is one product of the image's patches and the kernel. Images of dtype uint8 are
    not converted before their patches are; their scale is folded into the first kernel.

    Parameters
    ----------
    stack : ConvolutionalStack
        The architecture.
    encoder : StateEncoder
        How states become inputs.
    output_matrix : ndarray of shape (n_outputs, n_actions) or None
        Turns outputs into action values; see `NumpyNetwork`.
    """

    def __init__(
        self,
        stack: ConvolutionalStack,
        encoder: StateEncoder,
        output_matrix: Float32[np.ndarray, "n_outputs n_actions"] | None = None,
    ) -> None:
        self.stack = stack
        self.encoder = encoder
        last = stack.convolutions[-1]
        size = last.output[0] * last.output[1] * last.kernel[3]
        features = gymnasium.spaces.Box(-np.inf, np.inf, (size,))
        features_as_they_are = StateEncoder(features, scale_states=False)
        self._dense = NumpyNetwork(stack.dense_layers, features_as_they_are, output_matrix)
        self._allocated: Any = None
        products = [N_AT_ONCE * prod(c.output) * prod(c.kernel) for c in stack.convolutions]
        self._needs_threads = max(products) >= MIN_FOR_THREADS

    def load(self, weights: list[np.ndarray], moments: Moments) -> None:
        """Use these weights: a kernel and a bias for every layer, as Keras orders them.

        Parameters
        ----------
        weights : list of ndarray
            The kernels of convolutions have the shape (m, n, C, F), the others (n_in, n_out).
            The list goes on as that of a `NumpyNetwork`.
        moments : Moments
            They decide on the scale of the states.
        """
        remaining = iter(weights)
        kernels, biases, self._norms = [], [], []
        for layer in self.stack.convolutions:
            kernel = next(remaining)
            kernels.append(kernel.reshape(-1, kernel.shape[-1]))
            biases.append(next(remaining))
            norm = None
            if layer.norm_epsilon is not None:
                norm = Norm(next(remaining), next(remaining), layer.norm_epsilon)
            self._norms.append(norm)
        self._dense.load(list(remaining), self._dense.encoder.no_moments())
        self._scale = None
        if self.encoder.standardizes:
            self._scale = self.encoder.scale(moments)
        else:
            # (factor * x) * W  =  x * (factor * W)
            kernels[0] = kernels[0] * self.encoder.scale(moments)[1].flat[0]
        # The bias is the weight of an input that is always one.
        self._matrices = [np.vstack(layer) for layer in zip(kernels, biases, strict=True)]
        for matrix, norm in zip(self._matrices, self._norms, strict=True):
            if norm is not None:
                # The mean over the channels is subtracted from the weights.
                matrix -= matrix.mean(axis=1, keepdims=True)

    def __call__(
        self, states: Shaped[np.ndarray, "m ..."], rng: Generator | None = None
    ) -> Float32[np.ndarray, "m n_actions"]:
        """Action values of a batch of states; see `NumpyNetwork`."""
        if len(states) <= N_AT_ONCE:
            return self._evaluate(states, rng)
        parts = [states[i : i + N_AT_ONCE] for i in range(0, len(states), N_AT_ONCE)]
        one_thread = thread_pools().limit(limits=1, user_api="blas")
        with nullcontext() if self._needs_threads else one_thread:
            return np.concatenate([self._evaluate(part, rng).copy() for part in parts])

    def _evaluate(
        self, states: Shaped[np.ndarray, "m ..."], rng: Generator | None
    ) -> Float32[np.ndarray, "m n_actions"]:
        m = len(states)
        if self._scale is not None:
            shift, factor = self._scale
            states = (states.astype(np.float32) - shift) * factor
        dtype = np.uint8 if states.dtype == np.uint8 else np.float32
        if self._allocated != (m, dtype):
            self._allocate(m, dtype)
        images = states.reshape(m, *self._state_shape)
        self._image[...] = images.transpose(0, *(1 + axis for axis in self.stack.axes))[
            :, : self._image.shape[1], : self._image.shape[2]
        ]
        for matrix, norm, convolution, (windows, patches, inputs, out, shaped, target) in zip(
            self._matrices, self._norms, self.stack.convolutions, self._buffers, strict=True
        ):
            patches[...] = windows
            inputs.dot(matrix, out)
            if norm is not None:
                norm.apply(out)
            if convolution.activation == "relu":
                np.maximum(shaped, 0, out=target)
            elif convolution.activation == "tanh":
                np.tanh(shaped, out=target)
            else:
                target[...] = shaped
        return self._dense(self._features, rng)

    @property
    def _state_shape(self) -> tuple[int, ...]:
        """The shape of a state with an axis for its channels."""
        shape = [0, 0, 0]
        for axis, length in zip(self.stack.axes, self.stack.image_shape, strict=True):
            shape[axis] = length
        return tuple(shape)

    def _allocate(self, m: int, dtype: type) -> None:
        """Make the memory for m states of this dtype."""
        self._allocated = m, dtype
        layers = self.stack.convolutions
        for layer in layers:
            if min(layer.strides) < 1:  # of a hostile file: the view would leave the image
                raise ValueError(
                    f"The strides of a convolution must be positive, got {layer.strides}."
                )
        padded: list[np.ndarray] = [
            np.zeros((m, *layer.input, layer.kernel[2]), np.float32 if i else dtype)
            for i, layer in enumerate(layers)
        ]
        lengths = [self.stack.image_shape[:2], *(layer.output for layer in layers)]
        inner = [
            image[:, top : top + height, left : left + width]
            for image, (top, left), (height, width) in zip(
                padded, (layer.before for layer in layers), lengths[:-1], strict=True
            )
        ]
        self._image = inner[0]
        last = layers[-1]
        features = np.empty((m, *last.output, last.kernel[3]), np.float32)
        self._features = features.reshape(m, -1)
        self._buffers = []
        for layer, image, target in zip(layers, padded, [*inner[1:], features], strict=True):
            (k, n, C, F), (s, t), (h, w) = layer.kernel, layer.strides, layer.output
            a, b, c, d = image.strides
            # The patches of all positions, as a view: a row of a patch lies in one piece.
            windows = as_strided(image, (m, h, w, k, n * C), (a, b * s, c * t, b, d))
            inputs = np.ones((m * h * w, k * n * C + 1), np.float32)
            row = inputs.strides[0]
            strides = h * w * row, w * row, row, n * C * 4, 4
            patches = as_strided(inputs, windows.shape, strides)
            out = np.empty((m * h * w, F), np.float32)
            shaped = out.reshape(m, h, w, F)[:, : target.shape[1], : target.shape[2]]
            self._buffers.append((windows, patches, inputs, out, shaped, target))

    def __getstate__(self) -> dict[str, Any]:
        """Without the memory, whose views would become copies."""
        state = self.__dict__.copy()
        for name in ("_image", "_features", "_buffers"):
            state.pop(name, None)
        return {**state, "_allocated": None}


def convolutional_stack(model: Any) -> ConvolutionalStack | None:
    """Describe a Keras model that is a stack of convolutions, then of dense layers, else None."""
    from skrl.qfunctions.deep.convolution import extent  # needs Keras to be loaded

    if not isinstance(model, keras.Sequential):
        return None
    layers = [layer for layer in model.layers if type(layer) is not keras.layers.InputLayer]
    axes, shape = (0, 1, 2), tuple(model.input_shape[1:])
    if layers and type(layers[0]) is keras.layers.Reshape and len(shape) == 2:
        shape = tuple(layers.pop(0).target_shape)
        if shape != (*model.input_shape[1:], 1):
            return None
    elif layers and type(layers[0]) is keras.layers.Permute and len(shape) == 3:
        dims = layers.pop(0).dims
        axes = tuple(dim - 1 for dim in dims)
        shape = tuple(shape[axis] for axis in axes)
    if len(shape) != 3:
        return None
    image_shape, convolutions = shape, []
    while layers and type(layers[0]) is keras.layers.Conv2D:
        layer = layers.pop(0)
        activation = keras.activations.serialize(layer.activation)
        is_plain = layer.use_bias and layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1)
        if not is_plain or layer.data_format != "channels_last" or activation not in STAYS_ONE:
            return None
        kernel, strides = tuple(layer.kernel.shape), tuple(layer.strides)
        sides = [
            extent(*lengths, layer.padding)
            for lengths in zip(shape[:2], kernel[:2], strides, strict=True)
        ]
        before, output = zip(*sides, strict=True)
        epsilon = None
        if layers and type(layers[0]) is keras.layers.LayerNormalization and activation == "linear":
            norm = layers.pop(0)
            if not is_plain_norm(norm, axis=3):
                return None
            epsilon = norm.epsilon
        if layers and type(layers[0]) is keras.layers.Activation and activation == "linear":
            activation = keras.activations.serialize(layers.pop(0).activation)
            if activation not in STAYS_ONE:
                return None
        convolutions.append(Convolution(kernel, strides, before, output, activation, epsilon))
        shape = (*output, kernel[3])
    if not convolutions or not layers or type(layers.pop(0)) is not keras.layers.Flatten:
        return None
    dense = dense_layers_of(layers)
    if dense is None:
        return None
    return ConvolutionalStack(axes, image_shape, tuple(convolutions), dense)
