"""The data, and the loop of Runner.run."""

import copy

import gymnasium
import numpy as np
import pytest
from sklearn.base import clone

from skrl import (
    DQN,
    IQN,
    DoubleMemoizationQFunction,
    EpsilonGreedy,
    ExperienceReplay,
    Greedy,
    GymEnvironment,
    LinearSchedule,
    MemoizationQFunction,
    PrioritizedBuffer,
    RandomPolicy,
    ReplayBuffer,
    SegmentedEpsilonGreedy,
    SimpleRunner,
)
from skrl.base import Callback, Policy, Run, Runner, Transitions
from skrl.history import Budget, History
from worlds import make_transitions


def parts(env="skrl/CircularWorld-v0", n_envs=1):
    environment = GymEnvironment(env, n_envs=n_envs)
    qfunction = MemoizationQFunction(learning_rate=0.5)
    return environment, qfunction.build(environment.state_space, environment.n_actions, 0)


class Recorder(Runner):
    """Learns nothing, remembers all it was given."""

    def learn(self, run, transitions):
        if not hasattr(self, "seen"):
            self.seen = []
        self.seen.append(transitions)


def test_indexing_transitions_indexes_every_array():
    transitions = make_transitions(np.random.default_rng(0), (3, 5))
    row = transitions[1, 2]
    assert row.rewards == transitions.rewards[1, 2]
    np.testing.assert_array_equal(row.states, transitions.states[1, 2])
    assert len(transitions) == 3
    assert len(transitions[0]) == 5


def test_concatenated_steps_know_their_environments():
    rng = np.random.default_rng(0)
    first, second = make_transitions(rng, (3,)), make_transitions(rng, (2,))
    second.env_ids = np.array([0, 2])
    joined = Transitions.concatenate([first, second])
    assert joined.env_ids.tolist() == [0, 1, 2, 0, 2]
    np.testing.assert_array_equal(joined.rewards, np.r_[first.rewards, second.rewards])
    np.testing.assert_array_equal(joined.next_states[3:], second.next_states)


def test_a_policy_needs_only_probabilities():
    """The default `decide` draws from them."""

    class Biased(Policy):
        def probabilities(self, states, qfunction, progress):
            return np.tile([0.2, 0.0, 0.8], (len(states), 1))

    n = 20_000
    states = np.zeros(n, dtype=np.int64)
    actions = Biased().decide(states, parts()[1], 0.0, np.random.default_rng(0)).actions
    frequencies = np.bincount(actions, minlength=3) / n
    assert frequencies[1] == 0
    assert frequencies[0] == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / n))


@pytest.mark.parametrize(
    "runner",
    [
        SimpleRunner(),
        ExperienceReplay(ReplayBuffer(n_step_return=1), learning_starts=64, train_freq=64),
    ],
)
def test_every_runner_multiplies_the_discounts_by_gamma(runner):
    learned_from = []

    class Watch(MemoizationQFunction):
        def update(self, transitions):
            learned_from.append((transitions.discounts.ravel(), transitions.terminated.ravel()))
            return super().update(transitions)

    environment = GymEnvironment("skrl/IntervalWorld-v0")
    qfunction = Watch().build(environment.state_space, environment.n_actions, 0)
    runner.run(environment, qfunction, RandomPolicy(), discount_factor=0.7, n_steps=300, rng=0)
    discounts, terminated = (np.concatenate(arrays) for arrays in zip(*learned_from, strict=True))
    assert terminated.any()
    np.testing.assert_allclose(discounts, np.where(terminated, 0, 0.7), rtol=1e-6)


def test_the_transitions_form_unbroken_episodes():
    environment, qfunction = parts()
    runner = Recorder()
    history = runner.run(environment, qfunction, RandomPolicy(), n_steps=250, rng=0)
    seen = Transitions.concatenate(runner.seen)
    goes_on = ~(seen.terminated | seen.truncated)[:-1]
    np.testing.assert_array_equal(seen.next_states[:-1][goes_on], seen.states[1:][goes_on])
    assert np.flatnonzero(~goes_on).tolist() == [99, 199]  # the world's time limit
    assert history[:, "return"].tolist() == [
        seen.rewards[:100].sum(),
        seen.rewards[100:200].sum(),
    ]


@pytest.mark.parametrize(
    ("budget", "n_steps", "n_episodes"),
    [
        ({"n_steps": 130}, 130, 1),
        ({"n_episodes": 3}, 300, 3),
        ({"n_steps": 150, "n_episodes": 3}, 150, 1),
        ({"n_steps": 450, "n_episodes": 2}, 200, 2),
    ],
)
def test_the_run_ends_with_whichever_budget_is_used_up_first(budget, n_steps, n_episodes):
    environment, qfunction = parts()
    history = SimpleRunner().run(environment, qfunction, RandomPolicy(), rng=0, **budget)
    assert (history.n_steps, len(history)) == (n_steps, n_episodes)


def test_progress_grows_with_the_steps():
    seen = []

    class Watch(RandomPolicy):
        def decide(self, states, qfunction, progress, rng, action_masks=None):
            seen.append(progress)
            return super().decide(states, qfunction, progress, rng, action_masks)

    environment, qfunction = parts()
    SimpleRunner().run(environment, qfunction, Watch(), n_steps=4, rng=0)
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_callbacks_are_called_in_order_and_can_stop_the_run():
    calls = []

    class Watch(Callback):
        def on_run_begin(self, run):
            calls.append("begin")

        def on_episode_end(self, run):
            calls.append(("episode", run.history.n_steps))
            if len(run.history) == 3:
                run.stop("enough")

        def on_rollout_end(self, run):
            calls.append(("rollout", run.history.n_steps))

        def on_run_end(self, run):
            calls.append(("end", run.stop_reason))

    environment, qfunction = parts()
    SimpleRunner().run(environment, qfunction, RandomPolicy(), n_steps=500, callbacks=[Watch()])
    assert calls == [
        "begin",
        ("episode", 100),
        ("episode", 200),
        ("rollout", 256),
        ("episode", 300),
        ("rollout", 300),
        ("end", "enough"),
    ]


