"""What a run leaves behind: tables of plain Python numbers, one row per episode or evaluation."""

from collections.abc import Sequence
from itertools import count, repeat
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from skrl.transitions import Transitions

# The columns of integers; the others are floats.
INTEGERS = {"episode", "env_id", "n_steps", "length", "n_episodes", "evaluation_steps"}


class Table:
    """Rows of named columns, to append to and to slice.

    ``table[-1]`` is a row (a dict), ``table[10:20]`` a list of rows, ``table[:, "return"]`` a
    column as an array, and ``table[-100:, "return"]`` a part of one. `to_frame` makes a
    `pandas.DataFrame`.

    Parameters
    ----------
    columns : sequence of str
        Names of the columns.

    Examples
    --------
    >>> table = Table(["n_steps", "score"])
    >>> table.append(n_steps=100, score=9.5)
    >>> table.append(n_steps=200, score=20.0)
    >>> table[-1]
    {'n_steps': 200, 'score': 20.0}
    >>> table[:, "score"].mean()
    np.float64(14.75)
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._rows: list[tuple[Any, ...]] = []

    def append(self, **row: Any) -> None:
        """Add a row: one value for every column."""
        if row.keys() != set(self.columns):
            raise ValueError(f"A row has the columns {self.columns}, got {tuple(row)}.")
        self._rows.append(tuple(row[column] for column in self.columns))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, tuple):
            rows = self._rows[index]
            if isinstance(index, slice):
                return [dict(zip(self.columns, row, strict=True)) for row in rows]
            return dict(zip(self.columns, rows, strict=True))
        which, column = index
        if column not in self.columns:
            raise KeyError(f"There is no column {column!r}; there are {self.columns}.")
        position = self.columns.index(column)
        if isinstance(which, slice):
            return np.array([row[position] for row in self._rows[which]])
        return self._rows[which][position]

    def set_rows(self, rows: Any) -> None:
        """Replace all rows.

        Parameters
        ----------
        rows : list of sequences, or ndarray of shape (k, n_columns)
            Those of an array are floats; they become integers in the columns that count.
        """
        if isinstance(rows, np.ndarray):
            columns = zip(self.columns, rows.T.tolist(), strict=True)
            rows = zip(
                *(map(int, c) if name in INTEGERS else c for name, c in columns), strict=True
            )
        self._rows = [tuple(row) for row in rows]

    def to_array(self) -> Float64[np.ndarray, "k n_columns"]:
        """Give all rows as an array of floats."""
        return np.array(self._rows, dtype=np.float64).reshape(-1, len(self.columns))

    def to_frame(self) -> Any:
        """Make a `pandas.DataFrame` of the rows.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ValueError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ValueError("to_frame needs pandas: pip install pandas.") from error
        return pd.DataFrame(self._rows, columns=list(self.columns))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)} rows: {', '.join(self.columns)}>"


