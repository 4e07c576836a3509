import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from skrl.environments.worlds import MaximizationBias
from skrl.environments.worlds.maximization_bias import LEFT_END, RIGHT_END, A, B


@pytest.mark.parametrize("n_arms", [2, 10])
def test_half_of_the_actions_go_left(n_arms):
    world = MaximizationBias(n_arms)
    for action in range(n_arms):
        assert world.reset() == (A, {})
        goes_left = action < n_arms // 2
        expected = (B, 0.0, False) if goes_left else (RIGHT_END, 0.0, True)
        assert world.step(action) == (*expected, False, {})


def test_every_arm_pays_less_than_nothing_on_average():
    world = MaximizationBias(n_arms=4)
    world.reset(seed=0)
    rewards = np.empty((4, 2500))
    for action, i in np.ndindex(rewards.shape):
        world.reset()
        world.step(0)
        state, rewards[action, i], terminated, truncated, info = world.step(action)
        assert (state, terminated, truncated, info) == (LEFT_END, True, False, {})
    # Four standard errors.
    assert rewards.mean() == pytest.approx(-0.1, abs=0.04)
    assert rewards.mean(axis=1) == pytest.approx([-0.1] * 4, abs=0.08)
    assert rewards.std() == pytest.approx(1.0, abs=0.03)


def test_a_seed_repeats_the_rewards():
    def rewards(seed):
        world = MaximizationBias()
        world.reset(seed=seed)
        found = []
        for _ in range(5):
            world.reset()
            world.step(0)
            found.append(world.step(0)[1])
        return found

    assert rewards(7) == rewards(7)
    assert rewards(7) != rewards(8)


def test_spaces():
    world = MaximizationBias(n_arms=6)
    assert world.observation_space == gymnasium.spaces.Discrete(4)
    assert world.action_space == gymnasium.spaces.Discrete(6)


@pytest.mark.parametrize("render_mode", [None, "ansi"])
def test_gymnasium_finds_nothing_wrong(render_mode):
    world = gymnasium.make("skrl/MaximizationBias-v0", n_arms=4, render_mode=render_mode)
    assert isinstance(world.unwrapped, MaximizationBias)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(world.unwrapped, skip_render_check=render_mode is None)


def test_ansi_puts_the_agent_in_brackets():
    world = MaximizationBias(n_arms=2, render_mode="ansi")
    world.reset()
    assert world.render() == "end B [A] end"
    world.step(0)
    assert world.render() == "end [B] A end"
    world.step(1)
    assert world.render() == "[end] B A end"
    world.reset()
    world.step(1)
    assert world.render() == "end B A [end]"


@pytest.mark.parametrize("n_arms", [0, 1, 3, -2])
def test_the_number_of_arms_must_be_even(n_arms):
    with pytest.raises(ValueError, match=f"must be an even integer .* got {n_arms}"):
        MaximizationBias(n_arms)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"render_mode must be .*'ansi'.* got 'human'"):
        MaximizationBias(render_mode="human")
    world = MaximizationBias(n_arms=2, render_mode="ansi")
    with pytest.raises(ValueError, match=r"Call reset\(\)"):
        world.step(0)
    with pytest.raises(ValueError, match=r"Call reset\(\)"):
        world.render()
    world.reset()
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        world.step(2)
    world.step(1)
    with pytest.raises(ValueError, match=r"No episode is under way .* Call reset\(\)"):
        world.step(1)


def test_rendering_without_a_mode_warns():
    world = MaximizationBias()
    world.reset()
    with pytest.warns(UserWarning, match="render_mode"):
        assert world.render() is None
