"""The exact value of a policy in a small world, by dynamic programming.

Gymnasium's toy worlds publish their dynamics. So the mean return of a policy, over all starts and
random transitions and up to the time limit, is computed and not sampled. Returns are undiscounted:
the value is the limit of the mean over many episodes.
"""

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from skrl.evaluation import MAX_EPISODE_STEPS  # of `QLearningAgent.score`, without a time limit


@dataclass(frozen=True)
class World:
    """The dynamics of a world with discrete states, as arrays."""

    start: np.ndarray  # (n_states,): probability that an episode starts there
    onward: np.ndarray  # (n_states, n_actions, n_states): probability to continue there
    rewards: np.ndarray  # (n_states, n_actions): expected
    n_steps: int  # the time limit of an episode


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
    return World(dynamics.initial_state_distrib, onward, rewards, limit or MAX_EPISODE_STEPS)


def policy_value(world: World, probabilities: np.ndarray) -> float:
    """Value of the policy with the probabilities pi(a|s) = ``probabilities[s, a]``."""
    rewards = (probabilities * world.rewards).sum(axis=1)
    onward = np.einsum("sa,san->sn", probabilities, world.onward)
    values = np.zeros(len(rewards))
    for _ in range(world.n_steps):
        # v_{k+1}(s) = sum_a pi(a | s) (r(s, a) + sum_s' p(s' | s, a) v_k(s'))
        values = rewards + onward @ values
    return float(world.start @ values)


def optimal_value(world: World) -> float:
    """Value of the optimal policy, which may depend on the number of steps left."""
    values = np.zeros(len(world.rewards))
    for _ in range(world.n_steps):
        # v_{k+1}(s) = max_a r(s, a) + sum_s' p(s' | s, a) v_k(s')
        values = (world.rewards + world.onward @ values).max(axis=1)
    return float(world.start @ values)


def greedy_policy_value(agent: Any, env_id: str) -> float:
    """Value of an agent's greedy policy, among the actions that the world allows."""
    world = load(env_id)
    n_states, n_actions = world.rewards.shape
    dynamics: Any = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    masks = None
    if hasattr(dynamics, "action_mask"):  # Taxi's
        masks = np.array([dynamics.action_mask(s) for s in range(n_states)])
        masks[~masks.any(axis=1)] = 1  # where nothing is allowed, because nobody gets there
    actions = agent.predict(np.arange(n_states), masks)
    return policy_value(world, np.eye(n_actions)[actions])
