"""QLearningAgent as a scikit-learn estimator, on small worlds."""

import io
import os
import subprocess
import sys

import gymnasium
import joblib
import numpy as np
import pytest
from gymnasium import spaces
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    LinearSchedule,
    MemoizationQFunction,
    QLearningAgent,
    ReplayBuffer,
    SegmentedEpsilonGreedy,
    SimpleRunner,
    Softmax,
)
from skrl.base import Callback
from worlds import Broken, Identity

RING = "skrl/CircularWorld-v0"
INTEGERS = np.arange(-5, 6)


def small_dqn(**parameters):
    """A deep agent that learns in a second."""
    defaults = {
        "qfunction": DQN((16,), learning_rate=5e-3),
        "runner": ExperienceReplay(learning_starts=256, train_freq=64, gradient_steps=32),
        "n_steps": 1500,
        "n_evaluations": 0,
        "random_state": 0,
    }
    return QLearningAgent(**{**defaults, **parameters})


@pytest.fixture(scope="module")
def ring_agent():
    """Learns from random steps in a deterministic world: the values become exact."""
    agent = QLearningAgent(
        MemoizationQFunction(learning_rate=0.5),
        EpsilonGreedy(LinearSchedule(1.0, 0.3)),
        n_steps=6000,
        discount_factor=0.9,
        n_evaluations=4,
        n_evaluation_episodes=10,
        random_state=0,
    )
    return agent.fit(RING)


@pytest.fixture(scope="module")
def identity_agent():
    return small_dqn().fit(Identity)


# ---- learning ----------------------------------------------------------------------------------


def test_the_greedy_policy_walks_to_zero_and_stays_near_it(ring_agent):
    env = gymnasium.make(RING)
    for start in INTEGERS:
        state, _ = env.reset(options={"state": start})
        path = [state]
        for _ in range(15):
            state, *_ = env.step(ring_agent.predict(state))
            path.append(state)
        assert [abs(s) for s in path[: abs(start) + 1]] == list(range(abs(start), -1, -1))
        assert max(abs(s) for s in path[abs(start) :]) <= 1


def test_a_deep_agent_solves_the_identity_world(identity_agent):
    assert identity_agent.predict(np.eye(2, dtype=np.float32)).tolist() == [0, 1]
    assert identity_agent.score(Identity) == 10.0


@pytest.mark.parametrize(
    "parts",
    [
        {"policy": Softmax(0.5)},
        {"policy": EpsilonGreedy(LinearSchedule(1.0, 0.1))},
        {"runner": SimpleRunner(), "qfunction": MemoizationQFunction(0.5)},
        {"qfunction": DQN((16,), learning_rate=5e-3, double=False)},
        {"discount_factor": 0.0},
    ],
)
def test_parts_combine_freely(parts):
    assert small_dqn(**parts).fit(Identity).score(Identity, n_episodes=20) == 10.0


@pytest.mark.parametrize(
    "make_env",
    [
        lambda: Identity,
        Identity,
        lambda: [Identity, Identity],
        lambda: [Identity(), Identity()],
        lambda: GymEnvironment(Identity, n_envs=3),
        lambda: gymnasium.vector.SyncVectorEnv([Identity, Identity]),
        lambda: gymnasium.vector.SyncVectorEnv([Identity] * 2, autoreset_mode="SameStep"),
        lambda: gymnasium.vector.SyncVectorEnv([Identity] * 2, autoreset_mode="Disabled"),
    ],
)
def test_whatever_stands_for_an_environment_is_learned_from(make_env):
    agent = small_dqn(qfunction=MemoizationQFunction(0.5), n_steps=600, runner=SimpleRunner())
    agent.fit(make_env())
    assert agent.predict(np.eye(2, dtype=np.float32)).tolist() == [0, 1]
    assert agent.n_steps_ >= 600


def test_defaults_are_resolved_from_the_environment():
    agent = QLearningAgent(n_steps=1100, n_evaluations=0, random_state=0)
    assert isinstance(agent.fit(RING).qfunction_, MemoizationQFunction)
    assert isinstance(agent.runner_, SimpleRunner)
    assert isinstance(agent.fit("CartPole-v1").qfunction_, DQN)
    assert isinstance(agent.runner_, ExperienceReplay)
    assert isinstance(agent.policy_, SegmentedEpsilonGreedy)
    assert agent.qfunction is agent.runner is agent.policy is None


