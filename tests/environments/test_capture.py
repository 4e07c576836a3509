"""Where an environment stands is captured: a fresh copy goes on like it, in mid-episode."""

from collections import deque
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, TransformReward

from skrl import GymEnvironment
from skrl.environments import make_envs


def steps(environment, n, seed):
    """All numbers of n random steps."""
    rng, numbers = np.random.default_rng(seed), []
    for _ in range(n):
        masks = environment.action_masks
        order = rng.random((environment.n_envs_, environment.n_actions))
        actions = np.where(True if masks is None else masks, order, -1).argmax(axis=1)
        transitions = environment.step(actions)
        numbers += [column.tolist() for column in transitions.to_dict().values()]
        numbers.append(environment.states.tolist())
    return numbers


CAPTURED = {
    "single": ("CartPole-v1", {}),
    "vectorized": ("CartPole-v1", {"n_envs": 3}),
    "side by side": ("FrozenLake-v1", {"n_envs": 2}),
    "list": (make_envs("Acrobot-v1", n=2), {}),
    "processes": ("Taxi-v4", {"n_envs": 2, "asynchronous": True}),
    "masks": ("Taxi-v4", {}),
    "cards": ("Blackjack-v1", {}),
    "world": ("skrl/MaximizationBias-v0", {}),
    "frames": (lambda: FrameStackObservation(gymnasium.make("MountainCar-v0"), 3), {}),
    "time limit": (lambda: gymnasium.make("CartPole-v1", max_episode_steps=7), {}),
}


@pytest.mark.parametrize("name", CAPTURED)
def test_a_fresh_environment_goes_on_where_another_one_stood(name):
    env, parameters = CAPTURED[name]
    with (
        GymEnvironment(env, **parameters) as one,
        GymEnvironment(env, **parameters) as other,
    ):
        one.reset(seed=3)
        other.reset(seed=4)
        steps(one, 33, seed=0)
        state = one.state()
        states = one.states.copy()
        expected = steps(one, 60, seed=1)
        other.set_state(state)
        np.testing.assert_array_equal(other.states, states)
        assert steps(other, 60, seed=1) == expected


@pytest.mark.parametrize("asynchronous", [True, False])
def test_it_does_not_matter_whether_environments_are_in_processes(asynchronous):
    """What decides it is a measurement, which may come out differently after an interruption."""

    def make(asynchronous):
        env = partial(gymnasium.make, "MountainCar-v0", max_episode_steps=25)
        return GymEnvironment(env, n_envs=2, asynchronous=asynchronous)

    with make(asynchronous) as one, make(not asynchronous) as other:
        one.reset(seed=3)
        other.reset(seed=4)
        steps(one, 33, seed=0)
        other.set_state(one.state())
        assert steps(other, 60, seed=1) == steps(one, 60, seed=1)


@pytest.mark.parametrize("mode", ["NEXT_STEP", "SAME_STEP"])
def test_a_live_vector_environment_is_captured(mode):
    def make():
        return GymEnvironment(
            gymnasium.make_vec(
                "Blackjack-v1",
                3,
                vectorization_mode="sync",
                vector_kwargs={"autoreset_mode": gymnasium.vector.AutoresetMode[mode]},
            )
        )

    one, other = make(), make()
    one.reset(seed=0)
    other.reset(seed=1)
    steps(one, 11, seed=0)
    other.set_state(one.state())
    assert steps(other, 30, seed=1) == steps(one, 30, seed=1)


class Engine:
    """What a physics engine is to an environment."""


class Coin(gymnasium.Env):
    """Earns what a coin says."""

    observation_space = action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, float(self.np_random.integers(2)), False, False, {}


class WithEngine(Coin):
    def reset(self, *, seed=None, options=None):
        self.engine = Engine()
        return super().reset(seed=seed)


class Shared(Coin):
    def reset(self, *, seed=None, options=None):
        self.newest = np.zeros(2)
        self.both = deque([self.newest], maxlen=2)
        return super().reset(seed=seed)


class View(Coin):
    def reset(self, *, seed=None, options=None):
        self.all = np.zeros(4)
        self.half = self.all[:2]
        return super().reset(seed=seed)


TOSSES = [0]


class Outside(Coin):
    """Remembers something that is not an attribute."""

    def step(self, action):
        TOSSES[0] += 1
        return 0, float(TOSSES[0]), False, False, {}


class OutsideAtReset(Coin):
    """The same, but it shows only in the next episode."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        TOSSES[0] += 1
        self.first = TOSSES[0]
        return 0, {}

    def step(self, action):
        return 0, float(self.first), False, False, {}


class Failing(Coin):
    """Fails in its second episode."""

    n_episodes = 0

    def reset(self, *, seed=None, options=None):
        self.n_episodes += 1
        if self.n_episodes > 1:
            raise RuntimeError("only one episode")
        return super().reset(seed=seed)


class OwnGenerator(Coin):
    """Has its own generator, which is made again in each episode."""

    def step(self, action):
        return 0, float(self.own.random()), False, False, {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.own = np.random.Generator(np.random.PCG64(self.np_random.integers(100)))
        return 0, {}


@pytest.mark.parametrize("make", [WithEngine, Shared, View, Outside, OutsideAtReset, Failing])
def test_what_cannot_be_captured_is_recognised(make):
    environment = GymEnvironment(make)
    environment.reset(seed=0)
    steps(environment, 5, seed=0)
    assert environment.state() is None


@pytest.mark.parametrize("make", [Coin, OwnGenerator])
def test_generators_are_captured(make):
    one, other = GymEnvironment(make), GymEnvironment(make)
    one.reset(seed=0)
    other.reset(seed=1)
    other.set_state(one.state())
    assert steps(other, 30, seed=1) == steps(one, 30, seed=1)


def test_a_counter_in_a_closure_is_not_captured():
    def count():
        n = 0

        def function(reward):
            nonlocal n
            n += 1
            return reward * n

        return TransformReward(Coin(), function)

    environment = GymEnvironment(count)
    environment.reset(seed=0)
    assert environment.state() is None


def test_another_kind_of_environment_is_refused():
    one, other = GymEnvironment("CartPole-v1"), GymEnvironment(lambda: Coin())
    one.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(ValueError, match=r"Expected an environment that consists of .*'CartPole"):
        other.set_state(one.state())


class Counting(GymEnvironment):
    """Remembers more than its environments do."""

    n_steps = 0

    def step(self, actions):
        self.n_steps += 1
        return super().step(actions)


class Counted(Counting):
    """Says so."""

    def state(self):
        return {"more": self.n_steps, **super().state()}


def test_a_subclass_is_captured_if_it_says_how():
    for kind, is_captured in ((Counting, False), (Counted, True)):
        environment = kind("CartPole-v1")
        environment.reset(seed=0)
        assert (environment.state() is not None) == is_captured


def test_lunar_lander_is_not_captured():
    pytest.importorskip("Box2D")
    environment = GymEnvironment("LunarLander-v3")
    environment.reset(seed=0)
    assert environment.state() is None
