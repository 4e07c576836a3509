"""The Q function that knows nothing and learns nothing."""

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from skrl.base import QFunction, State, States, Transitions, Values
from skrl.qfunctions._checks import check_is_built, check_names, generator_at
from skrl.qfunctions._targets import bootstrap_values


class RandomQFunction(QFunction):
    """Random action values, drawn anew at each call: a baseline that learns nothing.

    The values are uniform in [0, 1) and do not depend on the states. A learner that is not
    clearly better than this one has learned nothing.

    Attributes
    ----------
    state_space_ : gymnasium.Space
        Space of one state.
    n_actions_ : int
        Number of actions.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.qfunctions import RandomQFunction
    >>> qfunction = RandomQFunction().build(Discrete(16), n_actions=4, random_state=0)
    >>> qfunction.values(np.array([3, 5])).round(2)
    array([[0.64, 0.27, 0.04, 0.02],
           [0.81, 0.91, 0.61, 0.73]])
    """

    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> "RandomQFunction":
        """Get ready for an environment; see `QFunction.build`."""
        self.state_space_, self.n_actions_ = state_space, n_actions
        self._rng = np.random.default_rng(random_state)
        return self

    def values(self, states: States) -> Values:
        """Draw values, shape (m, n_actions); see `QFunction.values`."""
        check_is_built(self)
        return self._rng.random((len(states), self.n_actions_))

    def update(self, transitions: Transitions) -> Float[np.ndarray, "*batch"]:
        """Learn nothing, and give the errors of freshly drawn values; see `QFunction.update`."""
        check_is_built(self)
        t = transitions
        drawn = self._rng.random((*t.actions.shape, self.n_actions_))
        bootstraps = bootstrap_values(drawn, t.next_action_masks, t.next_probabilities)
        # delta = r + discount * bootstrap - Q(s, a)
        targets = t.rewards + t.discounts * bootstraps
        td_errors: Float[np.ndarray, "*batch"] = targets - self._rng.random(t.actions.shape)
        return td_errors

    def state(self) -> State:
        """Say where the random numbers stand: ``rng``; see `QFunction.state`."""
        check_is_built(self)
        return {"rng": self._rng.bit_generator.state}

    def set_state(self, state: State) -> None:
        """Continue from a `state`; see `QFunction.set_state`."""
        check_is_built(self)
        check_names(self, state, {"rng"})
        self._rng = generator_at(self._rng, state["rng"])
