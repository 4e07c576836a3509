"""The policy that chooses every action with the same probability."""

import numpy as np

from skrl.base import Policy, Probabilities, QFunction, States


class RandomPolicy(Policy):
    """Every action with the same probability: a baseline, and pure exploration.

    Q-learning is *off-policy*: it learns the greedy policy's values while another policy acts
    (Sutton & Barto, 2018, section 6.5). So an agent can learn from random actions.

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
