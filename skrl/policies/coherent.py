"""Exploration that goes somewhere: random actions that hang together."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.random import Generator, SeedSequence

from skrl.base import Actions, Probabilities, QFunction, States
from skrl.policies.epsilon_greedy import EpsilonGreedy
from skrl.policies.schedules import LinearSchedule, Schedule, evaluate

DEFAULT_COHERENCE = LinearSchedule(0.25, 0.0)


class CoherentEpsilonGreedy(EpsilonGreedy):
    """Epsilon-greedy that at times follows a random linear policy for a while.

    Single random actions cancel each other out: in MountainCar, no episode of them reaches the
    goal. Here the budget is divided into `n_turns` turns. With probability `coherence`, a turn
    follows a random policy ``argmax_a w_a . x + b_a`` from its beginning to its end, with all w
    and b drawn from a normal distribution. In MountainCar and Acrobot, 16 of 100 such policies
    reach the goal. All other turns are epsilon-greedy.

    (Dabney, Ostrovski & Barreto, 2021, "Temporally-extended epsilon-greedy exploration", hold
    single actions instead; that random linear policies go far is seen in Mania, Guy & Recht, 2018,
    "Simple random search of static linear policies is competitive for reinforcement learning".)

    Parameters
    ----------
    epsilon : float in [0, 1], Schedule or None
        Probability of a random action in the other turns. None is
        ``LinearSchedule(1.0, 0.05, fraction=0.2)``: from 1 to 0.05 over the first fifth of the
        budget.
    coherence : float in [0, 1], Schedule or None
        Probability that a turn follows a linear policy. None is ``LinearSchedule(0.25, 0.0)``.
        Where an episode ends soon, as in CartPole, linear policies see little of the world: all
        turns would be too many.
    n_turns : int, default=500
        Into how many turns the training budget is divided: many policies rather than long turns.

    Notes
    -----
    x are the features that the Q function sees (`QFunction.encode`). The policies of the k-th turn,
    one for each state of the batch, are drawn from the seed of `rng` and from k, so that nothing
    has to be remembered between calls.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Box
    >>> from skrl import CoherentEpsilonGreedy, RandomQFunction
    >>> qfunction = RandomQFunction().build(Box(-1, 1, (2,)), n_actions=3, random_state=0)
    >>> policy, rng = CoherentEpsilonGreedy(coherence=1.0), np.random.default_rng(0)
    >>> states = np.ones((1, 2), np.float32)
    >>> len({policy.decide(states, qfunction, 0.5, rng).item() for _ in range(20)})
    1
    """

    # A deep network needs to see more of the world first than a table does. A fifth of the budget
    # is what the RL Baselines3 Zoo found for DQN on MountainCar and LunarLander.
    default_epsilon: Schedule = LinearSchedule(1.0, 0.05, fraction=0.2)

    def __init__(
        self,
        epsilon: float | Schedule | None = None,
        coherence: float | Schedule | None = None,
        n_turns: int = 500,
    ) -> None:
        super().__init__(epsilon)
        self.coherence = coherence
        self.n_turns = n_turns

    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action, shape (m, n_actions); see `Policy.probabilities`."""
        coherence = self._coherence(progress)
        epsilon_greedy = super().probabilities(states, qfunction, progress)
        # Over all random linear policies, every action is equally likely.
        return coherence / qfunction.n_actions_ + (1 - coherence) * epsilon_greedy

    def decide(
        self, states: States, qfunction: QFunction, progress: float, rng: Generator
    ) -> Actions:
        """Choose one action per state, shape (m,); see `Policy.decide`."""
        coherence = self._coherence(progress)
        if coherence == 0:
            return super().decide(states, qfunction, progress, rng)
        seeds: Any = rng.bit_generator.seed_seq
        k = int(progress * self.n_turns)
        draws = random_draws(_hashable(seeds.entropy), (*seeds.spawn_key, k), len(states))
        follows = draws < coherence
        if not follows.any():
            return super().decide(states, qfunction, progress, rng)
        features = qfunction.encode(states)
        shape = len(features), features.shape[1] + 1, qfunction.n_actions_
        weights = random_weights(_hashable(seeds.entropy), (*seeds.spawn_key, k), shape)
        # argmax_a w_a . x + b_a
        values = (features[:, np.newaxis] @ weights[:, :-1])[:, 0] + weights[:, -1]
        actions: Actions = values.argmax(axis=1)
        if follows.all():
            return actions
        return np.where(follows, actions, super().decide(states, qfunction, progress, rng))

    def _coherence(self, progress: float) -> float:
        if not self.n_turns >= 1:
            raise ValueError(f"n_turns must be at least 1, got {self.n_turns!r}.")
        setting = DEFAULT_COHERENCE if self.coherence is None else self.coherence
        coherence = evaluate("coherence", setting, progress)
        if not 0 <= coherence <= 1:
            raise ValueError(
                f"coherence must be in [0, 1], got {coherence} from {setting!r} at progress "
                f"{progress}."
            )
        return coherence


@lru_cache(maxsize=64)
def random_draws(
    entropy: int | tuple[int, ...], spawn_key: tuple[int, ...], m: int
) -> Float64[np.ndarray, " m"]:
    """Draw m numbers between 0 and 1; the same ones for the same seeds."""
    return np.random.default_rng(SeedSequence(entropy, spawn_key=(*spawn_key, 0))).random(m)


@lru_cache(maxsize=64)
def random_weights(
    entropy: int | tuple[int, ...], spawn_key: tuple[int, ...], shape: tuple[int, int, int]
) -> Float[np.ndarray, "m n_weights n_actions"]:
    """Draw the weights and biases of m linear policies; the same ones for the same seeds."""
    rng = np.random.default_rng(SeedSequence(entropy, spawn_key=(*spawn_key, 1)))
    return rng.standard_normal(shape)


def _hashable(entropy: Any) -> int | tuple[int, ...]:
    return entropy if isinstance(entropy, int) else tuple(int(word) for word in entropy)
