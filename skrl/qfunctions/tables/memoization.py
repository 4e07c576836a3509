"""Q-learning with a table: one remembered number per state and action."""

from math import inf, isfinite, prod
from numbers import Real
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float64, Int64, Integer, Shaped
from numpy.random import Generator

from skrl.base import Actions, QFunction, States, Transitions, Values
from skrl.qfunctions._checks import check_is_built

# What `snapshot` gives: the table, the numbers of updates (None where they are not counted) and
# the row of each known state (None for Discrete states).
Snapshot = tuple[Any, ...]


class MemoizationQFunction(QFunction):
    """Action values in a table, learned by Watkins's Q-learning.

    Each transition (s, a, r, s') moves its entry a step towards the target::

        Q(s, a) <- Q(s, a) + alpha_n * (r + discount * max_b Q(s', b) - Q(s, a))

    where the step size of the n-th update of this entry, n = 1, 2, ..., is::

        alpha_n = learning_rate / (1 + learning_rate_decay * (n - 1))

    A constant step size follows the noise of a random world for ever; one that decays averages it
    out: the values converge if every entry is updated again and again. Common choices are

    - ``learning_rate_decay=0``: constant; ``learning_rate=1`` is right in a deterministic world.
    - ``learning_rate=1, learning_rate_decay=1``: 1/n. An entry is the mean of its targets. The
      first ones, which knew nothing yet, count as much as the last: slow where rewards come late.
    - ``learning_rate=1, learning_rate_decay=1 - gamma``: late enough for values to travel first
      (Wainwright, 2019).

    A `gymnasium.spaces.Discrete` state is the number of its row. In every other space a state is
    recognised by its exact content and gets a row when it is first learned from, which makes sense
    where the same states come again; those never learned from are worth `initial_value`.

    All errors of a batch are computed before its update. Where (s, a) occurs m times in it, the
    m steps are added up: with a constant step size, keep ``learning_rate`` times m below 2. With
    a decay, each is the step of the last of the m updates, but at most 1/m, so that together they
    never go beyond the mean of their targets. `Transitions.weights` multiply the steps.

    Parameters
    ----------
    learning_rate : float in (0, 1], default=0.05
        Size of the first step towards the target. Large steps learn fast, and are right in a
        deterministic world; small ones average over chance, and stay longer with `initial_value`.
    learning_rate_decay : float >= 0, default=0.001
        How fast the steps of an entry become smaller with its updates: ``1 / learning_rate_decay``
        updates halve them. 0 keeps them constant.
    initial_value : float, default=0.5
        Value of every action at the beginning. One that is higher than what can be earned makes a
        greedy agent try everything (optimistic initial values; Sutton & Barto, section 2.6).

    Attributes
    ----------
    table_ : ndarray of shape (n_states, n_actions), dtype float64
        The table. Row i is state i of a Discrete space, or else the i-th state learned from.
    n_updates_ : ndarray of shape (n_states, n_actions), dtype int64, or None
        How often each entry was updated. None if `learning_rate_decay` was 0 at `build`.
    state_space_ : gymnasium.Space
        Space of one state.
    n_actions_ : int
        Number of actions.

    References
    ----------
    C. Watkins (1989), "Learning from delayed rewards", PhD thesis, Cambridge.
    C. Watkins & P. Dayan (1992), "Q-learning", Machine Learning 8, 279-292.
    R. Sutton & A. Barto (2018), "Reinforcement learning", section 6.5 and equation 6.8; on step
    sizes section 2.5 and equation 2.7.
    E. Even-Dar & Y. Mansour (2003), "Learning rates for Q-learning", JMLR 5, 1-25.
    M. Wainwright (2019), "Stochastic approximation with cone-contractive operators", arXiv
    1905.06265.

    Examples
    --------
    In state 0, action 1 earned a reward of 1 and ended in state 2:

    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.base import Transitions
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction(learning_rate=0.5, initial_value=0.0)
    >>> qfunction = qfunction.build(Discrete(3), n_actions=2, random_state=None)
    >>> qfunction.update(Transitions(
    ...     states=np.array([0]), actions=np.array([1]), rewards=np.array([1.0]),
    ...     next_states=np.array([2]), discounts=np.array([0.99]),
    ...     terminated=np.array([False]), truncated=np.array([False])))
    array([1.])
    >>> qfunction.values(np.array([0]))
    array([[0. , 0.5]])
    """

    # The table is one ndarray. Python lists as rows would make an update of one row 0.3 us faster,
    # but each look at a state 0.3 us slower, and batches very much slower.
    _table: Float64[np.ndarray, "n_rows n_columns"]
    _n_updates: Int64[np.ndarray, "n_rows n_columns"] | None
    _row_of_key: dict[bytes, int] | None
    _n_columns: int
    _state_shape: tuple[int, ...]
    # A row holds n_actions numbers for each table: `DoubleMemoizationQFunction` has two.
    _n_tables = 1

    def __init__(
        self,
        learning_rate: float = 0.05,
        learning_rate_decay: float = 0.001,
        initial_value: float = 0.5,
    ) -> None:
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.initial_value = initial_value

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> "MemoizationQFunction":
        """Get ready for an environment: forget everything; see `QFunction.build`.

        Raises
        ------
        TypeError
            If a parameter is no number, or the states are no arrays.
        ValueError
            If a parameter is out of range, there is no action, or a Discrete space does not count
            from 0.
        """
        for name in ("learning_rate", "learning_rate_decay", "initial_value"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real):
                raise TypeError(f"{name} must be a number, got {value!r}.")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate must be in (0, 1], got {self.learning_rate!r}.")
        if not 0 <= self.learning_rate_decay < inf:
            raise ValueError(
                "learning_rate_decay must be at least 0 and finite, got "
                f"{self.learning_rate_decay!r}. 0 keeps the step size constant."
            )
        if not isfinite(self.initial_value):
            raise ValueError(f"initial_value must be finite, got {self.initial_value!r}.")
        if n_actions < 1:
            raise ValueError(f"n_actions must be at least 1, got {n_actions}.")
        if state_space.shape is None or state_space.dtype is None:
            raise TypeError(
                "MemoizationQFunction needs states that are arrays (Discrete, Box, MultiDiscrete, "
                f"MultiBinary), got {state_space}. GymEnvironment converts others where possible."
            )
        if isinstance(state_space, Discrete):
            if state_space.start != 0:
                raise ValueError(
                    f"States must count from 0, got {state_space}. GymEnvironment takes care of it."
                )
            self._row_of_key = None
            n_rows = int(state_space.n)
        else:
            self._row_of_key = {}
            n_rows = 1
        self._n_columns = n_actions * self._n_tables
        shape = n_rows, self._n_columns
        self._table = np.full(shape, float(self.initial_value))
        self._n_updates = np.zeros(shape, dtype=np.int64) if self.learning_rate_decay else None
        self._state_shape = state_space.shape
        self.state_space_, self.n_actions_ = state_space, n_actions
        return self

    @property
    def table_(self) -> Float64[np.ndarray, "n_states n_actions"]:
        """The table, one row per state."""
        check_is_built(self)
        return self._table[: self._n_states()]

    @property
    def n_updates_(self) -> Int64[np.ndarray, "n_states n_actions"] | None:
        """How often each entry was updated, where that is counted."""
        check_is_built(self)
        return None if self._n_updates is None else self._n_updates[: self._n_states()]

    def _n_states(self) -> int:
        # The rows behind those of the known states wait for new ones.
        return len(self._table) if self._row_of_key is None else len(self._row_of_key)

    def values(self, states: States) -> Values:
        """Look up Q(s, .), shape (m, n_actions), dtype float64; see `QFunction.values`.

        Raises
        ------
        NotFittedError
            Before `build`.
        ValueError
            If a state is out of range, or the states are no batch of such states.
        """
        try:
            values = self._table.take(self._rows(states), axis=0)
            if values.ndim != 2:
                raise self._bad_shape(states)
            return values
        except AttributeError:
            check_is_built(self)
            raise

    def update(self, transitions: Transitions) -> Float64[np.ndarray, "*batch"]:
        """Learn from transitions of batch shape (B,) or (K, B); see `QFunction.update`.

        Raises
        ------
        NotFittedError
            Before `build`.
        ValueError
            If a state or action is out of range, or a reward, discount or weight is not finite.
            The update it belongs to is not made.
        """
        try:
            table, n_updates = self._table, self._n_updates
        except AttributeError:
            check_is_built(self)
            raise
        if transitions.actions.shape != (1,):
            return self._update_many(transitions)
        # The same for one row, faster: Python's numbers beat arrays of length 1.
        if self._row_of_key is None:
            row, next_row = transitions.states.item(), transitions.next_states.item()
            n_rows = len(table)
            if not (type(row) is type(next_row) is int and 0 <= row < n_rows > next_row >= 0):
                self._rows(transitions.states), self._rows(transitions.next_states)  # say why
        else:
            row = self._rows(transitions.states, remember=True).item()
            next_row = self._rows(transitions.next_states).item()
            table, n_updates = self._table, self._n_updates  # which may have grown
        action = transitions.actions.item()
        if not 0 <= action < self._n_columns:
            raise self._bad_action(action)
        value = table.item(row, action)

        # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
        bootstrap = self._bootstrap(table[next_row].tolist(), action)
        target = transitions.rewards.item() + transitions.discounts.item() * bootstrap
        # delta = weight * (target - Q(s, a))
        td_error = delta = target - value
        if transitions.weights is not None:
            delta *= transitions.weights.item()
        if not isfinite(delta):
            raise self._bad_error(delta)

        step_size = float(self.learning_rate)
        if n_updates is not None:
            n_before = n_updates.item(row, action)
            n_updates[row, action] = n_before + 1
            # alpha_n = learning_rate / (1 + learning_rate_decay * (n - 1)),  n = n_before + 1
            step_size /= 1 + float(self.learning_rate_decay) * n_before
        # Q(s, a) <- Q(s, a) + alpha_n * delta
        table[row, action] = value + step_size * delta
        return np.array([td_error])

    def _update_many(self, transitions: Transitions) -> Float64[np.ndarray, "*batch"]:
        actions, rewards = transitions.actions, transitions.rewards
        self._check_actions(actions, self._n_columns)
        # Where Q(s, a) stands if the table is written in one line: np.add.at is faster there.
        rows = self._rows(transitions.states, remember=True)
        cells = rows.astype(np.int64) * self._n_columns + actions
        next_rows = self._rows(transitions.next_states)
        line = self._table.reshape(-1)

        td_errors = np.empty(actions.shape)
        # Once for a batch of shape (B,), with k = (); K times for one of shape (K, B).
        for k in np.ndindex(actions.shape[:-1]):
            # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
            bootstraps = self._bootstraps(self._table.take(next_rows[k], axis=0), actions[k])
            targets = rewards[k] + transitions.discounts[k] * bootstraps
            # delta = weight * (target - Q(s, a))
            td_errors[k] = deltas = targets - line[cells[k]]
            if transitions.weights is not None:
                deltas = deltas * transitions.weights[k]
            if not np.isfinite(deltas).all():
                raise self._bad_error(deltas)
            # Q(s, a) <- Q(s, a) + alpha_n * delta, adding up where (s, a) occurs repeatedly
            np.add.at(line, cells[k], self._step_sizes(cells[k]) * deltas)
        return td_errors

    def _bootstrap(self, next_values: list[float], column: int) -> float:
        """Value of s' in the target of an entry in this column, given Q(s', .)."""
        return max(next_values)

    def _bootstraps(
        self, next_values: Float64[np.ndarray, "B n_columns"], columns: Actions
    ) -> Float64[np.ndarray, " B"]:
        """Do the same for a batch."""
        bootstraps: Float64[np.ndarray, " B"] = next_values.max(axis=1)
        return bootstraps

    def _step_sizes(self, cells: Int64[np.ndarray, " B"]) -> float | Float64[np.ndarray, " B"]:
        """Count an update of these entries, and give the step size of each."""
        learning_rate = float(self.learning_rate)
        if self._n_updates is None:
            return learning_rate
        n_updates = self._n_updates.reshape(-1)
        n_before = n_updates[cells]
        np.add.at(n_updates, cells, 1)
        n = n_updates[cells]
        # alpha_n = learning_rate / (1 + learning_rate_decay * (n - 1)), at most 1/m for m rows
        alpha = learning_rate / (1 + float(self.learning_rate_decay) * (n - 1))
        step_sizes: Float64[np.ndarray, " B"] = np.minimum(alpha, 1 / (n - n_before))
        return step_sizes

    def _rows(
        self, states: Shaped[np.ndarray, "*batch_and_state_shape"], remember: bool = False
    ) -> Integer[np.ndarray, "*batch"]:
        """Find the row of each state; if told to `remember`, make rows for new states."""
        if self._row_of_key is not None:
            return self._rows_of_keys(self._row_of_key, states, remember)
        # A Discrete state is the number of its row. NumPy would take -1 for the last one.
        if states.size == 1:
            lowest = highest = states.item()
        else:
            lowest, highest = states.min(initial=0).item(), states.max(initial=0).item()
        if type(lowest) is not int or lowest < 0 or highest >= len(self._table):
            raise ValueError(
                f"States of {self.state_space_} must be integers in [0, {len(self._table)}), "
                f"got {highest if lowest == 0 else lowest}."
            )
        return states

    def _rows_of_keys(
        self,
        row_of_key: dict[bytes, int],
        states: Shaped[np.ndarray, "*batch_and_state_shape"],
        remember: bool,
    ) -> Integer[np.ndarray, "*batch"]:
        n_batch_axes = states.ndim - len(self._state_shape)
        if n_batch_axes < 1 or states.shape[n_batch_axes:] != self._state_shape:
            raise self._bad_shape(states)
        # Equal states must have equal bytes: one dtype, and + 0 makes -0.0 the same as 0.0.
        states = states.astype(self.state_space_.dtype, casting="same_kind", copy=False) + 0
        n_bytes = states.itemsize * prod(self._state_shape)
        content = states.tobytes()
        keys = [content[i : i + n_bytes] for i in range(0, len(content), n_bytes)]

        if remember:
            rows = [row_of_key.setdefault(key, len(row_of_key)) for key in keys]
            self._grow(len(row_of_key) + 1)
        else:
            # The row behind the last known state always holds initial values.
            rows = [row_of_key.get(key, len(row_of_key)) for key in keys]
        return np.array(rows, dtype=np.int64).reshape(states.shape[:n_batch_axes])

    def _grow(self, n_rows: int) -> None:
        """Make room for `n_rows`, by doubling: on average a state is then copied about once."""
        n_missing = n_rows - len(self._table)
        if n_missing > 0:
            shape = max(n_missing, len(self._table)), self._n_columns
            self._table = np.concatenate([self._table, np.full(shape, float(self.initial_value))])
            if self._n_updates is not None:
                self._n_updates = np.concatenate([self._n_updates, np.zeros(shape, np.int64)])

    def snapshot(self) -> Snapshot:
        """Copy the table and the numbers of its updates; see `QFunction.snapshot`."""
        check_is_built(self)
        return _copy((self._table, self._n_updates, self._row_of_key))

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to what `snapshot` gave; see `QFunction.restore`."""
        check_is_built(self)
        self._table, self._n_updates, self._row_of_key = _copy(snapshot)

    def _bad_shape(self, states: np.ndarray) -> ValueError:
        return ValueError(
            f"States of {self.state_space_} must come as a batch, an array of shape "
            f"(m, *{self._state_shape}), got shape {states.shape}."
        )

    def _check_actions(self, actions: Int64[np.ndarray, "*batch"], end: int) -> None:
        if actions.size == 1:
            lowest = highest = actions.item()
        else:
            lowest, highest = actions.min(initial=0).item(), actions.max(initial=0).item()
        if lowest < 0 or highest >= end:
            raise self._bad_action(lowest if lowest < 0 else highest)

    def _bad_action(self, action: int) -> ValueError:
        return ValueError(f"Actions must be in [0, {self.n_actions_}), got {action}.")

    def _bad_error(self, td_errors: object) -> ValueError:
        return ValueError(
            "Rewards, discounts, weights and values must be finite, got the TD error "
            f"{td_errors}. Look for NaN or infinity in the rewards; nothing was learned from them."
        )


def _copy(snapshot: Snapshot) -> Snapshot:
    return tuple(None if part is None else part.copy() for part in snapshot)
