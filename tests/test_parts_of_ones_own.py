"""Parts as a user would write them: UCB, Sarsa, a loss, and a replay buffer."""

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from skrl import DQN, Buffer, ExperienceReplay, QLearningAgent
from skrl.base import Policy, Run, Runner, Transitions
from skrl.environments import GymEnvironment
from skrl.estimator_checks import check_buffer, check_policy, check_qfunction
from skrl.history import Budget, History
from skrl.policies import EpsilonGreedy, RandomPolicy
from skrl.qfunctions.deep.operations import pick
from skrl.qfunctions.tables import MemoizationQFunction
from skrl.runners import SimpleRunner
from worlds import make_transitions

PLAIN = {"learning_rate_decay": 0.0, "initial_value": 0.0}


class Cliff(gymnasium.Env):
    """A cliff with 3 x 5 fields: the shortest way leads along the edge.

    From the lower left to the lower right corner; every step costs 1. Between the two is the
    cliff: a fall costs 100 and ends the episode.
    """

    observation_space, action_space = Discrete(15), Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.row, self.column = 2, 0
        return 10, {}

    def step(self, action):
        down, right = [(-1, 0), (0, 1), (1, 0), (0, -1)][action]
        self.row = min(max(self.row + down, 0), 2)
        self.column = min(max(self.column + right, 0), 4)
        fell = self.row == 2 and 0 < self.column < 4
        ended = self.row == 2 and self.column > 0
        return 5 * self.row + self.column, -100.0 if fell else -1.0, ended, False, {}


def make_run(policy, runner, n_envs=1):
    """A run that is fed by hand, of a table of zeros that learns at once."""
    environment, history = GymEnvironment(Cliff, n_envs=n_envs), History()
    budget = Budget(history, n_steps=1000, n_episodes=None)
    qfunction = MemoizationQFunction(learning_rate=1.0, **PLAIN)
    qfunction.build(environment.state_space, environment.n_actions, None)
    rng = np.random.default_rng(0)
    run = Run(environment, qfunction, policy, runner, history, budget, budget, 0.5, rng)
    runner.start(run)
    return run


# ---- a policy with a memory --------------------------------------------------------------------


class UCB(Policy):
    """Actions that are good, or were seldom tried (Sutton & Barto, 2018, equation 2.10)."""

    def __init__(self, c=2.0):
        self.c = c

    def begin(self, run):
        self.counts_ = np.zeros((run.environment.state_space.n, run.environment.n_actions))

    def probabilities(self, states, qfunction, progress):
        values, counts = qfunction.values(states), self.counts_[states]
        t = counts.sum(axis=1, keepdims=True)
        # A_t = argmax_a Q_t(a) + c sqrt(ln t / N_t(a)), where N_t(a) = 0 is the best of all
        bonus = self.c * np.sqrt(np.log(np.maximum(t, 1)) / np.maximum(counts, 1))
        scores = np.where(counts > 0, values + bonus, np.inf)
        scores[values == -np.inf] = -np.inf  # not allowed
        is_best = scores == scores.max(axis=1, keepdims=True)
        return is_best / is_best.sum(axis=1, keepdims=True)

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        decision = super().decide(states, qfunction, progress, rng, action_masks)
        np.add.at(self.counts_, (states, decision.actions), 1)
        return decision

    def state(self):
        return {"counts": self.counts_.copy()}

    def set_state(self, state):
        self.counts_ = state["counts"].copy()


def test_ucb_keeps_the_contracts():
    check_policy(UCB())


def test_ucb_tries_everything_once_and_then_what_is_worth_it():
    run, state = make_run(UCB(c=1.0), SimpleRunner()), np.array([2])
    run.qfunction.table_[2] = [0.0, 1.0, 0.5, 0.0]
    actions = [
        run.policy.decide(state, run.qfunction, 0.0, run.rng).actions.item() for _ in range(1000)
    ]
    assert sorted(actions[:4]) == [0, 1, 2, 3]
    assert actions[4] == 1  # all were tried once, so the bonuses are equal
    counts = run.policy.counts_[2]
    np.testing.assert_array_equal(counts, np.bincount(actions))
    assert run.policy.counts_.sum() == 1000
    # All scores stay close together: c^2 ln t / N = (Q* - Q)^2, about.
    np.testing.assert_allclose(np.log(1000) / counts[[0, 2, 3]], [1.0, 0.25, 1.0], rtol=0.5)


def test_ucb_learns_with_a_runner():
    environment = GymEnvironment("skrl/CircularWorld-v0", n_envs=4)
    qfunction = MemoizationQFunction(learning_rate=0.5)
    qfunction.build(environment.state_space, environment.n_actions, 0)
    policy = UCB(c=1.0)
    SimpleRunner().run(environment, qfunction, policy, n_steps=4000, rng=0)
    assert policy.counts_.sum() == 4000
    assert qfunction.values(np.arange(11)).argmax(axis=1).tolist() == [2] * 5 + [1] + [0] * 5


