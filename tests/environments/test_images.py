"""States that are images: their shapes, their exact pixels, and what training changes."""

import pickle
import sys
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from skrl import (
    DQN,
    ExperienceReplay,
    GymEnvironment,
    QLearningAgent,
    RandomQFunction,
    atari_env,
    image_env,
    make_envs,
)
from skrl.environments import EnvironmentPair
from skrl.estimator_checks import check_environment


class Film(gymnasium.Env):
    """Every pixel of an image is its number; step t earns 5 t - 10; six steps are an episode."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = spaces.Discrete(2)

    def __init__(self, shape=(4, 6), render_mode=None):
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.render_mode = render_mode

    def observe(self):
        return np.full(self.observation_space.shape, 10 * self.t + 10, np.uint8)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        reward = 5.0 * self.t - 10
        self.t += 1
        return self.observe(), reward, self.t == 6, False, {}

    def render(self):
        return np.full((8, 8, 3), self.t, np.uint8)


class Bulb(Film):
    """The same film, but what it shows is not an image: it must be rendered."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode=render_mode)
        self.observation_space = spaces.Box(0, 255, (1,), np.float32)

    def observe(self):
        return np.array([self.t], np.float32)


def play(environment):
    """The numbers on the states of an episode, and its rewards."""
    environment.reset(seed=0)
    seen, rewards = [environment.states[0]], []
    for _ in range(6):
        transitions = environment.step(np.zeros(environment.n_envs_, np.int64))
        seen.append(transitions.next_states[0])
        rewards.append(float(transitions.rewards[0]))
    assert transitions.terminated[0]
    return seen, rewards


@pytest.mark.parametrize("n_envs", [1, 3])
def test_images_are_stacked_along_the_last_axis_the_newest_last(n_envs):
    with GymEnvironment(image_env(Film, size=None, n_stack=3), n_envs) as environment:
        seen, rewards = play(environment)
        assert environment.state_space == spaces.Box(0, 255, (4, 6, 3), np.uint8)
    assert all(state.dtype == np.uint8 and state.shape == (4, 6, 3) for state in seen)
    assert all((state == state[0, 0]).all() for state in seen)
    stacks = [state[0, 0].tolist() for state in seen]
    assert stacks[:4] == [[10, 10, 10], [10, 10, 20], [10, 20, 30], [20, 30, 40]]
    assert stacks[6] == [50, 60, 70]
    assert rewards == [-10, -5, 0, 5, 10, 15]


def test_each_image_of_a_stack_keeps_its_colors_together():
    pair = image_env(partial(Film, (4, 6, 3)), size=None, grayscale=False, n_stack=2)
    env = pair()
    env.reset()
    state = env.step(0)[0]
    assert env.observation_space.shape == (4, 6, 6)
    assert state[0, 0].tolist() == [10, 10, 10, 20, 20, 20]


@pytest.mark.parametrize(
    ("shape", "arguments", "expected"),
    [
        ((4, 6), {"n_stack": 1}, (4, 6)),
        ((4, 6), {"n_stack": 1, "size": (8, 2)}, (8, 2)),
        ((4, 6, 3), {"n_stack": 1}, (4, 6)),
        ((4, 6, 3), {"n_stack": 1, "grayscale": False}, (4, 6, 3)),
        ((4, 6, 3), {"size": (8, 2)}, (8, 2, 4)),
        ((4, 6, 3), {"size": (8, 2), "grayscale": False}, (8, 2, 12)),
        ((4, 6, 1), {"n_stack": 2}, (4, 6, 2)),
    ],
)
def test_shapes(shape, arguments, expected):
    env = image_env(partial(Film, shape), **{"size": None, **arguments})()
    state, _ = env.reset()
    assert env.observation_space == spaces.Box(0, 255, expected, np.uint8)
    assert env.observation_space.contains(np.ascontiguousarray(state))


def test_what_shows_no_image_is_rendered():
    env = image_env(Bulb, size=(3, 4), n_stack=2)()
    env.reset()
    state = env.step(0)[0]
    # 0.2125 + 0.7154 + 0.0721 = 1, but Gymnasium rounds the shades of grey down.
    assert state.shape == (3, 4, 2)
    assert state[..., 0].max() == 0
    assert set(np.unique(state[..., 1])) <= {0, 1}


