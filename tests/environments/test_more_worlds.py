"""The worlds that show what prioritized replay and n-step returns are worth."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from skrl import GymEnvironment
from skrl.environments.worlds import BlindCliffwalk, Corridor

LEFT, RIGHT = 0, 1
BOTH = pytest.mark.parametrize("World", [BlindCliffwalk, Corridor])


def transition(world, state, action):
    """(s', r, terminated) of the world's step; it never truncates by itself."""
    assert world.reset(options={"state": state}) == (state, {})
    next_state, reward, terminated, truncated, info = world.step(action)
    assert next_state in world.observation_space
    assert not truncated
    assert info == {}
    return next_state, reward, terminated


def test_the_blind_cliffwalk_of_three_states():
    world = BlindCliffwalk(n=3)
    table = {(s, a): transition(world, s, a) for s in range(3) for a in range(2)}
    assert table == {
        (0, 0): (1, 0, False),
        (0, 1): (3, 0, True),
        (1, 0): (3, 0, True),
        (1, 1): (2, 0, False),
        (2, 0): (3, 1, True),
        (2, 1): (3, 0, True),
    }


def test_the_corridor_of_three_steps():
    world = Corridor(n=3)
    table = {(s, a): transition(world, s, a) for s in range(3) for a in (LEFT, RIGHT)}
    assert table == {
        (0, LEFT): (0, 0, False),  # against the wall
        (0, RIGHT): (1, 0, False),
        (1, LEFT): (0, 0, False),
        (1, RIGHT): (2, 0, False),
        (2, LEFT): (1, 0, False),
        (2, RIGHT): (3, 1, True),
    }


@pytest.mark.parametrize("n", [1, 4, 7])
def test_one_sequence_of_actions_in_2_to_the_n_is_rewarded(n):
    world = BlindCliffwalk(n)
    returns = []
    for sequence in np.ndindex((2,) * n):
        world.reset()
        earned = 0.0
        for action in sequence:
            _, reward, terminated, _, _ = world.step(action)
            earned += reward
            if terminated:
                break
        assert terminated
        returns.append(earned)
    assert sorted(returns) == [0.0] * (2**n - 1) + [1.0]


@BOTH
@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.9])
def test_optimal_values_are_those_of_the_docstring(World, n, gamma):
    world = World(n)
    table = {(s, a): transition(world, s, a) for s in range(n) for a in range(2)}
    q = np.zeros((n + 1, 2))
    for _ in range(n + 1):  # value iteration: news of the reward has n steps to travel
        for (s, a), (next_state, reward, _) in table.items():
            q[s, a] = reward + gamma * q[next_state].max()

    s = np.arange(n)
    right = gamma ** (n - 1.0 - s)
    if World is BlindCliffwalk:
        wrong = np.zeros(n)
        actions = np.array([world.right_action(state) for state in range(n)])
    else:
        wrong = np.where(s == 0, gamma**n, gamma ** (n + 1.0 - s))
        actions = np.full(n, RIGHT)
    np.testing.assert_allclose(q[s, actions], right)
    np.testing.assert_allclose(q[s, 1 - actions], wrong)
    assert (q[n] == 0).all()


def test_doing_always_the_same_leads_nowhere_on_the_cliff():
    world = BlindCliffwalk(n=5)
    for action in range(2):
        world.reset()
        for _ in range(2):
            _, reward, terminated, _, _ = world.step(action)
            if terminated:
                break
        assert (reward, terminated) == (0, True)


@BOTH
def test_an_episode_begins_at_0(World):
    world = World(n=3)
    assert world.observation_space == gymnasium.spaces.Discrete(4)
    assert world.action_space == gymnasium.spaces.Discrete(2)
    for seed in range(5):
        assert world.reset(seed=seed) == (0, {})


@BOTH
def test_gymnasium_finds_nothing_wrong(World):
    world = gymnasium.make(f"skrl/{World.__name__}-v0", render_mode="ansi")
    assert isinstance(world.unwrapped, World)
    assert world.spec.max_episode_steps == 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(world.unwrapped, skip_render_check=False)


@BOTH
def test_a_gym_environment_takes_them_by_their_id(World):
    environment = GymEnvironment(f"skrl/{World.__name__}-v0", n_envs=3)
    environment.reset(seed=0)
    transitions = environment.step(np.array([0, 1, 0]))
    assert transitions.states.tolist() == [0, 0, 0]
    assert environment.n_actions == 2


@BOTH
def test_ansi_puts_the_agent_in_brackets(World):
    world = World(n=3, render_mode="ansi")
    world.reset(options={"state": 1})
    assert world.render() == "0 [1] 2 3"
    world.step(RIGHT)  # which is right in state 1 of both
    assert world.render() == "0 1 [2] 3"


@BOTH
def test_errors_say_what_to_do(World):
    with pytest.raises(ValueError, match="integer of at least 1, got 0"):
        World(n=0)
    with pytest.raises(ValueError, match=r"\['ansi'\] or None, got 'human'"):
        World(render_mode="human")
    world = World(n=2, render_mode="ansi")
    for use in (lambda: world.step(0), world.render):
        with pytest.raises(ValueError, match=r"reset\(\)"):
            use()
    with pytest.raises(ValueError, match=r"from 0 to 1, got options=\{'state': 2\}"):
        world.reset(options={"state": 2})
    world.reset()
    with pytest.raises(ValueError, match=r"one of 0 \(.*\), 1 \(.*\), got 2"):
        world.step(2)


@BOTH
def test_rendering_without_a_mode_warns(World):
    world = World()
    world.reset()
    with pytest.warns(UserWarning, match='render_mode="ansi"'):
        assert world.render() is None
