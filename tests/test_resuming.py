"""A training that is resumed from a checkpoint ends like the one that was not interrupted."""

import os
import shutil

import gymnasium
import numpy as np
import pytest
from interruptions import EVALUATED, Interrupt, interrupted, replay, table
from outcomes import outcome
from sklearn.model_selection import GridSearchCV

from skrl import (
    DQN,
    Callback,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    ParallelQ,
    PrioritizedBuffer,
    QLearningAgent,
    SegmentedEpsilonGreedy,
    compare,
    make_envs,
)
from skrl.callbacks import Checkpoint


def network(**parameters):
    defaults = {
        "policy": SegmentedEpsilonGreedy(linear_fraction=0.5),
        "runner": ExperienceReplay(PrioritizedBuffer(600), learning_starts=256),
        "n_steps": 1_024,
        "random_state": 0,
        **EVALUATED,
    }
    return QLearningAgent(DQN((16,)), **{**defaults, **parameters})


def rollouts(**parameters):
    """Checkpoints come within its rollouts of 300 steps, because 7 environments take 301."""
    return replay(runner=ParallelQ(train_freq=300, batch_size=30), **parameters)


def frequent(**parameters):
    """Several updates in a rollout, from memory that the buffer uses again."""
    buffer = PrioritizedBuffer(400, n_step_return=4)
    runner = ExperienceReplay(
        buffer, batch_size=16, train_freq=16, gradient_steps=8, learning_starts=200
    )
    return replay(runner=runner, **parameters)


def parallel(**parameters):
    runner = ParallelQ(train_freq=300, batch_size=30)
    defaults = {"runner": runner, "n_steps": 2_000, "random_state": 0, **EVALUATED}
    qfunction = DQN((16,), layer_norm=True)
    return QLearningAgent(qfunction, EpsilonGreedy(), **{**defaults, **parameters})


LAKES = GymEnvironment("FrozenLake-v1", n_envs=3)


@pytest.mark.parametrize(
    ("make", "env", "n_steps"),
    [
        pytest.param(table, "FrozenLake-v1", 300, id="table"),
        pytest.param(replay, "FrozenLake-v1", 1_500, id="replay", marks=pytest.mark.slow),
        pytest.param(replay, LAKES, 1_500, id="side by side"),
        pytest.param(rollouts, GymEnvironment("FrozenLake-v1", n_envs=7), 700, id="rollouts"),
        pytest.param(frequent, GymEnvironment("FrozenLake-v1", n_envs=7), 700, id="frequent"),
        pytest.param(network, "CartPole-v1", 600, id="DQN", marks=pytest.mark.slow),
        pytest.param(
            parallel,
            GymEnvironment("CartPole-v1", n_envs=8),
            1_000,
            id="PQN",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_resumed_training_ends_like_one_that_was_not_interrupted(make, env, n_steps, tmp_path):
    whole = make().fit(env)
    path = tmp_path / "run.checkpoint"
    interrupted(make(), env, n_steps, Checkpoint(path, interval=256))
    resumed = make().fit(env, resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(whole))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """An agent, and the checkpoint of its training."""
    path = tmp_path_factory.mktemp("finished") / "run.checkpoint"
    return table(callbacks=[Checkpoint(path)]).fit("FrozenLake-v1"), path


def test_a_finished_training_is_taken_over(finished):
    whole, path = finished
    resumed = table().fit("FrozenLake-v1", resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(whole))
    # The seconds of training were counted, too.
    seconds = [agent.history_.seconds_so_far() for agent in (whole, resumed)]
    assert seconds[0] == seconds[1]


def test_random_seeds_come_from_the_checkpoint(tmp_path):
    path = tmp_path / "run.checkpoint"
    whole = table(random_state=None, callbacks=[Checkpoint(path, interval=256)])
    whole.fit("FrozenLake-v1")
    resumed = table(random_state=None).fit("FrozenLake-v1", resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(whole))


def test_random_seeds_survive_two_interruptions(tmp_path):
    class Keep(Callback):
        def on_rollout_end(self, run):
            if run.history.n_steps == 512:
                shutil.copy(first, second)  # of step 256

    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    whole = table(random_state=None, callbacks=[Checkpoint(first, interval=256), Keep()])
    whole.fit("FrozenLake-v1")
    callbacks = [Checkpoint(third, interval=256), Interrupt(600)]
    with pytest.raises(RuntimeError, match="power failure"):
        table(random_state=None, callbacks=callbacks).fit("FrozenLake-v1", resume_from=second)
    resumed = table(random_state=None).fit("FrozenLake-v1", resume_from=third)
    np.testing.assert_equal(outcome(resumed), outcome(whole))


@pytest.mark.slow
def test_a_resumed_training_can_be_interrupted_again(tmp_path):
    path, other = tmp_path / "run.checkpoint", tmp_path / "other.checkpoint"
    whole = network().fit("CartPole-v1")
    interrupted(network(), "CartPole-v1", 300, Checkpoint(path, interval=256))
    for to, n_steps in ((path, 600), (other, 800)):
        again = network(callbacks=[Checkpoint(to, interval=256), Interrupt(n_steps)])
        with pytest.raises(RuntimeError, match="power failure"):
            again.fit("CartPole-v1", resume_from=path)
    resumed = network(callbacks=[Checkpoint(other, interval=256)], verbose=1)
    resumed.fit("CartPole-v1", resume_from=other)
    np.testing.assert_equal(outcome(resumed), outcome(whole))
    assert resumed.callbacks_[0].file_ == other


@pytest.mark.slow
def test_further_training_of_the_same_agent_replaces_its_checkpoint(tmp_path):
    path = tmp_path / "run.checkpoint"
    agent = network(callbacks=[Checkpoint(path)], n_steps=1_024)
    for _ in range(2):
        agent.partial_fit("CartPole-v1", n_steps=512)
    resumed = network(n_steps=1_024).fit("CartPole-v1", resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(agent))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"discount_factor": 0.9}, r"discount_factor=0.99 \(now 0.9\)"),
        ({"random_state": 1}, r"random_state=0 \(now 1\)"),
        ({"policy": EpsilonGreedy(0.3)}, r"policy=None \(now EpsilonGreedy\)"),
        ({"qfunction": MemoizationQFunction()}, r"qfunction=Double.* \(now Memo"),
    ],
)
def test_a_checkpoint_of_other_parameters_is_refused(change, message, finished):
    path = finished[1]
    agent = table().set_params(**change)
    with pytest.raises(ValueError, match=rf"run.checkpoint' is the checkpoint of .* {message}"):
        agent.fit("FrozenLake-v1", resume_from=path)