def test_rewards_are_clipped_in_training_and_not_in_scores():
    pair = image_env(Film, size=None, n_stack=2, clip_rewards=True)
    expected = [-10, -5, 0, 5, 10, 15]
    for env in (pair, make_envs(pair, 1), [pair]):
        with GymEnvironment(env) as environment:
            assert play(environment)[1] == np.clip(expected, -1, 1).tolist()
            with environment.replicate(1) as replica:
                assert play(replica)[1] == expected
    agent = QLearningAgent(
        RandomQFunction(), n_steps=12, n_evaluations=2, evaluation_ratio=None, random_state=0
    )
    agent.fit(pair)
    assert agent.history_[:, "return"].tolist() == [0 + 1, 0 + 1]
    assert agent.score(pair, n_episodes=2) == sum(expected)
    assert agent.score(make_envs(pair, 2), n_episodes=2) == sum(expected)
    assert agent.best_score_ == sum(expected)


def test_a_pair_trains_in_one_environment_and_scores_in_the_other():
    pair = EnvironmentPair(partial(Film, (2, 2)), partial(Film, (3, 3)))
    with GymEnvironment([pair, pair]) as environment:
        assert environment.reset().shape == (2, 2, 2)
        with environment.replicate(3) as replica:
            assert replica.reset().shape == (3, 3, 3)
        assert environment.make_single("rgb_array").observation_space.shape == (3, 3)


def test_recipes_can_be_sent_to_another_process():
    for pair in (image_env("CartPole-v1"), atari_env("ALE/Pong-v5")):
        assert len(pickle.dumps(pair)) < 1_000
        copy = pickle.loads(pickle.dumps(pair))
        assert copy.training.args == pair.training.args
        assert copy.scoring.args == pair.scoring.args


def test_a_network_learns_from_stacks():
    pytest.importorskip("cv2")
    from skrl.qfunctions.deep.networks import convolutional_network

    agent = QLearningAgent(
        DQN(network=convolutional_network),
        runner=ExperienceReplay(batch_size=8, train_freq=32, gradient_steps=4, learning_starts=64),
        n_steps=128,
        n_evaluations=1,
        n_evaluation_episodes=1,
        random_state=0,
    )
    pair = image_env("CartPole-v1", size=(12, 18), n_stack=2)
    agent.fit(GymEnvironment(pair, n_envs=2))
    assert np.isfinite(agent.history_.metrics[:, "loss"]).all()
    state, _ = pair().reset(seed=0)
    assert agent.predict(state) in (0, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"size": (0, 3)}, ValueError, r"size must be \(height, width\), .* got \(0, 3\)"),
        ({"n_stack": 0}, ValueError, "n_stack must be an integer of at least 1, got 0"),
        ({"env": 3}, TypeError, "needs an id, a spec, or a function .* got 3"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        image_env(**{"env": "CartPole-v1", **arguments})


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ValueError, match=r"needs OpenCV .*pip install 'skrl-toolkit\[images\]'"):
        GymEnvironment(image_env("CartPole-v1")).reset()
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(ValueError, match=r"needs ale-py.*pip install 'skrl-toolkit\[atari\]'"):
        GymEnvironment(atari_env("ALE/Pong-v5")).reset()


def test_a_game_that_does_not_exist():
    pytest.importorskip("ale_py")
    with pytest.raises(ValueError, match="Cannot make the game 'ALE/Chess-v5'"):
        GymEnvironment(atari_env("ALE/Chess-v5")).reset()


def test_the_contract_of_environments_is_kept():
    pytest.importorskip("cv2")
    check_environment(GymEnvironment(image_env(Film, size=(5, 4), clip_rewards=True), n_envs=2))


@pytest.mark.slow
def test_the_contract_of_environments_is_kept_by_games():
    pytest.importorskip("ale_py")
    check_environment(GymEnvironment(atari_env("ALE/Breakout-v5", size=(20, 30)), n_envs=2))


def test_a_game_ends_at_a_lost_life_in_training_only():
    pytest.importorskip("ale_py")
    pair = atari_env("ALE/Breakout-v5", repeat_action_probability=0.0, noop_max=1)
    lengths = []
    for env in (pair.training(), pair.scoring()):
        assert env.observation_space == spaces.Box(0, 255, (84, 84, 4), np.uint8)
        env.reset(seed=0)
        env.step(1)  # fire: the game begins
        n_steps, terminated = 1, False
        while not terminated and n_steps < 200:
            _, _, terminated, _, info = env.step(1)
            n_steps += 1
        lengths.append((terminated, info["lives"]))
    # Five lives: the first is lost in training, all of them in the game.
    assert lengths[0] == (True, 4)
    assert lengths[1] == (True, 0)
    assert GymEnvironment(pair).has_time_limit
