"""Keras networks that map states to action values, as builder functions.

A builder is any function ``(state_shape, n_outputs) -> keras.Model`` that can be found again by
its name (not a lambda), so that agents can be copied and saved. If it takes an argument `seed`, it
is given one that it derives its layers' seeds from. The model takes a batch of states as float32,
already scaled or one-hot encoded; for a plain DQN it gives one value per action.
"""

import inspect
import random
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator

from skrl.qfunctions.deep.tensorflow import keras

ACTIVATIONS = ("relu", "tanh", "linear")

Builder = Callable[..., Any]


def build(builder: Builder, state_shape: tuple[int, ...], n_outputs: int, rng: Generator) -> Any:
    """Call a builder, and check what it has built.

    Parameters
    ----------
    builder : callable
        ``(state_shape, n_outputs) -> keras.Model``.
    state_shape : tuple of int
        Shape of one encoded state.
    n_outputs : int
        Number of outputs.
    rng : numpy.random.Generator
        Where the seeds of the layers come from.

    Returns
    -------
    keras.Model

    Raises
    ------
    TypeError
        If it is not a model.
    ValueError
        If its output has another shape.
    """
    # A layer without a seed draws one from Python's global generator, which must not change.
    state = random.getstate()
    parameters = inspect.signature(builder).parameters
    if len(parameters) < 2 and not any(p.kind is p.VAR_POSITIONAL for p in parameters.values()):
        raise TypeError(
            f"network must be a function (state_shape, n_outputs) -> keras.Model, got {builder!r}."
        )
    try:
        if "seed" in parameters:
            model = _call(builder, state_shape, n_outputs, seed=int(rng.integers(2**31)))
        else:
            model = _call(builder, state_shape, n_outputs)
            model = _with_seeds(model, rng, builder, state_shape, n_outputs)
    finally:
        random.setstate(state)
    output_shape = tuple(model(np.zeros((1, *state_shape), np.float32)).shape)
    if output_shape != (1, n_outputs):
        raise ValueError(
            f"network must give {n_outputs} numbers per state, an output of shape "
            f"(m, {n_outputs}) for m states, but for one state it gave the shape {output_shape}."
        )
    return model


def _call(builder: Builder, state_shape: tuple[int, ...], n_outputs: int, **arguments: Any) -> Any:
    model = builder(state_shape, n_outputs, **arguments)
    if not isinstance(model, keras.Model):
        raise TypeError(f"network must build a keras.Model, got {model!r}.")
    if not model.built:
        model.build((None, *state_shape))
    return model


def _with_seeds(
    model: Any, rng: Generator, builder: Builder, state_shape: tuple[int, ...], n_outputs: int
) -> Any:
    """Copy a model, with a seed for every layer and initializer that has none."""

    def copy(layer: Any) -> Any:
        return type(layer).from_config(_fill_seeds(layer.get_config(), rng))

    try:
        seeded = keras.models.clone_model(model, clone_function=copy)
    except (ValueError, TypeError, NotImplementedError):
        warnings.warn(
            f"The network that {builder!r} builds is neither Sequential nor Functional, so its "
            "layers cannot be given seeds, and its first weights differ from run to run. Let the "
            "function take an argument `seed`, and give it to the initializers.",
            stacklevel=2,
        )
        return model
    # Weights that the builder has set itself are the same in a second model, and are kept.
    other = _call(builder, state_shape, n_outputs)
    for variable, first, second in zip(
        seeded.variables, model.variables, other.variables, strict=True
    ):
        if np.array_equal(first.numpy(), second.numpy()):
            variable.assign(first)
    return seeded


def _fill_seeds(config: Any, rng: Generator) -> Any:
    """Replace every seed of None in a nested configuration."""
    if isinstance(config, dict):
        return {
            key: int(rng.integers(2**31)) if key == "seed" and value is None
            else _fill_seeds(value, rng)
            for key, value in config.items()
        }  # fmt: skip
    if isinstance(config, list):
        return [_fill_seeds(item, rng) for item in config]
    return config


def dense_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    hidden_layer_sizes: tuple[int, ...] = (64, 64),
    activation: str = "relu",
    seed: int | None = None,
    layer_norm: bool = False,
    noisy: bool = False,
) -> Any:
    """Build a fully connected network.

    Parameters
    ----------
    state_shape : tuple of int
        Shape of one encoded state; it is flattened.
    n_outputs : int
        Number of outputs.
    hidden_layer_sizes : tuple of int
        Width of every hidden layer.
    activation : str
        Of the hidden layers: "relu" or "tanh".
    seed : int or None
        Of the first weights.
    layer_norm : bool, default=False
        Normalize the units of every hidden layer, before the activation.
    noisy : bool, default=False
        Make all dense layers but the first noisy, and a single one as well; see
        `skrl.qfunctions.deep.layers.NoisyDense`.

    Returns
    -------
    keras.Model

    Examples
    --------
    >>> from skrl.qfunctions.deep.networks import dense_network
    >>> dense_network((4,), 2).output_shape
    (None, 2)
    """
    from skrl.qfunctions.deep.layers import FEW, FewOutputs, NoisyDense  # needs Keras to be loaded

    first_weights = initializers(seed)

    layers = [keras.layers.Input(state_shape)]
    if len(state_shape) != 1:
        layers.append(keras.layers.Flatten())
    for i, size in enumerate(hidden_layer_sizes):
        kind = NoisyDense if noisy and i > 0 else keras.layers.Dense
        dense = kind(size, kernel_initializer=next(first_weights))
        layers += _activated(dense, activation, layer_norm)
    plain = FewOutputs if n_outputs <= FEW else keras.layers.Dense
    output = NoisyDense if noisy else plain
    return keras.Sequential([*layers, output(n_outputs, kernel_initializer=next(first_weights))])