def test_a_failed_resume_leaves_a_fitted_agent_as_it_was(tmp_path):
    agent = table().fit("FrozenLake-v1")
    before = outcome(agent)
    with pytest.raises(FileNotFoundError):
        agent.fit("FrozenLake-v1", resume_from=tmp_path / "nothing")
    (tmp_path / "other").write_text("something else")
    with pytest.raises(ValueError, match="other' is not a checkpoint of skrl, or it is damaged"):
        agent.fit("FrozenLake-v1", resume_from=tmp_path / "other")
    np.testing.assert_equal(outcome(agent), before)


# ---- environments --------------------------------------------------------------------------------


class Engine:
    """What a physics engine is to an environment."""


class Drift(gymnasium.Env):
    """A random walk of 30 steps, which cannot be captured."""

    observation_space = gymnasium.spaces.Discrete(50)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.engine = Engine()
        self.at, self.t = 25, 0
        return self.at, {}

    def step(self, action):
        self.t += 1
        self.at = int(np.clip(self.at + self.np_random.integers(-1, 2) + 2 * action - 1, 0, 49))
        return self.at, float(self.at), False, self.t == 30, {}


@pytest.mark.parametrize("make", [pytest.param(table, marks=pytest.mark.slow), replay])
def test_what_is_not_captured_ends_like_a_run_with_checkpoints_at_the_same_steps(make, tmp_path):
    path, other = tmp_path / "run.checkpoint", tmp_path / "other.checkpoint"
    parameters = {"n_steps": 1_500}
    whole = make(**parameters, callbacks=[Checkpoint(other, interval=300)]).fit(Drift)
    interrupted(make(**parameters), Drift, 1_100, Checkpoint(path, interval=300))
    resumed = make(**parameters, callbacks=[Checkpoint(path, interval=300)])
    resumed.fit(Drift, resume_from=path)
    np.testing.assert_equal(outcome(resumed), outcome(whole))
    # The episodes under way are left at the checkpoints: not all are 30 steps after the last one.
    ends = whole.history_[:, "n_steps"]
    assert set(np.diff(ends)) > {30}


