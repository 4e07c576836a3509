"""What a file may contain: classes and functions of this library, and those that a caller names."""

from collections.abc import Iterable
from typing import Any

from skrl import policies, qfunctions, runners
from skrl.agent import QLearningAgent
from skrl.callbacks import Checkpoint, CSVLogger, Evaluation, ProgressBar, TensorBoard
from skrl.callbacks.evaluation import Memory
from skrl.callbacks.race import Contender, Race
from skrl.displays.live import LiveCurve
from skrl.history import History, Table
from skrl.qfunctions.deep import images, networks
from skrl.qfunctions.deep.learner import LearnerState
from skrl.qfunctions.deep.numpy_convolution import (
    Convolution,
    ConvolutionalStack,
    NumpyConvolutionalNetwork,
)
from skrl.qfunctions.deep.numpy_network import DenseLayer, Noise, Norm, NumpyNetwork
from skrl.qfunctions.encoding import Moments, StateEncoder
from skrl.training import Parts

OURS = (
    *(getattr(policies, name) for name in policies.__all__),
    *(getattr(qfunctions, name) for name in qfunctions.__all__),
    *(getattr(runners, name) for name in runners.__all__),
    *(QLearningAgent, Parts, History, Table),
    *(Checkpoint, CSVLogger, Evaluation, LiveCurve, ProgressBar, TensorBoard),
    *(Memory, Race, Contender),
    *(LearnerState, NumpyNetwork, DenseLayer, Noise, Norm, Moments, StateEncoder),
    *(NumpyConvolutionalNetwork, ConvolutionalStack, Convolution),
    *(networks.dense_network, networks.convolutional_network),
    *(images.nature_network, images.minatar_network, images.impala_network),
)


def full_name(thing: Any) -> str:
    """The name of a class or function in a file."""
    return f"{thing.__module__}.{thing.__qualname__}"


def known_names(custom: Iterable[Any] = ()) -> dict[str, Any]:
    """Classes and functions that may be in a file, by name.

    Parameters
    ----------
    custom : iterable of classes and functions
        Those that are allowed besides ours.

    Raises
    ------
    TypeError
        If one of them is not a class or function.
    """
    known = {thing.__name__: thing for thing in OURS}
    for thing in custom:
        if not hasattr(thing, "__qualname__"):
            raise TypeError(f"custom must be a list of classes and functions, got {thing!r} in it.")
        known[full_name(thing)] = thing
    return known


def name_of(thing: Any) -> str:
    """The name under which `known_names` has a class or function."""
    return thing.__name__ if thing in OURS else full_name(thing)
