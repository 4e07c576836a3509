"""Double Q-learning with tables: one chooses the best action, the other one values it."""

from itertools import compress
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.random import Generator

from skrl.base import ActionMasks, Actions, State, States, Values
from skrl.qfunctions._checks import check_names, generator_at
from skrl.qfunctions._targets import bootstrap_values
from skrl.qfunctions.tables.memoization import MemoizationQFunction


class DoubleMemoizationQFunction(MemoizationQFunction):
    """Action values in two tables, learned by Double Q-learning.

    The maximum of several noisy values is too high on average, so Q-learning overestimates in a
    random world: its target is the maximum of the table's own values. Here each transition updates
    one of two tables, chosen at random. Its target takes the action that is best in this table,
    and the value that the *other* table gives to it::

        Q1(s, a) <- Q1(s, a) + alpha_n * (r + discount * Q2(s', argmax_b Q1(s', b)) - Q1(s, a))

    or the same with Q1 and Q2 exchanged. The errors of the two tables are independent, because they
    learn from different transitions. The action values are the mean of both tables.

    Everything else is as in `MemoizationQFunction`: the parameters, the step sizes (each table
    counts its own updates), the spaces of states that are supported, and the updates of a batch.

    Parameters
    ----------
    learning_rate : float in (0, 1], default=0.05
        Size of the first step towards the target. Each table gets half of the updates, so
        learning takes about twice as many updates as with one table.
    learning_rate_decay : float >= 0, default=0.001
        How fast the steps of an entry become smaller with its updates; 0 keeps them constant.
    initial_value : float, default=0.5
        Value of every action at the beginning.

    Attributes
    ----------
    tables_ : ndarray of shape (2, n_states, n_actions), dtype float64
        Q1 and Q2.
    table_ : ndarray of shape (n_states, n_actions), dtype float64
        Their mean.
    n_updates_ : ndarray of shape (n_states, n_actions), dtype int64, or None
        How often each entry was updated, in both tables together. None without decay.
    state_space_ : gymnasium.Space
        Space of one state.
    n_actions_ : int
        Number of actions.

    References
    ----------
    H. van Hasselt (2010), "Double Q-learning", Advances in Neural Information Processing Systems
    23, 2613-2621.
    R. Sutton & A. Barto (2018), "Reinforcement learning", section 6.7.

    Examples
    --------
    In state 0, action 1 earned a reward of 1 and ended in state 2. One of the tables learns it:

    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.base import Transitions
    >>> from skrl.qfunctions import DoubleMemoizationQFunction
    >>> qfunction = DoubleMemoizationQFunction(learning_rate=0.5, initial_value=0.0)
    >>> qfunction = qfunction.build(Discrete(3), n_actions=2, random_state=0)
    >>> qfunction.update(Transitions(
    ...     states=np.array([0]), actions=np.array([1]), rewards=np.array([1.0]),
    ...     next_states=np.array([2]), discounts=np.array([0.99]),
    ...     terminated=np.array([False]), truncated=np.array([False])))
    array([1.])
    >>> qfunction.values(np.array([0]))
    array([[0.  , 0.25]])
    """

    # The entry of (s, a) in table i stands in the row of s, column i * n_actions + a.
    _n_tables = 2

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> "DoubleMemoizationQFunction":
        """Get ready for an environment: forget everything; see `MemoizationQFunction.build`.

        Parameters
        ----------
        state_space : gymnasium.Space
            Space of one state.
        n_actions : int
            Number of actions.
        random_state : int, Generator or None
            Draws the table that a transition updates.
        """
        super().build(state_space, n_actions, random_state)
        self._rng = np.random.default_rng(random_state)
        return self

    @property
    def tables_(self) -> Float64[np.ndarray, "2 n_states n_actions"]:
        """Both tables."""
        rows = super().table_
        return rows.reshape(len(rows), 2, self.n_actions_).swapaxes(0, 1)

    @property
    def table_(self) -> Float64[np.ndarray, "n_states n_actions"]:
        """The mean of both tables."""
        mean: Float64[np.ndarray, "n_states n_actions"] = self.tables_.mean(axis=0)
        return mean

    @property
    def n_updates_(self) -> Int64[np.ndarray, "n_states n_actions"] | None:
        """How often each entry was updated in either table, where that is counted."""
        counts, n = super().n_updates_, self.n_actions_
        if counts is None:
            return None
        both: Int64[np.ndarray, "n_states n_actions"] = counts[:, :n] + counts[:, n:]
        return both

    def values(self, states: States) -> Values:
        """Look up the mean of both tables, shape (m, n_actions); see `QFunction.values`."""
        both, n = super().values(states), self.n_actions_
        mean: Values = (both[:, :n] + both[:, n:]) / 2
        return mean

    def _columns(self, actions: Int64[np.ndarray, "*batch"]) -> Int64[np.ndarray, "*batch"]:
        # An update of table i is one of column i * n_actions + a: a fair coin for each row.
        columns: Int64[np.ndarray, "*batch"] = (
            self._rng.random(actions.shape) < 0.5
        ) * self.n_actions_ + actions
        return columns

    def _bootstrap(self, next_values: list[float], column: int, mask: list[bool] | None) -> float:
        n = self.n_actions_
        first, second = next_values[:n], next_values[n:]
        if mask is not None:
            first, second = list(compress(first, mask)), list(compress(second, mask))
            if not first:
                return 0.0
        updated, other = (first, second) if column < n else (second, first)
        # Q2(s', argmax_b Q1(s', b)), where Q1 is the table to be updated and Q2 the other one
        return other[updated.index(max(updated))]

    def _bootstraps(
        self,
        next_values: Float64[np.ndarray, "B n_columns"],
        columns: Actions,
        action_masks: ActionMasks | None,
        probabilities: Float[np.ndarray, "B n_actions"] | None,
    ) -> Float64[np.ndarray, " B"]:
        rows, table = np.arange(len(columns)), columns // self.n_actions_
        both = next_values.reshape(-1, 2, self.n_actions_)
        updated, other = both[rows, table], both[rows, 1 - table]
        # Q2(s', argmax_b Q1(s', b)), where Q1 is the table to be updated and Q2 the other one
        return bootstrap_values(other, action_masks, probabilities, chosen_by=updated)

    def state(self) -> State:
        """Copy both tables, the numbers of their updates, and where the coin stands.

        Returns
        -------
        dict
            As of `MemoizationQFunction`, and ``rng``, the state of the bit generator. A row holds
            the values of Q1, followed by those of Q2.
        """
        return {**super().state(), "rng": self._rng.bit_generator.state}

    def set_state(self, state: State) -> None:
        """Continue from a `state`; see `QFunction.set_state`."""
        check_names(self, state, {"table", "n_updates", "keys", "rng"})
        tables = {name: value for name, value in state.items() if name != "rng"}
        rng = generator_at(self._rng, state["rng"])
        super().set_state(tables)
        self._rng = rng
