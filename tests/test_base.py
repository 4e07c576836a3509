"""The data, and the loop of Runner.run."""

import numpy as np
import pytest

from skrl import (
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    RandomPolicy,
    SimpleRunner,
)
from skrl.base import Callback, Policy, Runner, Transitions
from worlds import make_transitions


def parts(env="skrl/CircularWorld-v0", n_envs=1):
    environment = GymEnvironment(env, n_envs=n_envs)
    qfunction = MemoizationQFunction(learning_rate=0.5)
    return environment, qfunction.build(environment.state_space, environment.n_actions, 0)


class Recorder(Runner):
    """Learns nothing, remembers all it was given."""

    def learn(self, transitions, qfunction, discount_factor, rng):
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
    actions = Biased().decide(states, parts()[1], 0.0, np.random.default_rng(0))
    frequencies = np.bincount(actions, minlength=3) / n
    assert frequencies[1] == 0
    assert frequencies[0] == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / n))


@pytest.mark.parametrize(
    "runner", [SimpleRunner(), ExperienceReplay(learning_starts=64, train_freq=64, n_step=1)]
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


def test_progress_runs_through_the_schedule():
    seen = []

    class Watch(RandomPolicy):
        def decide(self, states, qfunction, progress, rng):
            seen.append(progress)
            return super().decide(states, qfunction, progress, rng)

    environment, qfunction = parts()
    SimpleRunner().run(environment, qfunction, Watch(), n_steps=4, rng=0, schedule=(0.5, 1.0))
    assert seen == [0.5, 0.625, 0.75, 0.875]


def test_callbacks_are_called_in_order_and_can_stop_the_run():
    calls = []

    class Watch(Callback):
        def on_run_begin(self, run):
            calls.append("begin")

        def on_episode_end(self, run):
            calls.append(("episode", run.history.n_steps))
            if len(run.history) == 2:
                run.stop("enough")

        def on_stretch_end(self, run):
            calls.append(("stretch", run.history.n_steps))

        def on_run_end(self, run):
            calls.append(("end", run.stop_reason))

    environment, qfunction = parts()
    SimpleRunner().run(environment, qfunction, RandomPolicy(), n_steps=500, callbacks=[Watch()])
    assert calls == [
        "begin",
        ("stretch", 64),
        ("episode", 100),
        ("stretch", 128),
        ("stretch", 192),
        ("episode", 200),
        ("stretch", 200),
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
