import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from skrl import GymEnvironment, MemoizationQFunction
from skrl.evaluation import greedy_actions, play_episodes, side_by_side


class Lengths(gymnasium.Env):
    """Its episodes take 1, 2, 3, ... steps, and each step earns 1."""

    observation_space = spaces.Discrete(1)
    action_space = spaces.Discrete(2)
    n_episodes = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_episodes += 1
        self.n_steps = 0
        return 0, {}

    def step(self, action):
        self.n_steps += 1
        return 0, 1.0, self.n_steps == self.n_episodes, False, {}


def always_0(states):
    return np.zeros(len(states), dtype=np.int64)


@pytest.mark.parametrize(
    ("n_envs", "n_episodes", "expected"),
    [
        (1, 4, [1, 2, 3, 4]),
        # The episodes are shared out beforehand: short ones do not crowd out long ones.
        (2, 5, [1, 2, 3, 1, 2]),
        (4, 4, [1, 1, 1, 1]),
        (4, 2, [1, 1]),
    ],
)
def test_every_environment_plays_its_share(n_envs, n_episodes, expected):
    environment = GymEnvironment(Lengths, n_envs=n_envs)
    assert play_episodes(environment, always_0, n_episodes, seed=0).tolist() == expected


@pytest.mark.parametrize(
    ("env", "n_episodes", "expected"),
    [
        ("CartPole-v1", 50, 50),  # computed at once
        ("CartPole-v1", 1000, 128),
        ("FrozenLake-v1", 1000, 10),  # one after the other
        ("FrozenLake-v1", 4, 4),
        (["FrozenLake-v1"] * 3, 1000, 9),  # of a list, all equally often
        (["FrozenLake-v1"] * 20, 1000, 20),
    ],
)
def test_as_many_side_by_side_as_pays(env, n_episodes, expected):
    with GymEnvironment(env) as environment, side_by_side(environment, n_episodes) as replica:
        assert replica.n_envs_ == expected


def test_a_cap_ends_episodes_that_go_round_in_circles():
    environment = GymEnvironment("CliffWalking-v1", n_envs=2)  # has no time limit

    def up(states):
        return always_0(states)

    returns = play_episodes(environment, up, 5, seed=0, max_episode_steps=30)
    assert returns.tolist() == [-30] * 5


def test_environments_that_reset_in_the_next_step_count_right():
    """CartPole's own vector environment; the returns equal those of single environments."""
    together = play_episodes(GymEnvironment("CartPole-v1", n_envs=8), always_0, 40, seed=0)
    alone = play_episodes(GymEnvironment("CartPole-v1"), always_0, 40, seed=0)
    assert set(together) | set(alone) <= {8, 9, 10, 11}
    assert together.mean() == pytest.approx(alone.mean(), abs=0.6)


def test_greedy_takes_the_first_of_equals():
    qfunction = MemoizationQFunction().build(spaces.Discrete(2), 3, None)
    qfunction.table_[:] = [[0, 2, 2], [0, 0, 0]]
    assert greedy_actions(qfunction, np.array([0, 1])).tolist() == [1, 0]
