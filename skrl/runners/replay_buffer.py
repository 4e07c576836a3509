"""The memory of experience replay: a ring of the newest transitions."""

import numpy as np
from numpy.random import Generator

from skrl.base import Transitions

# The arrays of a Transitions that are stored. Rewards and discounts take float32, which is what
# networks compute in and half the memory.
STORED = ("states", "actions", "rewards", "next_states", "discounts", "terminated", "truncated")
DTYPES = {"rewards": np.float32, "discounts": np.float32}


class ReplayBuffer:
    """A ring buffer: keeps the newest `capacity` transitions, overwrites the oldest.

    All memory is allocated once, with the first transitions, which tell shapes and dtypes.
    (The operating system hands out the pages as they are first written.)

    Parameters
    ----------
    capacity : int
        Largest number of transitions.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.base import Transitions
    >>> buffer = ReplayBuffer(capacity=3)
    >>> no = np.array([False])
    >>> for i in range(5):
    ...     buffer.add(Transitions(np.array([i]), np.array([0]), np.array([1.0]),
    ...                            np.array([i + 1]), np.array([0.5]), no, no))
    >>> len(buffer)
    3
    >>> batches = buffer.sample(np.random.default_rng(0), n_batches=2, batch_size=4)
    >>> batches.states.shape, sorted(set(batches.states.ravel().tolist()))
    ((2, 4), [2, 3, 4])

    Returns over two steps, r + 0.5 r', wherever two are there:

    >>> batches = buffer.sample(np.random.default_rng(0), 2, 4, n_step=2)
    >>> sorted(set(zip(batches.states.ravel().tolist(), batches.rewards.ravel().tolist())))
    [(2, 1.5), (3, 1.5), (4, 1.0)]
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}.")
        self.capacity = capacity
        self._arrays: dict[str, np.ndarray] = {}
        self._sampled: dict[str, np.ndarray] = {}
        self._size = 0
        self._next = 0
        self.cut()

    def __len__(self) -> int:
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes that the stored transitions take when the buffer is full."""
        return sum(array.nbytes for array in self._arrays.values()) + self._successor.nbytes

    def cut(self) -> None:
        """Note that what is added next does not continue what was added before."""
        self._newest: dict[int, int] = {}

    def add(self, transitions: Transitions) -> None:
        """Store transitions.

        Parameters
        ----------
        transitions : Transitions
            Of batch shape (m,): one or more steps of the environments, oldest first. If m exceeds
            the capacity, the last rows remain.
        """
        if not self._arrays:
            self._allocate(transitions)
        m = len(transitions)
        kept = slice(max(0, m - self.capacity), m)
        rows = (self._next + np.arange(kept.start, m)) % self.capacity
        for name, array in self._arrays.items():
            array[rows] = getattr(transitions, name)[kept]
        env_ids = np.arange(m) if transitions.env_ids is None else transitions.env_ids
        self._link(rows, env_ids[kept])
        self._next = (self._next + m) % self.capacity
        self._size = min(self._size + m, self.capacity)

    def _link(self, rows: np.ndarray, env_ids: np.ndarray) -> None:
        """Let every row know which row continues it: the next one of its environment."""
        self._successor[rows] = rows  # nothing follows as yet
        by_env = np.argsort(env_ids, kind="stable")
        rows, env_ids = rows[by_env], env_ids[by_env]
        same_env = env_ids[1:] == env_ids[:-1]
        self._successor[rows[:-1][same_env]] = rows[1:][same_env]
        firsts = np.flatnonzero(np.r_[True, ~same_env])
        lasts = np.r_[firsts[1:] - 1, len(rows) - 1]
        for first, last in zip(firsts, lasts, strict=True):
            env_id = int(env_ids[first])
            if env_id in self._newest and self._newest[env_id] not in rows:
                self._successor[self._newest[env_id]] = rows[first]
            self._newest[env_id] = int(rows[last])

    def sample(
        self, rng: Generator, n_batches: int, batch_size: int, n_step: int = 1
    ) -> Transitions:
        """Draw transitions uniformly, with replacement.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        n_batches, batch_size : int
            K and B.
        n_step : int
            Over how many steps rewards are summed up; fewer where an episode ends, and at the
            newest transitions.

        Returns
        -------
        Transitions
            Of batch shape (K, B). Its arrays are reused by the next call.
        """
        if not self._size:
            raise ValueError("The replay buffer is empty: add transitions before sampling.")
        rows = rng.integers(self._size, size=(n_batches, batch_size))
        rewards, discounts = self._take("rewards", rows), self._take("discounts", rows)
        first_rows = rows
        for _ in range(n_step - 1):
            # G = r + d (r' + d' (r'' + ...)), to the end of the episode at most.
            ended = self._arrays["terminated"][rows] | self._arrays["truncated"][rows]
            following = self._successor[rows]
            goes_on = ~ended & (following != rows)
            rows = np.where(goes_on, following, rows)
            rewards += np.where(goes_on, discounts * self._arrays["rewards"][rows], 0)
            discounts *= np.where(goes_on, self._arrays["discounts"][rows], 1)
        return Transitions(
            self._take("states", first_rows),
            self._take("actions", first_rows),
            rewards,
            self._take("next_states", rows),
            discounts,
            self._take("terminated", rows),
            self._take("truncated", rows),
        )

    def _take(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Gather rows of one array into memory that is kept for the next time."""
        array = self._arrays[name]
        out = self._sampled.get(name)
        shape = rows.shape + array.shape[1:]
        if out is None or out.shape != shape:
            out = self._sampled[name] = np.empty(shape, array.dtype)
        # mode="clip" lets NumPy write straight into `out`; the rows are in range anyway.
        return np.take(array, rows, axis=0, out=out, mode="clip")

    def _allocate(self, transitions: Transitions) -> None:
        for name in STORED:
            rows: np.ndarray = getattr(transitions, name)
            dtype = DTYPES.get(name, rows.dtype)
            self._arrays[name] = np.empty((self.capacity, *rows.shape[1:]), dtype)
        self._successor = np.empty(self.capacity, np.int32)
