"""ParallelQ learns exact lambda-returns, whatever the number of environments."""

import copy
import pickle

import numpy as np
import pytest

from skrl import (
    DQN,
    EpsilonGreedy,
    GymEnvironment,
    History,
    MemoizationQFunction,
    ParallelQ,
    QLearningAgent,
    RandomPolicy,
    Run,
    Transitions,
)
from skrl.estimator_checks import check_runner
from skrl.history import Budget
from skrl.runners.parallel_q import lambda_returns

GAMMA, LAMBDA = 0.5, 0.25


def make_step(states, rewards, terminated=None, truncated=None, **columns):
    """One step of environments that go from state s to s + 1."""
    n = len(states)
    states = np.array(states)
    terminated = np.zeros(n, bool) if terminated is None else np.array(terminated)
    return Transitions(
        states=states,
        actions=np.zeros(n, np.int64),
        rewards=np.array(rewards, float),
        next_states=states + 1,
        discounts=1.0 - terminated,
        terminated=terminated,
        truncated=np.zeros(n, bool) if truncated is None else np.array(truncated),
        **columns,
    )


@pytest.fixture
def qfunction():
    """max_a Q(s, a) = 10 s, by the second of two actions; the first is worth s."""
    environment = GymEnvironment("skrl/CircularWorld-v0")
    qfunction = MemoizationQFunction().build(environment.state_space, 2, 0)
    qfunction.table_[:] = np.arange(len(qfunction.table_))[:, None] * [1.0, 10.0]
    return qfunction


def test_returns_by_hand(qfunction):
    """Environment 0 goes on, 1 terminates in the second step, 2 is truncated there."""
    rollout = [
        make_step([0, 0, 0], [1, 1, 1]),
        make_step([1, 1, 1], [2, 2, 2], [False, True, False], [False, False, True]),
        make_step([2, 5, 7], [4, 4, 4]),
    ]
    returns = lambda_returns(rollout, qfunction, GAMMA, LAMBDA).reshape(3, 3)
    # The rollout ends: G_2 = r_2 + gamma Q(s_3).
    last = np.array([4 + 0.5 * 30, 4 + 0.5 * 60, 4 + 0.5 * 80])
    # G_1 = r + gamma ((1 - lambda) Q(s_2) + lambda G_2); r; r + gamma Q(s_2)
    middle = np.array([2 + 0.5 * (0.75 * 20 + 0.25 * last[0]), 2, 2 + 0.5 * 20])
    first = 1 + 0.5 * (0.75 * 10 + 0.25 * middle)
    np.testing.assert_allclose(returns, [first, middle, last])


def test_lambda_0_are_one_step_targets(qfunction):
    rollout = [make_step([s, s + 3], [s, 1.0]) for s in range(4)]
    steps = Transitions.concatenate(rollout)
    expected = steps.rewards + GAMMA * 10 * steps.next_states
    np.testing.assert_allclose(lambda_returns(rollout, qfunction, GAMMA, 0.0), expected)


def test_lambda_1_are_monte_carlo_returns(qfunction):
    rewards = [1.0, -2.0, 3.0, 4.0]
    rollout = [make_step([s], [r], [s == 3]) for s, r in enumerate(rewards)]
    expected = [sum(r * GAMMA**k for k, r in enumerate(rewards[t:])) for t in range(4)]
    np.testing.assert_allclose(lambda_returns(rollout, qfunction, GAMMA, 1.0), expected)


def test_actions_that_are_not_allowed_are_not_bootstrapped_from(qfunction):
    masks = np.array([[True, False], [True, True], [False, False]])
    step = make_step([1, 1, 1], [0, 0, 7], [False, False, True], next_action_masks=masks)
    # In the last state, where nothing is allowed, the episode has terminated.
    returns = lambda_returns([step], qfunction, GAMMA, LAMBDA)
    np.testing.assert_allclose(returns, [0.5 * 2, 0.5 * 20, 7])


def test_environments_may_skip_steps(qfunction):
    """Environment 0 has no row in the second step, because it is reset."""
    rollout = [
        make_step([0, 0], [1, 1], [True, False]),
        make_step([1], [2], env_ids=np.array([1])),
        make_step([0, 2], [3, 3]),
    ]
    returns = lambda_returns(rollout, qfunction, GAMMA, 1.0)
    last = 3 + 0.5 * 30
    middle = 2 + 0.5 * last
    np.testing.assert_allclose(returns, [1, 1 + 0.5 * middle, middle, 3 + 0.5 * 10, last])


class Watched(MemoizationQFunction):
    """Keeps what it is given to learn from."""

    def update(self, transitions):
        self.given = [*getattr(self, "given", []), transitions]
        return super().update(transitions)


def run(runner, n_envs=1, world="skrl/CircularWorld-v0", qfunction=None, **arguments):
    environment = GymEnvironment(world, n_envs=n_envs)
    qfunction = (qfunction or Watched()).build(environment.state_space, environment.n_actions, 0)
    runner.run(environment, qfunction, RandomPolicy(), **{"rng": 0} | arguments)
    return qfunction


