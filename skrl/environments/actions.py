"""Translate action indices 0, 1, ..., n_actions - 1 into an environment's own actions."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Int64, Shaped

MAX_ENUMERATED_ACTIONS = 10_000


class ActionTranslator:
    """Translates action indices into the environment's own actions.

    The index of a Discrete action counts from 0. In a MultiDiscrete or MultiBinary space each
    combination is one action, in lexicographic order (the last component changes fastest).

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
    >>> from skrl.environments.actions import ActionTranslator
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
                    " Q-learning needs a finite set of actions; discretise it, for instance with "
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
            f"value for each of them. At most {MAX_ENUMERATED_ACTIONS:,} are supported: reduce "
            "the actions, for instance with gymnasium.wrappers.TransformAction."
        )
    combinations = np.indices(sizes.ravel().tolist()).reshape(sizes.size, n_actions).T
    return np.asarray(combinations.reshape(n_actions, *sizes.shape).astype(space.dtype) + start)
