"""The policy that chooses the greedy action most of the time, and a random one otherwise."""

from itertools import compress
from math import inf

import numpy as np
from numpy.random import Generator

from skrl.base import ActionMasks, Decision, Policy, Probabilities, QFunction, States
from skrl.policies.greedy import (
    draw_greedy_action,
    draw_greedy_actions,
    greedy_probabilities,
    values_of,
)
from skrl.policies.schedules import LinearSchedule, Schedule, evaluate

# The numbers of DQN in Stable-Baselines3.
DEFAULT_EPSILON = LinearSchedule(1.0, 0.05, fraction=0.1)

# Whether the action of a single state is greedy.
TRUE, FALSE = np.array([True]), np.array([False])
TRUE.flags.writeable = FALSE.flags.writeable = False


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

    def __init__(self, epsilon: float | Schedule | None = None) -> None:
        self.epsilon = epsilon

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        epsilon = self._epsilon(progress)
        greedy = greedy_probabilities(qfunction.values(states))
        # pi(a|s) = epsilon / n_actions + (1 - epsilon) [a is greedy]
        return epsilon / qfunction.n_actions_ + (1 - epsilon) * greedy

    def decide(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        action_masks: ActionMasks | None = None,
    ) -> Decision:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        epsilon, values = self._epsilon(progress), qfunction.values(states)
        n_actions = qfunction.n_actions_
        if len(states) == 1:  # the same as below, with Python's numbers, for speed
            mask = None if action_masks is None else action_masks[0].tolist()
            return self._decide_one(values.tolist()[0], epsilon, rng, mask)
        if action_masks is not None:
            return super().decide(states, qfunction, progress, rng, action_masks)

        draws = rng.random(len(states))
        actions = draw_greedy_actions(values, rng)
        is_greedy = draws >= epsilon
        explores = (~is_greedy).nonzero()[0]
        if len(explores):
            best = values_of(values, explores, actions[explores])
            # A draw below epsilon is uniform there: it can also choose the action.
            chosen = (draws[explores] * (n_actions / epsilon)).astype(np.int64)
            actions[explores] = chosen
            is_greedy[explores] = values_of(values, explores, chosen) == best
        return Decision(actions, is_greedy)

    def _decide_one(
        self, row: list[float], epsilon: float, rng: Generator, mask: list[bool] | None
    ) -> Decision:
        """Choose an action for one state, given Q(s, .)."""
        draw, n_actions = rng.random(), len(row)
        if mask is not None:
            n_allowed = mask.count(True)
            # As `mask_probabilities` has it: a random action that is not allowed is drawn anew.
            epsilon *= n_allowed / (n_actions - epsilon * (n_actions - n_allowed))
            row = [
                value if is_allowed else -inf for value, is_allowed in zip(row, mask, strict=True)
            ]
        best = draw_greedy_action(row, rng)
        if draw >= epsilon:
            return Decision(np.array([best]), TRUE)
        # A draw below epsilon is uniform there: it can also choose the action.
        allowed = range(n_actions) if mask is None else [*compress(range(n_actions), mask)]
        action = allowed[int(draw / epsilon * len(allowed))]
        return Decision(np.array([action]), TRUE if row[action] == row[best] else FALSE)

    def metrics(self, progress: float) -> dict[str, float]:
        """Report ``epsilon``; see `Policy.metrics`."""
        return {"epsilon": self._epsilon(progress)}

    def _epsilon(self, progress: float) -> float:
        setting = DEFAULT_EPSILON if self.epsilon is None else self.epsilon
        epsilon = evaluate("epsilon", setting, progress)
        if not 0 <= epsilon <= 1:
            raise ValueError(
                f"epsilon must be in [0, 1], got {epsilon} from {setting!r} at progress {progress}."
            )
        return epsilon
