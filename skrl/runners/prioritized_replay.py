"""Learn more often from the transitions from which there is more to learn."""

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skrl.base import Environment, QFunction, Transitions
from skrl.history import Budget
from skrl.runners.buffers.prioritized_buffer import PrioritizedBuffer
from skrl.runners.experience_replay import ExperienceReplay


class PrioritizedReplay(ExperienceReplay):
    """Experience replay that prefers transitions of large TD errors.

    Where rewards are rare, most of a memory teaches nothing new. Proportional prioritization draws
    transition i with a probability that grows with its last TD error, and gives it a weight in the
    update that makes up for being drawn more often than others::

        P(i) = p_i^alpha / sum_j p_j^alpha,    p_i = |TD error of i| + 1e-6
        w_i  = (N P(i))^-beta / max_j w_j

    beta grows linearly from its start to 1 over the budget of a run. A batch of B transitions has
    one from each of B equal parts of the sum of all p_i^alpha. New transitions have the largest p
    seen so far.

    The batches of a stretch of learning are all drawn with the priorities as they stand when it
    begins. When the stretch comes into force, the priorities of its transitions are set to their
    TD errors in it; where a transition occurred several times, the last one counts. (In the paper
    they change after every batch: choose a smaller `train_freq` and `gradient_steps` to come
    closer to that.) Unlike in the paper's experiments, TD errors are not clipped.

    Parameters
    ----------
    capacity, batch_size, train_freq, gradient_steps, learning_starts, n_step : int
        See `ExperienceReplay`.
    alpha : float in [0, 1], default=0.6
        How much the priorities count. 0 draws all transitions equally often.
    beta : float in [0, 1], default=0.4
        How much the weights make up for it, at the beginning of a run: 0 not at all, 1 in full.

    Attributes
    ----------
    buffer_ : PrioritizedBuffer
        The memory, after a run began. A further run goes on with it; saving an agent leaves it
        out.

    References
    ----------
    T. Schaul, J. Quan, I. Antonoglou & D. Silver (2016), "Prioritized experience replay", ICLR,
    arXiv 1511.05952.

    Examples
    --------
    >>> from skrl import MemoizationQFunction, PrioritizedReplay, QLearningAgent
    >>> agent = QLearningAgent(
    ...     MemoizationQFunction(), runner=PrioritizedReplay(learning_starts=100, alpha=0.7),
    ...     n_steps=600, n_evaluations=0)
    >>> agent.fit("FrozenLake-v1").runner_.buffer_.alpha
    0.7
    """

    buffer_: PrioritizedBuffer

    def __init__(
        self,
        capacity: int = 100_000,
        batch_size: int = 128,
        train_freq: int = 256,
        gradient_steps: int = 128,
        learning_starts: int = 1000,
        n_step: int = 10,
        alpha: float = 0.6,
        beta: float = 0.4,
    ) -> None:
        super().__init__(capacity, batch_size, train_freq, gradient_steps, learning_starts, n_step)
        self.alpha = alpha
        self.beta = beta

    def begin(self, environment: Environment, budget: Budget) -> None:
        """Check the parameters, and make the memory unless an earlier run did."""
        for name in ("alpha", "beta"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {value}.")
        super().begin(environment, budget)
        self._budget = budget

    def learn(
        self,
        transitions: Transitions,
        qfunction: QFunction,
        discount_factor: float,
        rng: Generator,
    ) -> None:
        """Remember the transitions; when it is time, learn a stretch of batches."""
        # beta grows linearly from its start to 1
        self.buffer_.beta = self.beta + (1 - self.beta) * self._budget.used()
        super().learn(transitions, qfunction, discount_factor, rng)

    def _make_buffer(self) -> PrioritizedBuffer:
        return PrioritizedBuffer(self.capacity, self.n_step, alpha=self.alpha, beta=self.beta)

    def _next_batches(self, rng: Generator) -> Transitions:
        self._finish()  # first, because its TD errors are the priorities of the draw
        return self.buffer_.sample(rng, self.gradient_steps, self.batch_size)

    def _learned(self, td_errors: Float[np.ndarray, "K B"]) -> None:
        self.buffer_.refresh(td_errors)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_budget", None)  # of a run: it holds the whole history
        return state
