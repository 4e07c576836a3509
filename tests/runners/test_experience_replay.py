import pickle

import numpy as np
import pytest

from skrl import (
    ExperienceReplay,
    Greedy,
    GymEnvironment,
    MemoizationQFunction,
    RandomPolicy,
    ReplayBuffer,
    Runner,
)


class Counting(MemoizationQFunction):
    """Notes when it is updated, and with how much."""

    def update(self, transitions):
        self.updates = [*getattr(self, "updates", []), transitions.actions.shape]
        return super().update(transitions)


def run(runner, n_envs=1, asynchronous=False, **budget):
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs, asynchronous=asynchronous)
    qfunction = Counting().build(environment.state_space, environment.n_actions, 0)
    runner.run(environment, qfunction, RandomPolicy(), rng=0, **budget)
    environment.close()
    return qfunction


def test_collecting_and_learning_take_turns():
    runner = ExperienceReplay(batch_size=8, train_freq=10, gradient_steps=5, learning_starts=25)
    qfunction = run(runner, n_steps=59)
    # After 30, 40 and 50 steps.
    assert qfunction.updates == [(5, 8)] * 3
    assert len(runner.buffer_) == 59


class Delayed(Counting):
    """Notes how often it has acted when an update takes effect."""

    def start_update(self, transitions):
        self.started = [*getattr(self, "started", []), self.n_actions_taken]
        return super().start_update(transitions)

    def update(self, transitions):
        self.finished = [*getattr(self, "finished", []), self.n_actions_taken]
        return super().update(transitions)

    def values(self, states):
        # One state at a time is acted in; many are looked at for the metrics.
        self.n_actions_taken = getattr(self, "n_actions_taken", 0) + (len(states) == 1)
        return super().values(states)


def test_what_is_learned_takes_effect_a_rollout_later():
    environment = GymEnvironment("skrl/CircularWorld-v0")
    qfunction = Delayed().build(environment.state_space, environment.n_actions, 0)
    runner = ExperienceReplay(train_freq=10, learning_starts=25)
    runner.run(environment, qfunction, Greedy(), n_steps=55, rng=0)
    assert qfunction.started == [30, 40, 50]
    assert qfunction.finished == [40, 50, 55]  # the last one at the end of the run


class Flips(MemoizationQFunction):
    """Every update makes the other of two actions the best one."""

    def update(self, transitions):
        self.table_[:] = self.table_[:, ::-1].copy()
        return np.zeros(transitions.actions.shape)


def test_actions_are_judged_by_the_values_that_chose_them():
    """Nobody explores, so no return ends early, but for those that the end of the run cuts off."""
    environment = GymEnvironment("skrl/Corridor-v0")
    qfunction = Flips().build(environment.state_space, environment.n_actions, 0)
    qfunction.table_[:, 0] = 1.0
    runner = ExperienceReplay(train_freq=8, learning_starts=8, buffer=ReplayBuffer(n_step_return=4))
    runner.run(environment, qfunction, Greedy(), discount_factor=0.5, n_steps=20, rng=0)
    sample = runner.buffer_.sample(np.random.default_rng(0), 1, 10_000)
    discounts, counts = np.unique(sample.discounts, return_counts=True)
    # Of 20 returns, 17 go over 4 steps, the last three over 3, 2 and 1.
    np.testing.assert_array_equal(discounts, [1 / 16, 1 / 8, 1 / 4, 1 / 2])
    np.testing.assert_allclose(counts / 10_000, [17 / 20, 1 / 20, 1 / 20, 1 / 20], atol=0.01)


@pytest.mark.parametrize(
    ("n_envs", "asynchronous"), [(1, False), (4, False), (4, True), (64, False), (512, False)]
)
def test_the_number_of_updates_does_not_depend_on_the_number_of_environments(n_envs, asynchronous):
    buffer = ReplayBuffer(n_step_return=1)
    runner = ExperienceReplay(
        buffer, batch_size=8, train_freq=16, gradient_steps=3, learning_starts=40
    )
    qfunction = run(runner, n_envs, asynchronous, n_steps=2048)
    # 128 rollouts of 16 steps, of which the first two end before learning starts.
    assert qfunction.updates == [(3, 8)] * 126


class Greedies(Runner):
    """Notes what the transitions say of the actions."""

    def learn(self, run, transitions):
        self.seen = [*getattr(self, "seen", []), transitions]


def test_transitions_say_whether_actions_were_greedy():
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs=3)
    qfunction = MemoizationQFunction().build(environment.state_space, environment.n_actions, 0)
    qfunction.table_[:, 1] = 1.0
    runner = Greedies()
    runner.run(environment, qfunction, RandomPolicy(), n_steps=300, rng=0)
    for transitions in runner.seen:
        np.testing.assert_array_equal(transitions.is_greedy, transitions.actions == 1)


def test_the_whole_memory_is_learned_from():
    """Replay of random walks finds the exact values of the ring world."""
    runner = ExperienceReplay(
        ReplayBuffer(n_step_return=1), train_freq=50, gradient_steps=100, learning_starts=1000
    )
    environment = GymEnvironment("skrl/CircularWorld-v0")
    qfunction = MemoizationQFunction(learning_rate=0.1)
    qfunction.build(environment.state_space, environment.n_actions, 0)
    runner.run(environment, qfunction, RandomPolicy(), discount_factor=0.5, n_steps=3000, rng=0)
    distances = np.abs(np.arange(-5, 6))
    exact = (1 - 0.5**distances) / (1 - 0.5)
    np.testing.assert_allclose(qfunction.table_.max(axis=1), exact, atol=1e-4)


def test_a_second_run_goes_on_with_the_memory():
    runner = ExperienceReplay(learning_starts=100, train_freq=50)
    run(runner, n_steps=200)
    qfunction = run(runner, n_steps=50)  # fewer than learning_starts, but they are there already
    assert len(qfunction.updates) == 1
    assert len(runner.buffer_) == 250


def test_saving_leaves_the_memory_out():
    runner = ExperienceReplay()
    run(runner, n_steps=2000)
    assert len(pickle.dumps(runner)) < 2000
    assert not hasattr(pickle.loads(pickle.dumps(runner)), "buffer_")


@pytest.mark.parametrize(
    ("parameters", "budget", "message"),
    [
        ({"batch_size": 0}, {"n_steps": 2000}, "batch_size must be at least 1, got 0"),
        ({"buffer": ReplayBuffer(0)}, {"n_steps": 2000}, "capacity must be at least 1, got 0"),
        ({"train_freq": 0}, {"n_steps": 2000}, "train_freq must be at least 1, got 0"),
        ({"gradient_steps": -1}, {"n_steps": 2000}, "gradient_steps must be at least 1, got -1"),
        (
            {"buffer": ReplayBuffer(n_step_return=0)},
            {"n_steps": 2000},
            "n_step_return must be at least 1, got 0",
        ),
        ({}, {"n_steps": 1000}, "n_steps=1000 ends before learning begins, after 1024 steps"),
        ({}, {"n_episodes": 3}, "ended after 300 steps, before learning began"),
    ],
)
def test_what_cannot_learn_is_refused(parameters, budget, message):
    with pytest.raises(ValueError, match=message):
        run(ExperienceReplay(**parameters), **budget)
