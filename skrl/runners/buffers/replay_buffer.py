"""The memory of experience replay: a ring of the newest transitions."""

from collections import deque

import numpy as np
from jaxtyping import Bool, Float, Int, Int64
from numpy.random import Generator

from skrl.base import QFunction, Transitions

# All about a transition but its states stands together in memory, in 32 bytes: out of a large
# buffer, looking up a place takes longer than all that is then done with what is found there.
ROW = np.dtype(
    [
        ("actions", np.int64),
        # Rewards and discounts take float32: what networks compute in, and half the memory.
        ("rewards", np.float32),
        ("discounts", np.float32),
        # Where the two states are found among the frames.
        ("state_slots", np.int32),
        ("next_slots", np.int32),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ],
    align=True,
)

# Frames kept beyond the capacity, for the last observations of episodes. One in 33 is enough for
# episodes of 33 steps and more; with shorter ones a full buffer holds a few transitions less.
EXTRA_FRAMES = 0.03


class ReplayBuffer:
    """A ring buffer: keeps the newest `capacity` transitions, overwrites the oldest.

    The successor of one transition is the state of a later one, so every observation ("frame") is
    stored once, in its own dtype, and transitions point at two frames each. For images this halves
    the memory.

    What goes in are the single steps of the environments. What comes out are returns over
    `n_step` steps: ``r + g r' + g^2 r'' + ...`` as reward, the product of the discounts as
    discount, and the state after the last of these steps as next state. They are fewer steps where
    the episode ends. A transition can be sampled as soon as the steps it needs have been added.

    They are fewer steps as well where the agent explored: a return ends before the first action
    that was not greedy, because what is earned from there on says nothing about acting well
    (Watkins, 1989, "Learning from delayed rewards"; Sutton & Barto, 2018, section 12.10, on
    Watkins's Q(lambda)). Give the Q function that the agent acts with as `qfunction`, or else all
    actions count as greedy.

    All memory is allocated once, with the first transitions, which tell shapes and dtypes.
    (The operating system hands out the pages as they are first written.)

    Parameters
    ----------
    capacity : int
        Largest number of transitions.
    n_step : int, default=1
        Over how many steps rewards are summed up.
    discount_factor : float, default=1.0
        gamma, by which the discounts of all steps are multiplied.
    qfunction : QFunction or None, default=None
        Says which of the actions that are added were greedy. Steps are stored some time after they
        were added: before the Q function changes, call `store`.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.base import Transitions
    >>> def walk(first, last):  # earns 1 a step, from number to number
    ...     steps = np.arange(first, last)
    ...     never = np.zeros(len(steps), dtype=bool)
    ...     return Transitions(steps, 0 * steps, steps * 0 + 1.0, steps + 1, steps * 0 + 1.0,
    ...                        never, never, env_ids=0 * steps)
    >>> buffer = ReplayBuffer(capacity=3, n_step=2, discount_factor=0.5)
    >>> buffer.add(walk(0, 4))
    >>> buffer.add(walk(4, 6))
    >>> len(buffer)
    3
    >>> batches = buffer.sample(np.random.default_rng(0), n_batches=5, batch_size=4)
    >>> batches.states.shape, sorted(set(batches.states.ravel().tolist()))
    ((5, 4), [1, 2, 3])
    >>> float(batches.rewards.mean()), float(batches.discounts.mean())
    (1.5, 0.25)
    """

    def __init__(
        self,
        capacity: int,
        n_step: int = 1,
        discount_factor: float = 1.0,
        qfunction: QFunction | None = None,
    ) -> None:
        for name, value in (("capacity", capacity), ("n_step", n_step)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.capacity = capacity
        self.n_step = n_step
        self.discount_factor = discount_factor
        self.qfunction = qfunction
        self._piece = max(
            1, min(capacity // 32, 4096)
        )  # how many steps, at most, are stored at a time
        self._rows = np.empty(0, ROW)
        self._frames = np.empty(0)
        # What was drawn last, and the time before.
        self._sampled: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}
        self._n_added = 0  # transitions, ever
        self._first = 0  # number of the oldest transition that is still there
        self._n_frames = 0  # frames, ever
        # Steps on their way in: added, but not stored; or waiting for the steps after them.
        self._incoming: list[Transitions] = []
        self._n_incoming = 0
        self._pending: Transitions | None = None
        self._pending_frames = np.empty(0, np.int64)
        self._pending_greedy = np.empty(0, np.bool_)
        # What came in together: (number of its last transition + 1, number of its first frame).
        self._blocks: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        """Number of transitions that are stored."""
        return self._n_added - self._first

    @property
    def nbytes(self) -> int:
        """Bytes that the buffer takes when it is full."""
        return self._rows.nbytes + self._frames.nbytes

    def add(self, transitions: Transitions) -> None:
        """Store steps of the environments.

        Parameters
        ----------
        transitions : Transitions
            Of batch shape (m,): one or more steps of every environment, oldest first.
        """
        if not len(self._rows):
            self._allocate(transitions)
        # Storing many steps at once costs little more than storing one.
        self._incoming.append(transitions)
        self._n_incoming += len(transitions.actions)
        if self._n_incoming + len(transitions.actions) > self._piece:
            self.store()

    def cut(self) -> None:
        """Note that what is added next does not continue what was added before."""
        self.store()
        if self._pending is not None and len(self._pending):
            self._store(self._pending, self._pending_frames, self._pending_greedy, is_cut=True)

    def store(self) -> None:
        """Store what was added: call it before the Q function changes."""
        if not self._incoming:
            return
        steps = Transitions.concatenate(self._incoming)
        steps.discounts *= self.discount_factor
        self._incoming, self._n_incoming = [], 0
        greedy = self._were_greedy(steps)
        # In pieces, so that a piece never overwrites frames of its own.
        for first in range(0, len(steps), self._piece):
            piece = steps[first : first + self._piece]
            frames = self._store_frames(piece.states)
            is_greedy = greedy[first : first + self._piece]
            if self._pending is not None and len(self._pending):
                piece = Transitions.concatenate([self._pending, piece])
                frames = np.concatenate([self._pending_frames, frames])
                is_greedy = np.concatenate([self._pending_greedy, is_greedy])
            self._store(piece, frames, is_greedy, is_cut=False)

    def _were_greedy(self, steps: Transitions) -> Bool[np.ndarray, " m"]:
        """Whether the actions were the best known ones, or as good as these."""
        if self.qfunction is None or self.n_step == 1:
            return np.ones(len(steps), dtype=bool)
        values = self.qfunction.values(steps.states)
        chosen = np.take_along_axis(values, steps.actions[:, np.newaxis], axis=1)[:, 0]
        # Q(s, a) = max_b Q(s, b)
        is_greedy: np.ndarray = chosen >= values.max(axis=1)
        return is_greedy

    def _store(
        self,
        steps: Transitions,
        frames: Int[np.ndarray, " m"],
        is_greedy: Bool[np.ndarray, " m"],
        is_cut: bool,
    ) -> None:
        """Store the transitions whose steps are all there; the others stay pending."""
        # One environment after the other, each in the order of time.
        assert steps.env_ids is not None
        by_env = np.argsort(steps.env_ids, kind="stable")
        env_ids = steps.env_ids[by_env]
        steps, frames, is_greedy = steps.take(by_env), frames[by_env], is_greedy[by_env]
        ended = steps.terminated | steps.truncated
        # Is the row after this one the next step of the same episode?
        continues = np.zeros(len(ended), dtype=bool)
        continues[:-1] = (env_ids[1:] == env_ids[:-1]) & ~ended[:-1]

        # A return goes on with the next step, if that is greedy.
        goes_on = continues.copy()
        goes_on[:-1] &= is_greedy[1:]
        last, rewards, discounts = n_step_returns(steps, goes_on, self.n_step)
        # The state after row j is that of row j + 1, or a frame of its own at the end.
        own_frame = ended | (is_cut & ~continues)
        next_frames = np.empty_like(frames)
        next_frames[:-1] = frames[1:]
        next_frames[own_frame] = self._store_frames(steps.next_states[own_frame])

        is_complete = (own_frame | continues)[last]
        complete, rest = np.flatnonzero(is_complete), np.flatnonzero(~is_complete)
        last = last[complete]
        self._write(
            frames[complete],
            next_frames[last],
            actions=steps.actions[complete],
            rewards=rewards[complete],
            discounts=discounts[complete],
            terminated=steps.terminated[last],
            truncated=steps.truncated[last],
        )
        self._pending, self._pending_frames = steps.take(rest), frames[rest]
        self._pending_greedy = is_greedy[rest]

    def sample(self, rng: Generator, n_batches: int, batch_size: int) -> Transitions:
        """Draw transitions uniformly, with replacement.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        n_batches, batch_size : int
            K and B.

        Returns
        -------
        Transitions
            Of batch shape (K, B). Its arrays are reused by the next call but one: what is drawn
            may still be learned while the next batches are drawn.

        Raises
        ------
        ValueError
            If nothing is there to draw from.
        """
        self.store()
        if not len(self):
            raise ValueError("The replay buffer is empty: add transitions before sampling.")
        self._sampled = self._sampled[::-1]
        places, weights = self._draw(rng, n_batches, batch_size)
        rows = self._take("rows", self._rows, places)
        return Transitions(
            states=self._take("states", self._frames, rows["state_slots"]),
            actions=rows["actions"],
            rewards=rows["rewards"],
            next_states=self._take("next_states", self._frames, rows["next_slots"]),
            discounts=rows["discounts"],
            terminated=rows["terminated"],
            truncated=rows["truncated"],
            weights=weights,
        )

    def _draw(
        self, rng: Generator, n_batches: int, batch_size: int
    ) -> tuple[Int64[np.ndarray, "K B"], Float[np.ndarray, "K B"] | None]:
        """Choose places among the rows, and the weights of what stands there."""
        places = rng.integers(self._first, self._n_added, size=(n_batches, batch_size))
        places %= self.capacity
        return places, None

    def _take(self, name: str, array: np.ndarray, places: Int[np.ndarray, "K B"]) -> np.ndarray:
        """Gather places of an array into memory that is kept, under a name, for later."""
        shape = places.shape + array.shape[1:]
        kept = self._sampled[0]
        out = kept.get(name)
        if out is None or out.shape != shape:
            out = kept[name] = np.empty(shape, array.dtype)
        # mode="clip" lets NumPy write straight into `out`; the places are in range anyway.
        return np.take(array, places, axis=0, out=out, mode="clip")

    def _allocate(self, transitions: Transitions) -> None:
        self._rows = np.empty(self.capacity, ROW)
        env_ids = transitions.env_ids
        n_envs = len(transitions) if env_ids is None else int(env_ids.max()) + 1
        n_extra = (self.n_step + 1) * n_envs + self._piece
        n_frames = int(self.capacity * (1 + EXTRA_FRAMES)) + n_extra
        states = transitions.states
        self._frames = np.empty((n_frames, *states.shape[1:]), states.dtype)

    def _store_frames(self, states: np.ndarray) -> Int[np.ndarray, " m"]:
        """Write observations into the ring of frames; number them."""
        m = len(states)
        numbers = self._n_frames + np.arange(m)
        self._frames[_places(self._n_frames, m, len(self._frames))] = states
        self._n_frames += m
        return numbers

    def _write(
        self,
        frames: Int[np.ndarray, " m"],
        next_frames: Int[np.ndarray, " m"],
        **columns: np.ndarray,
    ) -> None:
        """Write transitions into the ring, and give up those that have lost their frames."""
        columns["state_slots"] = frames % len(self._frames)
        columns["next_slots"] = next_frames % len(self._frames)
        places = _places(self._n_added, len(frames), self.capacity)
        for name, values in columns.items():
            self._rows[name][places] = values
        self._n_added += len(frames)
        self._first = max(self._first, self._n_added - self.capacity)

        if len(frames):
            self._blocks.append((self._n_added, int(frames.min())))
        while self._blocks and self._blocks[0][1] < self._n_frames - len(self._frames):
            self._first = max(self._first, self._blocks.popleft()[0])


def _places(first: int, m: int, size: int) -> slice | Int[np.ndarray, " m"]:
    """Where m numbers from `first` on have their places in a ring."""
    start = first % size
    # A slice is much faster than a list of places.
    return slice(start, start + m) if start + m <= size else (first + np.arange(m)) % size


def n_step_returns(
    steps: Transitions, continues: Bool[np.ndarray, " m"], n_step: int
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Sum up rewards over several steps.

    Parameters
    ----------
    steps : Transitions
        Single steps of batch shape (m,), every episode's in a row.
    continues : bool ndarray of shape (m,)
        Whether the next row is the next step of the same episode, and is to be summed up.
    n_step : int
        Over how many steps at most.

    Returns
    -------
    last : int ndarray of shape (m,)
        The last row that is summed up.
    rewards, discounts : ndarray of shape (m,), dtype float32
        ``r + g r' + g^2 r'' + ...``, and the discount after the last of them.
    """
    m = len(continues)
    rows = np.arange(m)
    # The last row of an episode is the next one that does not continue.
    ends = np.minimum.accumulate(np.where(continues, m, rows)[::-1])[::-1]
    last = np.minimum(rows + n_step - 1, ends)
    single_rewards = steps.rewards.astype(np.float32)
    single_discounts = steps.discounts.astype(np.float32)
    within = np.where(continues, single_discounts, 0)
    ending = single_discounts - within
    rewards, discounts = np.zeros_like(single_rewards), np.zeros_like(within)
    # What the k-th reward counts: the product of the k discounts before it, and 0 after the end.
    weights = np.ones_like(within)
    for k in range(min(n_step, m)):
        # G = r + g r' + g g' r'' + ..., and the discount after an end on the way
        rewards[: m - k] += weights[: m - k] * single_rewards[k:]
        discounts[: m - k] += weights[: m - k] * ending[k:]
        weights[: m - k] *= within[k:]
    # ... or after n_step steps without an end
    discounts += weights
    return last, rewards, discounts
