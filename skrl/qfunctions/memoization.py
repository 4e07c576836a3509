"""Q-learning with a table: one remembered number per state and action."""

from math import isfinite, prod
from numbers import Real
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float64, Integer, Shaped
from numpy.random import Generator

from skrl.base import QFunction, States, Transitions, Values
from skrl.qfunctions._checks import check_is_built

# What `snapshot` gives: the table, and the row of each known state (None for Discrete states).
Snapshot = tuple[np.ndarray, dict[bytes, int] | None]


class MemoizationQFunction(QFunction):
    """Action values in a table, learned by Watkins's Q-learning.

    Each transition (s, a, r, s') moves its entry a step towards the target::

        Q(s, a) <- Q(s, a) + learning_rate * (r + discount * max_b Q(s', b) - Q(s, a))

    A `gymnasium.spaces.Discrete` state is the number of its row. In every other space a state is
    recognised by its exact content and gets a row when it is first learned from, which makes
    sense where the same states come again and again; states that were never learned from are
    worth `initial_value`.

    All errors of a batch are computed before its update. Where a state and action occur several
    times in a batch, all of their steps are added up, so that n equal transitions make a step n
    times as long: keep ``learning_rate`` times the number of repetitions below 2.

    Parameters
    ----------
    learning_rate : float in (0, 1]
        Length of the step towards the target. 1 is right in a deterministic world; the more
        random the world, the smaller.
    initial_value : float
        Value of every action at the beginning. A value that is higher than what can be earned
        makes a greedy agent try everything (optimistic initial values; Sutton & Barto, 2018,
        section 2.6).

    Attributes
    ----------
    table_ : ndarray of shape (n_states, n_actions), dtype float64
        The table. Row i is that of state i in a Discrete space, and that of the i-th state
        learned from otherwise.
    state_space_ : gymnasium.Space
        Space of one state.
    n_actions_ : int
        Number of actions.

    References
    ----------
    C. Watkins (1989), "Learning from delayed rewards", PhD thesis, Cambridge.
    C. Watkins & P. Dayan (1992), "Q-learning", Machine Learning 8, 279-292.
    R. Sutton & A. Barto (2018), "Reinforcement learning", section 6.5 and equation 6.8.

    Examples
    --------
    In state 0, action 1 earned a reward of 1 and ended in state 2:

    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.base import Transitions
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction(learning_rate=0.5)
    >>> qfunction = qfunction.build(Discrete(3), n_actions=2, random_state=None)
    >>> qfunction.update(Transitions(
    ...     states=np.array([0]), actions=np.array([1]), rewards=np.array([1.0]),
    ...     next_states=np.array([2]), discounts=np.array([0.99]),
    ...     terminated=np.array([False]), truncated=np.array([False])))
    array([1.])
    >>> qfunction.values(np.array([0]))
    array([[0. , 0.5]])
    """

    # The table is one ndarray. Python lists as rows would make the update of a single transition
    # 0.3 us faster, but each look at a state 0.3 us slower, and batches very much slower.
    _table: Float64[np.ndarray, "n_rows n_actions"]
    _row_of_key: dict[bytes, int] | None
    _state_shape: tuple[int, ...]

    def __init__(self, learning_rate: float = 0.1, initial_value: float = 0.0) -> None:
        self.learning_rate = learning_rate
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
            If the learning rate is not in (0, 1], the initial value is not finite, there is no
            action, or a Discrete space does not count from 0.
        """
        _check_number("learning_rate", self.learning_rate)
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate must be in (0, 1], got {self.learning_rate!r}.")
        _check_number("initial_value", self.initial_value)
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
        self._table = np.full((n_rows, n_actions), self.initial_value, dtype=np.float64)
        self._state_shape = state_space.shape
        self.state_space_, self.n_actions_ = state_space, n_actions
        return self

    @property
    def table_(self) -> Float64[np.ndarray, "n_states n_actions"]:
        """The table, one row per state."""
        check_is_built(self)
        # The rows behind those of the known states wait for new ones.
        return self._table if self._row_of_key is None else self._table[: len(self._row_of_key)]

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
            If a state or action is out of range, or a reward or discount is not finite. The
            update it belongs to is not made.
        """
        try:
            if transitions.actions.shape == (1,):
                return self._update_one(transitions)
            return self._update_many(transitions)
        except AttributeError:
            check_is_built(self)
            raise

    def _update_one(self, transitions: Transitions) -> Float64[np.ndarray, "1"]:
        """Do the same as `_update_many`, faster: Python's numbers beat arrays of length 1."""
        if self._row_of_key is None:
            row, next_row = transitions.states.item(), transitions.next_states.item()
            n_rows = len(self._table)
            if not (type(row) is type(next_row) is int and 0 <= row < n_rows > next_row >= 0):
                self._rows(transitions.states), self._rows(transitions.next_states)  # say why
        else:
            row = self._rows(transitions.states, remember=True).item()
            next_row = self._rows(transitions.next_states).item()
        action = transitions.actions.item()
        if not 0 <= action < self.n_actions_:
            raise self._bad_action(action)
        table = self._table
        value = table.item(row, action)

        # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
        bootstrap = max(table[next_row].tolist())
        target = transitions.rewards.item() + transitions.discounts.item() * bootstrap
        # delta = target - Q(s, a)
        td_error = target - value
        if not isfinite(td_error):
            raise self._bad_error(td_error)
        # Q(s, a) <- Q(s, a) + learning_rate * delta
        table[row, action] = value + float(self.learning_rate) * td_error
        return np.array([td_error])

    def _update_many(self, transitions: Transitions) -> Float64[np.ndarray, "*batch"]:
        actions, rewards = transitions.actions, transitions.rewards
        lowest, highest = actions.min(initial=0).item(), actions.max(initial=0).item()
        if lowest < 0 or highest >= self.n_actions_:
            raise self._bad_action(lowest if lowest < 0 else highest)
        # Where Q(s, a) stands if the table is written in one line: np.add.at is faster there.
        rows = self._rows(transitions.states, remember=True)
        cells = rows.astype(np.int64) * self.n_actions_ + actions
        next_rows = self._rows(transitions.next_states)
        line = self._table.reshape(-1)

        td_errors = np.empty(actions.shape)
        # Once for a batch of shape (B,), with k = (); K times for one of shape (K, B).
        for k in np.ndindex(actions.shape[:-1]):
            # target = r + discount * max_b Q(s', b), where the discount is 0 if s' is terminal
            bootstraps = self._table.take(next_rows[k], axis=0).max(axis=1)
            targets = rewards[k] + transitions.discounts[k] * bootstraps
            # delta = target - Q(s, a)
            td_errors[k] = targets - line[cells[k]]
            if not np.isfinite(td_errors[k]).all():
                raise self._bad_error(td_errors[k])
            # Q(s, a) <- Q(s, a) + learning_rate * delta, adding up where (s, a) occurs repeatedly
            np.add.at(line, cells[k], self.learning_rate * td_errors[k])
        return td_errors

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
        batch_shape = states.shape[:n_batch_axes]
        n_bytes = states.itemsize * prod(self._state_shape)
        content = states.tobytes()
        keys = [content[i : i + n_bytes] for i in range(0, len(content), n_bytes)]

        if remember:
            rows = [row_of_key.setdefault(key, len(row_of_key)) for key in keys]
            self._grow(len(row_of_key) + 1)
        else:
            # The row behind the last known state always holds initial values.
            rows = [row_of_key.get(key, len(row_of_key)) for key in keys]
        return np.array(rows, dtype=np.int64).reshape(batch_shape)

    def _grow(self, n_rows: int) -> None:
        """Make room for `n_rows`, by doubling: on average a state is then copied about once."""
        n_missing = n_rows - len(self._table)
        if n_missing > 0:
            n_new = max(n_missing, len(self._table))
            new = np.full((n_new, self.n_actions_), self.initial_value, dtype=np.float64)
            self._table = np.concatenate([self._table, new])

    def snapshot(self) -> Snapshot:
        """Copy the table; see `QFunction.snapshot`."""
        check_is_built(self)
        row_of_key = self._row_of_key
        return self._table.copy(), None if row_of_key is None else row_of_key.copy()

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a copy of the table; see `QFunction.restore`."""
        check_is_built(self)
        table, row_of_key = snapshot
        self._table = table.copy()
        self._row_of_key = None if row_of_key is None else row_of_key.copy()

    def _bad_shape(self, states: np.ndarray) -> ValueError:
        return ValueError(
            f"States of {self.state_space_} must come as a batch, an array of shape "
            f"(m, *{self._state_shape}), got shape {states.shape}."
        )

    def _bad_action(self, action: int) -> ValueError:
        return ValueError(f"Actions must be in [0, {self.n_actions_}), got {action}.")

    def _bad_error(self, td_errors: object) -> ValueError:
        return ValueError(
            f"Rewards, discounts and values must be finite, got the TD error {td_errors}. Look "
            "for NaN or infinity in the environment's rewards; nothing was learned from them."
        )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
