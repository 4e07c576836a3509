"""What a policy is worth in a small world, exactly: by dynamic programming, without an episode.

Gymnasium's toy worlds publish their dynamics, and so the mean return of a policy, over the starts,
over slippery ice and up to the time limit, can be computed instead of sampled. Nothing is
discounted: the value is what the mean of infinitely many episodes would be.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

# A world without a time limit is left after so many steps, as `QLearningAgent.score` does it.
STEPS_WITHOUT_LIMIT = 1_000


@dataclass(frozen=True)
class World:
    """The dynamics of a world with countable states, as arrays."""

    start: np.ndarray  # (n_states,): probability that an episode starts there
    onward: np.ndarray  # (n_states, n_actions, n_states): probability to go on there
    rewards: np.ndarray  # (n_states, n_actions): expected
    n_steps: int  # an episode takes at most


def load(env_id: str) -> World:
    """Read the dynamics of a toy world such as FrozenLake."""
    env = gymnasium.make(env_id, disable_env_checker=True)
    n_states, n_actions = env.observation_space.n, env.action_space.n  # type: ignore[attr-defined]
    onward = np.zeros((n_states, n_actions, n_states))
    rewards = np.zeros((n_states, n_actions))
    dynamics: Any = env.unwrapped
    for s, actions in dynamics.P.items():
        for a, outcomes in actions.items():
            for probability, next_s, reward, terminated in outcomes:
                rewards[s, a] += probability * reward
                onward[s, a, next_s] += probability * (not terminated)
    limit = env.spec.max_episode_steps if env.spec else None
    return World(dynamics.initial_state_distrib, onward, rewards, limit or STEPS_WITHOUT_LIMIT)


def policy_value(world: World, probabilities: np.ndarray) -> float:
    """Value of a policy that takes action a in state s with ``probabilities[s, a]``."""
    rewards = (probabilities * world.rewards).sum(axis=1)
    onward = np.einsum("sa,san->sn", probabilities, world.onward)
    values = np.zeros(len(rewards))
    for _ in range(world.n_steps):
        # v_{k+1}(s) = sum_a pi(a | s) (r(s, a) + sum_s' p(s' | s, a) v_k(s'))
        values = rewards + onward @ values
    return float(world.start @ values)


def optimal_value(world: World) -> float:
    """Value of the best policy there is, which may heed how many steps are left."""
    values = np.zeros(len(world.rewards))
    for _ in range(world.n_steps):
        # v_{k+1}(s) = max_a r(s, a) + sum_s' p(s' | s, a) v_k(s')
        values = (world.rewards + world.onward @ values).max(axis=1)
    return float(world.start @ values)


def greedy_policy_value(agent: Any, env_id: str) -> float:
    """Value of what an agent's `predict` chooses."""
    world = load(env_id)
    n_states, n_actions = world.rewards.shape
    return policy_value(world, np.eye(n_actions)[agent.predict(np.arange(n_states))])
