"""Q-learning with a table: one remembered number per state and action."""

from itertools import compress
from math import inf, isfinite, prod
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float, Float64, Int64, Integer, Shaped
from numpy.random import Generator

from skrl.base import ActionMasks, Actions, Defaults, QFunction, State, States, Transitions, Values
from skrl.limits import check_number
from skrl.qfunctions._checks import check_is_built, check_names, check_range
from skrl.qfunctions._targets import bootstrap_values

# The largest table that has a row for every state of a Discrete space from the beginning: 160 MB.
MAX_ENTRIES = 10_000_000


class MemoizationQFunction(QFunction):
    """Action values in a table, learned by Watkins's Q-learning.

    Each transition (s, a, r, s') moves its entry a step towards the target::

        Q(s, a) <- Q(s, a) + alpha_n * (r + discount * max_b Q(s', b) - Q(s, a))

    where the step size of the n-th update of this entry, n = 1, 2, ..., is::

        alpha_n = learning_rate / (1 + learning_rate_decay * (n - 1))

    The maximum is taken over the actions that `Transitions.next_action_masks` allows. Transitions
    with `next_probabilities` bootstrap from ``sum_b p(b|s') Q(s', b)`` instead: that is Sarsa or
    Expected Sarsa.

    A constant step size follows the noise of a random world indefinitely. One that decays averages
    the noise: the values converge if every entry is updated again and again. Common choices are

    - ``learning_rate_decay=0``: constant; ``learning_rate=1`` is right in a deterministic world.
    - ``learning_rate=1, learning_rate_decay=1``: 1/n. An entry is the mean of its targets. The
      first targets, which knew nothing yet, count as much as the last ones. Learning is slow where
      rewards come late.
    - ``learning_rate=1, learning_rate_decay=1 - gamma``: the steps become small only after the
      values have spread (Wainwright, 2019).

    A `gymnasium.spaces.Discrete` state is the number of its row, unless the table would have more
    than 10 million entries. In every other space a state is recognised by its exact content and
    gets a row when it is first learned from. That is useful where the same states come again;
    those never learned from are worth `initial_value`.

    All errors of a batch are computed before its update. Where (s, a) occurs m times in it, the
    m steps are added up: with a constant step size, keep ``learning_rate`` times m below 2. With
    a decay, each is the step of the last of the m updates, but at most 1/m. Together they never go
    beyond the mean of their targets. `Transitions.weights` multiply the steps.

    Parameters
    ----------
    learning_rate : float in (0, 1], default=0.05
        Size of the first step towards the target. Large steps learn fast, and are right in a
        deterministic world. Small ones average over chance, and forget `initial_value` slowly.
    learning_rate_decay : float >= 0, default=0.001
        How fast the steps of an entry become smaller with its updates: ``1 / learning_rate_decay``
        updates halve them. 0 keeps them constant.
    initial_value : float, default=0.5
        Value of every action at the beginning. One that is higher than what can be earned makes a
        greedy agent try everything (optimistic initial values; Sutton & Barto, section 2.6).

    Attributes
    ----------
    table_ : ndarray of shape (n_states, n_actions), dtype float64
        The table. Row i is state i of a Discrete space of at most 10 million entries, and
        otherwise the i-th state learned from.
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

    _table: Float64[np.ndarray, "n_rows n_columns"]
    _n_updates: Int64[np.ndarray, "n_rows n_columns"] | None
    _row_of_key: dict[bytes, int] | None
    _n_columns: int
    _state_shape: tuple[int, ...]
    # The number of states of a Discrete space; infinite for all others.
    _end_of_states: float
    # A row holds n_actions numbers for each table: `DoubleMemoizationQFunction` has two.
    _n_tables = 1

    defaults = Defaults(n_steps=300_000)

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
            If a parameter is not a number, or the states are not arrays.
        ValueError
            If a parameter is out of range, `n_actions` is less than 1, or a Discrete space does
            not count from 0.
        """
        check_number("learning_rate", self.learning_rate, is_positive=True, most=1)
        check_number("learning_rate_decay", self.learning_rate_decay, least=0)
        check_number("initial_value", self.initial_value)
        if n_actions < 1:
            raise ValueError(f"n_actions must be at least 1, got {n_actions}.")
        if state_space.shape is None or state_space.dtype is None:
            raise TypeError(
                "MemoizationQFunction needs states that are arrays (Discrete, Box, MultiDiscrete, "
                f"MultiBinary), got {state_space}. GymEnvironment converts others where possible."
            )
        self._end_of_states = inf
        if isinstance(state_space, Discrete):
            if state_space.start != 0:
                raise ValueError(
                    f"States must count from 0, got {state_space}. GymEnvironment takes care of it."
                )
            self._end_of_states = int(state_space.n)
        self._n_columns = n_actions * self._n_tables
        is_numbered = self._end_of_states * self._n_columns <= MAX_ENTRIES
        self._row_of_key = None if is_numbered else {}
        shape = int(self._end_of_states) if is_numbered else 1, self._n_columns
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
            If a state is out of range, or the states are not a batch of such states.
        """
        try:
            values = self._table.take(self._rows(states), axis=0)
        except AttributeError:
            check_is_built(self)
            raise
        if values.ndim != 2:
            raise self._bad_shape(states)
        return values

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
        t = transitions
        if t.actions.shape == (1,) and t.next_probabilities is None:
            return self._update_one(t)
        check_is_built(self)
        check_range("Actions", t.actions, self.n_actions_)
        rows, next_rows = self._rows(t.states, remember=True), self._rows(t.next_states)
        columns = self._columns(t.actions)
        # Where Q(s, a) stands if the table is written in one line: np.add.at is faster there.
        cells = rows.astype(np.int64) * self._n_columns + columns
        line = self._table.reshape(-1)

        td_errors = np.empty(columns.shape)
        # Once for a batch of shape (B,), with k = (); K times for one of shape (K, B).
        for k in np.ndindex(columns.shape[:-1]):
            bootstraps = self._bootstraps(
                self._table.take(next_rows[k], axis=0),
                columns[k],
                None if t.next_action_masks is None else t.next_action_masks[k],
                None if t.next_probabilities is None else t.next_probabilities[k],
            )
            # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
            targets = t.rewards[k] + t.discounts[k] * bootstraps
            # delta = weight * (target - Q(s, a))
            td_errors[k] = deltas = targets - line[cells[k]]
            if t.weights is not None:
                deltas = deltas * t.weights[k]
            if not np.isfinite(deltas).all():
                raise self._bad_error(deltas)
            # Q(s, a) <- Q(s, a) + alpha_n * delta, adding up where (s, a) occurs repeatedly
            np.add.at(line, cells[k], self._step_sizes(cells[k]) * deltas)
        return td_errors

    def _update_one(self, t: Transitions) -> Float64[np.ndarray, " one"]:
        """Do the same for one row, with Python's numbers, which are faster than arrays of one."""
        check_is_built(self)
        column = t.actions.item()
        if not 0 <= column < self.n_actions_:
            check_range("Actions", t.actions, self.n_actions_)
        if self._n_tables > 1:
            column = self._columns(t.actions).item()
        if self._row_of_key is None:
            row, next_row, end = t.states.item(), t.next_states.item(), self._end_of_states
            if not (type(row) is type(next_row) is int and 0 <= row < end > next_row >= 0):
                self._rows(t.states), self._rows(t.next_states)  # say what is wrong
        else:
            row, next_row = (
                self._rows(t.states, remember=True).item(),
                self._rows(t.next_states).item(),
            )
        table = self._table
        value: float = table.item(row, column)
        # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
        masks = t.next_action_masks
        mask = None if masks is None else masks[0].tolist()
        bootstrap = self._bootstrap(table[next_row].tolist(), column, mask)
        target: float = t.rewards.item() + t.discounts.item() * bootstrap
        # delta = weight * (target - Q(s, a))
        td_error = delta = target - value
        if t.weights is not None:
            delta *= t.weights.item()
        if not isfinite(delta):
            raise self._bad_error(delta)

        step_size = float(self.learning_rate)
        if self._n_updates is not None:
            n_before = self._n_updates.item(row, column)
            self._n_updates[row, column] = n_before + 1
            # alpha_n = learning_rate / (1 + learning_rate_decay * (n - 1)),  n = n_before + 1
            step_size /= 1 + float(self.learning_rate_decay) * n_before
        # Q(s, a) <- Q(s, a) + alpha_n * delta
        table[row, column] = value + step_size * delta
        return np.array([td_error])

    def _columns(self, actions: Int64[np.ndarray, "*batch"]) -> Int64[np.ndarray, "*batch"]:
        """Give the column of each action's entry that is updated."""
        return actions

    def _bootstraps(
        self,
        next_values: Float64[np.ndarray, "B n_columns"],
        columns: Actions,
        action_masks: ActionMasks | None,
        probabilities: Float[np.ndarray, "B n_actions"] | None,
    ) -> Float64[np.ndarray, " B"]:
        """Values of s' in the targets of entries in these columns, given Q(s', .)."""
        return bootstrap_values(next_values, action_masks, probabilities)

    def _bootstrap(self, next_values: list[float], column: int, mask: list[bool] | None) -> float:
        """Do the same for one row, without probabilities."""
        if mask is None:
            return max(next_values)
        return max(compress(next_values, mask), default=0.0)

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
        """Find the row of each state; if `remember`, make rows for new states."""
        if self._end_of_states < inf:
            # NumPy would take -1 for the last row.
            check_range("States", states, self._end_of_states)
        row_of_key = self._row_of_key
        if row_of_key is None:
            return states  # the number of a state is the number of its row
        keys = self._keys(states)
        if remember:
            rows = [row_of_key.setdefault(key, len(row_of_key)) for key in keys]
            self._grow(len(row_of_key) + 1)
        else:
            # The row behind the last known state always holds initial values.
            rows = [row_of_key.get(key, len(row_of_key)) for key in keys]
        batch_shape = states.shape[: states.ndim - len(self._state_shape)]
        return np.array(rows, dtype=np.int64).reshape(batch_shape)

    def _keys(self, states: Shaped[np.ndarray, "*batch_and_state_shape"]) -> list[bytes]:
        """Give the content of each state."""
        n_batch_axes = states.ndim - len(self._state_shape)
        if n_batch_axes < 1 or states.shape[n_batch_axes:] != self._state_shape:
            raise self._bad_shape(states)
        if states.dtype.kind == "f" and not np.isfinite(states).all():
            raise ValueError(
                f"States must be finite, got {states!r:.200}. Look for NaN or infinity in the "
                "observations of the environment."
            )
        # Equal states must have equal bytes: one dtype, and + 0 makes -0.0 the same as 0.0.
        states = states.astype(self.state_space_.dtype, casting="same_kind", copy=False) + 0
        n_bytes = states.itemsize * prod(self._state_shape)
        content = states.tobytes()
        return [content[i : i + n_bytes] for i in range(0, len(content), n_bytes)]

    def _grow(self, n_rows: int) -> None:
        """Make room for `n_rows`, by doubling: on average a state is then copied about once."""
        n_missing = n_rows - len(self._table)
        if n_missing > 0:
            shape = max(n_missing, len(self._table)), self._n_columns
            self._table = np.concatenate([self._table, np.full(shape, float(self.initial_value))])
            if self._n_updates is not None:
                self._n_updates = np.concatenate([self._n_updates, np.zeros(shape, np.int64)])

    def state(self) -> State:
        """Copy the table and the numbers of its updates; see `QFunction.state`.

        Returns
        -------
        dict
            ``table`` and ``n_updates`` (None without decay) of shape (n_states, n_columns), and
            ``keys``: the state of each row, of shape (n_states, *state_shape), or None where a
            state is the number of its row.
        """
        check_is_built(self)
        n, keys = self._n_states(), None
        if self._row_of_key is not None:
            content = np.frombuffer(b"".join(self._row_of_key), self.state_space_.dtype)
            keys = content.reshape(n, *self._state_shape).copy()
        return {
            "table": self._table[:n].copy(),
            "n_updates": None if self._n_updates is None else self._n_updates[:n].copy(),
            "keys": keys,
        }

    def set_state(self, state: State) -> None:
        """Continue from a `state`; see `QFunction.set_state`."""
        check_is_built(self)
        check_names(self, state, {"table", "n_updates", "keys"})
        table, n_updates, keys = state["table"], state["n_updates"], state["keys"]
        n_states = len(self._table) if keys is None else len(keys)
        shape = n_states, self._n_columns
        expected = (
            shape,
            None if self._n_updates is None else shape,
            None if self._row_of_key is None else (n_states, *self._state_shape),
        )
        got = tuple(None if array is None else array.shape for array in (table, n_updates, keys))
        if got != expected:
            raise ValueError(
                f"The table, n_updates and keys of this {type(self).__name__} have the shapes "
                f"{expected}, got {got}. Use the state of one with the same parameters, built for "
                "the same environment."
            )
        self._table = np.array(table, np.float64, order="C")
        self._n_updates = None if n_updates is None else np.array(n_updates, np.int64, order="C")
        if keys is not None:
            self._row_of_key = {key: row for row, key in enumerate(self._keys(keys))}
            self._grow(n_states + 1)

    def metrics(self) -> dict[str, float]:
        """Report the `learning_rate`; see `QFunction.metrics`."""
        return {"learning_rate": float(self.learning_rate)}

    def _bad_shape(self, states: np.ndarray) -> ValueError:
        return ValueError(
            f"States of {self.state_space_} must come as a batch, an array of shape "
            f"(m, *{self._state_shape}), got shape {states.shape}."
        )

    def _bad_error(self, td_errors: object) -> ValueError:
        return ValueError(
            "Rewards, discounts, weights and values must be finite, got the TD error "
            f"{td_errors}. Look for NaN or infinity in the rewards; nothing was learned from them."
        )
