"""The policy that chooses the action with the highest value."""

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.random import Generator

from skrl.base import (
    ActionMasks,
    Actions,
    Decision,
    Policy,
    Probabilities,
    QFunction,
    States,
    Values,
)


class Greedy(Policy):
    """The action with the highest value; a random one of several that are equally high.

    This is the policy whose values Q-learning learns, and what an agent does once it has learned
    (Sutton & Barto, 2018, section 2.2 and equation 3.18).

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.policies import Greedy
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction().build(Discrete(2), n_actions=2, random_state=None)
    >>> qfunction.table_[:] = [[0.1, 0.9], [0.5, 0.5]]
    >>> Greedy().probabilities(np.array([0, 1]), qfunction, progress=1.0)
    array([[0. , 1. ],
           [0.5, 0.5]])
    >>> rng = np.random.default_rng(0)
    >>> Greedy().decide(np.array([0]), qfunction, progress=1.0, rng=rng).actions
    array([1])
    """

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        return greedy_probabilities(qfunction.values(states))

    def decide(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        action_masks: ActionMasks | None = None,
    ) -> Decision:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        if action_masks is not None:
            return super().decide(states, qfunction, progress, rng, action_masks)
        actions = draw_greedy_actions(qfunction.values(states), rng)
        return Decision(actions, np.ones(len(actions), dtype=bool))


def greedy_probabilities(values: Values) -> Probabilities:
    """Spread each row's probability evenly over its highest values.

    Parameters
    ----------
    values : ndarray of shape (m, n_actions)
        Q(s, .) of m states.

    Returns
    -------
    ndarray of shape (m, n_actions)
        Each row sums to 1.

    Raises
    ------
    ValueError
        If there is a NaN among the values.
    """
    is_best, n_best = _find_best(values)
    probabilities: Probabilities = is_best / n_best[:, np.newaxis]
    return probabilities


def draw_greedy_actions(values: Values, rng: Generator) -> Actions:
    """Find the action with the highest value in each row; draw among equals.

    Parameters
    ----------
    values : ndarray of shape (m, n_actions)
        Q(s, .) of m states.
    rng : numpy.random.Generator
        Breaks the ties. It is not used if there are none.

    Returns
    -------
    ndarray of shape (m,), dtype int64
        argmax_a Q(s, a).

    Raises
    ------
    ValueError
        If there is a NaN among the values.
    """
    actions: Actions = values.argmax(axis=1)
    highest = values_of(values, np.arange(len(values)), actions)
    n_best = np.count_nonzero(values == highest[:, np.newaxis])
    # One best value in each row, unless there are ties, or NaN, which equals nothing.
    if n_best != len(values) or np.count_nonzero(highest != highest):
        is_best, n_equal = _find_best(values)
        # Of a row's n_equal equals take number k, where k = 0, ..., n_equal - 1 are equally likely.
        k = (rng.random(len(values)) * n_equal).astype(np.int64)
        actions = (is_best.cumsum(axis=1) > k[:, np.newaxis]).argmax(axis=1)
    return actions


def draw_greedy_action(values: list[float], rng: Generator) -> int:
    """Do the same for one state, with the same random numbers and Python's numbers, for speed."""
    total = sum(values)
    # A sum with a NaN in it is NaN, which differs from itself. (So is inf - inf.)
    if total != total:
        _find_best(np.array([values]))
    best = max(values)
    n_best = values.count(best)
    if n_best == 1:
        return values.index(best)
    k = int(rng.random() * n_best)
    return [action for action, value in enumerate(values) if value == best][k]


def values_of(
    values: Values, rows: Int64[np.ndarray, " k"], actions: Int64[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """Look up values of single actions, like ``values[rows, actions]`` but faster.

    Parameters
    ----------
    values : ndarray of shape (m, n_actions)
        Q(s, .) of m states.
    rows : ndarray of shape (k,), dtype int64
        Which states.
    actions : ndarray of shape (k,), dtype int64
        An action for each.

    Returns
    -------
    ndarray of shape (k,)
        Q(s, a).
    """
    chosen: Float[np.ndarray, " k"] = values.ravel().take(rows * values.shape[1] + actions)
    return chosen


def _find_best(
    values: Values,
) -> tuple[Bool[np.ndarray, "m n_actions"], Int64[np.ndarray, " m"]]:
    """Mark the highest values of each row, and count them."""
    is_best = values == values.max(axis=1, keepdims=True)
    n_best = is_best.sum(axis=1)
    # The highest of numbers with a NaN among them is NaN, and NaN equals nothing.
    if np.count_nonzero(n_best) < len(n_best):
        raise ValueError(
            "The Q function's values contain NaN, so no action is best. Its learning has "
            "diverged (try a lower learning rate), or the environment gave it NaN."
        )
    return is_best, n_best
