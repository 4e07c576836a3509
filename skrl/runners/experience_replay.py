"""Learn from random batches of remembered transitions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skrl.base import Environment, QFunction, Runner, Transitions
from skrl.history import Budget
from skrl.runners.buffers.replay_buffer import ReplayBuffer


class ExperienceReplay(Runner):
    """Remember transitions, and learn from random batches of them.

    Successive transitions are much alike, and a network that learns from them one after the other
    forgets the rest. Random batches from a large memory look independent (Lin, 1992; Mnih et al.,
    2015, "Human-level control through deep reinforcement learning").

    After every `train_freq` steps a stretch of `gradient_steps` updates is learned in a single
    call, which is where the speed comes from. That goes on in the background while the next
    `train_freq` steps are taken with the Q function as it was, and comes into force after them:
    learning costs no time where the environment is slow, and the result does not depend on which
    of the two is faster.

    Parameters
    ----------
    capacity : int, default=100_000
        How many transitions are remembered; then the newest replaces the oldest.
    batch_size : int, default=128
        Transitions per update, B.
    train_freq : int, default=256
        Steps, counted over all environments, between two stretches of learning.
    gradient_steps : int, default=128
        Updates per stretch of learning, K: by default one for every second step.
    learning_starts : int, default=1000
        Steps before the first update.
    n_step : int, default=10
        Over how many steps, at most, rewards are summed up before the bootstrap value,
        ``r + gamma r' + ... + gamma^n max_a Q(s, a)``: news of a reward travels n times as fast
        (Sutton & Barto, 2018, chapter 7; Hessel et al., 2018, "Rainbow"). Where the next action
        was an exploratory one, the sum ends before it (Watkins's way, see `ReplayBuffer`).

    Attributes
    ----------
    buffer_ : ReplayBuffer
        The memory, after a run began. A further run goes on with it; saving an agent leaves it
        out.

    Examples
    --------
    >>> from skrl import ExperienceReplay, MemoizationQFunction, QLearningAgent
    >>> agent = QLearningAgent(
    ...     MemoizationQFunction(), runner=ExperienceReplay(learning_starts=100),
    ...     n_steps=600, n_evaluations=0)
    >>> len(agent.fit("FrozenLake-v1").runner_.buffer_)
    600
    """

    buffer_: ReplayBuffer

    # Finishes the stretch of updates that is being learned, if there is one: gives its TD errors.
    _finish_update: Callable[[], Float[np.ndarray, "K B"]] | None = None

    def __init__(
        self,
        capacity: int = 100_000,
        batch_size: int = 128,
        train_freq: int = 256,
        gradient_steps: int = 128,
        learning_starts: int = 1000,
        n_step: int = 10,
    ) -> None:
        self.capacity = capacity
        self.batch_size = batch_size
        self.train_freq = train_freq
        self.gradient_steps = gradient_steps
        self.learning_starts = learning_starts
        self.n_step = n_step

    def begin(self, environment: Environment, budget: Budget) -> None:
        """Check the parameters, and make the memory unless an earlier run did."""
        for name in ("capacity", "batch_size", "train_freq", "gradient_steps", "n_step"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if not hasattr(self, "buffer_"):
            self.buffer_ = self._make_buffer()
        self.buffer_.cut()
        self._n_new, self._n_seen = 0, len(self.buffer_)
        self._finish_update = None
        if self._n_seen + budget.n_steps < self._first_learning:
            raise ValueError(
                f"A budget of n_steps={budget.n_steps} ends before learning begins, after "
                f"{self._first_learning} steps (learning_starts={self.learning_starts}, "
                f"train_freq={self.train_freq}). Raise n_steps or lower learning_starts."
            )

    def _make_buffer(self) -> ReplayBuffer:
        return ReplayBuffer(self.capacity, self.n_step)

    @property
    def _first_learning(self) -> int:
        """The first multiple of train_freq that is at least learning_starts."""
        return -(-max(self.learning_starts, 1) // self.train_freq) * self.train_freq

    def learn(
        self,
        transitions: Transitions,
        qfunction: QFunction,
        discount_factor: float,
        rng: Generator,
    ) -> None:
        """Remember the transitions; when it is time, learn a stretch of batches."""
        self.buffer_.discount_factor, self.buffer_.qfunction = discount_factor, qfunction
        self.buffer_.add(transitions)
        self._n_new += len(transitions.actions)
        if self._n_new < self.train_freq:
            return
        self._n_seen += self._n_new
        self._n_new = 0
        if self._n_seen >= self._first_learning:
            self.buffer_.store()  # with the Q function that chose these actions still in force
            batches = self._next_batches(rng)
            self._finish_update = qfunction.start_update(batches)

    def _next_batches(self, rng: Generator) -> Transitions:
        """Draw what to learn next, while the last stretch may still be learned; finish that."""
        batches = self.buffer_.sample(rng, self.gradient_steps, self.batch_size)
        self._finish()
        return batches

    def _finish(self) -> None:
        """Let what was learned in the last stretch come into force."""
        if self._finish_update is not None:
            finish, self._finish_update = self._finish_update, None
            self._learned(finish())

    def _learned(self, td_errors: Float[np.ndarray, "K B"]) -> None:
        """Take note of the TD errors of a stretch that came into force. Does nothing by default."""

    def end(self) -> None:
        """Finish learning; refuse to call a run a success that learned nothing."""
        self.buffer_.cut()  # first, with the Q function that chose these actions still in force
        self._finish()
        if self._n_seen < self._first_learning:
            raise ValueError(
                f"The run ended after {self._n_seen + self._n_new} steps, before learning began "
                f"(learning_starts={self.learning_starts}, train_freq={self.train_freq}). "
                "Raise the budget (n_episodes, n_steps) or lower learning_starts."
            )

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__().copy()
        state.pop("_finish_update", None)
        state.pop("buffer_", None)  # as large as all the rest a thousand times over
        return state
