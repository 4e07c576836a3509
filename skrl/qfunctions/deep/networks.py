"""Keras networks that map states to action values, as builder functions.

A builder is any function ``(state_shape, n_outputs) -> keras.Model`` that can be found again by
its name (not a lambda), so that agents can be copied and saved. The model takes a batch of states
as float32, already scaled or one-hot encoded; for a plain DQN it gives one value per action.
"""

from collections.abc import Callable
from typing import Any

ACTIVATIONS = ("relu", "tanh", "linear")


def build(
    builder: Callable[[tuple[int, ...], int], Any],
    state_shape: tuple[int, ...],
    n_outputs: int,
    seed: int,
) -> Any:
    """Call a builder, and check what it has built.

    Parameters
    ----------
    builder : callable
        ``(state_shape, n_outputs) -> keras.Model``.
    state_shape : tuple of int
        Shape of one encoded state.
    n_outputs : int
        Number of outputs.
    seed : int
        The same seed gives the same weights.

    Returns
    -------
    keras.Model

    Raises
    ------
    TypeError
        If it is no model.
    ValueError
        If its output has another shape.
    """
    from skrl.qfunctions.deep.learner import keras, seeded_layers

    with seeded_layers(seed):
        model = builder(state_shape, n_outputs)
        if not isinstance(model, keras.Model):
            raise TypeError(f"network must build a keras.Model, got {model!r}.")
        if not model.built:
            model.build((None, *state_shape))
    if model.output_shape != (None, n_outputs):
        raise ValueError(
            f"network must give {n_outputs} numbers per state, an output of shape "
            f"(None, {n_outputs}), but its output has the shape {model.output_shape}."
        )
    return model


def dense_network(
    state_shape: tuple[int, ...],
    n_outputs: int,
    hidden_layer_sizes: tuple[int, ...] = (64, 64),
    activation: str = "relu",
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

    Returns
    -------
    keras.Model

    Examples
    --------
    >>> from skrl.qfunctions.deep.networks import dense_network
    >>> dense_network((4,), 2).output_shape
    (None, 2)
    """
    from skrl.qfunctions.deep.layers import FEW, FewOutputs
    from skrl.qfunctions.deep.learner import keras

    layers = [keras.layers.Input(state_shape)]
    if len(state_shape) != 1:
        layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(size, activation) for size in hidden_layer_sizes]
    output = FewOutputs if n_outputs <= FEW else keras.layers.Dense
    return keras.Sequential([*layers, output(n_outputs)])


def convolutional_network(state_shape: tuple[int, ...], n_outputs: int) -> Any:
    """Build a small convolutional network for images.

    Two convolutions that halve the image, then a dense layer: the first two layers and the form
    of the network of Mnih et al. (2013), "Playing Atari with deep reinforcement learning".

    Parameters
    ----------
    state_shape : tuple of int
        (height, width) or (height, width, channels) of an image.
    n_outputs : int
        Number of outputs.

    Returns
    -------
    keras.Model

    Examples
    --------
    >>> from skrl.qfunctions.deep.networks import convolutional_network
    >>> convolutional_network((84, 84, 4), 6).output_shape
    (None, 6)
    """
    from skrl.qfunctions.deep.learner import keras

    if len(state_shape) not in (2, 3):
        raise ValueError(
            "convolutional_network needs states of shape (height, width) or "
            f"(height, width, channels), got {state_shape}. Use dense_network for other states."
        )
    height, width = state_shape[:2]
    channels = state_shape[2] if len(state_shape) == 3 else 1
    # Large images are halved quickly, small ones keep their pixels.
    kernel, stride = (8, 4) if min(height, width) >= 40 else (3, 1)
    return keras.Sequential(
        [
            keras.layers.Input(state_shape),
            keras.layers.Reshape((height, width, channels)),
            keras.layers.Conv2D(16, kernel, stride, padding="same", activation="relu"),
            keras.layers.Conv2D(32, 4, 2, padding="same", activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(256, activation="relu"),
            keras.layers.Dense(n_outputs),
        ]
    )
