"""What is known of an environment once it is open, and that all that was made is closed."""

from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit, TransformReward

from skrl.environments.gym_environment import GymEnvironment
from skrl.environments.items import make_envs


class Counted(gymnasium.Env):
    """Knows which environments of its kind are open."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Discrete(2)
    action_space = spaces.Discrete(2)
    opened, n_made = set(), 0

    def __init__(self, render_mode=None, action_space=None):
        self.render_mode = render_mode
        self.action_space = action_space or self.action_space
        self.opened.add(id(self))
        Counted.n_made += 1

    def __deepcopy__(self, memo):
        return Counted(self.render_mode)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 1, 0.0, False, False, {}

    def render(self):
        return np.zeros((2, 2, 3), np.uint8)

    def close(self):
        self.opened.discard(id(self))


gymnasium.register("test/Counted-v0", Counted)
gymnasium.register("test/Limited-v0", Counted, max_episode_steps=5)


@pytest.fixture(autouse=True)
def count():
    Counted.opened.clear()
    Counted.n_made = 0


@pytest.mark.parametrize("render_mode", [None, "rgb_array"])
@pytest.mark.parametrize(
    ("env", "n_envs"),
    [
        ("test/Counted-v0", 1),
        ("test/Counted-v0", 3),
        (gymnasium.spec("test/Counted-v0"), 2),
        (Counted, 1),
        (Counted, 3),
        (["test/Counted-v0", Counted], 1),
        (make_envs("test/Counted-v0", 2), 1),
    ],
)
def test_all_that_was_made_is_closed(env, n_envs, render_mode):
    environment = GymEnvironment(env, n_envs, render_mode)
    environment.reset(seed=0)
    assert len(Counted.opened) == environment.n_envs_
    replica = environment.replicate(2, "rgb_array")
    replica.reset()
    replica.close()
    environment.make_single("rgb_array").close()
    assert len(Counted.opened) == environment.n_envs_
    environment.close()
    assert Counted.n_made >= environment.n_envs_ + 3
    environment.close()
    assert not Counted.opened


def test_a_copied_vector_environment_is_closed_with_its_replica():
    live = SyncVectorEnv([Counted, Counted])
    n_open = len(Counted.opened)
    with GymEnvironment(live) as environment, environment.replicate(2) as replica:
        replica.reset()
        assert len(Counted.opened) == n_open + 2
    assert len(Counted.opened) == n_open


@pytest.mark.parametrize(
    ("env", "n_envs", "render_mode"),
    [
        ([Counted, "test/Counted-v0", lambda: None], 1, None),
        (["test/Counted-v0", "CartPole-v1"], 1, None),
        (partial(Counted, action_space=spaces.Box(0, 1)), 1, None),
        (partial(Counted, action_space=spaces.Box(0, 1)), 3, None),
        ([Counted, lambda: Counted()], 1, "rgb_array"),
        ("test/Counted-v0", 2, "ansi"),
    ],
)
def test_all_that_was_made_is_closed_if_opening_fails(env, n_envs, render_mode):
    with pytest.raises((TypeError, ValueError)):
        GymEnvironment(env, n_envs, render_mode).reset()
    assert Counted.n_made > 0
    assert not Counted.opened


def limited(n):
    return TransformReward(TimeLimit(Counted(), n), lambda reward: reward)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("CartPole-v1", True),
        ("test/Counted-v0", False),
        (gymnasium.make("test/Limited-v0"), True),
        (gymnasium.make("test/Limited-v0").unwrapped, False),
        (partial(gymnasium.make, "test/Limited-v0", max_episode_steps=-1), False),
        (Counted, False),
        (partial(limited, 3000), True),
        ([partial(limited, 3), partial(limited, 7), "test/Limited-v0"], True),
        ([partial(limited, 3), Counted], False),
        (make_envs("test/Limited-v0", 2), True),
        (SyncVectorEnv([partial(limited, 3), partial(limited, 7)]), True),
        (SyncVectorEnv([partial(limited, 3), Counted]), False),
        (gymnasium.make_vec("CartPole-v1", 2), True),
        (gymnasium.make_vec("CartPole-v1", 2, max_episode_steps=7), True),
        (gymnasium.make_vec("CartPole-v1", 2, max_episode_steps=-1), False),
        (gymnasium.make_vec("test/Counted-v0", 2, "sync", max_episode_steps=7), True),
        (gymnasium.make_vec("test/Limited-v0", 2, "sync"), True),
        (gymnasium.make_vec("test/Limited-v0", 2, "sync", max_episode_steps=-1), False),
    ],
)
def test_time_limits_that_are_sure(env, expected):
    with GymEnvironment(env) as environment:
        assert environment.has_time_limit == expected
    if isinstance(env, str):
        with GymEnvironment(env, n_envs=2) as environment:
            assert environment.has_time_limit == expected


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_time_limits_in_processes_are_those_of_the_spec():
    for env in (
        gymnasium.make_vec("test/Limited-v0", 2, "async"),
        AsyncVectorEnv([partial(limited, 3)]),
    ):
        assert GymEnvironment(env).has_time_limit == (env.spec is not None)
        env.close()


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1", "Taxi-v4"])
@pytest.mark.parametrize("mode", AutoresetMode, ids=lambda mode: mode.name)
def test_a_single_environment_gives_the_bits_of_a_vector_environment(env_id, mode):
    make = partial(gymnasium.make, env_id, max_episode_steps=30)
    single = GymEnvironment(make)
    vector = GymEnvironment(SyncVectorEnv([make], autoreset_mode=mode))
    assert np.array_equal(single.reset(seed=0), vector.reset(seed=0))
    actions = np.random.default_rng(0).integers(single.n_actions, size=(200, 1))
    n_ends = 0
    for action in actions:
        one, other = single.step(action).to_dict(), vector.step(action).to_dict()
        assert one.keys() == other.keys()
        for name, array in one.items():
            assert array.dtype == other[name].dtype
            assert np.array_equal(array, other[name])
        assert np.array_equal(single.states, vector.states)
        assert np.array_equal(single.action_masks, vector.action_masks)
        n_ends += int(one["terminated"][0] or one["truncated"][0])
    assert n_ends > 3
