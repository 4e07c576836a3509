"""The policy that looks at nothing."""

import numpy as np
from numpy.random import Generator

from skrl.base import Actions, Policy, Probabilities, QFunction, States


class RandomPolicy(Policy):
    """Every action with the same probability: a baseline, and pure exploration.

    Q-learning learns the greedy policy's values while another policy acts (it is *off-policy*;
    Sutton & Barto, 2018, section 6.5), so that an agent may well learn from random actions.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.policies import RandomPolicy
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction().build(Discrete(3), n_actions=4, random_state=None)
    >>> RandomPolicy().probabilities(np.array([2]), qfunction, progress=0.0)
    array([[0.25, 0.25, 0.25, 0.25]])
    """

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        n_actions = qfunction.n_actions_
        # pi(a|s) = 1 / n_actions
        return np.full((len(states), n_actions), 1 / n_actions)

    def decide(
        self, states: States, qfunction: QFunction, progress: float, rng: Generator
    ) -> Actions:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        return rng.integers(qfunction.n_actions_, size=len(states))
