"""Which actions are allowed, as the environments' infos say."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from skrl.environments.gym_environment import GymEnvironment
from skrl.estimator_checks.environment import check_environment

LENGTH = 4


class Hall(gymnasium.Env):
    """A walk over 0, ..., 4 from anywhere but 4: no way left at 0, and nothing to do at 4."""

    observation_space = spaces.Discrete(LENGTH + 1)
    action_space = spaces.Discrete(3)

    def info(self):
        return {"action_mask": hall_mask(self.state)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(LENGTH))
        return self.state, self.info()

    def step(self, action):
        assert hall_mask(self.state)[action], "not allowed"
        self.state += (-1, 0, 1)[action]
        return self.state, 0.0, self.state == LENGTH, False, self.info()


def hall_mask(state):
    """Left, stay, right: to stay is allowed in even states."""
    return np.array(
        [0 < state < LENGTH, state % 2 == 0 and state < LENGTH, state < LENGTH], np.int8
    )


def make_hall():
    return TimeLimit(Hall(), 3)


def sync(mode):
    return SyncVectorEnv([make_hall] * 3, autoreset_mode=mode)


def check_masks(environment, truth, n_steps):
    """Compare the masks with the true ones of the states; give how many episodes ended, and how."""
    rng = np.random.default_rng(0)
    states = environment.reset(seed=0)
    assert np.array_equal(environment.action_masks, [truth(s) for s in states])
    n_terminated = n_truncated = n_dropped = 0
    waiting = np.zeros(environment.n_envs_, bool)
    for _ in range(n_steps):
        masks = environment.action_masks
        actions = np.where(masks, rng.random(masks.shape), -1).argmax(axis=1)
        t = environment.step(actions)
        for state, mask, terminated in zip(
            t.next_states, t.next_action_masks, t.terminated, strict=True
        ):
            allowed = truth(state).astype(bool)
            if terminated and not allowed.any():
                allowed[:] = True
            assert np.array_equal(mask, allowed)
        ids = np.arange(environment.n_envs_) if t.env_ids is None else t.env_ids
        waiting[:] = False
        waiting[ids] = t.terminated & (environment.states[ids] == t.next_states)
        for state, mask, waits in zip(
            environment.states, environment.action_masks, waiting, strict=True
        ):
            assert np.array_equal(mask, truth(state)) or (waits and mask.all())
        n_terminated += t.terminated.sum()
        n_truncated += t.truncated.sum()
        n_dropped += environment.n_envs_ - len(ids)
    return n_terminated, n_truncated, n_dropped


@pytest.mark.parametrize(
    "env",
    [make_hall(), [make_hall] * 3, *[sync(mode) for mode in AutoresetMode]],
    ids=["single", "list", *[mode.name for mode in AutoresetMode]],
)
def test_masks_are_those_of_the_state_and_of_the_true_successor(env):
    environment = GymEnvironment(env)
    n_terminated, n_truncated, n_dropped = check_masks(environment, hall_mask, 300)
    assert n_terminated > 10
    assert n_truncated > 10
    is_next_step = (
        environment._backend.env.metadata.get("autoreset_mode") is AutoresetMode.NEXT_STEP
    )
    assert (n_dropped > 20) == is_next_step


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_give_the_masks_of_the_true_successors():
    vector_env = AsyncVectorEnv([make_hall] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    try:
        check_masks(GymEnvironment(vector_env), hall_mask, 30)
    finally:
        vector_env.close()


@pytest.mark.parametrize("n_envs", [1, 3])
def test_taxis_masks(n_envs):
    taxi = gymnasium.make("Taxi-v4").unwrapped
    environment = GymEnvironment("Taxi-v4", n_envs)
    _, n_truncated, _ = check_masks(environment, taxi.action_mask, 450)
    assert n_truncated >= n_envs
    check_environment(GymEnvironment("Taxi-v4", n_envs))


@pytest.mark.parametrize(
    "env", [make_hall, *[sync(mode) for mode in AutoresetMode]], ids=lambda env: str(env)[:20]
)
def test_environments_with_masks_keep_the_contracts(env):
    check_environment(GymEnvironment(env))


@pytest.mark.parametrize("n_envs", [1, 2])
def test_without_masks_all_is_allowed(n_envs):
    environment = GymEnvironment("CartPole-v1", n_envs)
    environment.reset(seed=0)
    assert environment.action_masks is None
    assert environment.step(np.zeros(n_envs, np.int64)).next_action_masks is None


class Masked(Hall):
    """Gives these masks, the first one at the reset and the others after the steps."""

    def __init__(self, masks, n_steps=2, action_space=None):
        self.masks, self.n_steps = masks, n_steps
        self.action_space = action_space or spaces.Discrete(2)

    def info(self):
        mask = self.masks[min(self.t, len(self.masks) - 1)]
        return {} if mask is None else {"action_mask": mask}

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return 0, self.info()

    def step(self, action):
        self.t += 1
        return self.t, 0.0, self.t == self.n_steps, False, self.info()


def run(masks, n_envs, mode, n_steps=2, action_space=None):
    """Take two steps."""

    def make():
        return Masked(masks, n_steps, action_space)

    env = make if mode is None else SyncVectorEnv([make] * n_envs, autoreset_mode=mode)
    environment = GymEnvironment(env, n_envs)
    environment.reset(seed=0)
    for _ in range(2):
        transitions = environment.step(np.zeros(n_envs, np.int64))
    return transitions


each_way = pytest.mark.parametrize(
    ("n_envs", "mode"), [(1, None), (2, None), *[(2, mode) for mode in AutoresetMode]]
)
YES, NO = np.array([1, 0]), np.array([0, 0])


@each_way
@pytest.mark.parametrize("last", [NO, None, [0, 0]], ids=["nothing", "missing", "a list"])
def test_a_terminal_state_may_allow_nothing(n_envs, mode, last):
    transitions = run([YES, YES, last], n_envs, mode)
    assert transitions.terminated.all()
    assert transitions.next_action_masks.all()


@each_way
@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ([NO], "allows no action in a state that is not terminal"),
        ([YES, NO], "allows no action in a state that is not terminal"),
        ([YES, None], "is missing in a state that is not terminal"),
        ([np.ones(3)], r"an array of shape \(2,\), one number per action"),
        ([YES, (YES, np.ones(3))], r"an array of shape \(2,\), one number per action"),
        ([np.int64(1)], r"an array of shape \(2,\), one number per action"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Casting input:UserWarning")
def test_bad_masks_are_refused(n_envs, mode, masks, message):
    with pytest.raises(ValueError, match=message):
        run(masks, n_envs, mode)


@pytest.mark.parametrize("mode", [None, AutoresetMode.SAME_STEP])
def test_masks_of_combinations(mode):
    space = spaces.MultiDiscrete([2, 3])
    mask = np.array([1, 0, 1, 0, 0, 1])
    transitions = run([mask, mask, 1 - mask, mask], 2, mode, n_steps=3, action_space=space)
    assert np.array_equal(transitions.next_action_masks, [1 - mask] * 2)
    # The form that the space's own `sample` takes is not over the combinations.
    with pytest.raises(ValueError, match=r"shape \(6,\), .*per combination, in lexicographic"):
        run([(np.ones(2), np.ones(3))], 1, mode, action_space=space)


class Forgetful(GymEnvironment):
    """Gives the masks of the states before the step as those of the successors."""

    def step(self, actions):
        masks = self.action_masks
        transitions = super().step(actions)
        transitions.next_action_masks = masks
        return transitions


class Unmasked(GymEnvironment):
    """Gives masks of the states, but not of the successors."""

    def step(self, actions):
        transitions = super().step(actions)
        transitions.next_action_masks = None
        return transitions


@pytest.mark.parametrize(
    ("kind", "message"), [(Forgetful, "within an episode"), (Unmasked, "bool")]
)
def test_the_check_of_masks_finds_wrong_ones(kind, message):
    with pytest.raises(AssertionError, match=f"check_action_masks.*{message}"):
        check_environment(kind(make_hall, 2))
