"""Networks for other programs: ONNX, LiteRT and SavedModel. Importing this loads TensorFlow.

Keras writes the files. What is written is one function, from states to action values; the scale of
the states is part of it.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium

from skrl.qfunctions.deep.tensorflow import keras

# The formats, as Keras calls them, by the suffix of the file.
FORMATS = {".onnx": "onnx", ".tflite": "litert", "": "tf_saved_model"}


def export(
    encode: Callable[[Any], Any],
    network: Any,
    values_of: Callable[[Any], Any],
    space: gymnasium.Space[Any],
    path: str | os.PathLike[str],
) -> None:
    """Write the function ``values_of(network(encode(states)))``.

    Parameters
    ----------
    encode : callable
        From states of shape (m, *space.shape) to inputs of the network.
    network : keras.Model
        The network.
    values_of : callable
        From its outputs to action values.
    space : gymnasium.Space
        Of the states: their shape and dtype.
    path : str or path-like
        Where to write; see `skrl.QLearningAgent.export`.

    Raises
    ------
    ValueError
        If the name has another suffix, its folder does not exist, or tf2onnx is not installed.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise ValueError(
            f"The name of the file says the format, got {path.name!r}. Use a name that ends in "
            ".onnx (ONNX) or .tflite (LiteRT), or one without a suffix (folder of a SavedModel)."
        )
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {str(path.parent)!r}. Make it before exporting.")
    states = keras.Input(space.shape, dtype=str(space.dtype), name="states")
    inputs = keras.layers.Lambda(encode, network.input_shape[1:], autocast=False)(states)
    model = keras.Model(states, keras.layers.Lambda(values_of)(network(inputs)))
    model(keras.ops.zeros((1, *states.shape[1:]), states.dtype))  # Keras wants it to be called
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"In the future `np\.\w+`", FutureWarning)  # Keras
            model.export(path, format=FORMATS[path.suffix], verbose=False)
    except ImportError as error:
        message = "ONNX needs the package tf2onnx: pip install 'skrl-toolkit[export]'."
        raise ValueError(message) from error