# ---- a runner ----------------------------------------------------------------------------------


class Sarsa(Runner):
    """Learn the values of the policy that acts (Sutton & Barto, 2018, section 6.4).

    A transition is held until the next action is known. At the end of an episode there is none:
    where a time limit cut it off, the policy's probabilities count instead.
    """

    def begin(self, run):
        self.held_, self.held_ids_ = None, None

    def learn(self, run, transitions):
        t, n_envs = transitions, run.environment.n_envs_
        env_ids = np.arange(n_envs) if t.env_ids is None else t.env_ids
        if self.held_ is not None:
            actions = np.zeros(n_envs, dtype=np.int64)
            actions[env_ids] = t.actions
            self.held_.next_probabilities = np.eye(run.environment.n_actions)[
                actions[self.held_ids_]
            ]
            # Q(S, A) <- Q(S, A) + alpha (R + gamma Q(S', A') - Q(S, A))
            run.update(self.held_)
        t.discounts *= run.discount_factor
        ended = t.terminated | t.truncated
        self._learn_without_next_actions(run, t[ended])
        self.held_, self.held_ids_ = t[~ended], env_ids[~ended]

    def end(self, run):
        if self.held_ is not None:
            self._learn_without_next_actions(run, self.held_)
        self.held_ = None

    def _learn_without_next_actions(self, run, transitions):
        if len(transitions):
            transitions.next_probabilities = run.policy.probabilities(
                transitions.next_states, run.qfunction, run.progress
            )
            run.update(transitions)

    def state(self):
        held = None if self.held_ is None else self.held_.to_dict()
        return {"held": held, "env_ids": self.held_ids_}

    def set_state(self, state):
        held = state["held"]
        self.held_ = None if held is None else Transitions(**held)
        self.held_ids_ = state["env_ids"]


def step(states, actions, rewards, next_states, terminated=False, truncated=False, env_ids=None):
    n = len(states)
    terminated = np.broadcast_to(terminated, n)
    return Transitions(
        states=np.array(states),
        actions=np.array(actions),
        rewards=np.array(rewards, dtype=float),
        next_states=np.array(next_states),
        discounts=np.where(terminated, 0.0, 1.0),
        terminated=terminated,
        truncated=np.broadcast_to(truncated, n),
        env_ids=None if env_ids is None else np.array(env_ids),
    )


def test_sarsa_bootstraps_from_the_next_action():
    run = make_run(RandomPolicy(), Sarsa())
    table = run.qfunction.table_
    table[1] = [10.0, 4.0, 0.0, 1.0]
    run.runner.learn(run, step([0], [2], [1.0], [1]))
    assert not table[0].any()
    run.runner.learn(run, step([1], [1], [7.0], [2], terminated=True))
    assert table[0].tolist() == [0.0, 0.0, 1.0 + 0.5 * 4.0, 0.0]  # not 0.5 * 10
    assert table[1].tolist() == [10.0, 7.0, 0.0, 1.0]  # the episode ended: learned at once


def test_at_a_time_limit_the_probabilities_of_the_policy_count():
    run = make_run(RandomPolicy(), Sarsa())
    run.qfunction.table_[1] = [10.0, 4.0, 1.0, 5.0]
    run.runner.learn(run, step([0], [2], [1.0], [1], truncated=True))
    assert run.qfunction.table_[0, 2] == 1.0 + 0.5 * 5.0
    # The first action of the next episode has nothing to do with it.
    run.runner.learn(run, step([3], [0], [9.0], [4], terminated=True))
    assert run.qfunction.table_[0, 2] == 3.5


def test_side_by_side_every_environment_waits_for_its_own_action():
    run = make_run(RandomPolicy(), Sarsa(), n_envs=3)
    table = run.qfunction.table_
    table[3], table[4] = [10.0, 20.0, 30.0, 0.0], [40.0, 50.0, 60.0, 0.0]
    run.runner.learn(
        run, step([0, 1, 2], [0, 0, 0], [1.0, 2.0, 3.0], [3, 3, 4], [False, True, False])
    )
    assert table[:3, 0].tolist() == [0.0, 2.0, 0.0]
    # Environment 1 is being reset, and has no row.
    run.runner.learn(run, step([3, 4], [2, 1], [0.0, 0.0], [3, 4], env_ids=[0, 2]))
    assert table[:3, 0].tolist() == [1.0 + 0.5 * 30.0, 2.0, 3.0 + 0.5 * 50.0]


def test_the_end_of_a_run_leaves_nothing_unlearned():
    run = make_run(RandomPolicy(), Sarsa())
    run.qfunction.table_[1] = [10.0, 4.0, 1.0, 5.0]
    run.runner.learn(run, step([0], [2], [1.0], [1]))
    run.runner.end(run)
    assert run.qfunction.table_[0, 2] == 1.0 + 0.5 * 5.0


