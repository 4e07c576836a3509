"""With its defaults, an agent learns the toy worlds as well as they can be mastered.

Judged exactly, by dynamic programming, and not by episodes: a mean of episodes can be lucky.
"""

import pytest
from exact import greedy_policy_value

from skrl import GymEnvironment, QLearningAgent

# The greedy policies of gamma 0.99 are worth 0.7402, 7.93 and -13. In FrozenLake a few states have
# actions that are almost equally good; the other two worlds are deterministic.
BARS = {"FrozenLake-v1": 0.73, "Taxi-v4": 7.93, "CliffWalking-v1": -13.0}


@pytest.mark.slow
@pytest.mark.parametrize("env_id", BARS)
@pytest.mark.parametrize("seed", range(10))
def test_no_argument_is_needed(env_id, seed):
    agent = QLearningAgent(random_state=seed).fit(env_id)
    assert greedy_policy_value(agent, env_id) >= BARS[env_id] - 1e-9


@pytest.mark.parametrize(
    ("env_id", "n_envs", "n_steps"),
    [("FrozenLake-v1", 64, 80_000), ("CliffWalking-v1", 64, 60_000)],
)
def test_environments_side_by_side(env_id, n_envs, n_steps):
    """Quicker: each update learns from many environments, often from the same state and action."""
    agent = QLearningAgent(n_steps=n_steps, n_evaluations=0, random_state=42)
    agent.fit(GymEnvironment(env_id, n_envs=n_envs))
    assert greedy_policy_value(agent, env_id) >= BARS[env_id] - 1e-9
