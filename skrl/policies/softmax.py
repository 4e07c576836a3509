"""The policy whose probabilities grow exponentially with the action values."""

import numpy as np

from skrl.base import Policy, Probabilities, QFunction, States
from skrl.policies.schedules import Schedule, evaluate


class Softmax(Policy):
    """Actions with Boltzmann probabilities, proportional to exp(Q(s, a) / temperature).

    Unlike `EpsilonGreedy` it distinguishes bad actions from worse ones. A high temperature makes
    all actions almost equally likely, a low one comes close to `Greedy`. What is high depends on
    the scale of the rewards (Sutton & Barto, 2018, section 2.8 and equation 13.2; Watkins, 1989,
    "Learning from delayed rewards").

    Parameters
    ----------
    temperature : float > 0 or Schedule
        How even the probabilities are. A schedule changes it as the training budget is used up.

    Raises
    ------
    TypeError
        When used, if the temperature is neither a number nor a schedule.
    ValueError
        When used, if the temperature is out of range, or a value is NaN or +infinite.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Discrete
    >>> from skrl.policies import Softmax
    >>> from skrl.qfunctions import MemoizationQFunction
    >>> qfunction = MemoizationQFunction().build(Discrete(1), n_actions=2, random_state=None)
    >>> qfunction.table_[:] = np.log([[0.2, 0.8]])
    >>> Softmax(temperature=1.0).probabilities(np.array([0]), qfunction, progress=0.0)
    array([[0.2, 0.8]])
    """

    def __init__(self, temperature: float | Schedule = 1.0) -> None:
        self.temperature = temperature

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        temperature = self._temperature(progress)
        values = qfunction.values(states).astype(np.float64)
        highest = values.max(axis=1, keepdims=True)
        if not (highest < np.inf).all():
            raise ValueError(
                "The Q function's values contain NaN or +inf, so they have no softmax. Its "
                "learning has diverged (try a lower learning rate), or the environment gave it NaN."
            )
        # Subtracting the highest value of each state leaves the probabilities unchanged, and no
        # exponential overflows.
        with np.errstate(over="ignore"):
            # pi(a|s) = exp(Q(s, a) / temperature) / sum_b exp(Q(s, b) / temperature)
            exponentials = np.exp((values - highest) / temperature)
        probabilities: Probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def _temperature(self, progress: float) -> float:
        temperature = evaluate("temperature", self.temperature, progress)
        if not 0 < temperature < np.inf:
            raise ValueError(
                f"temperature must be positive and finite, got {temperature} from "
                f"{self.temperature!r} at progress {progress}."
            )
        return temperature
