"""The policy that mostly does what looks best, and sometimes something else."""

import numpy as np
from numpy.random import Generator

from skrl.base import Actions, Policy, Probabilities, QFunction, States
from skrl.policies.greedy import greedy_actions, greedy_probabilities
from skrl.policies.schedules import LinearSchedule, Schedule, evaluate


class EpsilonGreedy(Policy):
    """A random action with probability epsilon, the greedy one otherwise.

    Sutton & Barto (2018), section 2.2; Watkins (1989), "Learning from delayed rewards". The
    random action may happen to be the greedy one.

    Parameters
    ----------
    epsilon : float in [0, 1], Schedule or None
        Probability of a random action. A schedule changes it as the training budget is used up.
        None is ``LinearSchedule(1.0, 0.05, fraction=0.1)``: from 1 to 0.05 over the first tenth
        of the budget.

    Raises
    ------
    TypeError
        When used, if epsilon is neither a number nor a schedule.
    ValueError
        When used, if epsilon is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.policies import EpsilonGreedy, LinearSchedule
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction().build(Discrete(1), n_actions=2, random_state=None)
    >>> qfunction.table_[:] = [[0.1, 0.9]]
    >>> policy = EpsilonGreedy(LinearSchedule(1.0, 0.2))
    >>> policy.probabilities(np.array([0]), qfunction, progress=0.0)
    array([[0.5, 0.5]])
    >>> policy.probabilities(np.array([0]), qfunction, progress=1.0)
    array([[0.1, 0.9]])
    """

    # Explore everything first, then trust what has been learned, but never altogether. These are
    # the numbers that Stable-Baselines3 gives its DQN.
    default_epsilon: Schedule = LinearSchedule(1.0, 0.05, fraction=0.1)

    def __init__(self, epsilon: float | Schedule | None = None) -> None:
        self.epsilon = epsilon

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        epsilon = self._epsilon(progress)
        greedy = greedy_probabilities(qfunction.values(states))
        # pi(a|s) = epsilon / n_actions + (1 - epsilon) [a is greedy]
        return epsilon / qfunction.n_actions_ + (1 - epsilon) * greedy

    def decide(
        self, states: States, qfunction: QFunction, progress: float, rng: Generator
    ) -> Actions:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        epsilon = self._epsilon(progress)
        if len(states) == 1:
            # The same as below for one state, without NumPy's overhead.
            draw = rng.random()
            if draw < epsilon:
                return np.array([int(draw / epsilon * qfunction.n_actions_)])
            return greedy_actions(qfunction.values(states), rng)

        draws = rng.random(len(states))
        explores = draws < epsilon
        n_exploring = np.count_nonzero(explores)
        if n_exploring == 0:
            return greedy_actions(qfunction.values(states), rng)
        # A draw below epsilon lies anywhere below epsilon with equal probability: it can also
        # choose the action.
        random: Actions = (draws / epsilon * qfunction.n_actions_).astype(np.int64)
        if n_exploring == len(states):
            return random
        return np.where(explores, random, greedy_actions(qfunction.values(states), rng))

    def _epsilon(self, progress: float) -> float:
        setting = self.default_epsilon if self.epsilon is None else self.epsilon
        epsilon = evaluate("epsilon", setting, progress)
        if not 0 <= epsilon <= 1:
            raise ValueError(
                f"epsilon must be in [0, 1], got {epsilon} from {setting!r} at progress {progress}."
            )
        return epsilon
