"""The observations of a replay buffer: each is stored once, and so is each frame of a stack."""

import numpy as np
from jaxtyping import Bool, Int, Int64, Shaped

from skrl.base import State, States
from skrl.rings import Ring, copied, places

# Frames kept beyond the capacity, for the last observations of episodes. One in 33 is enough for
# episodes of 33 steps and more; with shorter ones a full buffer holds a few transitions less.
EXTRA_FRAMES = 0.03
# How much larger a ring gets when it turns out to be too small.
GROWTH = 1.5


class Frames:
    """A ring of frames, of which states consist. They are numbered in the order of writing.

    A state is one frame, unless states are stacks: each consists of the frames of its predecessor
    without the oldest one, and of a new one. Whether they are is seen from the first transitions.
    Nothing depends on it but memory: frames are shared only where they are equal.

    Parameters
    ----------
    n_states : int
        How many states are needed at a time.
    n_extra : int
        How many more are kept, because they wait to be used.
    states, next_states : ndarray of shape (m, *state_shape)
        Of the first transitions.

    Attributes
    ----------
    n_stack : int
        How many frames a state consists of.
    size : int
        Number of places in the ring.
    n_written : int
        How many frames have ever been written. The last `size` of them are there.
    """

    def __init__(self, n_states: int, n_extra: int, states: States, next_states: States) -> None:
        self.state_shape = states.shape[1:]
        self.axis, self.n_stack = find_stack(states, next_states)
        # For what waits; and for stacks again, for a block that is given up as a whole.
        self.n_extra = n_extra * (1 if self.n_stack == 1 else 2)
        # No block may overwrite its own frames, even if it does not share any.
        least = self.n_stack * self.n_extra
        self.size = max(int(n_states * (1 + EXTRA_FRAMES)) + self.n_extra, least)
        # The largest size that may be needed. Until `settle`, the ring may grow up to it.
        self.max_size = self.size * self.n_stack
        self.n_written = 0
        shape = states.shape[1:] if self.n_stack == 1 else self._split(states[:1]).shape[2:]
        self.array = np.empty((self.size, *shape), states.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all places."""
        return self.size * (self.array.nbytes // len(self.array))

    @property
    def oldest(self) -> int:
        """Number of the oldest frame that is still there."""
        return self.n_written - self.size

    def _split(self, states: States) -> Shaped[np.ndarray, "m n_stack *frame_shape"]:
        """See stacks of shape (m, *state_shape) as their frames, without copying them."""
        m, shape = len(states), self.state_shape
        if self.axis == 0:
            return states.reshape(m, self.n_stack, -1, *shape[1:])
        return np.moveaxis(states.reshape(m, *shape[:-1], self.n_stack, -1), -2, 1)

    def add(
        self,
        states: States,
        follows: Bool[np.ndarray, " m"],
        numbers: Int64[np.ndarray, "m *n_stack"],
        is_new: Bool[np.ndarray, " m"],
    ) -> None:
        """Write the frames of new states.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states.
        follows : bool ndarray of shape (m,)
            Which of them are the successors of the states before them in the array.
        numbers : int ndarray of shape (m,), or (m, n_stack) for stacks
            The numbers of their frames, which are filled in where `is_new`.
        is_new : bool ndarray of shape (m,)
            Which of the states are not stored yet.
        """
        if not np.count_nonzero(is_new):
            return
        if self.n_stack == 1:
            numbers[is_new] = self.n_written + np.arange(np.count_nonzero(is_new))
            self._write(states[is_new])
            return
        stacks = np.ascontiguousarray(self._split(states))
        m = len(stacks)
        follows = follows.copy()
        follows[0] = False
        flat = stacks.reshape(m, self.n_stack, -1)
        # A successor needs one frame, if the others are those of its predecessor.
        follows[1:] &= (flat[1:, :-1] == flat[:-1, 1:]).all(axis=(1, 2))
        # In any other state, equal neighbours share a frame, as copies of a first image do.
        differs = np.ones((m, self.n_stack), dtype=bool)
        differs[:, 1:] = (flat[:, 1:] != flat[:, :-1]).any(axis=2)
        differs[follows] = False
        differs[follows, -1] = True
        differs[~is_new] = False
        numbered = self.n_written - 1 + differs.ravel().cumsum().reshape(m, self.n_stack)
        for row in np.flatnonzero(is_new):
            numbers[row] = numbered[row]
            if follows[row]:
                numbers[row, :-1] = numbers[row - 1, 1:]
        self._write(stacks[differs])

    def _write(self, frames: Shaped[np.ndarray, "k *frame_shape"]) -> None:
        """Write frames into the next places of the ring."""
        k = len(frames)
        if self.n_written + k > self.size and self.size < self.max_size:
            self._grow(min(max(int(GROWTH * self.size), self.n_written + k), self.max_size))
        self.array[places(self.n_written, k, self.size)] = frames
        self.n_written += k

    def settle(self, n_states: int) -> None:
        """Never grow again, because it is known how many frames `n_states` states need."""
        if self.size == self.max_size:
            return
        n_extra = int(self.n_extra * max(1.0, self.n_written / n_states))
        needed = int(self.n_written * (1 + EXTRA_FRAMES)) + n_extra
        self.max_size = min(max(needed, self.size), self.max_size)
        self._grow(self.max_size)

    def _grow(self, size: int) -> None:
        if size > self.size:
            self.array.resize((size, *self.array.shape[1:]), refcheck=False)
            self.size = size

    def take(self, slots: Int[np.ndarray, "K B *n_stack"], out: np.ndarray) -> np.ndarray:
        """Gather states.

        Parameters
        ----------
        slots : int ndarray of shape (K, B), or (K, B, n_stack) for stacks
            The places of their frames: ``numbers % size``.
        out : ndarray of shape (K, B, *state_shape)
            Where to write the states.

        Returns
        -------
        ndarray of shape (K, B, *state_shape)
            `out`.
        """
        if self.n_stack == 1:
            # mode="clip" lets NumPy write straight into `out`; the places are in range anyway.
            return np.take(self.array, slots, axis=0, out=out, mode="clip")
        for batch, batch_slots in zip(out, slots, strict=True):
            stacks = self._split(batch)
            for i in range(self.n_stack):
                stacks[:, i] = self.array[batch_slots[:, i]]
        return out

    def live_state(self) -> State:
        """Give everything, without copying the frames; see `Runner.live_state`."""
        values = {**vars(self), "state_shape": list(self.state_shape)}
        return {**values, "array": Ring("frames", self.array, self.n_written)}

    def state(self) -> State:
        """Copy everything; see `QFunction.state`."""
        copies: State = copied(self.live_state())
        return copies

    @classmethod
    def from_state(cls, state: State) -> "Frames":
        """Make frames that continue from a `state`."""
        frames: Frames = cls.__new__(cls)
        vars(frames).update(state)
        frames.state_shape = tuple(state["state_shape"])
        written = state["array"]
        frames.array = np.empty((frames.size, *written.shape[1:]), written.dtype)
        frames.array[: len(written)] = written
        return frames


def find_stack(states: States, next_states: States) -> tuple[int, int]:
    """Find out whether states are stacks of frames.

    Parameters
    ----------
    states, next_states : ndarray of shape (m, *state_shape)
        States and their successors.

    Returns
    -------
    (int, int)
        The axis of a state along which its frames are stacked, -1 or 0, and their number: 1 if
        states are not stacks.
    """
    if states.ndim < 4:
        return -1, 1
    for axis in (-1, 0):
        old, new = (np.moveaxis(s, axis or 1, -1) for s in (states, next_states))
        n = old.shape[-1]
        # The smallest frame whose successor moves all others by one.
        for depth in range(1, n // 2 + 1):
            if n % depth == 0 and np.array_equal(old[..., depth:], new[..., :-depth]):
                return axis, n // depth
    return -1, 1