def test_a_run_resumes_between_a_transition_and_its_next_action():
    run, resumed = (make_run(RandomPolicy(), Sarsa(), n_envs=2) for _ in range(2))
    run.qfunction.table_[:] = np.arange(60).reshape(15, 4)
    run.runner.learn(run, step([0, 1], [2, 0], [1.0, 1.0], [1, 2]))
    resumed.set_state(pickle.loads(pickle.dumps(run.state())))
    for one in (run, resumed):
        one.runner.learn(one, step([1, 2], [1, 0], [0.0, 0.0], [3, 3]))
    assert run.qfunction.table_[0, 2] == 1.0 + 0.5 * 5.0
    np.testing.assert_array_equal(resumed.qfunction.table_, run.qfunction.table_)


def greedy_way(qfunction):
    """The rows of the fields that the greedy policy visits."""
    world, rows = Cliff(), []
    state, _ = world.reset()
    for _ in range(20):
        action = qfunction.values(np.array([state])).argmax()
        state, _, ended, _, _ = world.step(action)
        rows.append(world.row)
        if ended:
            break
    return rows


@pytest.mark.parametrize("n_envs", [1, 8])
@pytest.mark.parametrize(("runner", "way"), [(Sarsa(), 0), (SimpleRunner(), 1)], ids=repr)
def test_sarsa_keeps_away_from_the_cliff(n_envs, runner, way):
    """Sutton & Barto (2018), example 6.6; Q-learning walks along the edge."""
    environment = GymEnvironment(Cliff, n_envs=n_envs)
    qfunction = MemoizationQFunction(learning_rate=0.1, **PLAIN).build(
        environment.state_space, 4, None
    )
    runner.run(
        environment, qfunction, EpsilonGreedy(0.2), discount_factor=1.0, n_steps=6_000, rng=0
    )
    rows = greedy_way(qfunction)
    assert rows[-1] == 2
    assert min(rows) == way


# ---- squared errors instead of Huber's (Ceron & Castro, 2021) ------------------------------------


class SquaredErrorDQN(DQN):
    """A DQN whose loss is the squared TD error."""

    def losses(self, outputs, actions, targets):
        td_errors = targets - pick(self.values_of(outputs), actions)
        return td_errors**2 / 2, td_errors


def test_a_loss_keeps_the_contracts_of_a_q_function():
    check_qfunction(SquaredErrorDQN((16,), learning_rate=0.01))


def test_squared_errors_learn_the_mean_reward_and_huber_errors_the_median():
    """A reward of 10 comes once in ten times, and is 0 otherwise: mean 1, median 0."""
    space, rng = Box(-np.inf, np.inf, (4,), np.float32), np.random.default_rng(0)
    batches = make_transitions(rng, (400, 100), n_actions=1)
    batches.discounts[:] = 0
    batches.rewards[:] = 10.0 * (rng.random(batches.rewards.shape) < 0.1)
    for qfunction, expected in ((SquaredErrorDQN((16,)), 1.0), (DQN((16,), huber_delta=0.01), 0.0)):
        qfunction.set_params(learning_rate=0.01).build(space, 1, random_state=0).update(batches)
        values = qfunction.values(batches.states[0])
        assert values.mean() == pytest.approx(expected, abs=0.2)


# ---- a buffer that keeps single steps in a list --------------------------------------------------


class ListBuffer(Buffer):
    """Draws from the newest steps, which it keeps as they came."""

    def __init__(self, capacity=1_000):
        self.capacity = capacity

    def begin(self, discount_factor):
        self.discount_factor_, self.steps_ = discount_factor, []

    def add(self, transitions):
        self.steps_.append(Transitions.concatenate([transitions]))
        while len(self) > self.capacity:
            del self.steps_[0]

    def __len__(self):
        return sum(len(step) for step in self.steps_)

    def sample(self, rng, n_batches, batch_size, progress=1.0):
        if not self.steps_:
            raise ValueError("The buffer is empty.")
        batches = Transitions.concatenate(self.steps_)[
            rng.integers(len(self), size=(n_batches, batch_size))
        ]
        batches.discounts *= self.discount_factor_
        return batches

    def state(self):
        return {"steps": [step.to_dict() for step in self.steps_]}

    def set_state(self, state):
        self.steps_ = [Transitions(**step) for step in state["steps"]]


def test_a_buffer_keeps_the_contracts():
    check_buffer(ListBuffer())


@pytest.mark.slow
def test_an_agent_learns_from_a_buffer():
    runner = ExperienceReplay(
        ListBuffer(), batch_size=32, gradient_steps=64, train_freq=64, learning_starts=64
    )
    agent = QLearningAgent(
        MemoizationQFunction(), runner=runner, n_steps=3_000, n_evaluations=0, random_state=0
    )
    agent.fit("skrl/CircularWorld-v0")
    assert agent.predict([-3, 3]).tolist() == [2, 0]