def test_training_is_evaluated_and_recorded(ring_agent):
    history = ring_agent.history_
    assert ring_agent.n_steps_ == history.n_steps == 6000
    assert ring_agent.n_episodes_ == len(history) == 60
    assert (history[:, "length"] == 100).all()
    assert len(history.evaluations) == 4
    # The mean over all starts is 30/11.
    assert ring_agent.best_score_ == pytest.approx(30 / 11, abs=0.8)


@pytest.mark.slow
def test_training_stops_when_the_published_threshold_is_reached():
    gymnasium.register("tests/Identity-v0", Identity, reward_threshold=9.5)
    try:
        agent = small_dqn(qfunction=MemoizationQFunction(), runner=None, n_evaluations=20)
        agent.set_params(evaluation_ratio=None)
        agent.fit("tests/Identity-v0")
    finally:
        del gymnasium.registry["tests/Identity-v0"]
    assert agent.n_steps_ < 1500
    assert agent.best_score_ == 10.0


# ---- scikit-learn's contract ---------------------------------------------------------------------


def test_fit_starts_afresh_and_warm_start_goes_on():
    agent = QLearningAgent(n_steps=300, n_evaluations=0, random_state=0)
    first = agent.fit(RING).decision_function(INTEGERS)
    np.testing.assert_array_equal(agent.fit(RING).decision_function(INTEGERS), first)
    assert agent.n_steps_ == 300

    agent.set_params(warm_start=True).fit(RING)
    assert agent.n_steps_ == 600
    assert (agent.decision_function(INTEGERS) != first).any()


def test_partial_fit_runs_through_the_schedule_of_a_whole_fit():
    seen = []

    class Watch(Callback):
        def on_episode_end(self, run):
            seen.append(run.progress)

    agent = QLearningAgent(n_steps=1000, n_evaluations=0, callbacks=[Watch()], random_state=0)
    for _ in range(3):
        agent.partial_fit(RING, n_steps=500)
    assert agent.n_steps_ == 1500
    assert np.all(np.diff(seen) >= 0)
    np.testing.assert_allclose(seen, [*np.arange(0.1, 1.05, 0.1), *[1.0] * 5])


def test_parameters_nest_and_clone():
    agent = small_dqn(policy=EpsilonGreedy(LinearSchedule(1.0, 0.1)))
    agent.set_params(qfunction__learning_rate=0.1, runner__batch_size=7, policy__epsilon__end=0.2)
    copy = clone(agent)
    assert copy.get_params()["qfunction__learning_rate"] == 0.1
    assert copy.runner.batch_size == 7
    assert copy.policy.epsilon.end == 0.2
    assert copy.qfunction is not agent.qfunction


def test_fit_leaves_the_parameters_alone(identity_agent):
    assert not hasattr(identity_agent.qfunction, "weights_")
    assert not hasattr(identity_agent.runner, "buffer_")


def test_a_single_observation_and_a_batch(ring_agent, identity_agent):
    assert ring_agent.predict(-3) == 2
    assert ring_agent.predict([-3, 3]).tolist() == [2, 0]
    assert ring_agent.decision_function(2).shape == (3,)
    assert ring_agent.decision_function([2]).shape == (1, 3)
    assert identity_agent.predict([0.0, 1.0]) == 1
    assert identity_agent.predict([[0.0, 1.0]]).tolist() == [1]
    assert isinstance(ring_agent.predict(0), np.int64)


def test_predict_takes_the_action_of_highest_value(ring_agent):
    values = ring_agent.decision_function(INTEGERS)
    np.testing.assert_array_equal(ring_agent.predict(INTEGERS), values.argmax(axis=1))
    exact = (1 - 0.9 ** np.abs(INTEGERS)) / (1 - 0.9)
    np.testing.assert_allclose(values.max(axis=1), exact, atol=0.05)


