"""The memory of prioritized experience replay."""

import numpy as np
from jaxtyping import Float, Float32, Int64
from numpy.random import Generator

from skrl.base import State
from skrl.limits import check_number
from skrl.runners.buffers.replay_buffer import ReplayBuffer
from skrl.runners.buffers.sum_tree import SumTree

# What keeps a transition without a TD error from never being drawn again.
EPSILON = 1e-6


class PrioritizedBuffer(ReplayBuffer):
    """A replay buffer that draws transitions of large TD errors more often.

    Where rewards are rare, most of a memory teaches nothing new. Proportional prioritization
    draws transition i with the probability::

        P(i) = p_i^alpha / sum_j p_j^alpha,    p_i = |TD error of i| + 1e-6

    where the TD error is the last one that was computed for it. A new transition has the largest
    p seen so far (1 at first), so that it is drawn soon. The weights of the transitions make up
    for drawing some of them too often::

        w_i = (N P(i))^-beta / max_j w_j

    with the N transitions stored and the maximum over the batch.

    Parameters
    ----------
    capacity, n_step_return : int
        See `ReplayBuffer`.
    alpha : float in [0, 1], default=0.6
        How much the priorities count. 0 draws all transitions equally often.
    beta : float in [0, 1], default=0.4
        How much the weights make up for it at the beginning of training: 0 not at all, 1 in full.
        It grows linearly to 1 as the training budget is used.

    Notes
    -----
    A batch of B transitions has one from each of B equal parts of the sum of all priorities. The
    batches of a rollout are all drawn with the priorities as they stand before it, and their TD
    errors set the priorities after it. In the paper, priorities change after every batch: a smaller
    `train_freq` of `ExperienceReplay` comes closer to that. Unlike in the paper's experiments, TD
    errors are not clipped.

    References
    ----------
    T. Schaul, J. Quan, I. Antonoglou & D. Silver (2016), "Prioritized experience replay", ICLR,
    arXiv 1511.05952.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.base import Transitions
    >>> from skrl.runners import PrioritizedBuffer
    >>> steps = np.arange(5)
    >>> buffer = PrioritizedBuffer(capacity=100, n_step_return=1, alpha=1.0)
    >>> buffer.begin(discount_factor=1.0)
    >>> buffer.add(Transitions(steps, 0 * steps, 1.0 * steps, steps + 1, np.ones(5), steps > 3,
    ...                        steps < 0, env_ids=0 * steps))
    >>> rng = np.random.default_rng(0)
    >>> batches = buffer.sample(rng, n_batches=1, batch_size=10)
    >>> batches.states
    array([[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]])

    From states 1 and 3 there is something to learn, from the others next to nothing:

    >>> buffer.update_priorities(np.choose(batches.states, [0.0, 1.0, 0.0, -4.0, 0.0]))
    >>> batches = buffer.sample(rng, n_batches=1, batch_size=10)
    >>> batches.states
    array([[1, 1, 3, 3, 3, 3, 3, 3, 3, 3]])
    >>> batches.weights.round(2)
    array([[1.  , 1.  , 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]],
          dtype=float32)
    """

    needs_td_errors = True

    _contents = (*ReplayBuffer._contents, "_largest", "_drawn")

    def __init__(
        self,
        capacity: int = 100_000,
        n_step_return: int = 10,
        alpha: float = 0.6,
        beta: float = 0.4,
    ) -> None:
        super().__init__(capacity, n_step_return)
        self.alpha = alpha
        self.beta = beta

    def begin(self, discount_factor: float) -> None:
        """Forget everything, and get ready; see `Buffer.begin`."""
        for name in ("alpha", "beta"):
            check_number(name, getattr(self, name), least=0, most=1)
        super().begin(discount_factor)
        # p_i^alpha, and 0 where no transition can be drawn.
        self._tree = SumTree(self.capacity)
        self._largest = 1.0  # p^alpha seen so far
        self._drawn = np.empty((0, 0), np.int64)  # the transitions drawn last, by their numbers

    @property
    def nbytes(self) -> int:
        """Bytes that the buffer takes when it is full."""
        return super().nbytes + self._tree.nbytes

    def update_priorities(self, td_errors: Float[np.ndarray, "K B"]) -> None:
        """Set the priorities of the transitions drawn last.

        Parameters
        ----------
        td_errors : ndarray of shape (K, B), float
            Their TD errors, as `QFunction.update` returns them. Where a transition has been drawn
            several times, its last one counts. Where a transition has been overwritten since it
            was drawn, nothing happens.

        Raises
        ------
        ValueError
            If the shape is not that of the last draw, or a TD error is not finite.
        """
        if td_errors.shape != self._drawn.shape:
            raise ValueError(
                f"The TD errors must be those of the transitions drawn last, of shape "
                f"{self._drawn.shape}, got shape {td_errors.shape}."
            )
        is_there = self._drawn >= self._first
        # p_i^alpha = (|TD error| + epsilon)^alpha
        priorities = (np.abs(td_errors[is_there], dtype=np.float64) + EPSILON) ** self.alpha
        self._tree.set(self._drawn[is_there] % self.capacity, priorities)
        self._largest = max(self._largest, priorities.max(initial=0).item())

    def _draw(
        self, rng: Generator, n_batches: int, batch_size: int, progress: float
    ) -> tuple[Int64[np.ndarray, "K B"], Float32[np.ndarray, "K B"]]:
        """Choose places by their priorities: one from each of B equal parts of their sum."""
        points = np.arange(batch_size) + rng.random((n_batches, batch_size))
        places = self._tree.find(points * (self._tree.total / batch_size))
        self._drawn = self._first + (places - self._first) % self.capacity
        priorities = self._tree.get(places)
        # w_i = (N P(i))^-beta / max_j w_j, where N and the sum of the priorities cancel out
        beta = self.beta + (1 - self.beta) * progress
        weights = (priorities.min(axis=1, keepdims=True) / priorities) ** beta
        return places, weights.astype(np.float32)

    def live_state(self) -> State:
        """Give everything that is remembered; see `Runner.live_state`."""
        priorities = self._tree.get(np.arange(self.capacity))
        return {**super().live_state(), "priorities": priorities}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        super().set_state(state)
        self._tree = SumTree(self.capacity)
        self._tree.set(np.arange(self.capacity), state["priorities"])

    def _write(
        self,
        facts: dict[str, np.ndarray],
        frames: Int64[np.ndarray, "m *n_stack"],
        next_frames: Int64[np.ndarray, "m *n_stack"],
        **columns: np.ndarray,
    ) -> None:
        """Write transitions into the ring: new ones get a priority, those given up lose theirs."""
        first_before, n_before = self._first, self._n_added
        super()._write(facts, frames, next_frames, **columns)
        # Most of those given up have been overwritten; some have only lost their frames.
        given_up = np.arange(max(first_before, self._n_added - self.capacity), self._first)
        self._tree.set(given_up % self.capacity, np.zeros(len(given_up)))
        new = np.arange(max(n_before, self._first), self._n_added)
        self._tree.set(new % self.capacity, np.full(len(new), self._largest))
