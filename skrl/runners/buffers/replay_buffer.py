"""The memory of experience replay: a ring of the newest transitions."""

from collections import deque
from copy import copy
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int64
from numpy.random import Generator

from skrl.base import State, Transitions
from skrl.limits import check_count
from skrl.rings import Ring, copied, places
from skrl.runners.buffers.buffer import Buffer
from skrl.runners.buffers.frames import Frames
from skrl.runners.buffers.returns import find_successors, n_step_returns

# At most so many bytes of observations wait to be stored.
MAX_UNSTORED_BYTES = 2**22


def make_row(n_stack: int) -> np.dtype[np.void]:
    """Lay out the columns of a transition, but for its states.

    They are neighbours in memory, in 32 bytes if states are single frames: in a large buffer a
    look-up costs a cache miss, which takes longer than all that is done with the row.
    """
    shape = () if n_stack == 1 else (n_stack,)
    return np.dtype(
        [
            ("actions", np.int64),
            # Rewards and discounts take float32: what networks compute in, and half the memory.
            ("rewards", np.float32),
            ("discounts", np.float32),
            # Where the frames of the two states are found.
            ("state_slots", np.int32, shape),
            ("next_slots", np.int32, shape),
            ("terminated", np.bool_),
            ("truncated", np.bool_),
        ],
        align=True,
    )