def dry_lake():
    return gymnasium.make("FrozenLake-v1", is_slippery=False)


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (dry_lake, r"env='FrozenLake-v1' \(now .*dry_lake\)"),
        ("CliffWalking-v1", r"observation_space=Discrete\(16\) \(now Discrete\(48\)\)"),
        (GymEnvironment("FrozenLake-v1", n_envs=2), r"n_envs=1 \(now 2\)"),
    ],
)
def test_another_environment_is_refused(env, message, finished):
    with pytest.raises(ValueError, match=message):
        table().fit(env, resume_from=finished[1])


# ---- searches and studies ------------------------------------------------------------------------

STARTED = []


class Crash(Callback):
    """Counts the runs and the steps taken, and fails in one of the runs."""

    def __init__(self, run=-1, n_steps=0):
        self.run = run
        self.n_steps = n_steps

    def on_run_begin(self, run):
        STARTED.append([run.history.n_steps, 0])

    def on_rollout_end(self, run):
        STARTED[-1][1] = run.history.n_steps
        if len(STARTED) == self.run and run.history.n_steps >= self.n_steps:
            raise RuntimeError("power failure")


@pytest.fixture
def started():
    """From where to where the runs were trained."""
    STARTED.clear()
    return STARTED


def mean_return(agent, env, y=None):
    return agent.score(env, n_episodes=5)


@pytest.mark.slow
def test_a_search_goes_on_from_its_checkpoints(started, tmp_path):
    def search(*callbacks):
        agent = table(n_steps=600, n_evaluations=0, callbacks=list(callbacks))
        candidates = {"discount_factor": [0.9, 0.99]}
        return GridSearchCV(agent, candidates, cv=2, scoring=mean_return, error_score="raise")

    envs = make_envs("FrozenLake-v1", n=2, max_episode_steps=8)
    whole = search().fit(envs)
    checkpoint = Checkpoint(tmp_path / "search", interval=256, per_run=True)
    with pytest.raises(RuntimeError, match="power failure"):
        search(Crash(run=3, n_steps=500), checkpoint).fit(envs)
    assert started == [[0, 600], [0, 600], [0, 512]]
    started.clear()
    resumed = search(checkpoint, Crash()).fit(envs)
    assert started == [[600, 0], [600, 0], [256, 600], [0, 600], [0, 600]]
    for name in ("mean_test_score", "split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(resumed.cv_results_[name], whole.cv_results_[name])
    np.testing.assert_equal(outcome(resumed.best_estimator_), outcome(whole.best_estimator_))
    assert len(os.listdir(tmp_path / "search")) == 5


@pytest.mark.slow
def test_a_study_goes_on_from_its_checkpoints(started, tmp_path):
    def study(*callbacks):
        agent = table(n_steps=1_000, callbacks=list(callbacks))
        return compare({"table": agent}, ["FrozenLake-v1"], n_seeds=3, n_episodes=5)

    whole = study()
    checkpoint = Checkpoint(tmp_path / "study", interval=256, per_run=True)
    with pytest.raises(RuntimeError, match="power failure"):
        study(checkpoint, Crash(run=2, n_steps=700))
    assert started == [[0, 1_000], [0, 768]]
    started.clear()
    resumed = study(checkpoint, Crash())
    assert started == [[1_000, 0], [512, 1_000], [0, 1_000]]
    assert [result.score for result in resumed.results] == [r.score for r in whole.results]
    assert [r.evaluations for r in resumed.results] == [r.evaluations for r in whole.results]


@pytest.mark.parametrize(
    ("parameters", "env", "message"),
    [
        ({"random_state": None}, "FrozenLake-v1", "integer random_state, got None"),
        ({}, dry_lake(), "cannot recognise a live environment, got <TimeLimit"),
        ({}, GymEnvironment(dry_lake()), "cannot recognise a live environment"),
        ({}, lambda: dry_lake(), "cannot recognise .* contains a lambda or a local"),
    ],
)
def test_what_cannot_be_recognised_is_refused(parameters, env, message, tmp_path):
    agent = table(**parameters, callbacks=[Checkpoint(tmp_path, per_run=True)])
    with pytest.raises(ValueError, match=message):
        agent.fit(env)
    assert os.listdir(tmp_path) == []