class History(Table):
    """One row for every finished episode of training.

    ======== =====================================================================================
    column   meaning
    ======== =====================================================================================
    episode  number of the episode, from 0, in the order in which they ended
    env_id   which of the environments side by side it happened in
    n_steps  steps taken so far, counted over all environments, when it ended
    length   its number of steps
    return   its undiscounted sum of rewards
    seconds  time since the run began
    ======== =====================================================================================

    Attributes
    ----------
    n_steps : int
        Steps taken so far, counted over all environments.
    evaluations : Table
        One row for every evaluation during training: ``n_steps``, ``score`` (mean return of the
        greedy policy), ``std`` (standard deviation of the returns), ``n_episodes``,
        ``evaluation_steps`` (environment steps that evaluation has taken so far), ``seconds``.
    metrics : Table
        One row for every rollout that something was learned in: ``n_steps``, ``loss``,
        ``td_error`` (mean absolute TD error), ``q_mean`` and ``q_max`` (values of some states that
        were learned from), ``epsilon``, ``learning_rate``, ``seconds``. What a part does not
        know is NaN.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> history = QLearningAgent(n_steps=500, n_evaluations=1).fit("FrozenLake-v1").history_
    >>> sorted(history[0])
    ['env_id', 'episode', 'length', 'n_steps', 'return', 'seconds']
    >>> bool(history[:, "length"].sum() <= history.n_steps)
    True
    """

    def __init__(self) -> None:
        super().__init__(["episode", "env_id", "n_steps", "length", "return", "seconds"])
        self.evaluations = Table(
            ["n_steps", "score", "std", "n_episodes", "evaluation_steps", "seconds"]
        )
        self.metrics = Table(
            [
                "n_steps",
                "loss",
                "td_error",
                "q_mean",
                "q_max",
                "epsilon",
                "learning_rate",
                "seconds",
            ]
        )
        self.n_steps = 0

    def begin(self, n_envs: int) -> None:
        """Start counting for a run of `n_envs` environments, each at the start of an episode."""
        self._began = perf_counter() - self.seconds_so_far()
        self._returns = np.zeros(n_envs)
        self._lengths = np.zeros(n_envs, dtype=np.int64)
        # For a single environment plain numbers do, which are ten times as fast.
        self._return, self._length = 0.0, 0

    def seconds_so_far(self) -> float:
        """Seconds of training that the last row knows of."""
        tables = self, self.evaluations, self.metrics
        return max((table[-1]["seconds"] for table in tables if len(table)), default=0.0)

    def seconds(self) -> float:
        """Seconds of training up to now."""
        return perf_counter() - self._began

    def record(self, transitions: Transitions) -> Int64[np.ndarray, " k"] | None:
        """Count one step of all environments.

        Parameters
        ----------
        transitions : Transitions
            What the environments' `step` gave.

        Returns
        -------
        ndarray of shape (k,), dtype int64, or None
            The environments whose episodes ended in this step; None if there are none.
        """
        env_ids, rewards = transitions.env_ids, transitions.rewards
        self.n_steps += len(rewards)
        if len(self._returns) == 1 and len(rewards) == 1:
            return self._record_one(transitions)
        if env_ids is None:
            self._returns += rewards
            self._lengths += 1
        else:
            self._returns[env_ids] += rewards
            self._lengths[env_ids] += 1
        ended = transitions.terminated | transitions.truncated
        rows = ended.nonzero()[0]
        if not len(rows):
            return None
        ended_ids: Int64[np.ndarray, " k"] = rows if env_ids is None else env_ids[rows]
        self._record_episodes(ended_ids)
        return ended_ids

    def _record_one(self, transitions: Transitions) -> Int64[np.ndarray, " k"] | None:
        """Do the same for a single environment."""
        self._return += transitions.rewards.item()
        self._length += 1
        if not (transitions.terminated.item() or transitions.truncated.item()):
            return None
        self._returns[0], self._lengths[0] = self._return, self._length
        self._return, self._length = 0.0, 0
        only = np.zeros(1, dtype=np.int64)
        self._record_episodes(only)
        return only

    def _record_episodes(self, env_ids: Int64[np.ndarray, " k"]) -> None:
        """Write the rows of the episodes that ended in these environments, all in one step."""
        self._rows += zip(
            count(len(self)),  # episode
            env_ids.tolist(),
            repeat(self.n_steps),
            self._lengths[env_ids].tolist(),
            self._returns[env_ids].tolist(),
            repeat(self.seconds()),
            strict=False,  # two of them never end
        )
        self._returns[env_ids] = 0.0
        self._lengths[env_ids] = 0

    def state(self) -> dict[str, Any]:
        """Copy all rows, and the episodes under way.

        Returns
        -------
        dict
            Arrays, and values that JSON can hold.
        """
        tables = self.tables().items()
        return {**{name: list(table._rows) for name, table in tables}, **self._counters()}

    def live_state(self) -> dict[str, Any]:
        """Give the same with arrays of the rows; see `skrl.base.Runner.live_state`."""
        tables = self.tables().items()
        return {**{name: table.to_array() for name, table in tables}, **self._counters()}

    def tables(self) -> dict[str, Table]:
        """Name the tables: ``episodes``, which are the history itself, and the others."""
        return {"episodes": self, "evaluations": self.evaluations, "metrics": self.metrics}

    def _counters(self) -> dict[str, Any]:
        return {
            "n_steps": self.n_steps,
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "single": [self._return, self._length],
            "seconds": self.seconds(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continue from a `state`.

        Parameters
        ----------
        state : dict
            What `state` gave.
        """
        for name, table in self.tables().items():
            table.set_rows(state[name])
        self.n_steps = state["n_steps"]
        self._began = perf_counter() - state["seconds"]
        self._returns, self._lengths = state["returns"].copy(), state["lengths"].copy()
        self._return, self._length = state["single"]


class Budget:
    """How much a run may do, and how much of it is used.

    Parameters
    ----------
    history : History
        Counts steps and episodes.
    n_steps, n_episodes : int or None
        The budget. At least one must be given.
    since : sequence of two int, or None
        The numbers of steps and of episodes from which on the budget counts. None stands for
        what the history has counted so far.
    """

    def __init__(
        self,
        history: History,
        n_steps: int | None,
        n_episodes: int | None,
        since: Sequence[int] | None = None,
    ) -> None:
        if n_steps is None and n_episodes is None:
            raise ValueError("A run needs a budget: give n_steps, n_episodes or both.")
        for name, value in (("n_steps", n_steps), ("n_episodes", n_episodes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.history = history
        self.first_step, self.first_episode = since or (history.n_steps, len(history))
        self.n_steps, self.n_episodes = n_steps or inf, n_episodes or inf
        self.last_step = self.first_step + self.n_steps

    def state(self) -> dict[str, Any]:
        """Give what a budget of the same history is made of."""
        n_steps, n_episodes = (None if n == inf else n for n in (self.n_steps, self.n_episodes))
        since = [self.first_step, self.first_episode]
        return {"n_steps": n_steps, "n_episodes": n_episodes, "since": since}

    def used(self) -> float:
        """The part of the budget that is used, from 0 to 1."""
        used = (self.history.n_steps - self.first_step) / self.n_steps
        if self.n_episodes < inf:
            used = max(used, (len(self.history) - self.first_episode) / self.n_episodes)
        return used if used < 1.0 else 1.0

    def is_used_up(self) -> bool:
        """Whether nothing is left."""
        if self.history.n_steps >= self.last_step:
            return True
        return self.n_episodes < inf and len(self.history) - self.first_episode >= self.n_episodes
