"""Environments that break Gymnasium's rules end a training with an error that says so."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from skrl import EpsilonGreedy, GymEnvironment, MemoizationQFunction, QLearningAgent, SimpleRunner

# Steps after which an environment misbehaves.
GOOD_STEPS = 40


class Good(gymnasium.Env):
    """Vectors that hardly differ; episodes of ten steps."""

    observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self):
        self.n_steps = 0

    def observe(self):
        return np.full(2, 0.5, np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observe(), {}

    def step(self, action):
        self.n_steps += 1
        return self.observe(), 1.0, False, self.n_steps % 10 == 0, {}


def misbehaving(method, result):
    """Make an environment one of whose methods has another result after `GOOD_STEPS`."""

    class Misbehaving(Good):
        def misbehave(self, name, good):
            if name != method or self.n_steps < GOOD_STEPS:
                return good
            return result(good)

        def observe(self):
            return self.misbehave("observe", super().observe())

        def reset(self, **arguments):
            return self.misbehave("reset", super().reset(**arguments))

        def step(self, action):
            return self.misbehave("step", super().step(action))

    return Misbehaving


def changed(i, value):
    """Replace an item of a method's result."""
    return lambda good: (*good[:i], value, *good[i + 1 :])


def failing(good):
    raise OSError("the simulator is gone")


CASES = {
    "longer": ("observe", lambda good: np.zeros(3, np.float32)),
    "shorter": ("observe", lambda good: np.zeros(1, np.float32)),
    "of one dimension more": ("observe", lambda good: np.zeros((2, 2), np.float32)),
    "a number": ("observe", lambda good: 0.5),
    "none": ("observe", lambda good: None),
    "a text": ("observe", lambda good: "north"),
    "texts": ("observe", lambda good: np.array(["a", "b"])),
    "objects": ("observe", lambda good: np.array([None, {}])),
    "ragged": ("observe", lambda good: [[1.0], [1.0, 2.0]]),
    "complex": ("observe", lambda good: good + 1j),
    "nan": ("observe", lambda good: good * np.nan),
    "infinite": ("observe", lambda good: good * np.inf),
    "a dict": ("observe", lambda good: {"x": good}),
    "reward none": ("step", changed(1, None)),
    "reward nan": ("step", changed(1, np.nan)),
    "reward infinite": ("step", changed(1, -np.inf)),
    "reward text": ("step", changed(1, "much")),
    "reward complex": ("step", changed(1, 1j)),
    "rewards": ("step", changed(1, np.ones(2))),
    "terminated none": ("step", changed(2, None)),
    "terminated text": ("step", changed(2, "no")),
    "terminated twice": ("step", changed(2, np.array([True, False]))),
    "truncated nan": ("step", changed(3, np.nan)),
    "four results": ("step", lambda good: good[:4]),
    "six results": ("step", lambda good: (*good, 0)),
    "no result": ("step", lambda good: None),
    "reset gives an observation": ("reset", lambda good: good[0]),
    "reset gives nothing": ("reset", lambda good: None),
    "reset gives info none": ("reset", lambda good: (good[0], None)),
}
# Gymnasium's `SyncVectorEnv` turns these into bools.
ACCEPTED_SIDE_BY_SIDE = "terminated none", "terminated text", "truncated nan"


@pytest.fixture(scope="module")
def agent():
    """An agent that has learned in a good environment, and learns on."""
    agent = QLearningAgent(
        MemoizationQFunction(),
        EpsilonGreedy(0.5),
        SimpleRunner(),
        n_steps=300,
        n_evaluations=0,
        random_state=0,
        warm_start=True,
    )
    return agent.fit(Good)


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_and_nothing_is_lost(case, agent):
    before = agent.qfunction_.state(), agent.n_steps_
    with pytest.raises(ValueError, match="environment"):
        agent.fit(misbehaving(*CASES[case]))
    np.testing.assert_equal((agent.qfunction_.state(), agent.n_steps_), before)


@pytest.mark.parametrize("case", [case for case in CASES if case not in ACCEPTED_SIDE_BY_SIDE])
def test_side_by_side_it_is_refused_as_well(case, agent):
    before = agent.qfunction_.state(), agent.n_steps_
    # Some are refused by Gymnasium; `diagnose` then says more.
    with pytest.raises((ValueError, TypeError, AttributeError)) as raised:
        agent.fit(GymEnvironment(misbehaving(*CASES[case]), n_envs=3, asynchronous=False))
    assert "environment" in " ".join([str(raised.value), *getattr(raised.value, "__notes__", ())])
    np.testing.assert_equal((agent.qfunction_.state(), agent.n_steps_), before)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("method", ["observe", "reset", "step"])
def test_its_own_error_reaches_the_user(method, n_envs, agent):
    with pytest.raises(OSError, match="the simulator is gone"):
        agent.fit(GymEnvironment(misbehaving(method, failing), n_envs=n_envs, asynchronous=False))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_in_processes_it_is_refused_as_well(case, agent):
    before = agent.qfunction_.state()
    with pytest.raises((ValueError, TypeError, RuntimeError)) as raised:
        agent.fit(GymEnvironment(misbehaving(*CASES[case]), n_envs=2, asynchronous=True))
    print(case, type(raised.value).__name__, raised.value)
    assert "nvironment" in " ".join([str(raised.value), *getattr(raised.value, "__notes__", ())])
    np.testing.assert_equal(agent.qfunction_.state(), before)