class ReplayBuffer(Buffer):
    """A ring buffer: keeps the newest `capacity` transitions, overwrites the oldest.

    The single steps of the environments go in. Returns over `n_step_return` steps come out:
    ``r + g r' + g^2 r'' + ...`` as reward, the product of the discounts as discount, and the state
    after the last of these steps as next state. The sum is shorter where the episode ends, and it
    ends before an exploratory action: what is earned from there on says nothing about acting well
    (Watkins, 1989, "Learning from delayed rewards"; Sutton & Barto, 2018, section 12.10, on
    Watkins's Q(lambda)). A transition can be sampled once the steps it needs have been added.

    Parameters
    ----------
    capacity : int, default=100_000
        Largest number of transitions.
    n_step_return : int, default=10
        Over how many steps, at most, rewards are summed up before the bootstrap value,
        ``r + gamma r' + ... + gamma^n max_a Q(s, a)``: news of a reward travels n times as fast
        (Sutton & Barto, 2018, chapter 7; Hessel et al., 2018, "Rainbow").

    Notes
    -----
    The successor of one transition is the state of a later one, so every observation ("frame") is
    stored once, with its dtype, and transitions point at two frames each. For images this halves
    the memory. If states are stacks of the last frames along their first or last axis, as
    `skrl.image_env` makes them, each frame of a stack is stored once. All memory is allocated with
    the first transitions, which tell shapes and dtypes; the operating system hands out the pages
    as they are first written.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.base import Transitions
    >>> from skrl.runners import ReplayBuffer
    >>> def walk(first, last):  # earns 1 a step, from number to number
    ...     steps = np.arange(first, last)
    ...     never = np.zeros(len(steps), dtype=bool)
    ...     return Transitions(steps, 0 * steps, steps * 0 + 1.0, steps + 1, steps * 0 + 1.0,
    ...                        never, never, env_ids=0 * steps)
    >>> buffer = ReplayBuffer(capacity=3, n_step_return=2)
    >>> buffer.begin(discount_factor=0.5)
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

    # What the buffer consists of once it is used, by the names of the attributes.
    _contents: tuple[str, ...] = (
        "_n_added",
        "_first",
        "_piece",
        "_waiting_frames",
    )

    def __init__(self, capacity: int = 100_000, n_step_return: int = 10) -> None:
        self.capacity = capacity
        self.n_step_return = n_step_return

    def begin(self, discount_factor: float) -> None:
        """Forget everything, and get ready; see `Buffer.begin`."""
        for name in ("capacity", "n_step_return"):
            check_count(name, getattr(self, name), least=1)
        self._discount_factor = discount_factor
        # How many steps, at most, are stored at a time.
        self._piece = max(1, min(self.capacity // 32, 4096))
        self._rows = np.empty(0, make_row(1))
        self._frames: Frames | None = None
        # Optional columns of the transitions, one array for each.
        self._facts: dict[str, np.ndarray] = {}
        # What was drawn last, and the time before.
        self._sampled: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}
        self._n_added = 0  # transitions, ever
        self._first = 0  # number of the oldest transition that is still there
        # Steps that were added and are not stored yet.
        self._added: list[Transitions] = []
        self._n_unstored = 0
        # Steps whose frames are stored, and which wait for the steps after them.
        self._waiting: Transitions | None = None
        self._waiting_frames = np.empty(0, np.int64)
        # What was stored together: (number of its last transition + 1, number of its first frame).
        self._blocks: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        """Number of transitions that can be drawn."""
        self._flush()
        return self._n_added - self._first

    @property
    def nbytes(self) -> int:
        """Bytes that the buffer takes when it is full."""
        return self._rows.nbytes + (0 if self._frames is None else self._frames.nbytes)

    def add(self, transitions: Transitions) -> None:
        """Store steps of the environments; see `Buffer.add`."""
        if self._frames is None:
            self._allocate(transitions)
        m = len(transitions.actions)
        if m > self._piece:
            # In pieces, so that none of them overwrites its own frames.
            numbered = Transitions.concatenate([transitions])
            for first in range(0, m, self._piece):
                self.add(numbered[first : first + self._piece])
            return
        # Storing many steps at once costs little more than storing one.
        if self._n_unstored + m > self._piece:
            self._flush()
        self._added.append(transitions)
        self._n_unstored += m

    def end_episode(self) -> None:
        """Learn that what is added next does not continue what was added before."""
        self._flush()
        if self._waiting is not None:
            self._store(self._waiting, self._waiting_frames, is_end=True)

    def _flush(self) -> None:
        """Store what was added."""
        if not self._added:
            return
        assert self._frames is not None
        waiting = [] if self._waiting is None else [self._waiting]
        steps = Transitions.concatenate([*waiting, *self._added])
        assert steps.env_ids is not None
        n_waiting, n_new = len(self._waiting_frames), self._n_unstored
        steps.discounts[n_waiting:] *= self._discount_factor
        numbers = np.zeros((n_new, *self._waiting_frames.shape[1:]), np.int64)
        numbers = np.concatenate([self._waiting_frames, numbers])
        self._added, self._n_unstored = [], 0
        # Sorted by environment, then by time.
        by_env = np.argsort(steps.env_ids, kind="stable")
        steps, numbers = steps.take(by_env), numbers[by_env]
        follows = np.zeros(len(by_env), dtype=bool)
        follows[1:] = find_successors(steps)[:-1]
        self._frames.add(steps.states, follows, numbers, by_env >= n_waiting)
        self._store(steps, numbers, is_end=False)

    def _store(
        self, steps: Transitions, frames: Int64[np.ndarray, "m *n_stack"], is_end: bool
    ) -> None:
        """Store the transitions whose steps are all there; the others keep waiting.

        Parameters
        ----------
        steps : Transitions
            Of batch shape (m,), sorted by environment, then by time.
        frames : int ndarray of shape (m,), or (m, n_stack) for stacks
            The numbers of the frames of their states.
        is_end : bool
            Whether no further steps of these episodes will come.
        """
        ended = steps.terminated | steps.truncated
        continues = find_successors(steps)

        # A return includes the next step if that is greedy.
        goes_on = continues.copy()
        if steps.is_greedy is not None:
            goes_on[:-1] &= steps.is_greedy[1:]
        last, rewards, discounts = n_step_returns(steps, goes_on, self.n_step_return)
        # The state after row j is that of row j + 1, or its own frame at the end.
        own_frame = ended | (is_end & ~continues)
        next_frames = np.empty_like(frames)
        next_frames[:-1] = frames[1:]
        next_frames[own_frame] = self._store_last(
            steps.take(own_frame.nonzero()[0]), frames[own_frame]
        )

        is_complete = (own_frame | continues)[last]
        complete, rest = np.flatnonzero(is_complete), np.flatnonzero(~is_complete)
        last = last[complete]
        self._write(
            {name: getattr(steps, name)[last] for name in self._facts},
            frames[complete],
            next_frames[last],
            actions=steps.actions[complete],
            rewards=rewards[complete],
            discounts=discounts[complete],
            terminated=steps.terminated[last],
            truncated=steps.truncated[last],
        )
        self._waiting, self._waiting_frames = steps.take(rest), frames[rest]

    def sample(
        self, rng: Generator, n_batches: int, batch_size: int, progress: float = 1.0
    ) -> Transitions:
        """Draw transitions uniformly, with replacement; see `Buffer.sample`."""
        if not len(self):
            raise ValueError("The replay buffer is empty: add transitions before sampling.")
        self._sampled = self._sampled[::-1]
        drawn, weights = self._draw(rng, n_batches, batch_size, progress)
        rows = self._take("rows", self._rows, drawn)
        return Transitions(
            states=self._take_states("states", rows["state_slots"]),
            actions=rows["actions"],
            rewards=rows["rewards"],
            next_states=self._take_states("next_states", rows["next_slots"]),
            discounts=rows["discounts"],
            terminated=rows["terminated"],
            truncated=rows["truncated"],
            weights=weights,
            **{name: self._take(name, array, drawn) for name, array in self._facts.items()},
        )

    def _draw(
        self, rng: Generator, n_batches: int, batch_size: int, progress: float
    ) -> tuple[Int64[np.ndarray, "K B"], Float[np.ndarray, "K B"] | None]:
        """Choose places among the rows, and the weights of what stands there."""
        drawn = rng.integers(self._first, self._n_added, size=(n_batches, batch_size))
        drawn %= self.capacity
        return drawn, None

    def _take(self, name: str, array: np.ndarray, rows: Int[np.ndarray, "K B"]) -> np.ndarray:
        """Gather rows of an array into memory that is kept, under a name, for later."""
        out = self._keep(name, rows.shape + array.shape[1:], array.dtype)
        # mode="clip" lets NumPy write straight into `out`; the rows are in range anyway.
        return np.take(array, rows, axis=0, out=out, mode="clip")

    def _take_states(self, name: str, slots: Int[np.ndarray, "K B *n_stack"]) -> np.ndarray:
        """Gather states in the same way."""
        assert self._frames is not None
        shape = slots.shape[:2] + self._frames.state_shape
        return self._frames.take(slots, self._keep(name, shape, self._frames.array.dtype))

    def _keep(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Give the memory that is kept under a name."""
        kept = self._sampled[0]
        if name not in kept or kept[name].shape != shape:
            kept[name] = np.empty(shape, dtype)
        return kept[name]

    def _allocate(self, transitions: Transitions) -> None:
        states, env_ids = transitions.states, transitions.env_ids
        n_envs = len(transitions) if env_ids is None else int(env_ids.max()) + 1
        self._piece = max(1, min(self._piece, MAX_UNSTORED_BYTES // max(1, states[0].nbytes)))
        n_extra = (self.n_step_return + 1) * n_envs + self._piece
        self._frames = Frames(self.capacity, n_extra, states, transitions.next_states)
        n_stack = self._frames.n_stack
        self._rows = np.empty(self.capacity, make_row(n_stack))
        self._waiting_frames = np.empty(0 if n_stack == 1 else (0, n_stack), np.int64)
        for name in ("next_action_masks", "next_probabilities"):
            facts = getattr(transitions, name)
            if facts is not None:
                self._facts[name] = np.empty((self.capacity, *facts.shape[1:]), facts.dtype)

    def _store_last(
        self, steps: Transitions, frames: Int64[np.ndarray, "k *n_stack"]
    ) -> Int64[np.ndarray, "k *n_stack"]:
        """Store the states after the last steps of episodes, and number their frames."""
        assert self._frames is not None
        # Each state is followed by its successor.
        pairs = np.stack([steps.states, steps.next_states], axis=1)
        numbers = np.stack([frames, np.zeros_like(frames)], axis=1)
        is_last = np.arange(2 * len(frames)) % 2 == 1
        states = pairs.reshape(-1, *pairs.shape[2:])
        numbers = numbers.reshape(-1, *frames.shape[1:])
        self._frames.add(states, is_last, numbers, is_last)
        return numbers[1::2]

    def _write(
        self,
        facts: dict[str, np.ndarray],
        frames: Int64[np.ndarray, "m *n_stack"],
        next_frames: Int64[np.ndarray, "m *n_stack"],
        **columns: np.ndarray,
    ) -> None:
        """Write transitions into the ring, and give up those that have lost their frames."""
        assert self._frames is not None
        columns["state_slots"] = frames % self._frames.size
        columns["next_slots"] = next_frames % self._frames.size
        rows = places(self._n_added, len(frames), self.capacity)
        for name, values in columns.items():
            self._rows[name][rows] = values
        for name, values in facts.items():
            self._facts[name][rows] = values
        self._n_added += len(frames)
        self._first = max(self._first, self._n_added - self.capacity)
        if self._n_added >= self.capacity:
            self._frames.settle(self._n_added)

        if len(frames):
            self._blocks.append((self._n_added, int(frames.min())))
        while self._blocks and self._blocks[0][1] < self._frames.oldest:
            self._first = max(self._first, self._blocks.popleft()[0])

    def live_state(self) -> State:
        """Give everything that is remembered, without copying what is large.

        See `Runner.live_state`.
        """
        columns = {name: self._rows[name] for name in self._rows.dtype.names or ()}
        added = Transitions.concatenate(self._added).to_dict() if self._added else None
        return {
            "contents": {name: copy(getattr(self, name)) for name in self._contents},
            "rows": self._rings("rows", columns),
            "facts": self._rings("facts", self._facts),
            "frames": None if self._frames is None else self._frames.live_state(),
            "added": added,
            "waiting": None if self._waiting is None else self._waiting.to_dict(),
            "blocks": [list(block) for block in self._blocks],
        }

    def _rings(self, kind: str, columns: dict[str, np.ndarray]) -> dict[str, Ring]:
        return {n: Ring(f"{kind}.{n}", column, self._n_added) for n, column in columns.items()}

    def state(self) -> State:
        """Copy everything that is remembered; see `QFunction.state`."""
        copies: State = copied(self.live_state())
        return copies

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        for name, value in state["contents"].items():
            setattr(self, name, copy(value))
        frames = state["frames"]
        added, waiting = copied([state["added"], state["waiting"]])
        self._frames = None if frames is None else Frames.from_state(frames)
        n_stack = 1 if self._frames is None else self._frames.n_stack
        self._rows = np.empty(0 if self._frames is None else self.capacity, make_row(n_stack))
        for name, column in state["rows"].items():
            self._rows[name][: len(column)] = column
        self._facts = {}
        for name, column in state["facts"].items():
            self._facts[name] = np.empty((self.capacity, *column.shape[1:]), column.dtype)
            self._facts[name][: len(column)] = column
        self._waiting = None if waiting is None else Transitions(**waiting)
        self._added = [] if added is None else [Transitions(**added)]
        self._n_unstored = sum(map(len, self._added))
        self._blocks = deque((end, frame) for end, frame in state["blocks"])
