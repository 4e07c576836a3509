"""Translate between an environment's spaces and the arrays of the learning loop.

Environments speak in observations and actions of many kinds; the learning loop knows only arrays
of states and indices of actions (see `skrl.base`). One class for each direction:

- `StateTranslator`: observations become an array of states, one row per environment;
- `ActionTranslator`: action indices 0, 1, ..., n_actions - 1 become the environment's actions.
"""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, Int64, Shaped

MAX_ENUMERATED_ACTIONS = 10_000


class StateTranslator:
    """Translates observations into states.

    What is counted (Discrete, MultiDiscrete) counts from 0 afterwards; Dict and Tuple, nested as
    well, become one flat float32 array, in which a Discrete part is one-hot encoded, as
    `gymnasium.spaces.flatten` does it; Box and MultiBinary stay as they are.

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
        # Most counted spaces start at 0 already, and then there is nothing to subtract.
        self.start = getattr(space, "start", 0)
        self.is_shifted = bool(np.any(self.start))

    def translate(self, observations: Any) -> Shaped[np.ndarray, "n_envs *state_shape"]:
        """Translate one observation per environment into a fresh array of states.

        Parameters
        ----------
        observations : array-like, dict or tuple
            A batch, as a vector environment gives it. If `n_envs` is 1, a bare observation
            without the batch axis will do as well.

        Returns
        -------
        ndarray of shape (n_envs, *state_shape), dtype of the state space
            The states.

        Raises
        ------
        ValueError
            If the observations are not of the shape that their space promises.
        """
        if self.is_nested:
            states = flatten_batch(self.space, observations, self.n_envs)
        else:
            # One call does three jobs: it copies (an environment may reuse its array), gives
            # the space's own dtype, and puts the batch axis in front where it is missing.
            states = np.array(observations, dtype=self.dtype, ndmin=self.n_axes)
            if self.is_shifted:
                states -= self.start
        if states.shape != self.shape:
            raise ValueError(
                f"Observations of shape {states.shape} do not fit the observation space "
                f"{self.space}: expected {self.shape}, where the first axis counts the "
                "observations. If the environment gave them, correct its observation_space."
            )
        return states


class ActionTranslator:
    """Translates action indices into the environment's own actions.

    Q-learning knows actions by their index. A Discrete space merely counts from elsewhere; of a
    MultiDiscrete or MultiBinary space every combination is one action, in lexicographic order
    (the last component changes fastest).

    Parameters
    ----------
    space : gymnasium.Space
        The space of one action.

    Attributes
    ----------
    n_actions : int
        Number of actions.

    Raises
    ------
    ValueError
        If the space is not supported, or has more combinations than can be enumerated.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import MultiDiscrete
    >>> from skrl.environments.spaces import ActionTranslator
    >>> translator = ActionTranslator(MultiDiscrete([2, 3]))
    >>> translator.n_actions
    6
    >>> translator.translate(np.array([0, 5]))
    array([[0, 0],
           [1, 2]])
    """

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.space = space
        self.start = 0
        self.table: np.ndarray | None = None
        if isinstance(space, spaces.Discrete):
            self.n_actions = int(space.n)
            self.start = int(space.start)
        elif isinstance(space, spaces.MultiDiscrete | spaces.MultiBinary):
            self.table = enumerate_actions(space)
            self.n_actions = len(self.table)
        else:
            hint = ""
            if isinstance(space, spaces.Box):
                hint = (
                    " Q-learning needs a finite set of actions; discretise it, for instance: "
                    "gymnasium.wrappers.TransformAction(env, lambda index: my_actions[index], "
                    "gymnasium.spaces.Discrete(len(my_actions)))."
                )
            raise ValueError(
                f"The action space {space} is not supported. Supported are Discrete, "
                f"MultiDiscrete and MultiBinary.{hint}"
            )

    def translate_one(self, index: int) -> Any:
        """Translate a single action index.

        Parameters
        ----------
        index : int
            The action's index.

        Returns
        -------
        int, or ndarray of shape (*action_shape,)
            The environment's action.
        """
        if self.table is None:
            return index + self.start
        return self.table[index].copy()

    def translate(self, indices: Int64[np.ndarray, " m"]) -> Shaped[np.ndarray, "m *action_shape"]:
        """Translate a batch of action indices.

        Parameters
        ----------
        indices : ndarray of shape (m,), dtype int64
            The actions' indices.

        Returns
        -------
        ndarray of shape (m, *action_shape), dtype of the action space
            The environment's actions.
        """
        if self.table is not None:
            return np.asarray(self.table[indices])
        actions = indices + self.start if self.start else indices
        return actions.astype(self.space.dtype, copy=False)


def state_space_of(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Give the space of the states that observations from `space` are translated into."""
    check_observation_space(space)
    if isinstance(space, spaces.Discrete):
        return spaces.Discrete(space.n, dtype=space.dtype)
    if isinstance(space, spaces.MultiDiscrete):
        return spaces.MultiDiscrete(space.nvec, dtype=space.dtype)
    if isinstance(space, spaces.Dict | spaces.Tuple):
        flat = spaces.flatten_space(space)
        assert isinstance(flat, spaces.Box)  # so it is for every space that passed the check
        # A bound beyond the largest float32 becomes infinity, which is what it means.
        with np.errstate(over="ignore"):
            low, high = flat.low.astype(np.float32), flat.high.astype(np.float32)
        return spaces.Box(low, high, dtype=np.float32)
    return space


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
        If the shape is not that of an observation or of a batch, or a number is not finite.
    """
    part_space, part = _first_part(space, observations)
    shape, expected = np.shape(part), part_space.shape or ()
    is_single = shape == expected
    if not is_single and shape[1:] != expected:
        raise ValueError(
            f"Expected one observation of shape {expected}, or a batch of shape "
            f"{('m', *expected)}, got an array of shape {shape}."
        )
    states = StateTranslator(space, 1 if is_single else shape[0]).translate(observations)
    if not np.isfinite(states).all():
        raise ValueError("The observations contain NaN or infinity.")
    return states, is_single


def _first_part(space: gymnasium.Space[Any], observations: Any) -> tuple[Any, Any]:
    """Find an array in nested observations, and its space."""
    if isinstance(space, spaces.Dict):
        key = next(iter(space.spaces))
        return _first_part(space.spaces[key], observations[key])
    if isinstance(space, spaces.Tuple):
        return _first_part(space.spaces[0], observations[0])
    return space, observations


def flatten_batch(
    space: gymnasium.Space[Any], observations: Any, n_envs: int
) -> Float32[np.ndarray, "n_envs size"]:
    """Do what `gymnasium.spaces.flatten` does, for a batch of observations at once.

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
    return rows.astype(np.float32)


