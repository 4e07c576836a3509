"""Environments in processes: the same transitions, clear errors, and no process left behind."""

import multiprocessing
import os
import pickle
import random
import signal
import time
from functools import partial

import gymnasium
import joblib
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from sklearn.base import clone

from skrl import (
    DQN,
    ExperienceReplay,
    GymEnvironment,
    QLearningAgent,
    RandomQFunction,
    atari_env,
    image_env,
    make_envs,
)
from skrl.environments import opening, processes, step_cost
from skrl.environments.processes import CONTEXT
from skrl.environments.step_cost import pays_in_processes, step_seconds
from skrl.estimator_checks import check_environment


class Walk(gymnasium.Env):
    """A random walk of up to 12 steps; it can be slow, fail or die at a given step."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)

    def __init__(self, n_actions=2, wrong=None, at=5, seconds=0.0, render_mode=None):
        self.action_space = spaces.Discrete(n_actions)
        self.wrong, self.at, self.seconds, self.render_mode = wrong, at, seconds, render_mode
        if wrong == "make":
            raise OSError("no such ship")

    def observe(self):
        return self.np_random.random(3, np.float32) + self.t

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        if self.seconds:
            time.sleep(self.seconds)
        if self.t == self.at:
            if self.wrong == "raise":
                1 / 0  # noqa: B018
            if self.wrong == "unpicklable":
                error = KeyError("a function")
                error.function = lambda: None
                raise error
            if self.wrong == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.wrong == "exit":
                os._exit(3)
        reward = float(self.np_random.normal() + action)
        return self.observe(), reward, bool(self.np_random.random() < 0.1), self.t == 12, {}

    def render(self):
        return np.full((2, 2, 3), self.t, np.uint8)


class Masked(Walk):
    """Not every action is allowed."""

    def info(self):
        return {"action_mask": np.array([self.t % 2, 1], np.int8)}

    def reset(self, **kwargs):
        observation, _ = super().reset(**kwargs)
        return observation, self.info()

    def step(self, action):
        assert action or self.t % 2
        *results, _ = super().step(action)
        return *results, self.info()


gymnasium.register("test/Walk-v0", Walk, reward_threshold=7.0, max_episode_steps=9)


@pytest.fixture(autouse=True)
def no_process_is_left(monkeypatch):
    """There are two processes, on any machine, and none in the end."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    yield
    assert multiprocessing.active_children() == []


def collect(environment, n_steps=60):
    """Everything that a run sees."""
    rng = np.random.default_rng(0)
    seen = [environment.reset(seed=3), environment.action_masks]
    for _ in range(n_steps):
        draws = rng.random((environment.n_envs_, environment.n_actions))
        masks = environment.action_masks
        actions = (draws if masks is None else np.where(masks, draws, -1)).argmax(axis=1)
        seen.append(environment.step(actions).to_dict())
        seen.append(environment.states.copy())
        seen.append(environment.action_masks)
    return seen


def flat(seen):
    """All arrays as bytes, with their dtypes."""
    arrays = []
    for item in seen:
        values = item.items() if isinstance(item, dict) else [("", item)]
        arrays += [(k, None if v is None else (v.dtype, v.tobytes())) for k, v in values]
    return arrays


