"""From states to what a network can digest: one-hot vectors or scaled numbers."""

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float32, Shaped

# How many states are learned from, the same ones several times, before the scale is fixed. The
# first steps of a random walk, all near the start, would be too few: MountainCar's valley is a
# tenth as wide as the way to the goal.
N_STATES_FOR_SCALE = 1_000_000


class StateEncoder:
    """Encodes states as float32 arrays, with NumPy or TensorFlow alike.

    - Discrete and MultiDiscrete states become one-hot vectors.
    - Images (Box of dtype uint8) and MultiBinary states are scaled by their bounds to [0, 1].
    - Any other Box is standardized, ``(s - mean) / deviation``, by the first 1,000,000 states
      that are learned from (16,000 batches of 64; the scale adapts up to then): the raw units of
      a state (metres, radians per second) are arbitrary, and a network learns best from numbers
      around 1.

    Parameters
    ----------
    space : gymnasium.Space
        Space of one state.
    scale_states : bool
        Whether to standardize at all.

    Attributes
    ----------
    shape : tuple of int
        Shape of one encoded state.
    state_ndim : int
        Number of axes of one state.
    n_categories : ndarray or None
        For one-hot encoded states, the number of values of each component.
    shift, factor : ndarray of shape `shape`, dtype float32
        A scaled state is ``(state - shift) * factor``.
    """

    def __init__(self, space: gymnasium.Space[Any], scale_states: bool = True) -> None:
        self.state_ndim = len(space.shape or ())
        self.n_categories = _n_categories(space)
        if self.n_categories is not None:
            self.shape: tuple[int, ...] = (int(self.n_categories.sum()),)
        else:
            self.shape = tuple(space.shape or ())
        self.shift = np.zeros(self.shape, np.float32)
        self.factor = np.ones(self.shape, np.float32)
        self.is_fixed = True
        if isinstance(space, gymnasium.spaces.Box) and scale_states:
            if space.dtype == np.uint8:
                self.factor /= 255
            else:
                self.is_fixed = False
        self._n_seen = 0
        self._sum = np.zeros(self.shape)
        self._sum_of_squares = np.zeros(self.shape)

    @property
    def scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Shift and factor together."""
        return self.shift, self.factor

    @scale.setter
    def scale(self, scale: tuple[np.ndarray, np.ndarray]) -> None:
        self.shift, self.factor = scale

    def observe(self, states: Shaped[np.ndarray, "..."]) -> bool:
        """Learn the scale from states about to be learned from, until it is fixed.

        Parameters
        ----------
        states : ndarray of shape (..., *state_shape)
            The states.

        Returns
        -------
        bool
            Whether the scale changed.
        """
        if self.is_fixed:
            return False
        rows = states.reshape(-1, *self.shape).astype(np.float64)
        self._n_seen += len(rows)
        self._sum += rows.sum(axis=0)
        self._sum_of_squares += np.square(rows).sum(axis=0)
        mean = self._sum / self._n_seen
        variance = self._sum_of_squares / self._n_seen - np.square(mean)
        # A component that never changed keeps its unit.
        deviation = np.sqrt(np.where(variance > 1e-12, variance, 1.0))
        self.shift = mean.astype(np.float32)
        self.factor = (1 / deviation).astype(np.float32)
        self.is_fixed = self._n_seen >= N_STATES_FOR_SCALE
        return True

    def encode(self, states: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "m n_features"]:
        """Encode a batch of states, each in one row."""
        if self.n_categories is not None:
            return self.one_hot(states)
        scaled = (states.astype(np.float32) - self.shift) * self.factor
        return scaled.reshape(len(states), -1)

    def one_hot(self, states: Shaped[np.ndarray, "..."]) -> Float32[np.ndarray, "m width"]:
        """Encode a batch of Discrete or MultiDiscrete states.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states, in integers.

        Returns
        -------
        ndarray of shape (m, sum of n_categories), dtype float32
        """
        assert self.n_categories is not None
        components = states.reshape(len(states), -1)
        first_columns = np.cumsum(self.n_categories) - self.n_categories
        encoded = np.zeros((len(states), *self.shape), np.float32)
        np.put_along_axis(encoded, components + first_columns, 1.0, axis=1)
        return encoded


def _n_categories(space: gymnasium.Space[Any]) -> np.ndarray | None:
    """Number of values of every component of a categorical state, else None."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.array([space.n])
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return np.asarray(space.nvec).ravel()
    return None
