"""scikit-learn's own callbacks on the agent."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV

from skrl import DQN, ExperienceReplay, QLearningAgent
from skrl.base import Callback
from skrl.environments.worlds import CircularWorld

WORLD = "skrl/CircularWorld-v0"


def make_agent(**parameters):
    defaults = {
        "n_steps": 1_024,
        "n_evaluations": 4,
        "n_evaluation_episodes": 5,
        "evaluation_ratio": None,
        "random_state": 0,
    }
    return QLearningAgent(**{**defaults, **parameters})


def mean_return(agent, env, y=None):
    return agent.score(env, n_episodes=3)


def monitor():
    return ScoringMonitor(scoring={"return": mean_return})


class Watch:
    """Follows scikit-learn's protocol, and remembers all that it is told."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.begun, self.ended, self.fitted, self.is_set_up = [], [], [], 0

    def setup(self, estimator, context):
        self.is_set_up += 1
        self.max_subtasks = context.max_subtasks

    def teardown(self, estimator, context):
        self.is_set_up -= 1

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.begun.append((context.task_name, context.task_id))
        self.X = X

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.ended.append((context.task_name, context.task_id))
        self.fitted.append(fitted_estimator)
        return context.task_name == "interval" and context.task_id == self.stop_at


def test_the_tasks_are_the_intervals_between_evaluations():
    watch = Watch()
    agent = make_agent().set_callbacks(watch).fit(WORLD)
    intervals = [("interval", i) for i in range(4)]
    assert watch.begun == [("fit", 0), *intervals]
    assert watch.ended == [*intervals, ("fit", 0)]
    assert watch.max_subtasks == 4
    assert watch.is_set_up == 0
    assert watch.X == WORLD
    # As many steps as the evaluations.
    n_steps = [fitted.n_steps_ for fitted in watch.fitted]
    assert n_steps == [*agent.history_.evaluations[:, "n_steps"], 1_024]


@pytest.mark.parametrize(
    ("parameters", "most", "n_tasks"),
    [
        ({"n_evaluations": 0}, 4, 4),  # the rollouts of 256 steps
        ({"n_steps": 1_001, "n_evaluations": 3}, 4, 3),
        ({"n_steps": 1_000, "n_evaluations": 1_000}, 1_000, 4),  # one per rollout, at most
        ({"n_steps": None, "n_episodes": 15}, None, 2),  # 1,500 steps: one per 1,250
    ],
)
def test_the_largest_number_of_tasks_is_known_if_that_of_steps_is(parameters, most, n_tasks):
    watch = Watch()
    make_agent(**parameters).set_callbacks(watch).fit(WORLD)
    assert watch.max_subtasks == most
    assert len(watch.ended) == n_tasks + 1


def test_warm_start_counts_on():
    watch = Watch()
    agent = make_agent(warm_start=True, n_steps=900).set_callbacks(watch).fit(WORLD)
    watch.ended.clear()
    agent.fit(WORLD)
    assert watch.max_subtasks == 4
    assert watch.ended == [*(("interval", i) for i in range(4)), ("fit", 0)]


def test_the_score_is_that_of_an_agent_trained_so_far():
    """At each task: the score of an agent that was trained for as many steps."""
    scores = monitor()
    agent = make_agent(n_evaluations=0).set_callbacks(scores).fit(WORLD)
    rows = scores.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["interval"] * 4
    assert rows[0]["return"] == rows[-1]["return"] == agent.score(WORLD, n_episodes=3)
    shorter = make_agent(n_evaluations=0).partial_fit(WORLD, n_steps=512)
    assert rows[2]["return"] == shorter.score(WORLD, n_episodes=3)


def test_a_fitted_agent_that_is_kept_does_not_change():
    watch = Watch()
    agent = make_agent().set_callbacks(watch).fit(WORLD)
    tables = [fitted.qfunction_.table_ for fitted in watch.fitted]
    assert not np.array_equal(tables[0], tables[3])
    shorter = make_agent(n_evaluations=0).partial_fit(WORLD, n_steps=256)
    np.testing.assert_array_equal(tables[0], shorter.qfunction_.table_)
    np.testing.assert_array_equal(tables[4], agent.qfunction_.table_)


def small_network():
    return {
        "qfunction": DQN((8,)),
        "runner": ExperienceReplay(batch_size=16, gradient_steps=4, learning_starts=256),
    }


@pytest.mark.parametrize("parameters", [{}, small_network()], ids=["table", "network"])
def test_scoring_does_not_change_what_is_learned(parameters):
    world = "CartPole-v1" if parameters else WORLD
    alone = make_agent(**parameters).fit(world)
    watched = make_agent(**parameters).set_callbacks(monitor(), Watch()).fit(world)
    for name in ("loss", "td_error", "q_mean", "q_max"):
        assert (
            watched.history_.metrics[:, name].tolist() == alone.history_.metrics[:, name].tolist()
        )
    assert mean_return(watched, world) == mean_return(alone, world)


def test_a_callback_stops_the_run_after_its_evaluation():
    agent = make_agent().set_callbacks(Watch(stop_at=1)).fit(WORLD)
    assert agent.n_steps_ == 512
    assert agent.history_.evaluations[:, "n_steps"].tolist() == [256, 512]


class Fail(Callback):
    def on_rollout_end(self, run):
        raise RuntimeError("not today")


def test_callbacks_are_torn_down_if_training_fails():
    watch = Watch()
    agent = make_agent(callbacks=[Fail()]).set_callbacks(watch)
    with pytest.raises(RuntimeError, match="not today"):
        agent.fit(WORLD)
    assert watch.is_set_up == 0
    assert watch.ended == []


def test_partial_fit_does_not_call_them():
    watch = Watch()
    make_agent().set_callbacks(watch).partial_fit(WORLD)
    assert watch.begun == watch.ended == []


def test_a_factory_is_not_called():
    watch = Watch()
    make_agent(n_steps=500, n_evaluations=0).set_callbacks(watch).fit(CircularWorld)
    assert watch.X is CircularWorld


def test_they_are_not_the_agents_own_callbacks():
    watch = Watch()
    agent = make_agent().set_callbacks(watch)
    assert agent.callbacks is None
    assert set(agent.get_params(deep=False)) == set(make_agent().get_params(deep=False))
    clone(agent).fit(WORLD)
    assert len(watch.ended) == 5
    assert agent.fit(WORLD).callbacks_ == []
    with pytest.raises(TypeError, match="FitCallback"):
        agent.set_callbacks(Fail())


def test_a_progress_bar_of_scikit_learn(capsys):
    make_agent().set_callbacks(ProgressBar()).fit(WORLD)
    shown = capsys.readouterr().out
    assert "QLearningAgent - fit" in shown
    assert "100%" in shown


@pytest.mark.slow
def test_a_search_propagates_its_progress_bar(capsys):
    search = GridSearchCV(make_agent(), {"discount_factor": [0.5, 0.9]}, cv=2, scoring=mean_return)
    search.set_callbacks(ProgressBar(max_propagation_depth=None))
    search.fit([WORLD] * 4)
    assert "QLearningAgent - fit" in capsys.readouterr().out


@pytest.mark.slow
def test_an_agent_with_a_monitor_is_pickled():
    agent = make_agent().set_callbacks(monitor()).fit(WORLD)
    again = pickle.loads(pickle.dumps(agent))
    assert mean_return(again, WORLD) == mean_return(agent, WORLD)
    again.fit(WORLD)
    assert len(again.history_.evaluations) == 4