KINDS = {
    "id": ("test/Walk-v0", 3),
    "spec": (gymnasium.spec("FrozenLake-v1"), 2),
    "factory": (Walk, 3),
    "list": ([Walk, partial(Walk, seconds=0.001), "test/Walk-v0"], 1),
    "items": (make_envs("test/Walk-v0", 3), 1),
    "action masks": (Masked, 2),
    "Taxi": ("Taxi-v4", 2),
    "images": (image_env("CartPole-v1", size=(10, 15)), 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_processes_give_the_same_bits(kind):
    env, n_envs = KINDS[kind]
    seen, facts = [], []
    for asynchronous in (False, True):
        with GymEnvironment(env, n_envs, asynchronous=asynchronous) as environment:
            seen.append(flat(collect(environment)))
            facts.append((environment.reward_threshold, environment.has_time_limit))
            facts[-1] += (environment.observation_space, environment.action_space)
            assert environment.is_asynchronous == asynchronous
            assert not environment.is_vectorized
    assert seen[0] == seen[1]
    assert facts[0] == facts[1]


def test_games_give_the_same_bits():
    pytest.importorskip("ale_py")
    seen = []
    for asynchronous in (False, True):
        pair = atari_env("ALE/Breakout-v5")
        with GymEnvironment(pair, 2, asynchronous=asynchronous) as environment:
            seen.append(flat(collect(environment, 30)))
    assert seen[0] == seen[1]


def test_training_is_the_same():
    scores = []
    for asynchronous in (False, True):
        agent = QLearningAgent(RandomQFunction(), n_steps=300, n_evaluations=3, random_state=0)
        with GymEnvironment(Walk, 3, asynchronous=asynchronous) as environment:
            agent.fit(environment)
            scores.append((agent.score(environment, n_episodes=6), agent.best_score_))
        scores[-1] += tuple(agent.history_[:, "return"].tolist())
        scores[-1] += (len(agent.history_.evaluations), len(agent.history_.metrics))
    assert scores[0] == scores[1]


@pytest.mark.parametrize("n_envs", [1, 2, 5])
def test_the_number_of_evaluations_does_not_depend_on_the_number_of_environments(n_envs):
    agent = QLearningAgent(
        RandomQFunction(), n_steps=1_000, n_evaluations=4, n_iter_no_change=9, random_state=0
    )
    with GymEnvironment(Walk, n_envs, asynchronous=True) as environment:
        agent.fit(environment)
    assert len(agent.history_.evaluations) == 4
    assert len(agent.history_.metrics) == 4  # one per rollout of 256 steps


def test_a_network_that_learns_in_the_background_is_the_same():
    weights = []
    for asynchronous in (False, True):
        runner = ExperienceReplay(train_freq=16, gradient_steps=4, learning_starts=32)
        agent = QLearningAgent(
            DQN((8,)), runner=runner, n_steps=256, n_evaluations=2, random_state=0
        )
        # The recipes of a list are made again for the evaluations, while the network learns.
        with GymEnvironment([Walk, Walk], asynchronous=asynchronous) as environment:
            agent.fit(environment)
        states = np.linspace(-1, 1, 30, dtype=np.float32).reshape(10, 3)
        weights.append(agent.decision_function(states).tobytes())
    assert weights[0] == weights[1]


# The choice


def test_processes_are_used_where_steps_are_slow(monkeypatch):
    for seconds, expected in ((0.0, False), (0.01, True)):
        with GymEnvironment(partial(Walk, seconds=seconds), n_envs=2) as environment:
            environment.reset()
            assert environment.is_asynchronous == expected
            with environment.replicate(2) as replica:
                assert replica.is_asynchronous == expected
    with GymEnvironment("CartPole-v1", n_envs=2) as environment:
        assert environment.is_vectorized
    with GymEnvironment(partial(Walk, seconds=0.01)) as environment:
        assert not environment.is_asynchronous


def test_a_step_costs_what_it_takes():
    assert 0.01 <= step_seconds(partial(Walk, seconds=0.01)) < 0.05
    assert step_seconds(Walk) < 0.005
    assert step_seconds(Masked) < 0.005


@pytest.mark.parametrize(
    ("step", "n_cpus", "expected"),
    # 8 t / 2 > 2 * 2 * 60 us, and 8 t * 3/4 > 2 * 4 * 40 us
    [(59e-6, 2, False), (61e-6, 2, True), (53e-6, 4, False), (54e-6, 4, True), (1.0, 1, False)],
)
def test_what_processes_save_is_compared_with_what_messages_cost(
    monkeypatch, step, n_cpus, expected
):
    monkeypatch.setattr(step_cost, "step_seconds", lambda make: step)
    # Messages for n environments: 20 us and 10 us for each, and so 60 us for 4 and 40 us for 2.
    monkeypatch.setattr(step_cost, "pipe_seconds", lambda share: 20e-6)
    monkeypatch.setattr(step_cost, "message_seconds", lambda share: (20 + 10 * share) * 1e-6)
    monkeypatch.setattr(step_cost.joblib, "cpu_count", lambda: n_cpus)
    assert pays_in_processes(Walk, 8) == expected
    assert not pays_in_processes(Walk, 1)


def test_the_choice_changes_no_random_numbers(monkeypatch):
    class Global(Walk):
        def step(self, action):
            random.random(), np.random.random()  # noqa: NPY002
            return super().step(action)

    states = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert step_seconds(Global) > 0
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002
    seen = []
    for choice in (True, False):
        monkeypatch.setattr(opening, "pays_in_processes", lambda make, n: choice)  # noqa: B023
        with GymEnvironment(Walk, 3) as environment:
            seen.append(flat(collect(environment)))
            assert environment.is_asynchronous == choice
    with GymEnvironment(Walk, 3, asynchronous=False) as environment:
        seen.append(flat(collect(environment)))
    assert seen[0] == seen[1] == seen[2]


def test_what_fails_is_not_measured():
    for wrong in ("raise", "make"):
        assert not pays_in_processes(partial(Walk, wrong=wrong), 2)


def test_true_is_kept_where_all_could_be_computed_at_once():
    with GymEnvironment("CartPole-v1", n_envs=2, asynchronous=True) as environment:
        assert environment.reset(seed=0).shape == (2, 4)
        assert environment.is_asynchronous
        assert environment.has_time_limit
        assert environment.reward_threshold == 475
        with environment.replicate(3) as replica:
            assert replica.is_asynchronous


def test_live_environments_stay_where_they_are():
    for env in (Walk(), [Walk(), Walk], SyncVectorEnv([Walk])):
        with pytest.raises(ValueError, match="asynchronous=True makes environments in separate"):
            GymEnvironment(env, asynchronous=True).reset()
        with GymEnvironment(env) as environment:
            assert not environment.is_asynchronous


def test_parameters_and_copies():
    environment = GymEnvironment(Walk, 2, asynchronous=True)
    environment.reset(seed=0)
    assert clone(environment).asynchronous is True
    copy = pickle.loads(pickle.dumps(environment))
    assert copy.get_params() == environment.get_params()
    environment.set_params(asynchronous=False)
    assert not environment.is_asynchronous
    environment.close()


def test_pictures():
    with GymEnvironment(Walk, 2, "rgb_array", asynchronous=True) as environment:
        environment.reset(seed=0)
        environment.step(np.array([0, 1]))
        assert (environment.render() == 1).all()


def test_the_contract_of_environments_is_kept():
    check_environment(GymEnvironment(Walk, n_envs=2, asynchronous=True))


# Errors


def fail(wrong, capfd):
    """Let the second of three environments go wrong, and give the message."""
    recipes = [Walk, partial(Walk, wrong=wrong), Walk]
    environment = GymEnvironment(recipes, asynchronous=True)
    begin = time.perf_counter()
    with pytest.raises(RuntimeError) as caught:
        collect(environment)
    assert multiprocessing.active_children() == []
    assert time.perf_counter() - begin < 20
    assert "Traceback" not in "".join(capfd.readouterr())
    assert caught.value.__cause__ is None
    environment.close()
    return str(caught.value)


def test_an_error_in_a_process_is_reported_by_name(capfd):
    message = fail("raise", capfd)
    assert message.startswith(
        "Environment 1 of 3 (Walk) failed in its process: ZeroDivisionError: division by zero "
    )
    assert f"{__file__}, line" in message
    assert message.endswith("the whole traceback are at hand.")
    assert "asynchronous=False" in message


def test_an_error_that_cannot_be_sent_is_reported_all_the_same(capfd):
    assert "failed in its process: KeyError: 'a function'" in fail("unpicklable", capfd)


def test_a_process_that_dies_is_reported_by_name(capfd):
    assert fail("die", capfd).startswith(
        "The process of Environment 1 of 3 (Walk) died (SIGKILL). It may have run out of memory"
    )
    assert "(exit code 3)" in fail("exit", capfd)


class Sleepy(Walk):
    def reset(self, **arguments):
        time.sleep(0.3)
        return super().reset(**arguments)


def test_a_reset_that_may_hang_is_reported_by_name(monkeypatch):
    monkeypatch.setattr("skrl.environments.processes.PATIENCE_SECONDS", 0.1)
    message = r"Environment 1 of 2 \(Sleepy\) has not begun an episode"
    with (
        GymEnvironment([Walk, Sleepy], asynchronous=True) as environment,
        pytest.warns(UserWarning, match=message),
    ):
        environment.reset(seed=0)


def test_an_environment_that_cannot_be_made_is_reported(capfd):
    message = fail("make", capfd)
    assert message.startswith("Environment 1 of 3 failed in its process: OSError: no such ship")
    with pytest.raises(OSError, match="no such ship"):
        GymEnvironment(partial(Walk, wrong="make"), 2, asynchronous=True).reset()


def test_ids_of_registered_environments_are_named(capfd):
    gymnasium.register("test/Dying-v0", Walk, kwargs={"wrong": "die"})
    with pytest.raises(RuntimeError, match=r"Environment 0 of 2 \(test/Dying-v0\) died \(SIGKILL"):
        collect(GymEnvironment("test/Dying-v0", 2, asynchronous=True))


def test_spaces_must_be_equal():
    environment = GymEnvironment([Walk, partial(Walk, n_actions=3)], asynchronous=True)
    with pytest.raises(ValueError, match=r"action_space of .* 0 .*Discrete\(2\).* 1 .*Discrete\(3"):
        environment.reset()


def test_a_failed_training_leaves_no_process():
    for wrong in ("raise", "die"):
        recipes = [Walk, partial(Walk, wrong=wrong)]
        environment = GymEnvironment(recipes, asynchronous=True)
        with pytest.raises(RuntimeError, match="Environment 1 of 2"):
            QLearningAgent(RandomQFunction(), n_steps=200, n_evaluations=0).fit(environment)
        assert multiprocessing.active_children() == []


def test_a_step_that_is_interrupted_leaves_no_process(monkeypatch):
    environment = GymEnvironment(Walk, 2, asynchronous=True)
    environment.reset(seed=0)

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(environment._backend.env.pipes[1], "recv", interrupt)
    with pytest.raises(KeyboardInterrupt):
        environment.step(np.array([0, 0]))
    assert multiprocessing.active_children() == []
    environment.close()


def open_and_die(pipe):
    """Open environments, and die while one of them is in a step and the other one waits."""
    environment = GymEnvironment([Walk, partial(Walk, seconds=0.3)], asynchronous=True)
    environment.reset(seed=0)
    environment._backend.env.pipes[1].send(("step", ([1], [0])))
    pipe.send(len(multiprocessing.active_children()))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(CONTEXT != "fork", reason="The processes must inherit a pipe.")
def test_processes_end_when_the_main_process_dies():
    context = multiprocessing.get_context(CONTEXT)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=open_and_die, args=(there,))
    process.start()
    there.close()
    assert here.recv() == 2
    # The pipe ends when no process is left that has inherited it.
    assert here.poll(10)
    with pytest.raises(EOFError):
        here.recv()
    process.join()


def test_processes_that_are_spawned_give_the_same_bits(monkeypatch):
    monkeypatch.setattr(processes, "CONTEXT", "spawn")
    seen = []
    for asynchronous in (False, True):
        with GymEnvironment("FrozenLake-v1", 2, asynchronous=asynchronous) as environment:
            seen.append(flat(collect(environment, 20)))
    assert seen[0] == seen[1]


def test_after_an_error_the_environment_can_be_used_again():
    environment = GymEnvironment([Walk, partial(Walk, wrong="raise")], asynchronous=True)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        collect(environment)
    with pytest.raises(RuntimeError, match="have been ended, by close"):
        environment.reset()
    environment.close()
    assert environment.reset().shape == (2, 3)
    environment.close()


def test_an_environment_that_does_not_close_is_ended(monkeypatch):
    class Open(Walk):
        def close(self):
            time.sleep(0 if os.getpid() == main_process else 60)

    main_process = os.getpid()
    monkeypatch.setattr(processes, "CLOSING_SECONDS", 0.1)
    environment = GymEnvironment(Open, 2, asynchronous=True)
    environment.reset()
    environment.close()
    assert multiprocessing.active_children() == []


def test_spaces_that_are_not_supported():
    class Text(Walk):
        observation_space = spaces.Text(3)

    for asynchronous in (False, True):
        with pytest.raises(ValueError, match=r"observation space Text.* is not supported"):
            GymEnvironment(Text, 2, asynchronous=asynchronous).reset()


def test_an_environment_that_is_forgotten_ends_its_processes():
    environment = GymEnvironment(Walk, 2, asynchronous=True)
    environment.reset()
    assert len(multiprocessing.active_children()) == 2
    del environment


def test_a_process_of_a_pool_has_no_processes(monkeypatch):
    monkeypatch.setattr(step_cost, "can_begin_processes", lambda: False)
    assert not pays_in_processes(partial(Walk, seconds=0.01), 2)