def one_hot(
    values: Shaped[np.ndarray, "n_envs k"], sizes: Shaped[np.ndarray, " k"]
) -> Float32[np.ndarray, "n_envs size"]:
    """Put a 1 where each value points to, side by side for all k columns.

    Column j, which counts from 0 to ``sizes[j] - 1``, takes the next ``sizes[j]`` places.
    """
    first_places = np.cumsum(sizes) - sizes
    encoded = np.zeros((len(values), sizes.sum()), dtype=np.float32)
    np.put_along_axis(encoded, first_places + values, 1, axis=1)
    return encoded


def enumerate_actions(
    space: spaces.MultiDiscrete[Any] | spaces.MultiBinary,
) -> Shaped[np.ndarray, "n_actions *action_shape"]:
    """List all elements of a space of combinations, in lexicographic order."""
    if isinstance(space, spaces.MultiBinary):
        sizes, start = np.full(space.shape, 2), np.zeros(space.shape, dtype=space.dtype)
    else:
        sizes, start = space.nvec, space.start
    n_actions = math.prod(sizes.ravel().tolist())  # Python integers, which cannot overflow
    if n_actions > MAX_ENUMERATED_ACTIONS:
        raise ValueError(
            f"The action space {space} has {n_actions:,} combinations, and Q-learning needs a "
            f"value for each of them. At most {MAX_ENUMERATED_ACTIONS:,} are supported: offer "
            "fewer actions, for instance with gymnasium.wrappers.TransformAction."
        )
    combinations = np.indices(sizes.ravel().tolist()).reshape(sizes.size, n_actions).T
    return np.asarray(combinations.reshape(n_actions, *sizes.shape).astype(space.dtype) + start)