def test_probabilities_are_those_of_the_policy_at_the_end(ring_agent):
    probabilities = ring_agent.predict_proba(INTEGERS)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    # epsilon ends at 0.3, spread over three actions
    assert np.isclose(probabilities, 0.1).sum() == 22


class Own(Identity):
    """Other kinds of actions and observations."""

    observation_space = spaces.Dict(
        {"number": spaces.Discrete(2, start=5), "rest": spaces.Box(0, 1, (1,), np.float32)}
    )
    action_space = spaces.MultiDiscrete([1, 2], start=[7, 3])

    def _draw(self):
        super()._draw()
        return {"number": 5 + self.answer, "rest": np.zeros(1, np.float32)}

    def step(self, action):
        assert action[0] == 7
        return super().step(action[1] - 3)


def test_predict_speaks_the_environments_own_language():
    agent = small_dqn().fit(Own)
    rest = np.zeros(1, np.float32)
    assert agent.predict({"number": 6, "rest": rest}).tolist() == [7, 4]
    batch = {"number": np.array([5, 6, 5]), "rest": np.zeros((3, 1), np.float32)}
    assert agent.predict(batch).tolist() == [[7, 3], [7, 4], [7, 3]]
    assert agent.classes_.tolist() == [[7, 3], [7, 4]]
    assert agent.score(Own, n_episodes=10) == 10.0


def test_the_score_is_repeatable_and_does_not_depend_on_earlier_scores(ring_agent):
    first = ring_agent.score(RING, n_episodes=30)
    assert ring_agent.score(RING, n_episodes=30) == first
    assert first == pytest.approx(30 / 11, abs=1.0)


# ---- reproducibility, saving ---------------------------------------------------------------------


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng, int])
def test_one_seed_one_result(make):
    first, second = (small_dqn(random_state=make(3), n_steps=600).fit(Identity) for _ in range(2))
    for a, b in zip(first.qfunction_.weights_, second.qfunction_.weights_, strict=True):
        np.testing.assert_array_equal(a, b)
    returns = [agent.history_[:, "return"].tolist() for agent in (first, second)]
    assert returns[0] == returns[1]
    other = small_dqn(random_state=make(4), n_steps=600).fit(Identity)
    assert not np.array_equal(first.qfunction_.weights_[0], other.qfunction_.weights_[0])


SCRIPT = """
import hashlib, random, sys
import numpy as np
from skrl import DQN, ExperienceReplay, QLearningAgent
state = random.getstate(), np.random.get_state()[1].tolist()
agent = QLearningAgent(DQN((16,)), n_steps=2000, n_evaluations=2, random_state=0)
agent.fit("CartPole-v1")
agent.score("CartPole-v1", n_episodes=3)
assert (random.getstate(), np.random.get_state()[1].tolist()) == state, "global generators"
print(hashlib.sha256(b"".join(w.tobytes() for w in agent.qfunction_.weights_)).hexdigest())
"""