@pytest.mark.parametrize("n_envs", [1, 4, 64])
def test_the_number_of_updates_does_not_depend_on_the_number_of_environments(n_envs):
    qfunction = run(ParallelQ(train_freq=64, n_epochs=3, batch_size=8), n_envs, n_steps=1024)
    assert sum(len(given) for given in qfunction.given) == 3 * 1024 // 8
    assert {given.actions.shape[1] for given in qfunction.given} == {8}


def test_each_epoch_learns_every_transition_once_in_another_order():
    runner = ParallelQ(train_freq=32, n_epochs=2, batch_size=8, trace_decay=0.0)
    (given,) = run(runner, 4, n_steps=40, discount_factor=0.0).given
    assert given.actions.shape == (8, 8)
    assert not given.discounts.any()
    first, second = (
        np.column_stack([half.states.ravel(), half.actions.ravel(), half.rewards.ravel()])
        for half in (given[:4], given[4:])
    )
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first[np.lexsort(first.T)], second[np.lexsort(second.T)])
    assert runner.n_collected_ == 8


def test_a_table_learns_the_exact_values_of_the_best_policy():
    """lambda = 0 is Q-learning, so random walks find the values of the ring world."""
    runner = ParallelQ(train_freq=64, batch_size=16, trace_decay=0.0)
    table = MemoizationQFunction(learning_rate=0.1)
    run(runner, 8, qfunction=table, n_steps=6000, discount_factor=0.5)
    distances = np.abs(np.arange(-5, 6))
    exact = (1 - 0.5**distances) / (1 - 0.5)
    np.testing.assert_allclose(table.table_.max(axis=1), exact, atol=1e-2)


def test_parts_of_a_rollout_are_cut_where_a_run_ends(qfunction):
    runner = ParallelQ(train_freq=64, n_epochs=2, batch_size=8, trace_decay=1.0)
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs=2)
    for n_steps in (64 + 20, 44):
        watched = Watched().build(environment.state_space, environment.n_actions, 0)
        runner.run(environment, watched, RandomPolicy(), n_steps=n_steps, rng=0)
    (given,) = watched.given
    # In both epochs, the last two of the 20 steps of the first run.
    assert given.truncated.sum() == 4
    assert runner.n_collected_ == 0


def test_saving_leaves_the_steps_out():
    runner = ParallelQ(train_freq=64, batch_size=8)
    run(runner, n_steps=100)
    assert runner.n_collected_ == 36
    loaded = pickle.loads(pickle.dumps(runner))
    assert vars(loaded).keys() == runner.get_params().keys()
    run(loaded, n_steps=100)
    assert loaded.n_collected_ == 36


def make_run(qfunction, environment):
    history = History()
    budget = Budget(history, 4 * 1024, None)
    return Run(
        environment, qfunction, EpsilonGreedy(), ParallelQ(train_freq=300, batch_size=100),
        history, budget, budget, 0.9, np.random.default_rng(3),
    )  # fmt: skip


def test_a_run_continues_from_its_state_within_a_rollout():
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs=4)
    whole, part = (
        make_run(
            MemoizationQFunction().build(environment.state_space, environment.n_actions, 0),
            environment,
        )
        for _ in range(2)
    )
    whole.runner.start(whole)
    steps = [environment.step(np.array([t % 2, 0, 1, 1])) for t in range(200)]
    for t, step in enumerate(steps):
        if t == 100:
            state = copy.deepcopy(whole.state())
            part.runner.begin(part)
            part.set_state(state)
        whole.runner.learn(whole, step)
        if t >= 100:
            part.runner.learn(part, step)
    assert whole.runner.n_collected_ == part.runner.n_collected_ == 200
    np.testing.assert_array_equal(whole.qfunction.table_, part.qfunction.table_)


@pytest.mark.parametrize(
    ("parameters", "n_steps", "message"),
    [
        ({"train_freq": 0}, 2000, "train_freq must be at least 1, got 0"),
        ({"n_epochs": 0}, 2000, "n_epochs must be at least 1, got 0"),
        ({"batch_size": 2000}, 3000, "batch_size must be at most train_freq=1024.*got 2000"),
        ({"trace_decay": 1.5}, 2000, r"trace_decay must be in \[0, 1\], got 1.5"),
        ({}, 500, "A budget of n_steps=500 ends before the first rollout of train_freq=1024"),
    ],
)
def test_bad_parameters_are_refused(parameters, n_steps, message):
    with pytest.raises(ValueError, match=message):
        run(ParallelQ(**parameters), n_steps=n_steps)


@pytest.mark.slow
def test_the_public_checks():
    check_runner(ParallelQ())


def test_an_agent_learns_with_a_normalized_network():
    def fit():
        agent = QLearningAgent(
            DQN((16,), layer_norm=True, optimizer="radam"),
            EpsilonGreedy(),
            ParallelQ(train_freq=256, n_epochs=2),
            n_steps=1024,
            n_evaluations=0,
            random_state=0,
        )
        return agent.fit(GymEnvironment("CartPole-v1", n_envs=16))

    one, other = fit(), fit()
    assert one.qfunction_.n_updates_ == 4 * 16
    for first, second in zip(one.qfunction_.weights_, other.qfunction_.weights_, strict=True):
        np.testing.assert_array_equal(first, second)
