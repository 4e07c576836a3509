"""The interface of a replay buffer."""

from abc import ABC, abstractmethod

import numpy as np
from jaxtyping import Float
from numpy.random import Generator
from sklearn.base import BaseEstimator

from skrl.base import State, Transitions


class Buffer(BaseEstimator, ABC):
    """Remembers the steps of the environments, and gives random batches of them.

    `ExperienceReplay` learns from it. To write your own, subclass it and implement the abstract
    methods; the constructor only stores its arguments.

    Attributes
    ----------
    needs_td_errors : bool
        Whether `sample` depends on the last TD errors. `ExperienceReplay` then waits for them
        before it samples; otherwise it samples while the last batches are still being learned.
    """

    needs_td_errors = False

    @abstractmethod
    def begin(self, discount_factor: float) -> None:
        """Forget everything, and get ready.

        Parameters
        ----------
        discount_factor : float in [0, 1]
            gamma: the discounts of all steps are to be multiplied by it.

        Raises
        ------
        ValueError
            If a parameter is out of range.
        """

    @abstractmethod
    def add(self, transitions: Transitions) -> None:
        """Store steps of the environments.

        Parameters
        ----------
        transitions : Transitions
            Of batch shape (m,): one or more steps of every environment, oldest first.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Number of transitions that can be drawn."""

    @abstractmethod
    def sample(
        self, rng: Generator, n_batches: int, batch_size: int, progress: float = 1.0
    ) -> Transitions:
        """Draw transitions at random.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.
        n_batches, batch_size : int
            K and B.
        progress : float in [0, 1]
            How much of the training budget is used.

        Returns
        -------
        Transitions
            Of batch shape (K, B). The next call but one may reuse its arrays: batches may still be
            learned from while the next ones are drawn.

        Raises
        ------
        ValueError
            If there is nothing to draw from.
        """

    def end_episode(self) -> None:
        """Learn that what is added next does not continue what was added before."""

    def update_priorities(self, td_errors: Float[np.ndarray, "K B"]) -> None:
        """Learn the TD errors of the transitions that were drawn last.

        Parameters
        ----------
        td_errors : ndarray of shape (K, B)
            As `QFunction.update` returned them.
        """

    def state(self) -> State:
        """Copy everything that is remembered; see `QFunction.state`."""
        return {}

    def live_state(self) -> State:
        """Give what `state` copies, with what is large as it is; see `Runner.live_state`."""
        return self.state()

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
