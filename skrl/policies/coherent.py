"""Exploration that goes somewhere: random actions that hang together."""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Float64
from numpy.random import Generator, SeedSequence

from skrl.base import Actions, QFunction, States
from skrl.policies.epsilon_greedy import EpsilonGreedy
from skrl.policies.schedules import Schedule


class CoherentEpsilonGreedy(EpsilonGreedy):
    """Epsilon-greedy exploration that in part follows random linear policies.

    Single random actions cancel each other out: in MountainCar, no episode of them reaches the
    goal. The budget is divided into `n_turns` turns. In every other of them, a random action is
    what a random policy would do, ``argmax_a w_a . x + b_a`` with all w and b drawn from a normal
    distribution; that policy stays the same during the turn. In MountainCar and Acrobot, 16 of
    100 such policies reach the goal. In the other turns all actions are equally likely, for
    where an episode ends soon, as in CartPole, linear policies see less of the world.

    (Dabney, Ostrovski & Barreto, 2021, "Temporally-extended epsilon-greedy exploration", hold
    single actions instead; that random linear policies go far is seen in Mania, Guy & Recht, 2018,
    "Simple random search of static linear policies is competitive for reinforcement learning".)

    Over all random policies every action is equally likely in every state, so that
    `probabilities` are those of `EpsilonGreedy`.

    Parameters
    ----------
    epsilon : float in [0, 1], Schedule or None
        Probability of exploring in a step, as for `EpsilonGreedy`.
    n_turns : int, default=500
        Into how many turns the training budget is divided.
    every : int, default=2
        One of how many turns follows a linear policy: 1 stands for all.

    Notes
    -----
    x are the features that the Q function sees (`QFunction.encode`). The policy of the k-th turn
    is drawn from the seed of `rng` and from k, so that nothing has to be remembered between calls.

    Examples
    --------
    >>> import numpy as np
    >>> from gymnasium.spaces import Box
    >>> from skrl import CoherentEpsilonGreedy, RandomQFunction
    >>> qfunction = RandomQFunction().build(Box(-1, 1, (2,)), n_actions=3, random_state=0)
    >>> policy, rng = CoherentEpsilonGreedy(epsilon=1.0, every=1), np.random.default_rng(0)
    >>> states = np.ones((1, 2), np.float32)
    >>> len({policy.decide(states, qfunction, 0.5, rng).item() for _ in range(20)})
    1
    """

    def __init__(
        self, epsilon: float | Schedule | None = None, n_turns: int = 500, every: int = 2
    ) -> None:
        super().__init__(epsilon)
        self.n_turns = n_turns
        self.every = every

    def explore(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        uniform: Float64[np.ndarray, " m"],
    ) -> Actions:
        """What the random policies of this turn do, one of its own for each state of the batch."""
        for name in ("n_turns", "every"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}.")
        k = int(progress * self.n_turns)
        if k % self.every:
            return super().explore(states, qfunction, progress, rng, uniform)
        features = qfunction.encode(states)
        seeds: Any = rng.bit_generator.seed_seq
        shape = len(features), features.shape[1] + 1, qfunction.n_actions_
        weights = random_weights(_hashable(seeds.entropy), (*seeds.spawn_key, k), shape)
        # argmax_a w_a . x + b_a
        values = (features[:, np.newaxis] @ weights[:, :-1])[:, 0] + weights[:, -1]
        actions: Actions = values.argmax(axis=1)
        return actions


@lru_cache(maxsize=64)
def random_weights(
    entropy: int | tuple[int, ...], spawn_key: tuple[int, ...], shape: tuple[int, int, int]
) -> Float[np.ndarray, "m n_weights n_actions"]:
    """Draw the weights and biases of m linear policies; the same ones for the same seeds."""
    rng = np.random.default_rng(SeedSequence(entropy, spawn_key=spawn_key))
    return rng.standard_normal(shape)


def _hashable(entropy: Any) -> int | tuple[int, ...]:
    return entropy if isinstance(entropy, int) else tuple(int(word) for word in entropy)
