"""Whatever comes in: it works, or is refused by a message that names it.

More examples: ``pytest tests/test_any_input.py --hypothesis-profile=thorough``.
"""

import warnings
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.base import clone
from sklearn.linear_model import SGDRegressor

import skrl
from skrl import (
    C51,
    DQN,
    IQN,
    QRDQN,
    DoubleMemoizationQFunction,
    EpsilonGreedy,
    ExperienceReplay,
    ExponentialSchedule,
    LinearSchedule,
    MemoizationQFunction,
    ParallelQ,
    PrioritizedBuffer,
    QLearningAgent,
    RandomQFunction,
    RegressorQFunction,
    ReplayBuffer,
    SegmentedEpsilonGreedy,
    SimpleRunner,
    Softmax,
)  # fmt: skip

N_STEPS = 60

# ---- what comes in ---------------------------------------------------------------------------

numbers = st.one_of(
    st.integers(-3, 300),
    st.floats(width=64),
    st.booleans(),
    st.sampled_from([np.float32(0.5), np.int64(3), 10**30, -(10**30), 1e308]),
)
junk = st.one_of(
    numbers,
    st.none(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.lists(numbers, max_size=3),
    st.tuples(numbers, numbers),
    st.dictionaries(st.text(max_size=1), numbers, max_size=2),
    st.just(object()),
    st.just(len),
    arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0, max_dims=3, max_side=3)),
)

bounds = st.sampled_from([(-1.0, 1.0), (0.0, np.inf), (-np.inf, np.inf), (-1e38, 1e38)])
shapes = arrays.array_shapes(min_dims=0, max_dims=3, max_side=3)
simple_spaces = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-5, 5)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    st.builds(spaces.MultiBinary, st.integers(1, 4)),
    st.builds(
        lambda bound, shape, dtype: spaces.Box(*bound, shape, dtype),
        bounds, shapes, st.sampled_from([np.float32, np.float64]),
    ),
    st.builds(
        lambda shape, dtype: spaces.Box(0, 100, shape, dtype),
        shapes, st.sampled_from([np.uint8, np.int8, np.int64]),
    ),
    st.sampled_from([spaces.Text(3), spaces.Sequence(spaces.Discrete(2))]),
)  # fmt: skip
any_space = st.one_of(
    simple_spaces,
    st.builds(spaces.Tuple, st.lists(simple_spaces, min_size=1, max_size=3)),
    st.builds(spaces.Dict, st.dictionaries(st.sampled_from("abc"), simple_spaces, min_size=1)),
)


class World(gymnasium.Env):
    """Draws observations from its space; `rewards` are given in their order."""

    def __init__(self, observation_space, action_space, rewards=(1.0,)):
        self.observation_space, self.action_space = observation_space, action_space
        self.rewards = rewards

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self.n_steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert action in self.action_space
        self.n_steps += 1
        reward = self.rewards[self.n_steps % len(self.rewards)]
        return self.observation_space.sample(), reward, self.n_steps == 7, False, {}


def agent(qfunction=None, policy=None, runner=None):
    return QLearningAgent(
        qfunction or MemoizationQFunction(),
        policy or EpsilonGreedy(),
        runner or SimpleRunner(),
        n_steps=N_STEPS,
        n_evaluations=0,
        random_state=0,
    )


