"""Translate an environment's observations into the states of the learning loop.

Observations are of many kinds. The learning loop has only arrays of states, one row per environment
(see `skrl.base`). The other direction is `skrl.environments.actions`.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, Shaped

from skrl.arrays import describe, one_hot

CORRECT_SPACE = "If the environment gave them, correct its observation_space."


class StateTranslator:
    """Translates observations into states.

    Discrete and MultiDiscrete observations are shifted to count from 0. Dict and Tuple
    observations, nested as well, are flattened to one float32 array, with Discrete parts one-hot
    encoded, as `gymnasium.spaces.flatten` does it. Box and MultiBinary observations stay the same.

    Parameters
    ----------
    space : gymnasium.Space
        The space of one observation.
    n_envs : int
        How many observations come at a time.

    Attributes
    ----------
    state_space : gymnasium.Space
        The space of one state.

    Raises
    ------
    ValueError
        If the space is not supported.

    Examples
    --------
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.environments.spaces import StateTranslator
    >>> translator = StateTranslator(Discrete(3, start=10), n_envs=2)
    >>> translator.state_space
    Discrete(3)
    >>> translator.translate([10, 12])
    array([0, 2])
    """

    def __init__(self, space: gymnasium.Space[Any], n_envs: int) -> None:
        self.space = space
        self.n_envs = n_envs
        self.state_space = state_space_of(space)
        self.dtype = self.state_space.dtype
        self.shape = (n_envs, *(self.state_space.shape or ()))
        self.n_axes = len(self.shape)
        self.is_nested = isinstance(space, spaces.Dict | spaces.Tuple)
        # Most Discrete spaces start at 0, so there is nothing to subtract.
        self.start = getattr(space, "start", 0)
        self.is_shifted = bool(np.any(self.start))

    def translate(self, observations: Any) -> Shaped[np.ndarray, "n_envs *state_shape"]:
        """Translate one observation per environment into a fresh array of states.

        Parameters
        ----------
        observations : array-like, dict or tuple
            A batch, as a vector environment gives it. If `n_envs` is 1, the batch axis may be
            missing.

        Returns
        -------
        ndarray of shape (n_envs, *state_shape), dtype of the state space
            The states.

        Raises
        ------
        ValueError
            If the observations do not have the shape of their space, are not real numbers, or
            would be changed by the conversion to an integer dtype.
        """
        try:
            states = self._convert(observations)
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise ValueError(
                f"{describe(observations)} cannot be converted to observations of the space "
                f"{self.space}: {error}. {CORRECT_SPACE}"
            ) from error
        if states.shape != self.shape:
            raise ValueError(
                f"Observations of shape {states.shape} do not fit the observation space "
                f"{self.space}: expected {self.shape}, with one observation per row. "
                f"{CORRECT_SPACE}"
            )
        return states

    def _convert(self, observations: Any) -> np.ndarray:
        if self.is_nested:
            return flatten_batch(self.space, observations, self.n_envs)
        # This copies (an environment may reuse its array), converts to the dtype of the space,
        # and adds the batch axis if it is missing.
        if type(observations) is int or getattr(observations, "dtype", None) == self.dtype:
            states = np.array(observations, dtype=self.dtype, ndmin=self.n_axes)
        else:
            states = convert(observations, np.dtype(self.dtype), self.n_axes)
        if self.is_shifted:
            states -= self.start
        return states


def state_space_of(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Find the space of the states that observations of `space` are translated into."""
    check_observation_space(space)
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(space.n, dtype=space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec, dtype=space.dtype)
    if isinstance(space, spaces.Dict | spaces.Tuple):
        flat = spaces.flatten_space(space)
        assert isinstance(flat, spaces.Box)  # true for every space that passed the check
        # A bound beyond the largest float32 becomes infinity.
        with np.errstate(over="ignore"):
            low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)
        return spaces.Box(low, high, dtype=np.float32)
    return space


def convert(observations: Any, dtype: np.dtype[Any], n_axes: int) -> np.ndarray:
    """Convert real numbers; raise a ValueError if an integer dtype cannot hold them."""
    given = np.array(observations, ndmin=n_axes)
    if given.dtype.kind not in "biuf":
        raise ValueError(f"they are not real numbers, but of the type {given.dtype}")
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is reported later
        states = given.astype(dtype)
    if states.dtype.kind in "biu" and not np.array_equal(states, given):
        raise ValueError(f"the dtype {dtype} cannot hold {given!r:.80}")
    return states


def check_equal_spaces(envs: Sequence[Any], names: Sequence[Any]) -> None:
    """Raise a ValueError unless `envs`, which have these names, have the same spaces."""
    for kind in ("observation_space", "action_space"):
        first = getattr(envs[0], kind)
        for env, name in zip(envs, names, strict=True):
            if getattr(env, kind) != first:
                raise ValueError(
                    f"Environments side by side must have equal spaces, but the {kind} of "
                    f"{names[0]} is {first} and that of {name} is {getattr(env, kind)}."
                )


