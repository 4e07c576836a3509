"""Networks for images, as in well-known papers; see `skrl.qfunctions.deep.networks`."""

from functools import partial
from typing import Any

from skrl.qfunctions.deep.networks import image_layers, initializers
from skrl.qfunctions.deep.tensorflow import keras

# Arguments of `keras.layers.Conv2D`: filters, kernel, strides.
NATURE = (32, 8, 4), (64, 4, 2), (64, 3, 1)
MINATAR = ((16, 3, 1),)
IMPALA = 16, 32, 32


def nature_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    channels: str | None = None,
    seed: int | None = None,
) -> Any:
    """Build the network of Mnih et al. (2015), made for Atari games of 84 x 84 pixels.

    Three convolutions (32 filters of 8 x 8, stride 4; 64 of 4 x 4, stride 2; 64 of 3 x 3) and a
    dense layer of 512 units, without padding.

    Parameters
    ----------
    state_shape : tuple of int
        (height, width), (height, width, channels) or (channels, height, width) of an image, with
        at least 36 x 36 pixels.
    n_outputs : int
        Number of outputs.
    channels : {"first", "last"} or None, default=None
        Which axis counts the channels of an image with three axes. None takes the smaller one
        of the first and the last.
    seed : int or None
        Of the first weights.

    Returns
    -------
    keras.Model

    References
    ----------
    Mnih et al. (2015), "Human-level control through deep reinforcement learning".

    Examples
    --------
    >>> from skrl.qfunctions.deep.images import nature_network
    >>> nature_network((84, 84, 4), 6).output_shape
    (None, 6)
    """
    return _stack(NATURE, 512, state_shape, n_outputs, channels, seed)


def minatar_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    channels: str | None = None,
    seed: int | None = None,
) -> Any:
    """Build the network of Young and Tian (2019), made for MinAtar's images of 10 x 10 pixels.

    One convolution (16 filters of 3 x 3, without padding) and a dense layer of 128 units.

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

    Returns
    -------
    keras.Model

    References
    ----------
    Young and Tian (2019), "MinAtar: An Atari-inspired testbed for thorough and reproducible
    reinforcement learning experiments".

    Examples
    --------
    >>> from skrl.qfunctions.deep.images import minatar_network
    >>> minatar_network((10, 10, 4), 6).output_shape
    (None, 6)
    """
    return _stack(MINATAR, 128, state_shape, n_outputs, channels, seed)


def impala_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    channels: str | None = None,
    seed: int | None = None,
) -> Any:
    """Build the large network of Espeholt et al. (2018), without its recurrent layer.

    Three sections of 16, 32 and 32 filters: a convolution, a maximum over 3 x 3 pixels that halves
    the image, and two residual blocks of two convolutions each. Then a dense layer of 256 units.

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

    Returns
    -------
    keras.Model
        It is evaluated by TensorFlow, which takes longer for a single state than the NumPy
        evaluation of the other networks.

    References
    ----------
    Espeholt et al. (2018), "IMPALA: Scalable distributed deep-RL with importance weighted
    actor-learner architectures".

    Examples
    --------
    >>> from skrl.qfunctions.deep.images import impala_network
    >>> impala_network((84, 84, 4), 6).output_shape
    (None, 6)
    """
    layers, first_weights = keras.layers, initializers(seed)

    def convolution(filters: int) -> Any:
        return layers.Conv2D(filters, 3, padding="same", kernel_initializer=next(first_weights))

    (inputs, *others), _ = image_layers(state_shape, channels)
    x = inputs
    for layer in others:
        x = layer(x)
    for filters in IMPALA:
        x = layers.MaxPooling2D(3, 2, padding="same")(convolution(filters)(x))
        for _ in range(2):
            # x <- x + W_2 relu(W_1 relu(x))
            hidden = convolution(filters)(layers.ReLU()(x))
            x = layers.Add()([x, convolution(filters)(layers.ReLU()(hidden))])
    x = layers.Flatten()(layers.ReLU()(x))
    x = layers.Dense(256, "relu", kernel_initializer=next(first_weights))(x)
    outputs = layers.Dense(n_outputs, kernel_initializer=next(first_weights))(x)
    return keras.Model(inputs, outputs)


def _stack(
    convolutions: tuple[tuple[int, int, int], ...],
    n_units: int,
    state_shape: tuple[int, ...],
    n_outputs: int,
    channels: str | None,
    seed: int | None,
) -> Any:
    """Convolutions without padding, then a dense layer."""
    layers, size = image_layers(state_shape, channels)
    first_weights = initializers(seed)
    length = min(size)
    for _, kernel, stride in convolutions:
        if length < kernel:
            raise ValueError(
                f"Images of {size[0]} x {size[1]} pixels are too small for this network. Use "
                "convolutional_network, which fits itself to the size of the images."
            )
        length = (length - kernel) // stride + 1
    convolution = partial(keras.layers.Conv2D, activation="relu")
    layers += [
        convolution(*numbers, kernel_initializer=next(first_weights)) for numbers in convolutions
    ]
    layers += [
        keras.layers.Flatten(),
        keras.layers.Dense(n_units, "relu", kernel_initializer=next(first_weights)),
        keras.layers.Dense(n_outputs, kernel_initializer=next(first_weights)),
    ]
    return keras.Sequential(layers)