def fits(made, env, *named):
    """Whether the agent can be fitted; a refusal must name one of these words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made.fit(env)
        except (ValueError, TypeError) as error:
            text = str(error)
            assert any(name in text for name in named), text
            return False
    return True


# ---- spaces ----------------------------------------------------------------------------------


@given(any_space, any_space, st.sampled_from(["table", "random", "regressor"]), st.integers(1, 3))
def test_any_spaces(observation_space, action_space, kind, n_envs):
    qfunction = {
        "table": MemoizationQFunction(),
        "random": RandomQFunction(),
        "regressor": RegressorQFunction(SGDRegressor()),
    }[kind]
    world = partial(World, observation_space, action_space)
    made = agent(qfunction)
    env = skrl.GymEnvironment(world, n_envs=n_envs)
    if not fits(made, env, "space", "table", "states", "observations", "diverged"):
        return
    observation = observation_space.sample()
    assert made.predict(observation) in action_space
    assert np.isfinite(made.decision_function(observation)).all()


# ---- observations ----------------------------------------------------------------------------

KNOWN = {
    "Discrete": spaces.Discrete(4, start=2),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "Box": spaces.Box(-1, 1, (2,)),
    "image": spaces.Box(0, 255, (3, 3, 1), np.uint8),
    "Dict": spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Box(-1, 1, (2,))}),
    "Tuple": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2))),
}
FITTED = {
    name: agent(RandomQFunction()).fit(partial(World, space, spaces.Discrete(3)))
    for name, space in KNOWN.items()
}


@pytest.mark.parametrize("name", KNOWN)
@given(junk)
def test_any_observation(name, observation):
    fitted = FITTED[name]
    try:
        actions = fitted.predict(observation)
    except (ValueError, TypeError) as error:
        assert "bservation" in str(error), error  # noqa: PT017
        return
    assert np.isin(actions, [0, 1, 2]).all()
    assert np.isfinite(fitted.decision_function(observation)).all()


# ---- rewards ---------------------------------------------------------------------------------


@given(st.lists(junk, min_size=1, max_size=3))
def test_any_rewards(rewards):
    made = agent()
    world = partial(World, spaces.Discrete(3), spaces.Discrete(2), rewards)
    if fits(made, world, "reward", "diverged"):
        assert np.isfinite(made.decision_function(np.arange(3))).all()


# ---- parameters ------------------------------------------------------------------------------

REPLAY = {"batch_size": 4, "train_freq": 8, "gradient_steps": 2, "learning_starts": 8}
# Agents, and the name of the part whose parameters are replaced.
PARTS = {
    "agent": (agent(), ""),
    "table": (agent(), "qfunction__"),
    "double": (agent(DoubleMemoizationQFunction()), "qfunction__"),
    "epsilon": (agent(), "policy__"),
    "segments": (agent(policy=SegmentedEpsilonGreedy()), "policy__"),
    "softmax": (agent(policy=Softmax()), "policy__"),
    "linear": (agent(policy=EpsilonGreedy(LinearSchedule(1.0, 0.1))), "policy__epsilon__"),
    "exponential": (
        agent(policy=EpsilonGreedy(ExponentialSchedule(1.0, 0.1))), "policy__epsilon__"
    ),
    "replay": (agent(runner=ExperienceReplay(**REPLAY)), "runner__"),
    "buffer": (agent(runner=ExperienceReplay(ReplayBuffer(), **REPLAY)), "runner__buffer__"),
    "priorities": (
        agent(runner=ExperienceReplay(PrioritizedBuffer(), **REPLAY)), "runner__buffer__"
    ),
    "parallel": (agent(runner=ParallelQ(train_freq=16, batch_size=4)), "runner__"),
}  # fmt: skip
# Valid, and takes long.
LONG = {"capacity", "n_steps", "n_episodes", "qfunction", "policy", "runner"}
# Slow, or free of rules.
SLOW_OR_FREE = {"callbacks", "verbose", "random_state", "n_evaluations"}


# A parameter may be refused together with the one that it does not fit.
ALSO = {"start": ("epsilon",), "end": ("epsilon",), "fraction": ("epsilon",)}


def own_parameters(part):
    return [name for name in part.get_params(deep=False) if name not in SLOW_OR_FREE]


def part_of(made, prefix):
    return made.get_params()[prefix.removesuffix("__")] if prefix else made


CASES = [
    (case, name) for case, (made, prefix) in PARTS.items()
    for name in own_parameters(part_of(made, prefix))
]  # fmt: skip


@pytest.mark.parametrize(("case", "name"), CASES)
@given(value=junk)
def test_any_parameter(case, name, value):
    is_large = isinstance(value, int) and value > 1000
    assume(not (name in LONG and (value is None or is_large)))
    made, prefix = PARTS[case]
    # Not by the constructor, whose types the tests check.
    made = clone(made).set_params(**{prefix + name: value})
    fits(made, partial(World, spaces.Discrete(3), spaces.Discrete(2)), name, *ALSO.get(name, ()))


NETWORKS = [Class(hidden_layer_sizes=(2,)) for Class in (DQN, QRDQN, C51, IQN)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "name"), [(part, name) for part in NETWORKS for name in own_parameters(part)]
)
@given(value=junk)
def test_any_parameter_of_a_network(network, name, value):
    qfunction = clone(network).set_params(**{name: value})
    try:
        qfunction.build(spaces.Box(-1, 1, (2,)), 2, random_state=0)
    except (ValueError, TypeError) as error:
        assert name in str(error), error  # noqa: PT017