def _activated(layer: Any, activation: str, layer_norm: bool) -> list[Any]:
    """Let a layer be followed by its activation, and by the normalization in between."""
    if not layer_norm:
        layer.activation = keras.activations.get(activation)
        return [layer]
    # Over the units of a dense layer, and over the channels of each pixel of a convolution.
    norm = keras.layers.LayerNormalization(epsilon=1e-6)
    return [layer, norm, keras.layers.Activation(activation)]


def initializers(seed: int | None) -> Iterator[Any]:
    """Give each layer its own initializer."""
    rng = np.random.default_rng(seed)
    while True:
        yield keras.initializers.GlorotUniform(int(rng.integers(2**31)))


def convolutional_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    channels: str | None = None,
    seed: int | None = None,
    layer_norm: bool = False,
    noisy: bool = False,
) -> Any:
    """Build a small convolutional network for images.

    Two convolutions that halve the image, then a dense layer: the first two layers and the form
    of the network of Mnih et al. (2013), "Playing Atari with deep reinforcement learning".

    Parameters
    ----------
    state_shape : tuple of int
        (height, width), (height, width, channels) or (channels, height, width) of an image.
    n_outputs : int
        Number of outputs.
    channels : {"first", "last"} or None, default=None
        Which axis counts the channels of an image with three axes. None takes the smaller one
        of the first and the last.
    seed : int or None
        Of the first weights.
    layer_norm : bool, default=False
        Normalize the units of every hidden layer, before the activation.
    noisy : bool, default=False
        Make the dense layers noisy; see `skrl.qfunctions.deep.layers.NoisyDense`.

    Returns
    -------
    keras.Model

    Raises
    ------
    ValueError
        If the states are not images, or it cannot be told which axis counts the channels.

    Examples
    --------
    >>> from skrl.qfunctions.deep.networks import convolutional_network
    >>> convolutional_network((84, 84, 4), 6).output_shape
    (None, 6)
    """
    from skrl.qfunctions.deep.layers import NoisyDense  # needs Keras to be loaded

    layers, (height, width) = image_layers(state_shape, channels)
    first_weights = initializers(seed)
    # Large images are halved quickly, small ones keep their pixels.
    kernel, stride = (8, 4) if min(height, width) >= 40 else (3, 1)
    convolution = partial(keras.layers.Conv2D, padding="same")
    first = convolution(16, kernel, stride, kernel_initializer=next(first_weights))
    second = convolution(32, 4, 2, kernel_initializer=next(first_weights))
    kind = NoisyDense if noisy else keras.layers.Dense
    dense = kind(256, kernel_initializer=next(first_weights))
    layers += [
        *_activated(first, "relu", layer_norm),
        *_activated(second, "relu", layer_norm),
        keras.layers.Flatten(),
        *_activated(dense, "relu", layer_norm),
        kind(n_outputs, kernel_initializer=next(first_weights)),
    ]
    return keras.Sequential(layers)


def image_layers(
    state_shape: tuple[int, ...], channels: str | None
) -> tuple[list[Any], tuple[int, int]]:
    """The first layers of a network for images, whose channels are last then; height and width."""
    if len(state_shape) not in (2, 3):
        raise ValueError(
            "convolutional_network needs states of shape (height, width), (height, width, "
            f"channels) or (channels, height, width), got {state_shape}. Use dense_network for "
            "other states."
        )
    layers, size = [keras.layers.Input(state_shape)], (state_shape[0], state_shape[1])
    if len(state_shape) == 2:
        layers.append(keras.layers.Reshape((*state_shape, 1)))
    elif _channels_first(state_shape, channels):
        layers.append(keras.layers.Permute((2, 3, 1)))
        size = state_shape[1], state_shape[2]
    return layers, size


def _channels_first(state_shape: tuple[int, ...], channels: str | None) -> bool:
    """Tell which end axis of an image counts the channels: the smaller one."""
    if channels in ("first", "last"):
        return channels == "first"
    if channels is not None:
        raise ValueError(f"channels must be 'first', 'last' or None, got {channels!r}.")
    first, last = state_shape[0], state_shape[-1]
    if first == last:
        raise ValueError(
            f"Images of shape {state_shape} may have their channels in the first or in the last "
            "axis. Say which: network=functools.partial(convolutional_network, channels='last'), "
            "from skrl.qfunctions.deep.networks."
        )
    return first < last