def check_observation_space(space: gymnasium.Space[Any]) -> None:
    """Raise a ValueError if `space`, or a part of it, is not supported."""
    if isinstance(space, spaces.Dict | spaces.Tuple):
        parts = space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces
        for part in parts:
            check_observation_space(part)
    elif not isinstance(
        space, spaces.Discrete | spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary
    ):
        raise ValueError(
            f"The observation space {space} is not supported. Supported are Discrete, Box, "
            "MultiDiscrete, MultiBinary, and Dict or Tuple spaces of these. Convert the others, "
            "for instance with gymnasium.wrappers.TransformObservation."
        )


def to_states(
    space: gymnasium.Space[Any], observations: Any
) -> tuple[Shaped[np.ndarray, "m *state_shape"], bool]:
    """Translate one observation, or a batch of them, into a batch of states.

    Parameters
    ----------
    space : gymnasium.Space
        The space of one observation.
    observations : observation, or array-like of shape (m, *observation_shape)
        What an environment gave, or a user wrote.

    Returns
    -------
    states : ndarray of shape (m, *state_shape)
        The states, m = 1 for a single observation.
    is_single : bool
        Whether it was one.

    Raises
    ------
    ValueError
        If they are not observations of this space: they have another shape, are not numbers, are
        not finite, or are outside of a Discrete or MultiDiscrete space.
    """
    if _is_from_reset(space, observations):
        raise ValueError(
            "Expected an observation, got a tuple of an observation and a dict. It looks like "
            "what reset() returns: pass the observation only, "
            "`observation, info = env.reset()`."
        )
    try:
        part_space, part = _first_part(space, observations)
        shape, expected = np.shape(part), part_space.shape or ()
        is_single = shape == expected
        is_right = is_single or (len(shape) > 0 and shape[1:] == expected)
        if is_right:
            m = 1 if is_single else shape[0]
            _check_numbers(observations)
            with np.errstate(over="ignore", invalid="ignore"):  # checked below
                states = StateTranslator(space, m).translate(observations)
    except (IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"Expected an observation of the space {space}, or a batch of them, got "
            f"{describe(observations)}. ({error})"
        ) from error
    if not is_right:
        raise ValueError(
            f"Expected one observation of shape {expected}, or a batch of shape "
            f"{('m', *expected)}, got an array of shape {shape}."
        )
    if not np.isfinite(states).all():
        raise ValueError("The observations contain NaN or infinity.")
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        _check_counted(space, observations, states)
    return states, is_single


def _is_from_reset(space: gymnasium.Space[Any], observations: Any) -> bool:
    """Whether `observations` are a pair of an observation and an info."""
    if not (isinstance(observations, tuple) and len(observations) == 2):
        return False
    is_pair = isinstance(space, spaces.Tuple) and len(space) == 2
    has_dict = is_pair and isinstance(space[1], spaces.Dict)  # type: ignore[index]
    return isinstance(observations[1], dict) and not has_dict


def _check_numbers(observations: Any) -> None:
    """Raise a TypeError unless nested observations consist of real numbers."""
    if isinstance(observations, dict | tuple):
        parts = observations.values() if isinstance(observations, dict) else observations
        for part in parts:
            _check_numbers(part)
    elif (kind := np.asarray(observations).dtype).kind not in "biuf":
        raise TypeError(f"They are not real numbers, but of the type {kind}.")


def _check_counted(
    space: spaces.Discrete | spaces.MultiDiscrete,
    observations: Any,
    states: Shaped[np.ndarray, "m *state_shape"],
) -> None:
    """Raise a ValueError unless the observations are integers of the space."""
    n = space.n if isinstance(space, spaces.Discrete) else space.nvec
    is_inside = (states >= 0) & (states < n) & np.equal(states + space.start, observations)
    if not is_inside.all():
        raise ValueError(f"Expected observations of the space {space}, got {observations!r:.200}.")


def _first_part(space: gymnasium.Space[Any], observations: Any) -> tuple[Any, Any]:
    """Find the first array in nested observations, and its space."""
    if isinstance(space, spaces.Dict):
        key = next(iter(space.spaces))
        return _first_part(space.spaces[key], observations[key])
    if isinstance(space, spaces.Tuple):
        return _first_part(space.spaces[0], observations[0])
    return space, observations


def flatten_batch(
    space: gymnasium.Space[Any], observations: Any, n_envs: int
) -> Float32[np.ndarray, "n_envs size"]:
    """Flatten a batch of observations, each as `gymnasium.spaces.flatten` does it.

    Parameters
    ----------
    space : gymnasium.Space
        The space of one observation.
    observations : array-like, dict or tuple
        For a Dict or Tuple space a dict or tuple of batches.
    n_envs : int
        The number of observations.

    Returns
    -------
    ndarray of shape (n_envs, size), dtype float32
        One flat row per observation.
    """
    if isinstance(space, spaces.Dict):
        pairs = [(part, observations[key]) for key, part in space.spaces.items()]
        return np.concatenate([flatten_batch(*pair, n_envs) for pair in pairs], axis=1)
    if isinstance(space, spaces.Tuple):
        pairs = list(zip(space.spaces, observations, strict=True))
        return np.concatenate([flatten_batch(*pair, n_envs) for pair in pairs], axis=1)
    rows = np.reshape(observations, (n_envs, -1))
    if isinstance(space, spaces.Discrete):
        return one_hot(rows - space.start, np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return one_hot(rows - space.start.ravel(), space.nvec.ravel())
    return convert(rows, np.dtype(np.float32), 2)