def start_python(script, **environment):
    """Run a script in another process, without the type checks."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.slow
def test_the_same_weights_in_every_process_silently_and_globals_untouched():
    runs = [start_python(SCRIPT, TF_NUM_INTRAOP_THREADS=threads) for threads in ("1", "2")]
    (first, errors), (second, more_errors) = (run.communicate() for run in runs)
    assert errors == more_errors == ""
    assert first == second
    assert len(first) == 65


def test_a_saved_agent_predicts_the_same_in_another_process(tmp_path, identity_agent):
    joblib.dump(identity_agent, tmp_path / "agent.joblib")
    script = (
        "import joblib, sys, numpy as np\n"
        f"agent = joblib.load({str(tmp_path / 'agent.joblib')!r})\n"
        "states = np.random.default_rng(0).random((20, 2), np.float32)\n"
        "print(agent.decision_function(states).tolist())\n"
        "print(agent.predict(states).tolist())\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)\n"
    )
    output, _ = start_python(script, PYTHONPATH=os.path.dirname(__file__)).communicate()
    states = np.random.default_rng(0).random((20, 2), np.float32)
    values, actions = (eval(line) for line in output.splitlines())
    assert values == identity_agent.decision_function(states).tolist()
    assert actions == identity_agent.predict(states).tolist()


def test_a_loaded_agent_goes_on_learning(tmp_path, identity_agent):
    buffer = io.BytesIO()
    joblib.dump(identity_agent, buffer)
    assert buffer.tell() < 200_000  # the replay memory stays behind
    buffer.seek(0)
    loaded = joblib.load(buffer)
    loaded.partial_fit(Identity, n_steps=600)
    assert loaded.n_steps_ == identity_agent.n_steps_ + 600
    assert loaded.score(Identity, n_episodes=10) == 10.0


def test_a_table_never_loads_tensorflow():
    script = (
        "import sys\n"
        "from skrl import QLearningAgent\n"
        "agent = QLearningAgent(n_steps=500, random_state=0).fit('FrozenLake-v1')\n"
        "agent.predict(3), agent.score('FrozenLake-v1', n_episodes=5)\n"
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)\n"
    )
    assert start_python(script).communicate() == ("", "")


# ---- what goes wrong -----------------------------------------------------------------------------


def test_verbose_0_is_silent_and_verbose_1_shows_a_bar(capfd):
    QLearningAgent(n_steps=500, n_evaluations=0).fit(RING)
    assert capfd.readouterr() == ("", "")
    QLearningAgent(n_steps=500, n_evaluations=0, verbose=1).fit(RING)
    assert "episodes=5" in capfd.readouterr().err


def test_what_was_learned_survives_an_interruption():
    class Interrupt(Callback):
        def on_episode_end(self, run):
            if len(run.history) == 20:
                raise KeyboardInterrupt

    agent = QLearningAgent(
        n_steps=100_000, callbacks=[Interrupt()], n_evaluation_episodes=1, random_state=0
    )
    with pytest.raises(KeyboardInterrupt):
        agent.fit(RING)
    assert agent.n_steps_ == 2000
    assert agent.n_episodes_ == 20
    assert agent.score(RING) > 0


def test_an_environment_that_breaks_is_named_and_nothing_is_lost():
    agent = small_dqn(n_steps=1000, runner=ExperienceReplay(
        ReplayBuffer(n_step_return=1), learning_starts=64, train_freq=64, gradient_steps=16))  # fmt: skip
    with pytest.raises(ValueError, match="NaN.* the environment gave it NaN"):
        agent.fit(Broken)
    assert agent.n_steps_ >= 300
    assert np.isfinite(agent.decision_function(np.eye(2))).all()


class Continuous(Identity):
    action_space = spaces.Box(-1, 1, (2,))


@pytest.mark.parametrize(
    ("parameters", "env", "error", "message"),
    [
        ({"qfunction": "dqn"}, RING, TypeError, r"qfunction must be a QFunction.*got 'dqn'.*DQN\(\)"),
        ({"policy": EpsilonGreedy}, RING, TypeError, r"policy must be a Policy.*EpsilonGreedy\(\)"),
        ({"runner": 3}, RING, TypeError, "runner must be a Runner or None, got 3"),
        ({"discount_factor": 1.1}, RING, ValueError, r"discount_factor must be in \[0, 1\], got 1.1"),
        ({"n_steps": 0}, RING, ValueError, "n_steps must be at least 1, got 0"),
        ({"n_episodes": -3}, RING, ValueError, "n_episodes must be at least 1, got -3"),
        ({"n_steps": "5"}, RING, TypeError, "n_steps must be an integer, got '5'"),
        ({"n_evaluations": -1}, RING, ValueError, "n_evaluations must be at least 0, got -1"),
        ({"n_evaluation_episodes": 0}, RING, ValueError, "n_evaluation_episodes must be at least 1"),
        ({"random_state": "seed"}, RING, TypeError, "random_state must be .*got 'seed'"),
        ({"policy": EpsilonGreedy(2.0)}, RING, ValueError, r"epsilon must be in \[0, 1\]"),
        ({"qfunction": DQN(learning_rate=-1.0)}, RING, ValueError, "learning_rate must be positive"),
        ({"qfunction": DQN((8,)), "n_steps": 500}, RING, ValueError, "ends before learning begins"),
        ({}, "NoSuchWorld-v0", ValueError, "NoSuchWorld"),
        ({}, "CartPole-v9", ValueError, "v1"),
        ({}, 17, TypeError, "17"),
        ({}, [], ValueError, "empty"),
        ({}, [RING, "CartPole-v1"], ValueError, "equal spaces"),
        ({}, lambda: "no environment", TypeError, "should return a gymnasium.Env"),
        ({}, Continuous, ValueError, r"Box\(-1.0, 1.0, \(2,\).*finite set of actions"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(parameters, env, error, message):
    agent = QLearningAgent(n_steps=2000, random_state=0).set_params(**parameters)
    with pytest.raises(error, match=message):
        agent.fit(env)


def test_before_fit_there_is_nothing_to_use():
    agent = QLearningAgent()
    for use in (agent.predict, agent.decision_function, agent.predict_proba):
        with pytest.raises(NotFittedError):
            use(0)
    with pytest.raises(NotFittedError):
        agent.score(RING)


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (np.zeros((2, 3)), r"shape \(2,\), or a batch of shape \('m', 2\), got .*\(2, 3\)"),
        ([np.nan, 0.0], "NaN"),
        (0.5, "batch of shape"),
    ],
)
def test_bad_observations_are_refused(identity_agent, states, message):
    with pytest.raises(ValueError, match=message):
        identity_agent.predict(states)


def test_an_agent_refuses_environments_of_other_spaces(ring_agent):
    with pytest.raises(ValueError, match="trained with observation and action space"):
        ring_agent.score("CartPole-v1")
    with pytest.raises(ValueError, match="Fit a new agent"):
        ring_agent.partial_fit("FrozenLake-v1", n_steps=10)
    with pytest.raises(ValueError, match="n_episodes must be at least 1, got 0"):
        ring_agent.score(RING, n_episodes=0)


# ---- nothing is lost, and nothing is silently wrong ----------------------------------------------


def test_a_refit_that_fails_leaves_the_agent_as_it_was(identity_agent):
    agent = clone(identity_agent).fit(Identity)
    states = np.random.default_rng(0).random((5, 2))
    before = agent.decision_function(states)
    with pytest.raises(ValueError, match="ends before learning begins"):
        agent.set_params(n_steps=100).fit(Identity)
    with pytest.raises(ValueError, match="NaN"):
        agent.set_params(n_steps=1500).fit(Broken)
    with pytest.raises(ValueError, match="NaN"):
        agent.partial_fit(Broken)
    np.testing.assert_array_equal(agent.decision_function(states), before)
    assert agent.n_steps_ == len(agent.history_) * 10 == 1500
    assert agent.partial_fit(Identity, n_steps=100).n_steps_ == 1600


def test_partial_fit_honours_a_budget_of_episodes():
    agent = QLearningAgent(n_episodes=5, n_evaluations=0, random_state=0)
    assert agent.partial_fit("FrozenLake-v1").n_episodes_ == 5


def test_a_warm_start_takes_the_parameters_of_now_and_the_end_of_the_schedule():
    seen = []

    class Watch(EpsilonGreedy):
        def decide(self, states, qfunction, progress, rng, action_masks=None):
            seen.append((self.epsilon, progress))
            return super().decide(states, qfunction, progress, rng, action_masks)

    agent = QLearningAgent(policy=Watch(0.5), n_steps=300, n_evaluations=0, warm_start=True)
    agent.fit(RING)
    agent.set_params(policy__epsilon=0.01, qfunction=MemoizationQFunction(0.2)).fit(RING)
    assert seen[0] == (0.5, 0.0)
    assert seen[300] == (0.01, 0.5)
    assert agent.qfunction_.learning_rate == 0.2
    assert agent.n_steps_ == 600


def test_a_warm_start_refuses_what_does_not_fit_what_was_learned(identity_agent):
    agent = clone(identity_agent).set_params(warm_start=True).fit(Identity)
    with pytest.raises(ValueError, match="does not fit this network"):
        agent.set_params(qfunction__hidden_layer_sizes=(7,)).fit(Identity)
    assert agent.score(Identity, n_episodes=5) == 10.0


@pytest.mark.slow
def test_chunks_are_evaluated_at_the_same_steps_as_a_whole():
    agents = [
        QLearningAgent(n_steps=4096, n_evaluations=4, n_evaluation_episodes=5, random_state=0)
        for _ in range(2)
    ]
    agents[0].fit(RING)
    for _ in range(16):
        agents[1].partial_fit(RING, n_steps=256)
    steps = [agent.history_.evaluations[:, "n_steps"].tolist() for agent in agents]
    assert steps[0] == steps[1] == [1024, 2048, 3072, 4096]


def test_a_loaded_deep_agent_goes_on_in_small_chunks(identity_agent):
    file = io.BytesIO()
    joblib.dump(identity_agent, file)
    file.seek(0)
    loaded = joblib.load(file)
    n_updates = loaded.qfunction_.n_updates_
    for _ in range(6):
        loaded.partial_fit(Identity, n_steps=100)
    assert loaded.qfunction_.n_updates_ > n_updates


class Counts(Callback):
    def __init__(self, names):
        self.names = names

    def on_run_begin(self, run):
        self.n_episodes = 0

    def on_episode_end(self, run):
        self.n_episodes += 1


def test_callbacks_are_copied_and_the_copies_can_be_reached():
    given = Counts(["a"])
    agent = QLearningAgent(n_steps=500, n_evaluations=0, callbacks=[given]).fit(RING)
    assert not hasattr(given, "n_episodes")
    assert agent.callbacks_[0].n_episodes == 5
    assert not hasattr(clone(agent).callbacks[0], "n_episodes")


def test_environments_made_for_training_are_closed():
    made, closed = [], []

    class Counted(Identity):
        def __init__(self):
            made.append(self)

        def close(self):
            closed.append(self)

    agent = QLearningAgent(MemoizationQFunction(), n_steps=600, n_evaluations=2, random_state=0)
    agent.fit(Counted)
    agent.score(Counted, n_episodes=3)
    assert len(made) >= 3
    assert set(map(id, closed)) == set(map(id, made))


class Long(gymnasium.Env):
    """Earns 1 a step, and never ends by itself."""

    observation_space = spaces.Discrete(1)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return 0, {}

    def step(self, action):
        return 0, 1.0, False, False, {}


def test_long_episodes_are_not_cut_off():
    def make():
        return gymnasium.wrappers.TimeLimit(Long(), 3000)

    agent = QLearningAgent(n_steps=100, n_evaluations=0).fit(make)
    assert agent.score(make, n_episodes=2) == 3000


def test_the_result_of_reset_is_recognised(ring_agent):
    env = gymnasium.make(RING)
    with pytest.raises(ValueError, match="observation, info = env.reset"):
        ring_agent.predict(env.reset())


def test_masked_actions_are_never_chosen():
    agent = QLearningAgent(n_steps=3000, n_evaluations=1, random_state=0).fit("Taxi-v4")
    env = gymnasium.make("Taxi-v4")
    rng = np.random.default_rng(0)
    states = rng.integers(500, size=50)
    masks = np.array([env.unwrapped.action_mask(state) for state in states])
    actions = agent.predict(states, masks)
    assert masks[np.arange(50), actions].all()
    assert agent.predict(int(states[0]), masks[0]) == actions[0]
    with pytest.warns(UserWarning, match=r"call predict\(states, action_mask=info"):
        agent.predict(states)
    with pytest.raises(ValueError, match="action_mask must allow at least one action"):
        agent.predict(int(states[0]), np.zeros(6))


def test_scikit_learn_shows_no_metadata_requests():
    assert not [
        name for name in dir(QLearningAgent) if name.startswith("set_") and "request" in name
    ]


def test_metrics_are_recorded(identity_agent):
    rows = identity_agent.history_.metrics
    # The first rollout of 64 steps that is followed by learning ends after 256 steps.
    assert rows[:, "n_steps"].min() == 320
    assert np.isfinite(rows[:, "loss"]).all()
    assert 0 < rows[-1, "learning_rate"] < 5e-3
    assert rows[-1, "epsilon"] == pytest.approx(0.05)
