import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from skrl import GymEnvironment, MemoizationQFunction
from skrl.base import Environment, Transitions
from skrl.evaluation import greedy_actions, play_episodes, side_by_side


class Starts(gymnasium.Env):
    """Earns the number it begins with, in the first step. Action 0 ends it, action 1 goes on."""

    observation_space = spaces.Discrete(1000)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_steps, self.start = 0, int(self.np_random.integers(1000))
        return self.start, {}

    def step(self, action):
        self.n_steps += 1
        reward = float(self.start) if self.n_steps == 1 else 0.0
        return self.start, reward, bool(action == 0) or self.n_steps == 3, False, {}


class Endless(gymnasium.Env):
    """Earns 1 in each step, indefinitely."""

    observation_space = spaces.Discrete(1)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, False, False, {}


class Circle(Environment):
    """An environment without a time limit, whose only state follows itself."""

    n_envs_ = 1
    states = np.zeros(1, dtype=np.int64)
    transitions = Transitions(
        states=states,
        actions=np.zeros(1, dtype=np.int64),
        rewards=np.ones(1),
        next_states=states,
        discounts=np.ones(1),
        terminated=np.zeros(1, dtype=bool),
        truncated=np.zeros(1, dtype=bool),
    )

    def reset(self, seed=None):
        return self.states

    def step(self, actions):
        return self.transitions

    def replicate(self, n_envs, render_mode=None):
        return Circle()


def always(action):
    return lambda states, action_masks: np.full(len(states), action)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_an_episode_begins_in_the_same_way_whichever_policy_plays(n_envs):
    environment = GymEnvironment(Starts, n_envs=n_envs)
    short, _ = play_episodes(environment, always(0), 7, seed=0)
    long, _ = play_episodes(environment, always(1), 7, seed=0)
    assert short.tolist() == long.tolist()
    assert len(set(short)) > 5
    mixed, _ = play_episodes(environment, lambda states, _: states % 2, 7, seed=0)
    assert mixed.tolist() == short.tolist()
    assert play_episodes(environment, always(0), 7, seed=1).returns.tolist() != short.tolist()


@pytest.mark.parametrize(("n_envs", "expected"), [(1, 7 * 3), (3, 3 * 3 * 3), (10, 3 * 10)])
def test_all_steps_of_all_environments_count(n_envs, expected):
    environment = GymEnvironment(Starts, n_envs=n_envs)
    assert play_episodes(environment, always(1), 7, seed=0).n_steps == expected


@pytest.mark.parametrize(
    ("n_envs", "max_steps", "n_episodes", "n_steps"),
    [(1, 21, 7, 21), (1, 10, 3, 10), (3, 17, 3, 15), (3, 2, 0, 0), (1, 0, 0, 0)],
)
def test_only_heats_that_end_within_the_budget_count(n_envs, max_steps, n_episodes, n_steps):
    environment = GymEnvironment(Starts, n_envs=n_envs)
    played = play_episodes(environment, always(1), 7, seed=0, max_steps=max_steps)
    assert played.n_steps == n_steps
    complete = play_episodes(environment, always(1), 7, seed=0).returns
    assert played.returns.tolist() == complete[:n_episodes].tolist()


def test_a_time_limit_is_the_only_cut():
    environment = GymEnvironment(lambda: TimeLimit(Endless(), 3000))
    assert play_episodes(environment, always(0), 1, seed=0).returns.tolist() == [3000]


def test_without_a_time_limit_100_000_steps_are_an_episode():
    with pytest.warns(UserWarning, match="TimeLimit"):
        played = play_episodes(Circle(), always(0), 1, seed=0)
    assert played.returns.tolist() == [100_000]


def test_environments_that_reset_in_the_next_step_count_right():
    """CartPole's own vector environment; the returns equal those of single environments."""
    together = play_episodes(GymEnvironment("CartPole-v1", n_envs=8), always(0), 40, seed=0)
    alone = play_episodes(GymEnvironment("CartPole-v1"), always(0), 40, seed=0)
    assert set(together.returns) | set(alone.returns) <= {8, 9, 10, 11}
    assert together.returns.mean() == pytest.approx(alone.returns.mean(), abs=0.6)
    assert alone.n_steps == alone.returns.sum()


class Forbidding(GymEnvironment):
    """Allows only action 1 in even states, and only action 0 in odd ones."""

    @property
    def action_masks(self):
        return np.eye(2, dtype=bool)[1 - self.states % 2]


def test_only_allowed_actions_are_played():
    environment = Forbidding(Starts)
    qfunction = MemoizationQFunction().build(environment.state_space, 2, None)
    seen = []

    def choose(states, action_masks):
        seen.append((states.item(), greedy_actions(qfunction, states, action_masks).item()))
        return greedy_actions(qfunction, states, action_masks)

    play_episodes(environment, choose, 10, seed=0)
    assert len({action for _, action in seen}) == 2
    assert all(action == 1 - state % 2 for state, action in seen)


@pytest.mark.parametrize(
    ("env", "n_envs", "n_episodes", "expected"),
    [
        ("CartPole-v1", 1, 50, 50),  # computed at once
        ("CartPole-v1", 3, 1000, 128),
        ("FrozenLake-v1", 1, 1000, 1),  # sequentially
        ("FrozenLake-v1", 8, 1000, 1),
        (["FrozenLake-v1"] * 3, 1, 1000, 3),  # of a list, each once
        (["FrozenLake-v1"] * 20, 1, 4, 4),
    ],
)
def test_as_many_side_by_side_as_pays(env, n_envs, n_episodes, expected):
    with (
        GymEnvironment(env, n_envs=n_envs) as environment,
        side_by_side(environment, n_episodes) as replica,
    ):
        assert replica.n_envs_ == expected


def test_greedy_takes_the_first_of_equals():
    qfunction = MemoizationQFunction().build(spaces.Discrete(2), 3, None)
    qfunction.table_[:] = [[0, 2, 2], [0, 0, 0]]
    states = np.array([0, 1])
    assert greedy_actions(qfunction, states).tolist() == [1, 0]
    masks = np.array([[True, False, True], [False, True, True]])
    assert greedy_actions(qfunction, states, masks).tolist() == [2, 1]
