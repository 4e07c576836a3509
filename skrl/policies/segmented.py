"""Exploration by random linear policies that are followed for a while."""

import numpy as np
from jaxtyping import Bool, Float32, Int64
from numpy.random import Generator

from skrl.base import (
    ActionMasks,
    Decision,
    Policy,
    Probabilities,
    QFunction,
    Run,
    State,
    States,
    mask_probabilities,
)
from skrl.limits import check_count
from skrl.policies.epsilon_greedy import EpsilonGreedy
from skrl.policies.greedy import values_of
from skrl.policies.schedules import LinearSchedule, Schedule, evaluate

# The numbers that the RL Baselines3 Zoo found for DQN on MountainCar and LunarLander.
DEFAULT_EPSILON = LinearSchedule(1.0, 0.05, fraction=0.2)
DEFAULT_LINEAR_FRACTION = LinearSchedule(0.25, 0.0)


class SegmentedEpsilonGreedy(Policy):
    """Epsilon-greedy in most segments of the training, a random linear policy in the others.

    Single random actions cancel each other out: in MountainCar, they never reach the goal within
    an episode. Here the training budget is divided into `n_segments` segments. With probability
    `linear_fraction`, an environment follows a random linear policy ``argmax_a w_a . x + b_a``
    during a whole segment, where all w and b are drawn from a normal distribution. In MountainCar
    and Acrobot, 16 of 100 such policies reach the goal. In all other segments it is
    epsilon-greedy. An environment enters a new segment when its episode ends, so that a linear
    policy has a whole episode to reach the goal, or one segment later at the latest.

    (Dabney, Ostrovski & Barreto, 2021, "Temporally-extended epsilon-greedy exploration", repeat
    single actions instead. Mania, Guy & Recht, 2018, "Simple random search of static linear
    policies is competitive for reinforcement learning", show how far linear policies get.)

    Parameters
    ----------
    epsilon : float in [0, 1], Schedule or None
        Probability of a random action in the epsilon-greedy segments. None is
        ``LinearSchedule(1.0, 0.05, fraction=0.2)``: from 1 to 0.05 over the first fifth of the
        budget.
    linear_fraction : float in [0, 1], Schedule or None
        Probability that a segment follows a linear policy. None is ``LinearSchedule(0.25, 0.0)``.
        Where bad actions end an episode soon, as in CartPole, linear policies see little of the
        world, so 1 would be too much.
    n_segments : int, default=500
        Number of segments that the training budget is divided into.

    Raises
    ------
    ValueError
        When used, if a parameter is out of range.

    Notes
    -----
    x are the features that the Q function sees (`QFunction.encode`). Every environment has its own
    linear policy. It is drawn from `rng` when a segment is entered, and whenever the number of
    states changes.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Box
    >>> from skrl.policies import SegmentedEpsilonGreedy
    >>> from skrl.qfunctions import RandomQFunction
    >>> qfunction = RandomQFunction().build(Box(-1, 1, (2,)), n_actions=3, random_state=0)
    >>> policy, rng = SegmentedEpsilonGreedy(linear_fraction=1.0), np.random.default_rng(0)
    >>> states = np.ones((1, 2), np.float32)
    >>> decisions = [policy.decide(states, qfunction, 0.5, rng) for _ in range(20)]
    >>> len({decision.actions.item() for decision in decisions})
    1
    """

    # The newest segment, and what is remembered of m environments: the segment that each is in,
    # whether its episode has ended since the last decision, and whether it follows a linear
    # policy; the weights and biases of the k that do.
    _segment = -1
    _segments: Int64[np.ndarray, " m"] = np.zeros(0, np.int64)
    _ended: Bool[np.ndarray, " m"] = np.zeros(0, dtype=bool)
    _follows: Bool[np.ndarray, " m"] = np.zeros(0, dtype=bool)
    _weights: Float32[np.ndarray, "k n_weights n_actions"] = np.zeros((0, 0, 0), np.float32)
    _may_enter = True

    def __init__(
        self,
        epsilon: float | Schedule | None = None,
        linear_fraction: float | Schedule | None = None,
        n_segments: int = 500,
    ) -> None:
        self.epsilon = epsilon
        self.linear_fraction = linear_fraction
        self.n_segments = n_segments

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, over all random linear policies.

        See `Policy.probabilities`.
        """
        fraction = self._linear_fraction(progress)
        # Over all random linear policies, every action that is allowed is equally likely.
        allowed = qfunction.values(states) > -np.inf
        linear = allowed / allowed.sum(axis=1, keepdims=True)
        epsilon_greedy = self._epsilon_greedy().probabilities(states, qfunction, progress)
        probabilities: Probabilities = fraction * linear + (1 - fraction) * mask_probabilities(
            epsilon_greedy, allowed
        )
        return probabilities

    def decide(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        action_masks: ActionMasks | None = None,
    ) -> Decision:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        segment = int(progress * self.n_segments)
        if self._may_enter or segment != self._segment or len(states) != len(self._follows):
            self._enter(segment, states, qfunction, progress, rng)
        n_following = np.count_nonzero(self._follows)
        if not n_following:
            return self._epsilon_greedy().decide(states, qfunction, progress, rng, action_masks)
        if n_following == len(states):
            return self._follow(states, qfunction, progress, rng, action_masks)
        actions, is_greedy = np.empty(len(states), np.int64), np.empty(len(states), bool)
        otherwise = self._epsilon_greedy().decide
        for rows, decide in ((self._follows, self._follow), (~self._follows, otherwise)):
            masks = None if action_masks is None else action_masks[rows]
            decision = decide(states[rows], qfunction, progress, rng, masks)
            actions[rows], is_greedy[rows] = decision
        return Decision(actions, is_greedy)

    def _follow(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        action_masks: ActionMasks | None,
    ) -> Decision:
        """Decide where linear policies are followed."""
        features, values, weights = (
            qfunction.encode(states),
            qfunction.values(states),
            self._weights,
        )
        # argmax_a w_a . x + b_a
        scores = (features[:, np.newaxis] @ weights[:, :-1])[:, 0] + weights[:, -1]
        if action_masks is not None:
            scores, values = (np.where(action_masks, array, -np.inf) for array in (scores, values))
        actions = scores.argmax(axis=1)
        chosen = values_of(values, np.arange(len(values)), actions)
        return Decision(actions, chosen == values.max(axis=1))

    def _enter(
        self,
        segment: int,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
    ) -> None:
        """Let environments whose time has come enter the segment, and draw what they follow."""
        m, fraction = len(states), self._linear_fraction(progress)
        if m != len(self._follows):
            self._ended, self._follows = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
            self._segments = np.full(m, segment - 2)
            shape = 0, qfunction.encode(states[:1]).shape[1] + 1, qfunction.n_actions_
            self._weights = np.zeros(shape, np.float32)
        enters = (self._ended & (self._segments < segment)) | (self._segments < segment - 1)
        self._ended[:], self._may_enter, self._segment = False, False, segment
        if not enters.any():
            return
        self._segments[enters] = segment
        begins, stays = enters & (rng.random(m) < fraction), self._follows & ~enters
        shape = np.count_nonzero(begins), *self._weights.shape[1:]
        weights = [self._weights[stays[self._follows]], rng.standard_normal(shape, np.float32)]
        # In the order of the environments.
        env_ids = np.concatenate([np.flatnonzero(stays), np.flatnonzero(begins)])
        self._weights = np.concatenate(weights)[np.argsort(env_ids)]
        self._follows = stays | begins

    def begin(self, run: Run) -> None:
        """Forget the segments of an earlier run."""
        self._follows = np.zeros(0, dtype=bool)

    def end_episodes(self, env_ids: Int64[np.ndarray, " k"]) -> None:
        """Let environments enter a new segment, if it is time; see `Policy.end_episodes`."""
        self._ended[env_ids] = self._may_enter = True

    def state(self) -> State:
        """Copy what is remembered of the segments.

        Returns
        -------
        dict
            ``segment``, the newest one. For m environments: ``segments`` of shape (m,), where
            each is; ``ended`` of shape (m,), whether its episode has just ended; ``follows`` of
            shape (m,), whether it follows a linear policy; ``weights`` of shape
            (k, n_features + 1, n_actions), those of the k that do.
        """
        return {
            "segment": self._segment,
            "segments": self._segments.copy(),
            "ended": self._ended.copy(),
            "follows": self._follows.copy(),
            "weights": self._weights.copy(),
        }

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self._segment, self._may_enter = state["segment"], True
        self._segments, self._ended = state["segments"].copy(), state["ended"].copy()
        self._follows = state["follows"].copy()
        self._weights = state["weights"].copy()

    def metrics(self, progress: float) -> dict[str, float]:
        """Report ``epsilon``, that of the epsilon-greedy segments; see `Policy.metrics`."""
        return self._epsilon_greedy().metrics(progress)

    def _epsilon_greedy(self) -> EpsilonGreedy:
        return EpsilonGreedy(DEFAULT_EPSILON if self.epsilon is None else self.epsilon)

    def _linear_fraction(self, progress: float) -> float:
        check_count("n_segments", self.n_segments, least=1)
        setting = DEFAULT_LINEAR_FRACTION if self.linear_fraction is None else self.linear_fraction
        fraction = evaluate("linear_fraction", setting, progress)
        if not 0 <= fraction <= 1:
            raise ValueError(
                f"linear_fraction must be in [0, 1], got {fraction} from {setting!r} at progress "
                f"{progress}."
            )
        return fraction
