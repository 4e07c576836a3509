"""From states to inputs of a function approximator: one-hot vectors or scaled numbers."""

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from jaxtyping import Float, Float32, Shaped

from skrl.arrays import one_hot

# How many states are learned from, with repetitions, before the scale is fixed. The first steps
# of a random walk, all near the start, would be too few: in MountainCar they cover a tenth of the
# way to the goal.
N_STATES_FOR_SCALE = 1_000_000


class Moments(NamedTuple):
    """What is known of the states that were learned from.

    Parameters
    ----------
    n : int
        Their number.
    sums, squares : ndarray of shape (*state_shape,)
        The sums of their components, and of the squares of these.
    """

    n: int
    sums: Float[np.ndarray, "*state_shape"]
    squares: Float[np.ndarray, "*state_shape"]


class StateEncoder:
    """Encodes states as float32 arrays.

    - Discrete and MultiDiscrete states become one-hot vectors.
    - Box states of dtype uint8 and MultiBinary states are scaled by their bounds to [0, 1].
    - Any other Box is standardized, ``(s - mean) / deviation``, by the first 1,000,000 states
      that are learned from (7,800 batches of 128): the units of a state (metres, radians per
      second) are arbitrary, and a network learns best from numbers around 1.

    An encoder holds no state: the `Moments` that the scale depends on are passed in.

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
    standardizes : bool
        Whether the scale depends on the states that were learned from.
    """

    def __init__(self, space: gymnasium.Space[Any], scale_states: bool = True) -> None:
        self.state_ndim = len(space.shape or ())
        self.n_categories = _n_categories(space)
        self.shape: tuple[int, ...] = tuple(space.shape or ())
        if self.n_categories is not None:
            self.shape = (int(self.n_categories.sum()),)
        is_box = isinstance(space, gymnasium.spaces.Box)
        self.standardizes = is_box and scale_states and space.dtype != np.uint8
        self._factor = 1 / 255 if is_box and scale_states and space.dtype == np.uint8 else 1.0

    def no_moments(self) -> Moments:
        """The moments before the first state."""
        return Moments(0, np.zeros(self.shape), np.zeros(self.shape))

    def scale(self, moments: Moments) -> tuple[np.ndarray, np.ndarray]:
        """Give the scale: a scaled state is ``(state - shift) * factor``.

        Parameters
        ----------
        moments : Moments
            Of the states that were learned from.

        Returns
        -------
        shift, factor : ndarray of shape (*shape,), dtype float32
        """
        n, sums, squares = np.array([moments.n]), moments.sums[None], moments.squares[None]
        shifts, factors = self._scales(n, sums, squares)
        return shifts[0, ...], factors[0, ...]  # arrays, also for states that are one number

    def observe(
        self, moments: Moments, states: Shaped[np.ndarray, "K B ..."]
    ) -> tuple[np.ndarray, np.ndarray, Moments]:
        """Give the scale before each of K batches, and the moments after the last one.

        Parameters
        ----------
        moments : Moments
            Before the first batch.
        states : ndarray of shape (K, B, *state_shape)
            K batches, in the order in which they are learned from.

        Returns
        -------
        shifts, factors : ndarray of shape (K, *shape), dtype float32
            Of shape (1, *shape) where the encoder does not standardize.
        moments : Moments
        """
        if not self.standardizes:
            shift, factor = self.scale(moments)
            return shift[None], factor[None], moments
        K, B = states.shape[:2]
        rows = states.astype(np.float64)
        # Moments before batch 0, ..., before batch K - 1, and after that.
        n_missing = max(0, N_STATES_FOR_SCALE - moments.n)
        n_adapting = np.minimum(np.arange(K + 1), -(-n_missing // B))
        n = moments.n + B * n_adapting
        sums = _cumulated(moments.sums, rows.sum(axis=1))[n_adapting]
        squares = _cumulated(moments.squares, np.square(rows).sum(axis=1))[n_adapting]
        shifts, factors = self._scales(n[:-1], sums[:-1], squares[:-1])
        return shifts, factors, Moments(int(n[-1]), sums[-1], squares[-1])

    def _scales(
        self,
        n: Shaped[np.ndarray, " K"],
        sums: Float[np.ndarray, "K ..."],
        squares: Float[np.ndarray, "K ..."],
    ) -> tuple[np.ndarray, np.ndarray]:
        counts = np.maximum(n, 1).reshape(-1, *[1] * (sums.ndim - 1))
        mean = sums / counts
        variance = squares / counts - np.square(mean)
        # A component that never changed keeps its unit.
        deviation = np.sqrt(np.where(variance > 1e-12, variance, 1.0))
        return mean.astype(np.float32), (self._factor / deviation).astype(np.float32)

    def encode(
        self, states: Shaped[np.ndarray, "..."], moments: Moments | None = None
    ) -> Float32[np.ndarray, "m n_features"]:
        """Encode a batch of states, each in one row.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states.
        moments : Moments or None
            Of the states that were learned from; None does not standardize.

        Returns
        -------
        ndarray of shape (m, n_features), dtype float32
        """
        if self.n_categories is not None:
            return one_hot(states.reshape(len(states), -1), self.n_categories)
        shift, factor = self.scale(self.no_moments() if moments is None else moments)
        scaled: np.ndarray = (states.astype(np.float32) - shift) * factor
        return scaled.reshape(len(states), -1)


def _cumulated(
    first: Float[np.ndarray, "..."], others: Float[np.ndarray, "K ..."]
) -> Float[np.ndarray, "K+1 ..."]:
    """Cumulated sums that begin with `first`."""
    return np.cumsum(np.concatenate([first[None], others]), axis=0)


def _n_categories(space: gymnasium.Space[Any]) -> np.ndarray | None:
    """Number of values of every component of a categorical state, else None."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return np.array([space.n])
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        return np.asarray(space.nvec).ravel()
    return None