def test_callbacks_see_the_end_of_a_run_that_breaks():
    ended = []

    class Watch(Callback):
        def on_episode_end(self, run):
            raise KeyboardInterrupt

        def on_run_end(self, run):
            ended.append(run.history.n_steps)

    environment, qfunction = parts()
    with pytest.raises(KeyboardInterrupt):
        SimpleRunner().run(environment, qfunction, RandomPolicy(), n_steps=500, callbacks=[Watch()])
    assert ended == [100]


def test_side_by_side_counts_every_environment():
    environment, qfunction = parts(n_envs=8)
    history = SimpleRunner().run(environment, qfunction, EpsilonGreedy(), n_steps=1000, rng=0)
    assert history.n_steps == 1000
    assert sorted(history[:8, "env_id"]) == list(range(8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a budget"),
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_episodes": -1}, "n_episodes must be at least 1, got -1"),
        ({"n_steps": 9, "discount_factor": 1.5}, r"discount_factor must be in \[0, 1\], got 1.5"),
    ],
)
def test_bad_budgets_are_refused(arguments, message):
    environment, qfunction = parts()
    with pytest.raises(ValueError, match=message):
        SimpleRunner().run(environment, qfunction, RandomPolicy(), **arguments)


class Raises(Callback):
    def __init__(self, where):
        self.where = where

    def on_run_begin(self, run):
        if self.where == "begin":
            raise RuntimeError("begin")

    def on_run_end(self, run):
        if self.where == "end":
            raise RuntimeError("end")


class Ends(Callback):
    def on_run_end(self, run):
        self.has_ended = True


@pytest.mark.parametrize("where", ["begin", "end"])
def test_a_callback_that_raises_masks_nothing_and_keeps_no_other_from_its_end(where):
    environment, qfunction = parts()
    first, last = Ends(), Ends()
    with pytest.raises(RuntimeError, match=where):
        SimpleRunner().run(
            environment,
            qfunction,
            RandomPolicy(),
            n_steps=50,
            callbacks=[first, Raises(where), last],
        )
    assert first.has_ended
    assert hasattr(last, "has_ended") == (where == "end")  # it had not begun


class Copies(Callback):
    """Copies a run, and where its environment stands, at the end of a rollout."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def on_rollout_end(self, run):
        if run.history.n_steps == self.n_steps:
            self.copied = run.state(), copy.deepcopy(run.environment)


def make_run(environment, qfunction, policy, runner, callbacks=()):
    history = History()
    budget = Budget(history, 2048, None)
    rng = np.random.default_rng(5)
    run = Run(environment, qfunction, policy, runner, history, budget, budget, 0.9, rng, callbacks)
    runner.start(run)
    return run


RESUMED = {
    "table": ("FrozenLake-v1", DoubleMemoizationQFunction(), EpsilonGreedy(), SimpleRunner()),
    "DQN": (
        "CartPole-v1",
        DQN((16,)),
        SegmentedEpsilonGreedy(linear_fraction=0.5),
        ExperienceReplay(learning_starts=256),
    ),
    "priorities": (
        "CartPole-v1",
        DQN((16,)),
        EpsilonGreedy(),
        ExperienceReplay(PrioritizedBuffer(1000), learning_starts=256),
    ),
    "noise": (
        "CartPole-v1",
        IQN(hidden_layer_sizes=(16,), noisy=True),
        Greedy(),
        ExperienceReplay(learning_starts=256),
    ),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_run_continues_from_its_state_bit_for_bit(name):
    env, qfunction, policy, runner = RESUMED[name]

    def fresh(environment):
        built = clone(qfunction).build(environment.state_space, environment.n_actions, 0)
        return environment, built, clone(policy), clone(runner)

    watch = Copies(1024)
    whole = make_run(*fresh(GymEnvironment(gymnasium.make(env))), callbacks=[watch])
    whole.runner.loop(whole)
    state, environment = watch.copied

    resumed = make_run(*fresh(GymEnvironment(gymnasium.make(env))), callbacks=[Copies(-1)])
    resumed.environment = environment
    resumed.set_state(state)
    resumed.runner.loop(resumed)

    assert resumed.history.n_steps == whole.history.n_steps == 2048
    for column in ("n_steps", "length", "return"):
        np.testing.assert_array_equal(resumed.history[:, column], whole.history[:, column])
    for column in ("loss", "td_error", "q_mean", "epsilon"):
        expected = whole.history.metrics[:, column]
        np.testing.assert_array_equal(resumed.history.metrics[:, column], expected)
    states = np.array([environment.state_space.sample() for _ in range(5)])
    np.testing.assert_array_equal(
        resumed.qfunction.values(states).copy(), whole.qfunction.values(states)
    )


def test_metrics_of_every_rollout_are_recorded():
    environment, qfunction = parts()
    policy = EpsilonGreedy(LinearSchedule(1.0, 0.0))
    history = SimpleRunner().run(environment, qfunction, policy, n_steps=512, rng=0)
    rows = history.metrics
    assert rows[:, "n_steps"].tolist() == [256, 512]
    assert rows[:, "epsilon"].tolist() == [0.5, 0.0]
    assert (rows[:, "learning_rate"] == 0.5).all()
    assert (rows[:, "loss"] > 0).all()
    assert (rows[:, "q_max"] >= rows[:, "q_mean"]).all()
