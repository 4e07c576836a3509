"""What a run leaves behind: tables of plain Python numbers, one row per episode or evaluation."""

from collections.abc import Sequence
from itertools import count, repeat
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Int64

from skrl.transitions import Transitions


class Table:
    """Rows of named columns, to append to and to slice.

    ``table[-1]`` is a row (a dict), ``table[10:20]`` a list of rows, ``table[:, "return"]`` a
    column as an array, and ``table[-100:, "return"]`` a part of one. ``pandas.DataFrame(table[:])``
    makes a data frame.

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
        greedy policy), ``std`` (standard deviation of the returns), ``n_episodes``, ``seconds``.

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
        self.evaluations = Table(["n_steps", "score", "std", "n_episodes", "seconds"])
        self.n_steps = 0

    def begin(self, n_envs: int) -> None:
        """Start counting for a run of `n_envs` environments, each at the start of an episode."""
        self._began = perf_counter() - self.seconds_so_far()
        self._returns = np.zeros(n_envs)
        self._lengths = np.zeros(n_envs, dtype=np.int64)
        # For a single environment plain numbers do, which are faster.
        self._return, self._length = 0.0, 0

    def seconds_so_far(self) -> float:
        """Seconds of training that the last row knows of."""
        return max(
            (table[-1]["seconds"] for table in (self, self.evaluations) if table), default=0.0
        )

    def seconds(self) -> float:
        """Seconds of training up to now."""
        return perf_counter() - self._began

    def record(self, transitions: Transitions) -> int:
        """Count one step of all environments.

        Parameters
        ----------
        transitions : Transitions
            What the environments' `step` gave.

        Returns
        -------
        int
            How many episodes ended in this step.
        """
        if len(self._returns) == 1:
            return self._record_one(transitions)
        self.n_steps += len(transitions.rewards)
        env_ids = transitions.env_ids
        if env_ids is None:
            self._returns += transitions.rewards
            self._lengths += 1
        else:
            self._returns[env_ids] += transitions.rewards
            self._lengths[env_ids] += 1
        ended = transitions.terminated | transitions.truncated
        if not np.count_nonzero(ended):
            return 0
        rows = ended.nonzero()[0]
        self._record_episodes(rows if env_ids is None else env_ids[rows])
        return len(rows)

    def _record_one(self, transitions: Transitions) -> int:
        """Do the same for a single environment, without NumPy's overhead."""
        self.n_steps += 1
        self._return += transitions.rewards.item()
        self._length += 1
        if not (transitions.terminated.item() or transitions.truncated.item()):
            return 0
        self._returns[0], self._lengths[0] = self._return, self._length
        self._return, self._length = 0.0, 0
        self._record_episodes(np.zeros(1, dtype=np.int64))
        return 1

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


class Budget:
    """How much a run may do, and how much of it is used.

    Parameters
    ----------
    history : History
        Counts steps and episodes; what it has counted so far does not count.
    n_steps, n_episodes : int or None
        The budget. At least one must be given.
    """

    def __init__(self, history: History, n_steps: int | None, n_episodes: int | None) -> None:
        if n_steps is None and n_episodes is None:
            raise ValueError("A run needs a budget: give n_steps, n_episodes or both.")
        for name, value in (("n_steps", n_steps), ("n_episodes", n_episodes)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.history = history
        self.first_step, self.n_steps = history.n_steps, n_steps or np.inf
        self.first_episode, self.n_episodes = len(history), n_episodes or np.inf

    def used(self) -> float:
        """The part of the budget that is used, from 0 to 1."""
        used = (self.history.n_steps - self.first_step) / self.n_steps
        if self.n_episodes < np.inf:
            used = max(used, (len(self.history) - self.first_episode) / self.n_episodes)
        return used if used < 1.0 else 1.0
