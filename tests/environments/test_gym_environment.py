import copy
import dataclasses
import pickle
from functools import partial

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from sklearn.base import clone

from skrl.environments.actions import ActionTranslator
from skrl.environments.gym_environment import GymEnvironment

ALL_MODES = list(AutoresetMode)
LENGTHS = (3, 1, 4)


class CountingEnv(gymnasium.Env):
    """Observes (number of the episode, steps within it); ends after `length` steps."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Box(0, np.inf, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self, length=3, terminates=True, reuses_array=True, render_mode=None):
        self.length, self.terminates, self.reuses_array = length, terminates, reuses_array
        self.render_mode = render_mode
        self.observation = np.array([-1, 0], np.float32)
        self.is_closed = False

    def observe(self):
        return self.observation if self.reuses_array else self.observation.copy()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation += [1, 0]
        self.observation[1] = 0
        return self.observe(), {}

    def step(self, action):
        self.observation[1] += 1
        ended = bool(self.observation[1] >= self.length)
        reward = 10 * self.observation[1] + action
        return self.observe(), reward, ended and self.terminates, ended and not self.terminates, {}

    def render(self):
        return np.full((2, 2, 3), self.length, np.uint8)

    def close(self):
        self.is_closed = True


class SpaceEnv(CountingEnv):
    """Gives samples of an observation space, and records its actions."""

    def __init__(self, observation_space, action_space):
        super().__init__(length=3)
        self.observation_space, self.action_space = observation_space, action_space
        self.observed, self.actions = [], []

    def observe(self):
        self.observed.append(self.observation_space.sample())
        return self.observed[-1]

    def step(self, action):
        assert action in self.action_space
        self.actions.append(action)
        return self.observe(), 0.0, len(self.actions) % 3 == 0, False, {}


class NanEnv(CountingEnv):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, (np.nan if self.observation[1] == 2 else 0.0), *rest


class UncopyableEnv(CountingEnv):
    def __deepcopy__(self, memo):
        raise TypeError("holds a window")


class RandomWalkEnv(CountingEnv):
    """Observes random numbers, so that seeds matter."""

    def observe(self):
        return self.np_random.random(2, np.float32)


gymnasium.register("test/Counting-v0", CountingEnv, reward_threshold=7.0, max_episode_steps=50)
gymnasium.register("test/Uncopyable-v0", UncopyableEnv)


def episodes_of(length, terminates, n):
    """The first n transitions of a CountingEnv, and of nothing else, as they should be."""
    for k in range(n):
        episode, t = divmod(k, length)
        ends = t + 1 == length
        action = (episode + t) % 2
        yield (
            (episode, t),
            action,
            10 * (t + 1) + action,
            (episode, t + 1),
            0.0 if ends and terminates else 1.0,
            ends and terminates,
            ends and not terminates,
        )


def collect(environment, n):
    """Run until there are n transitions of each environment; the action follows from the state."""
    environment.reset(seed=0)
    taken = [[] for _ in range(environment.n_envs_)]
    while min(map(len, taken)) < n:
        now = environment.states.copy()
        transitions = environment.step(now.sum(axis=1).astype(np.int64) % 2)
        ids = transitions.env_ids
        assert len(transitions) > 0
        assert ids is None or len(transitions) == len(ids) < environment.n_envs_
        ids = np.arange(environment.n_envs_) if ids is None else ids
        assert np.array_equal(transitions.states, now[ids])
        assert transitions.rewards.dtype == transitions.discounts.dtype == np.float64
        for i, s, a, r, s2, d, term, trunc in zip(
            ids,
            transitions.states.tolist(),
            transitions.actions.tolist(),
            transitions.rewards.tolist(),
            transitions.next_states.tolist(),
            transitions.discounts.tolist(),
            transitions.terminated.tolist(),
            transitions.truncated.tolist(),
            strict=True,
        ):
            taken[i].append((tuple(s), a, r, tuple(s2), d, term, trunc))
    return [rows[:n] for rows in taken]


def counting_envs(terminates, reuses_array=True, lengths=LENGTHS):
    return [partial(CountingEnv, length, terminates, reuses_array) for length in lengths]


def sync(mode, terminates, lengths=LENGTHS):
    # Gymnasium itself loses the last observation of an array that is reused in SAME_STEP mode.
    factories = counting_envs(terminates, mode is not AutoresetMode.SAME_STEP, lengths)
    return SyncVectorEnv(factories, autoreset_mode=mode)


def check_all(environment, terminates, lengths=LENGTHS, n=25):
    assert environment.n_envs_ == len(lengths)
    expected = [list(episodes_of(length, terminates, n)) for length in lengths]
    assert collect(environment, n) == expected


each_ending = pytest.mark.parametrize("terminates", [True, False], ids=["terminates", "truncates"])
each_mode = pytest.mark.parametrize("mode", ALL_MODES, ids=lambda mode: mode.name)


@each_ending
@pytest.mark.parametrize("length", LENGTHS)
def test_a_single_environment_gives_true_transitions(length, terminates):
    check_all(GymEnvironment(CountingEnv(length, terminates)), terminates, [length])


@each_ending
def test_a_list_gives_the_transitions_of_single_environments(terminates):
    check_all(GymEnvironment(counting_envs(terminates)), terminates)


@each_ending
@pytest.mark.parametrize("n_envs", [1, 3])
def test_a_factory_gives_the_transitions_of_single_environments(n_envs, terminates):
    environment = GymEnvironment(partial(CountingEnv, 3, terminates), n_envs)
    check_all(environment, terminates, [3] * n_envs)


@each_ending
@each_mode
def test_a_vector_environment_gives_the_transitions_of_single_environments(mode, terminates):
    check_all(GymEnvironment(sync(mode, terminates)), terminates)


@each_mode
def test_environments_that_all_end_at_once(mode):
    check_all(GymEnvironment(sync(mode, True, [2, 2])), True, [2, 2])
    check_all(GymEnvironment(sync(mode, True, [3])), True, [3])


@each_mode
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_give_the_transitions_of_single_environments(mode):
    vector_env = AsyncVectorEnv(counting_envs(False, False), autoreset_mode=mode)
    try:
        check_all(GymEnvironment(vector_env), False)
    finally:
        vector_env.close()


def test_the_loop_sees_first_states_and_never_last_ones():
    for mode in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
        environment = GymEnvironment(sync(mode, True))
        environment.reset()
        for _ in range(10):
            environment.step(np.zeros(3, np.int64))
            assert (environment.states[:, 1] < LENGTHS).all()


def test_an_environment_that_waits_for_its_reset_has_no_row():
    environment = GymEnvironment(sync(AutoresetMode.NEXT_STEP, True, [2, 3]))
    environment.reset()
    actions = np.array([1, 0])
    assert environment.step(actions).env_ids is None
    assert environment.step(actions).terminated.tolist() == [True, False]
    assert environment.states.tolist() == [[0, 2], [0, 2]]
    transitions = environment.step(actions)
    assert transitions.env_ids.tolist() == [1]
    assert transitions.actions.tolist() == [0]
    assert environment.states.tolist() == [[1, 0], [0, 3]]
    assert environment.step(actions).env_ids.tolist() == [0]


def test_resetting_forgets_who_waited():
    environment = GymEnvironment(sync(AutoresetMode.NEXT_STEP, True, [1, 3]))
    environment.reset()
    environment.step(np.array([0, 0]))
    environment.reset()
    assert environment.step(np.array([0, 0])).env_ids is None


@pytest.mark.parametrize("limit", [12, 500])
def test_cartpoles_own_vector_implementation_gives_the_transitions_of_single_ones(limit):
    spec = dataclasses.replace(gymnasium.spec("CartPole-v1"), max_episode_steps=limit)
    environment = GymEnvironment(spec, n_envs=4)
    environment.reset(seed=0)
    single = gymnasium.make("CartPole-v1").unwrapped
    single.reset()
    rng = np.random.default_rng(0)
    ages, n_truncated, n_terminated, successors = np.zeros(4, int), 0, 0, {}
    for _ in range(150):
        transitions = environment.step(rng.integers(2, size=4))
        ids = np.arange(4) if transitions.env_ids is None else transitions.env_ids
        ages[ids] += 1
        for i, row in zip(ids, range(len(transitions)), strict=True):
            t = transitions[row]
            assert np.array_equal(t.states, successors.get(i, t.states))
            single.state, single.steps_beyond_terminated = t.states.astype(float), None
            observation, reward, terminated, _, _ = single.step(int(t.actions))
            np.testing.assert_allclose(t.next_states, observation, atol=1e-5)
            assert t.rewards == reward
            assert t.terminated == terminated
            assert t.truncated == (ages[i] == limit)
            assert t.discounts == (0 if terminated else 1)
            successors[i] = t.next_states
            n_terminated, n_truncated = n_terminated + t.terminated, n_truncated + t.truncated
            if t.terminated or t.truncated:
                ages[i] = 0
                del successors[i]
    assert (n_truncated if limit == 12 else n_terminated) > 5


class SpoiledVectorEnv(SyncVectorEnv):
    """A vector environment that breaks the rules of Gymnasium."""

    def __init__(self, drop):
        super().__init__(counting_envs(True, False), autoreset_mode=AutoresetMode.SAME_STEP)
        self.drop = drop
        if drop == "mode":
            del self.metadata["autoreset_mode"]

    def step(self, actions):
        *results, infos = super().step(actions)
        if self.drop == "final_obs":
            infos.pop("final_obs", None)
        if self.drop == "rewards' shape":
            results[1] = results[1][:, None]
        return *results, infos


def test_a_vector_environment_without_a_mode_is_taken_as_gymnasium_takes_it():
    environment = GymEnvironment(SpoiledVectorEnv("mode"))
    with pytest.warns(UserWarning, match="assuming that it resets in the next step"):
        environment.reset()


@pytest.mark.parametrize(
    ("drop", "message"),
    [("final_obs", "last observations .* are lost"), ("rewards' shape", r"shape \(3, 1\)")],
)
def test_a_vector_environment_that_breaks_its_word_is_refused(drop, message):
    environment = GymEnvironment(SpoiledVectorEnv(drop))
    environment.reset()
    with pytest.raises(ValueError, match=message):
        environment.step(np.zeros(3, np.int64))


def test_transitions_can_be_kept_and_their_discounts_multiplied():
    """What happens later does not change them, and changing discounts changes nothing else."""
    for env in (CountingEnv(), sync(AutoresetMode.NEXT_STEP, True), counting_envs(True)):
        environment = GymEnvironment(env)
        twin = GymEnvironment(copy.deepcopy(env))
        first, _ = environment.reset(seed=0), twin.reset(seed=0)
        kept, copies = [first], [first.copy()]
        for _ in range(9):
            actions = np.zeros(environment.n_envs_, np.int64)
            transitions, expected = environment.step(actions), twin.step(actions)
            assert np.array_equal(transitions.discounts, expected.discounts)
            transitions.discounts *= 0.5
            for field in dataclasses.fields(transitions):
                if (array := getattr(transitions, field.name)) is not None:
                    kept.append(array)
                    copies.append(array.copy())
        for array, copied in zip(kept, copies, strict=True):
            assert np.array_equal(array, copied)


# Spaces and actions


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("actions", [spaces.Discrete(3, start=5), spaces.MultiDiscrete([2, 2])])
@pytest.mark.parametrize(
    "observations",
    [
        spaces.Discrete(3, start=-1),
        spaces.Box(0, 255, (2, 2), np.uint8),
        spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Tuple((spaces.Box(0, 1, (2,)),))}),
    ],
)
def test_spaces_are_translated_both_ways(observations, actions, n_envs):
    envs = [SpaceEnv(observations, actions) for _ in range(n_envs)]
    environment = GymEnvironment(envs)
    assert environment.observation_space == observations
    assert environment.action_space == actions
    environment.reset(seed=0)
    rng = np.random.default_rng(0)
    indices = rng.integers(environment.n_actions, size=(7, n_envs))
    for step in indices:
        for state in environment.step(step).next_states:
            assert np.asarray(state) in environment.state_space
    translator = ActionTranslator(actions)
    for i, env in enumerate(envs):
        assert np.array_equal(env.actions, translator.translate(indices[:, i]))


def test_every_id_of_gymnasiums_own_tabular_worlds_opens():
    for env_id in ("FrozenLake-v1", "CliffWalking-v1", "Taxi-v4", "Blackjack-v1"):
        with GymEnvironment(env_id, n_envs=2) as environment:
            states = environment.reset(seed=0)
            environment.step(np.zeros(2, np.int64))
            assert all(np.asarray(state) in environment.state_space for state in states)


# Seeds


@pytest.mark.parametrize(
    "env",
    [RandomWalkEnv, [RandomWalkEnv, RandomWalkEnv], "CartPole-v1"],
    ids=["factory", "list", "own vector implementation"],
)
@pytest.mark.parametrize("n_envs", [1, 2])
def test_the_same_seed_gives_the_same_trajectories(env, n_envs):
    def walk(environment, seed):
        environment.reset(seed=seed)
        steps = [environment.step(np.zeros(environment.n_envs_, np.int64)) for _ in range(40)]
        actions = [environment.action_space.sample() for _ in range(40)]
        return np.concatenate([t.next_states for t in steps]), actions

    first, again, other = (GymEnvironment(env, n_envs) for _ in range(3))
    states, actions = walk(first, 3)
    for environment in (again, first):
        assert np.array_equal(walk(environment, 3)[0], states)
        assert walk(environment, 3)[1] == actions
    # Another seed is another walk; without a seed, the random numbers go on.
    for environment, seed in ((other, 4), (first, None)):
        other_states, other_actions = walk(environment, seed)
        assert not np.array_equal(other_states[:5], states[:5])
        assert other_actions != actions


def test_neighbours_have_different_seeds():
    states = GymEnvironment("CartPole-v1", n_envs=8).reset(seed=0)
    assert len(np.unique(states, axis=0)) == 8
    listed = GymEnvironment(["CartPole-v1"] * 8)
    first, second = listed.reset(seed=0), listed.reset(seed=1)
    assert len(np.unique(np.concatenate([first, second]), axis=0)) == 16
    factories = [partial(gymnasium.make, "CartPole-v1")] * 8
    assert np.array_equal(GymEnvironment(SyncVectorEnv(factories)).reset(seed=0), first)
    # The first one among many is the single one.
    assert np.array_equal(GymEnvironment("CartPole-v1").reset(seed=0)[0], first[0])


# The estimator


def test_the_constructor_opens_nothing_and_clone_copies_parameters():
    environment = GymEnvironment("no such thing", n_envs=-3, render_mode="what?")
    assert clone(environment).get_params() == {
        "env": "no such thing",
        "n_envs": -3,
        "render_mode": "what?",
        "asynchronous": None,
    }
    environment.close()


def test_new_parameters_close_what_was_open():
    environment = GymEnvironment(CountingEnv)
    assert environment.reset().shape == (1, 2)
    made = environment._backend.env
    assert environment.set_params(n_envs=2).reset().shape == (2, 2)
    assert made.is_closed


def test_pickles_leave_out_what_can_be_made_again():
    environment = GymEnvironment("CartPole-v1", n_envs=2)
    environment.reset(seed=0)
    loaded = pickle.loads(pickle.dumps(environment))
    with pytest.raises(ValueError, match="call reset"):
        loaded.states  # noqa: B018
    assert np.array_equal(loaded.reset(seed=5), environment.reset(seed=5))


@pytest.mark.parametrize("env", [CountingEnv(), [CountingEnv(), CountingEnv(4)]])
def test_pickles_keep_live_environments_where_they_are(env):
    environment = GymEnvironment(env)
    environment.reset()
    actions = np.zeros(environment.n_envs_, np.int64)
    environment.step(actions)
    loaded = pickle.loads(pickle.dumps(environment))
    assert np.array_equal(loaded.states, environment.states)
    assert np.array_equal(loaded.step(actions).next_states, environment.step(actions).next_states)


def test_closing_leaves_live_environments_open():
    live = CountingEnv()
    with GymEnvironment([live, CountingEnv]) as environment:
        environment.reset()
        made = environment._backend.env.envs[1]
    assert not live.is_closed
    assert made.is_closed
    with GymEnvironment(live) as environment:
        environment.reset()
    assert not live.is_closed
    # A closed environment can be used again.
    assert environment.reset().shape == (1, 2)


@pytest.mark.parametrize(
    ("env", "threshold"),
    [
        ("test/Counting-v0", 7.0),
        (gymnasium.make("test/Counting-v0"), 7.0),
        (["test/Counting-v0"] * 2, 7.0),
        (["test/Counting-v0", CountingEnv], None),
        (gymnasium.make_vec("test/Counting-v0", 2), 7.0),
        (gymnasium.make_vec("CartPole-v1", 2), 475.0),
        (CountingEnv, None),
        (sync(AutoresetMode.DISABLED, True), None),
    ],
)
def test_the_reward_threshold_is_the_one_that_all_publish(env, threshold):
    assert GymEnvironment(env).reward_threshold == threshold


# Replicas


def step_lengths(environment):
    """How long the first episode is in each environment."""
    environment.reset(seed=0)
    lengths = np.zeros(environment.n_envs_, int)
    for t in range(1, 8):
        transitions = environment.step(np.zeros(environment.n_envs_, np.int64))
        assert transitions.env_ids is None
        ended = transitions.terminated | transitions.truncated
        lengths[(lengths == 0) & ended] = t
    return lengths.tolist()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("test/Counting-v0", [3, 3, 3, 3]),
        (gymnasium.spec("test/Counting-v0"), [3, 3, 3, 3]),
        (partial(CountingEnv, 2), [2, 2, 2, 2]),
        (CountingEnv(2), [2, 2, 2, 2]),
        (gymnasium.wrappers.TimeLimit(CountingEnv(5), 2), [2, 2, 2, 2]),
        (gymnasium.make("test/Uncopyable-v0", length=4), [4, 4, 4, 4]),
        ([CountingEnv(2), partial(CountingEnv, 4), "test/Counting-v0"], [2, 4, 3, 2]),
        (gymnasium.make_vec("test/Counting-v0", 2, length=4), [4, 4, 4, 4]),
        (sync(AutoresetMode.DISABLED, True, [1, 2, 3, 4]), [1, 2, 3, 4]),
    ],
)
def test_replicas_are_like_the_original_and_do_not_disturb_it(env, expected):
    environment = GymEnvironment(env)
    environment.reset(seed=1)
    before = environment.states.copy()
    assert step_lengths(environment.replicate(4)) == expected
    if len(set(expected)) < 4:
        assert step_lengths(environment.replicate(1)) == expected[:1]
        assert step_lengths(environment.replicate(2)) == expected[:2]
    assert np.array_equal(environment.states, before)


def test_wrappers_survive_replication():
    wrappers = (partial(gymnasium.wrappers.TimeLimit, max_episode_steps=2),)
    environment = GymEnvironment(gymnasium.make_vec("test/Counting-v0", 2, wrappers=wrappers))
    assert step_lengths(environment.replicate(1)) == [2]
    assert step_lengths(environment.replicate(3)) == [2, 2, 2]
    env = gymnasium.wrappers.TimeLimit(gymnasium.make("CartPole-v1"), 4)
    assert step_lengths(GymEnvironment(env).replicate(2)) == [4, 4]


def test_copies_draw_different_random_numbers():
    live = RandomWalkEnv()
    live.reset(seed=0)
    replica = GymEnvironment(live).replicate(2)
    replica.reset()
    walks = replica.step(np.array([0, 0])).next_states
    assert not np.array_equal(walks[0], walks[1])


@pytest.mark.parametrize(
    ("env", "n_envs", "message"),
    [
        (UncopyableEnv(), 2, "no spec, and copying it failed: holds a window. Pass an id or"),
        (sync(AutoresetMode.DISABLED, True), 2, "no complete spec, and it has 3 environments"),
        (SyncVectorEnv([UncopyableEnv]), 1, "copying it failed: holds a window. Pass an id"),
        (
            gymnasium.wrappers.vector.ClipReward(
                gymnasium.make_vec("CartPole-v1", 2), max_reward=0
            ),
            3,
            "no complete spec",
        ),
        (CountingEnv, 0, "n_envs must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_replicated_says_so(env, n_envs, message):
    with pytest.raises(ValueError, match=message):
        GymEnvironment(env).replicate(n_envs)


# Rendering


def make_with_mode(render_mode=None):
    return CountingEnv(5, render_mode=render_mode)


@pytest.mark.parametrize(
    ("env", "length"),
    [
        ("test/Counting-v0", 3),
        (gymnasium.spec("test/Counting-v0"), 3),
        (make_with_mode, 5),
        (lambda: CountingEnv(4, render_mode="rgb_array"), 4),
        (CountingEnv(2, render_mode="rgb_array"), 2),
        (gymnasium.make("test/Counting-v0", length=2), 2),
        ([make_with_mode, "test/Counting-v0"], 5),
        (gymnasium.make_vec("test/Counting-v0", 2, length=6), 6),
    ],
)
@pytest.mark.parametrize("n_envs", [1, 2])
def test_replicas_render_the_first_environment(env, length, n_envs):
    with GymEnvironment(env).replicate(n_envs, render_mode="rgb_array") as replica:
        replica.reset(seed=0)
        assert np.array_equal(replica.render(), np.full((2, 2, 3), length))


def test_live_vector_environments_render():
    pytest.importorskip("pygame")
    environment = GymEnvironment(gymnasium.make_vec("CartPole-v1", 2, render_mode="rgb_array"))
    environment.reset(seed=0)
    assert environment.render().shape == (400, 600, 3)


def test_evaluation_opens_no_windows():
    environment = GymEnvironment(gymnasium.make("CartPole-v1", render_mode="human"))
    assert environment.replicate(1)._backend.env.render_mode is None
    spec = gymnasium.make("CartPole-v1", render_mode="human").spec
    assert GymEnvironment(spec).replicate(1)._backend.env.render_mode is None


@pytest.mark.parametrize(
    "env",
    [
        "test/Uncopyable-v0",
        make_with_mode,
        CountingEnv(),
        gymnasium.make("test/Counting-v0"),
        sync(AutoresetMode.DISABLED, True, [2, 2]),
        [CountingEnv],
    ],
)
def test_unknown_render_modes_are_refused(env):
    with pytest.raises(ValueError, match="render_mode='ansi'"):
        GymEnvironment(env).replicate(2, render_mode="ansi")


def test_a_render_mode_error_lists_the_possible_ones():
    with pytest.raises(ValueError, match=r"no render_mode='ansi'. Possible are: \['rgb_array'\]"):
        GymEnvironment("test/Counting-v0", render_mode="ansi").reset()
    with pytest.raises(ValueError, match=r"make it with render_mode='human'.*\['rgb_array'\]"):
        GymEnvironment(CountingEnv(), render_mode="human").reset()
    with pytest.raises(ValueError, match=r"make it with render_mode='rgb_array'"):
        GymEnvironment(sync(AutoresetMode.DISABLED, True), render_mode="rgb_array").reset()
    with pytest.raises(ValueError, match=r"take render_mode as an argument.*\['rgb_array'\]"):
        GymEnvironment(lambda: CountingEnv(), render_mode="rgb_array").reset()


def test_rendering_without_a_mode_says_what_to_do():
    environment = GymEnvironment("CartPole-v1")
    environment.reset()
    with pytest.raises(ValueError, match=r'GymEnvironment.*render_mode="rgb_array"'):
        environment.render()


# What goes wrong

BAD_ENVIRONMENTS = [
    ("CartPol-v1", 1, ValueError, "'CartPol-v1': .*Did you mean: `CartPole`.*pprint_registry"),
    ("CartPol-v1", 2, ValueError, "'CartPol-v1': .*Did you mean: `CartPole`.*pprint_registry"),
    ("Taxi-v2", 1, ValueError, "Please use `Taxi-v4` instead"),
    ("CartPole-v9", 1, ValueError, "It provides versioned environments: .*`v1`"),
    ("nobody/Env-v0", 1, ValueError, "Namespace nobody not found"),
    ("no_such_module:Env-v0", 1, ValueError, "No module named 'no_such_module'"),
    ("not an id!", 1, ValueError, "Malformed environment ID"),
    (["CartPole-v1", "CartPol-v1"], 1, ValueError, "Did you mean: `CartPole`"),
    (lambda: None, 1, TypeError, "should return a gymnasium.Env, but it returned None"),
    (lambda: gymnasium.make_vec("CartPole-v1", 2), 1, TypeError, "returned CartPoleVectorEnv"),
    (42, 1, TypeError, "an id such as 'CartPole-v1', .* got 42 of type int"),
    ([sync(AutoresetMode.DISABLED, True)], 1, TypeError, "a list of those except vector"),
    ([], 1, ValueError, "list of environments is empty"),
    (CountingEnv(), 2, ValueError, "pass its id or a function .*n_envs=2"),
    ([CountingEnv] * 3, 2, ValueError, "n_envs=2 contradicts a list of 3"),
    (sync(AutoresetMode.DISABLED, True), 2, ValueError, "contradicts a vector environment of 3"),
    ([CountingEnv()] * 2, 1, ValueError, "same environment object came twice"),
    (["CartPole-v1", CountingEnv], 1, ValueError, r"equal spaces.*Box\(.*\(4,\).*Box\(.*\(2,\)"),
    ("CartPole-v1", 0, ValueError, "n_envs must be at least 1, got 0"),
    ("CartPole-v1", True, TypeError, "n_envs must be an integer, got True of type bool"),
    ("Pendulum-v1", 1, ValueError, "action space Box.*discretise"),
    ("Pendulum-v1", 2, ValueError, "action space Box.*discretise"),
    (
        lambda: SpaceEnv(spaces.Text(3), spaces.Discrete(2)),
        1,
        ValueError,
        r"observation space Text\(.*Supported",
    ),
]


@pytest.mark.parametrize(("env", "n_envs", "kind", "message"), BAD_ENVIRONMENTS)
@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_what_cannot_be_opened_says_so(env, n_envs, kind, message):
    environment = GymEnvironment(None).set_params(env=env, n_envs=n_envs)
    with pytest.raises(kind, match=message):
        environment.reset()


def test_a_missing_package_is_named():
    def raise_hint():
        raise gymnasium.error.DependencyNotInstalled('run `pip install "gymnasium[box2d]"`')

    gymnasium.register("test/Missing-v0", raise_hint)
    for n_envs in (1, 2):
        with pytest.raises(ValueError, match=r"Cannot make .*run `pip install \"gymnasium\[box2d"):
            GymEnvironment("test/Missing-v0", n_envs).reset()


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize(
    ("action", "message"),
    [(2, "indices from 0 to 1, got"), (-1, "indices from 0 to 1, got")],
)
def test_actions_out_of_range_are_refused(n_envs, action, message):
    environment = GymEnvironment(CountingEnv, n_envs)
    environment.reset()
    actions = np.zeros(n_envs, np.int64)
    actions[-1] = action
    with pytest.raises(ValueError, match=message):
        environment.step(actions)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_actions_of_a_wrong_form_are_refused(n_envs):
    environment = GymEnvironment(CountingEnv, n_envs)
    environment.reset()
    with pytest.raises(
        ValueError, match=rf"shape \({n_envs},\).*got an array of dtype int64 and shape \(3,\)"
    ):
        environment.step(np.zeros(3, np.int64))
    # Past the type hints, which the test suite checks and a user's program does not:
    for actions in ([0] * n_envs, np.zeros(n_envs), np.zeros(n_envs, np.int32), 0):
        with pytest.raises(TypeError, match=rf"int64 array of shape \({n_envs},\).*, got"):
            environment._backend.check_form(actions)


@pytest.mark.parametrize("env", [NanEnv, [NanEnv, NanEnv], SyncVectorEnv([NanEnv] * 2)])
def test_a_reward_that_is_no_number_ends_the_run_at_that_step(env):
    environment = GymEnvironment(env)
    environment.reset()
    actions = np.zeros(environment.n_envs_, np.int64)
    environment.step(actions)
    with pytest.raises(ValueError, match=r"environment gave the reward .*nan.*finite"):
        environment.step(actions)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_nothing_can_be_done_before_the_first_reset(n_envs):
    environment = GymEnvironment(partial(CountingEnv, render_mode="rgb_array"), n_envs)
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        environment.states  # noqa: B018
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        environment.step(np.zeros(n_envs, np.int64))
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        environment.render()
