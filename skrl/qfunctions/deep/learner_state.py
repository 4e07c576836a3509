"""What a network's learning consists of, in NumPy: it is saved without TensorFlow."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class LearnerState(NamedTuple):
    """What a network has learned, and everything that its learning goes on from.

    Parameters
    ----------
    weights, target_weights : list of ndarray
        Of the online and the target network, as Keras orders them.
    optimizer : list of ndarray or None
        The optimizer's variables. None stands for one that has not been used before.
    """

    weights: list[np.ndarray]
    target_weights: list[np.ndarray]
    optimizer: list[np.ndarray] | None = None


@runtime_checkable
class Borrower(Protocol):
    """Who learns with a `CompiledLearner`; it keeps its state while another one learns."""

    learner_state: LearnerState
