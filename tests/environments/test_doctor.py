"""The doctor finds planted faults, one test world each, and nothing in sound environments."""

from contextlib import closing

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import TimeLimit, TransformAction, TransformReward

from skrl.base import Environment
from skrl.environments import GymEnvironment, diagnose, make_envs
from skrl.environments.observation_layout import ObservationLayout
from skrl.environments.symptoms import MIN_STEPS


class Walk(gymnasium.Env):
    """A sound world: a random walk on [-1, 1], which terminates at its ends, where it is rewarded."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def observe(self):
        return np.array([self.x, self.x**2], np.float32)

    def info(self):
        return {}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.n_steps = float(self.np_random.uniform(-0.5, 0.5)), 0
        return self.observe(), self.info()

    def step(self, action):
        self.n_steps += 1
        self.x += (-0.2, 0.2)[action] + 0.1 * float(self.np_random.uniform(-1, 1))
        ended = abs(self.x) >= 1
        self.x = min(1.0, max(-1.0, self.x))
        return self.observe(), float(self.x >= 1), ended, False, self.info()


class Outside(Walk):
    def observe(self):
        return super().observe() * np.array([1, 2], np.float32)


class NotFinite(Walk):
    def observe(self):
        x, y = super().observe()
        return np.array([x, np.nan if x > 0.9 else y], np.float32)


class OtherDtype(Walk):
    def observe(self):
        return super().observe().astype(np.float64)


class OtherShape(Walk):
    def observe(self):
        return super().observe()[:, np.newaxis]


class Ragged(Walk):
    def observe(self):
        return [[0.0, 1.0], [0.0]]


class MissingPart(Walk):
    observation_space = spaces.Dict({"x": Walk.observation_space, "day": spaces.Discrete(7)})

    def observe(self):
        return {"x": super().observe()}


class OtherUnits(Walk):
    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)

    def observe(self):
        return super().observe() * np.array([1, 2e4], np.float32)


class LargeObservation(OtherUnits):
    def observe(self):
        return Walk.observe(self) * np.float32(5e5)


class HugeObservation(OtherUnits):
    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def observe(self):
        return np.array([-1.0, 1.0]) * 1e308 * self.x


class Overwritten(Walk):
    def observe(self):
        if not hasattr(self, "array"):
            self.array = np.zeros(2, np.float32)
        self.array[:] = super().observe()
        return self.array


class Blind(Walk):
    def observe(self):
        return np.zeros(2, np.float32)


class Scaled(Walk):
    factor = 1.0

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward * self.factor, *rest


class LargeReward(Scaled):
    factor = 1e5


class SmallReward(Scaled):
    factor = 1e-5


class NoReward(Scaled):
    factor = 0.0


class NotANumber(Scaled):
    factor = np.inf  # 0 times infinity is NaN


class InfiniteReward(Walk):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, np.inf if reward else 0.0, *rest


class TerminatesAtLimit(Walk):
    def step(self, action):
        _, _, _, *rest = super().step(action)
        self.x *= 0.5  # the ends are never reached
        return self.observe(), self.x, self.n_steps == 30, *rest


class TellsTime(TerminatesAtLimit):
    def observe(self):
        return np.array([self.x, self.n_steps / 30], np.float32)


class CountsDown(TerminatesAtLimit):
    observation_space = spaces.Discrete(31)

    def observe(self):
        return 30 - self.n_steps


class Endless(Walk):
    def step(self, action):
        observation, *_ = super().step(action)
        return observation, 1.0 if observation[0] > 0 else 0.0, False, False, {}


class Masked(Walk):
    def mask(self):
        return np.ones(2, np.int8)

    def info(self):
        return {"action_mask": self.mask()}


class MissingMask(Masked):
    def info(self):
        return super().info() if self.n_steps < 3 else {}


class LateMask(Masked):
    def info(self):
        return super().info() if self.n_steps else {}


class EmptyMask(Masked):
    def mask(self):
        return np.zeros(2, np.int8) if self.x > 0.9 else np.ones(2, np.int8)


class WrongMask(Masked):
    def mask(self):
        return np.ones(3, np.int8)


class IgnoresSeed(Walk):
    def reset(self, *, seed=None, options=None):
        return super().reset()


class OwnRandomness(Walk):
    generator = np.random.default_rng(0)

    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward + self.generator.random(), *rest


class Forgetful(Walk):
    """Sound at the start, but goes on counting when it is reset."""

    n_total = 0

    def step(self, action):
        self.n_total += 1
        observation, _, *rest = super().step(action)
        return observation, float(self.n_total % 7), *rest


class RaisesInStep(Walk):
    def step(self, action):
        if self.x > 0.8:
            raise ZeroDivisionError("the pole has no length")
        return super().step(action)


class RaisesInReset(Walk):
    def reset(self, *, seed=None, options=None):
        raise FileNotFoundError("map.txt")


class OldStep(Walk):
    def step(self, action):
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


PLANTED = [
    (Outside, "observation-outside", "the space says -1 to 1 (in"),
    (NotFinite, "observation-not-finite", "observation[1] is nan"),
    (OtherDtype, "observation-dtype", "has dtype float64, the space says float32"),
    (OtherShape, "observation-shape", "shape (2, 1), the space says shape (2,)"),
    (Ragged, "observation-shape", "the space says shape (2,)"),
    (MissingPart, "observation-shape", "observation['day'] is missing"),
    (OtherUnits, "observation-scale", "that of observation[0] at most 1"),
    (LargeObservation, "observation-scale", "is up to 5e+05"),
    (HugeObservation, "observation-scale", "e+308"),
    (Overwritten, "observation-overwritten", "changed after they had been returned"),
    (Blind, "observation-constant", "observations are equal"),
    (LargeReward, "reward-scale", "1e+05"),
    (SmallReward, "reward-scale", "1e-05"),
    (NoReward, "reward-never-seen", "0 in all 1,000 steps"),
    (NotANumber, "reward-not-finite", "the first is nan"),
    (InfiniteReward, "reward-not-finite", "the first is inf"),
    (TerminatesAtLimit, "time-limit-terminates", "exactly 30 steps"),
    (Endless, "no-end", "within 750 random steps"),
    (MissingMask, "action-mask", "is missing"),
    (LateMask, "action-mask", "the first reset gave none"),
    (EmptyMask, "action-mask", "allows no action"),
    (WrongMask, "action-mask", "shape (2,)"),
    (IgnoresSeed, "seed-ignored", "first observations differ"),
    (OwnRandomness, "not-deterministic", "step 1 differs"),
    (Forgetful, "not-deterministic", "step 1 differs"),
    (RaisesInStep, "error", "raised ZeroDivisionError: the pole has no length"),
    (RaisesInReset, "error", "reset raised FileNotFoundError: map.txt"),
    (OldStep, "error", "ValueError: not enough values to unpack"),
]


@pytest.mark.parametrize(
    ("world", "code", "text"), PLANTED, ids=[f"{world.__name__}" for world, *_ in PLANTED]
)
def test_a_planted_fault_is_found_and_nothing_else(world, code, text):
    diagnosis = diagnose(world, n_steps=1_000)
    assert [finding.code for finding in diagnosis.warnings] == [code]
    assert text in diagnosis.warnings[0].message
    assert diagnosis.warnings[0].advice
    assert diagnosis.warnings[0].message in str(diagnosis)


@pytest.mark.parametrize("world", [Walk, TellsTime, CountsDown, Masked])
def test_nothing_is_found_in_a_sound_world(world):
    assert diagnose(world, n_steps=1_000).warnings == ()


@pytest.mark.parametrize(
    ("env", "n_steps", "notes"),
    [
        ("CartPole-v1", 5_000, []),
        ("Acrobot-v1", 20_000, []),
        ("MountainCar-v0", 5_000, ["episodes-alike"]),
        ("FrozenLake-v1", 20_000, []),
        ("Taxi-v4", 5_000, []),
        ("CliffWalking-v1", 20_000, []),
        # The middle one of three actions stands still.
        ("skrl/CircularWorld-v0", 5_000, ["action-without-effect"]),
        ("skrl/IntervalWorld-v0", 5_000, ["action-without-effect"]),
        ("skrl/Corridor-v0", 5_000, ["constant-policy"]),
        ("skrl/BlindCliffwalk-v0", 20_000, []),
        ("skrl/MaximizationBias-v0", 5_000, []),
    ],
)
def test_known_environments_are_sound(env, n_steps, notes):
    diagnosis = diagnose(env, n_steps=n_steps)
    assert diagnosis.warnings == ()
    assert [finding.code for finding in diagnosis.notes] == notes


def test_facts_of_cartpole():
    diagnosis = diagnose("CartPole-v1", n_steps=4_000)
    assert diagnosis.name == "CartPole-v1"
    assert diagnosis.n_actions == 2
    assert diagnosis.n_steps == 4_000
    assert diagnosis.observation_space.shape == (4,)
    # Every step of the pole earns 1, and a random policy balances it for about 22 steps.
    assert diagnosis.rewards == (1.0, 1.0, 1.0)
    assert diagnosis.random.returns == diagnosis.random.lengths
    assert 18 < np.mean(diagnosis.random.returns) < 28
    assert sorted(diagnosis.constant) == [0, 1]
    assert all(8 <= length <= 11 for e in diagnosis.constant.values() for length in e.lengths)
    scale = diagnosis.observations
    assert (scale.min < scale.mean).all()
    assert (scale.mean < scale.max).all()
    np.testing.assert_array_less(scale.max[[0, 2]], [2.4, 0.3])


def test_the_moments_are_those_of_all_observations():
    """Far from 0, where sums of squares would lose all digits."""
    seen = []

    class Far(Walk):
        observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

        def observe(self):
            seen.append(np.array([1e9 + self.x, self.x]))
            return seen[-1].copy()

    diagnosis = diagnose(Far, n_steps=200)
    scale = diagnosis.observations
    np.testing.assert_allclose(scale.std[0], scale.std[1], rtol=1e-6)
    assert 1e9 - 1 <= scale.min[0] <= scale.mean[0] <= scale.max[0] <= 1e9 + 1
    assert scale.max[1] in np.array(seen)[:, 1]


def test_same_random_state_same_diagnosis():
    first, second = (diagnose("FrozenLake-v1", n_steps=500, random_state=3) for _ in range(2))
    assert str(first) == str(second)
    assert str(first) != str(diagnose("FrozenLake-v1", n_steps=500, random_state=4))


def test_a_live_environment_is_not_touched():
    env = gymnasium.make("CartPole-v1")
    env.reset(seed=0)
    env.step(0)
    before = env.unwrapped.state.copy(), env.np_random.bit_generator.state
    env.action_space.seed(0)
    for form in (env, GymEnvironment(env)):
        assert diagnose(form, n_steps=500).warnings == ()
    np.testing.assert_array_equal(before[0], env.unwrapped.state)
    assert before[1] == env.np_random.bit_generator.state
    actions = [env.action_space.sample() for _ in range(20)]
    env.action_space.seed(0)
    assert actions == [env.action_space.sample() for _ in range(20)]


@pytest.mark.parametrize("world", [Walk, RaisesInReset])
def test_what_is_opened_is_closed(world):
    opened = []

    class Counted(world):
        def __init__(self):
            opened.append(self)

        def close(self):
            opened.remove(self)

    diagnose(Counted, n_steps=200)
    assert opened == []


@pytest.mark.parametrize(
    "env",
    [
        gymnasium.spec("FrozenLake-v1"),
        lambda: gymnasium.make("FrozenLake-v1"),
        GymEnvironment("FrozenLake-v1", n_envs=3),
        make_envs("FrozenLake-v1", n=3),
    ],
)
def test_all_forms_of_environments(env):
    diagnosis = diagnose(env, n_steps=2_000)
    assert diagnosis.name == "FrozenLake-v1"
    assert diagnosis.warnings == ()


def test_a_fault_in_one_environment_of_a_list_is_found():
    diagnosis = diagnose([Walk, Walk, Overwritten], n_steps=500)
    assert [finding.code for finding in diagnosis.warnings] == ["observation-overwritten"]


def test_an_action_without_effect_is_noted():
    sizes = np.array([-1, 1, 0])

    class Still(Walk):
        action_space = spaces.Discrete(3)

        def step(self, action):
            self.x += 0.1 * sizes[action]
            ended = abs(self.x) >= 1
            return self.observe(), float(ended), bool(ended), False, {}

        def observe(self):
            return super().observe().clip(-1, 1)

    diagnosis = diagnose(lambda: TimeLimit(Still(), 100), n_steps=1_000)
    notes = {note.code: note.message for note in diagnosis.notes}
    assert notes["action-without-effect"].startswith("Action 2 never changed the observation")


def test_a_constant_policy_that_never_ends_is_noted():
    class Stands(Walk):
        def step(self, action):
            if action == 0:
                return self.observe(), -1.0, False, False, {}
            self.n_steps += 1
            self.x = 0.1 * self.n_steps - 0.5
            return self.observe(), -1.0, self.n_steps == 5, False, {}

    diagnosis = diagnose(Stands, n_steps=1_000)
    assert diagnosis.warnings == ()
    assert "constant-policy-never-ends" in [note.code for note in diagnosis.notes]
    limited = diagnose(lambda: TimeLimit(Stands(), 100), n_steps=1_000)
    assert "constant-policy-never-ends" not in [note.code for note in limited.notes]


def test_gymnasium_has_a_say_if_all_else_is_well():
    class NoOptions(Walk):
        def reset(self, *, seed=None):
            return super().reset(seed=seed)

    diagnosis = diagnose(NoOptions, n_steps=500)
    assert [finding.code for finding in diagnosis.findings] == ["gymnasium-check"]
    assert "options" in diagnosis.findings[0].message


def test_nothing_is_known_of_observations_without_the_right_shape():
    diagnosis = diagnose(OtherShape, n_steps=500)
    assert np.isnan(diagnosis.observations).all()


def test_a_rare_fault_is_counted():
    class Once(Walk):
        n_total = 0

        def observe(self):
            Once.n_total += 1
            return super().observe() + np.float32(5 * (Once.n_total == 250))

    (finding,) = [f for f in diagnose(Once, n_steps=500).warnings if "outside" in f.code]
    assert "(in 1 of" in finding.message


def test_masks_are_respected():
    class OnlyRight(Masked):
        def mask(self):
            return np.array([0, 1], np.int8)

        def step(self, action):
            assert action == 1
            return super().step(action)

    diagnosis = diagnose(OnlyRight, n_steps=500)
    assert diagnosis.warnings == ()
    assert diagnosis.constant[0].returns  # the allowed action was taken in its place


def test_many_actions_share_the_budget():
    many = spaces.MultiDiscrete([10, 10])
    diagnosis = diagnose(
        lambda: TransformAction(Walk(), lambda action: int(action[0] > 4), many), n_steps=2_000
    )
    assert diagnosis.n_actions == 100
    assert len(diagnosis.constant) == 20
    assert {0, 99} <= set(diagnosis.constant)
    assert diagnosis.n_steps == 2_000
    assert "(20 of 100 were played)" in str(diagnosis)


def test_number_of_episodes_is_bounded():
    diagnosis = diagnose("CartPole-v1", n_episodes=3)
    assert len(diagnosis.random.returns) == 3
    assert [len(episodes.returns) for episodes in diagnosis.constant.values()] == [3, 3]


def test_few_steps_do_not_show_that_a_reward_is_never_seen():
    assert diagnose("FrozenLake-v1", n_steps=MIN_STEPS - 1).warnings == ()


def test_reports_of_long_observations_are_short():
    images = spaces.Box(0, 255, (8, 8, 3), np.uint8)

    class Images(Walk):
        observation_space = images

        def observe(self):
            return np.full((8, 8, 3), int(abs(self.x) * 255), np.uint8)

    diagnosis = diagnose(Images, n_steps=500)
    assert diagnosis.warnings == ()
    report = str(diagnosis)
    assert "(192 components)" in report
    assert "observation[0, 0, 1]" in report
    assert len(report.splitlines()) < 25


def test_a_wrapper_can_be_the_fault():
    diagnosis = diagnose(lambda: TransformReward(Walk(), lambda reward: reward * 1e6), n_steps=500)
    assert [finding.code for finding in diagnosis.warnings] == ["reward-scale"]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"n_episodes": 0}, "n_episodes must be at least 1"),
    ],
)
def test_bad_budgets(kwargs, message):
    with pytest.raises(ValueError, match=message):
        diagnose("CartPole-v1", **kwargs)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ([], "list of environments is empty"),
        ("Pendulum-v1", "action space .* is not supported"),
        ("NoSuchWorld-v0", "Cannot make the environment"),
    ],
)
def test_what_cannot_be_opened_raises_as_in_fit(env, message):
    with pytest.raises(ValueError, match=message):
        diagnose(env)


def test_vector_environments():
    with closing(gymnasium.make_vec("CartPole-v1", 2)) as vector_env:
        assert diagnose(vector_env, n_steps=500).name == "CartPole-v1"
    with (
        closing(SyncVectorEnv([Walk, Walk])) as vector_env,
        pytest.raises(ValueError, match="Pass an id, a function"),
    ):
        diagnose(vector_env)


def test_only_environments_of_gymnasium():
    class Own(Environment):
        def reset(self, seed=None):
            raise NotImplementedError

        step = replicate = reset

    with pytest.raises(TypeError, match=r"got Own\(\).*check_environment"):
        diagnose(Own())


def test_a_declared_nondeterminism_is_not_a_fault():
    gymnasium.register("test/OwnRandomness-v0", OwnRandomness, nondeterministic=True)
    assert diagnose("test/OwnRandomness-v0", n_steps=500).warnings == ()


def test_component_names():
    layout = ObservationLayout(
        spaces.Tuple([spaces.Discrete(3, start=5), spaces.MultiDiscrete([2, 4])])
    )
    names = [layout.name(i) for i in range(layout.size)]
    assert names == ["observation[0]", "observation[1][0]", "observation[1][1]"]
    np.testing.assert_array_equal(layout.low, [5, 0, 0])
    np.testing.assert_array_equal(layout.high, [7, 1, 3])
