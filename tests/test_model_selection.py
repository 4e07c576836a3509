"""scikit-learn's own model selection, with environments for data."""

import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from scipy.stats import uniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import make_pipeline

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    Greedy,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    RandomQFunction,
    SimpleRunner,
    make_envs,
)

# Short episodes: the first policies walk in circles, and each is scored in 100 episodes.
RING = "skrl/CircularWorld-v0"
TOO_HIGH = 1e6  # an initial value that does not wear off in time
make_ring = partial(gymnasium.make, RING, max_episode_steps=8)  # a factory, which pickles
ENVS = make_envs(RING, n=4, max_episode_steps=8)

# Four environments, in every form that X may have.
FORMS = {
    "ids": [RING] * 4,
    "items": ENVS,
    "factories": [make_ring] * 4,
    "live": [make_ring() for _ in range(4)],
}


def table_agent(**parameters):
    """Learns the ring within a few hundred steps."""
    return QLearningAgent(
        MemoizationQFunction(learning_rate=0.5, learning_rate_decay=0, initial_value=0),
        EpsilonGreedy(0.5),
        SimpleRunner(),
        **{"n_steps": 400, "n_evaluations": 0, "random_state": 0, **parameters},
    )


def knows_the_way(score):
    """Every greedy episode walks to 0; the mean over the starts is 30/11."""
    return score == pytest.approx(30 / 11, abs=0.7)


@pytest.mark.parametrize("form", FORMS)
def test_cross_validation_takes_environments_in_every_form(form):
    scores = cross_val_score(table_agent(), FORMS[form], cv=2, error_score="raise")
    assert len(scores) == 2
    assert all(map(knows_the_way, scores))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_grid_search_finds_what_learns(form):
    grid = {"qfunction__initial_value": [TOO_HIGH, 0], "policy__epsilon": [0.5]}
    search = GridSearchCV(table_agent(), grid, cv=2, error_score="raise").fit(FORMS[form])
    assert search.best_params_ == {"qfunction__initial_value": 0, "policy__epsilon": 0.5}
    assert knows_the_way(search.score(FORMS[form]))
    assert search.predict(2) == 0  # one step to the left: the best agent acts


def test_a_whole_part_is_a_value_of_the_grid():
    grid = {
        "qfunction": [RandomQFunction(), MemoizationQFunction(0.5, 0, 0)],
        "policy": [EpsilonGreedy()],
    }
    search = GridSearchCV(table_agent(), grid, cv=2, error_score="raise").fit(ENVS)
    assert isinstance(search.best_estimator_.qfunction_, MemoizationQFunction)


@pytest.mark.slow
def test_a_table_and_a_network_compete():
    grid = [
        {"qfunction": [MemoizationQFunction(0.5, 0, 0)], "runner": [SimpleRunner()]},
        {
            "qfunction": [DQN((8,))],
            "runner": [ExperienceReplay(learning_starts=256)],
            "runner__batch_size": [8],
        },
    ]
    search = GridSearchCV(table_agent(), grid, cv=2, error_score="raise").fit(ENVS)
    assert len(search.cv_results_["params"]) == 2
    assert knows_the_way(search.best_score_)


@pytest.mark.slow
def test_randomized_search():
    space = {"qfunction__learning_rate": uniform(0.1, 0.8), "discount_factor": uniform(0.5, 0.5)}
    search = RandomizedSearchCV(table_agent(), space, n_iter=3, cv=2, random_state=0)
    search.fit(ENVS)
    assert knows_the_way(search.best_score_)
    assert 0.1 <= search.best_params_["qfunction__learning_rate"] <= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_halving_hands_out_steps(kind):
    space = {"qfunction__initial_value": [TOO_HIGH, 2 * TOO_HIGH, 3 * TOO_HIGH, 0]}
    search = kind(
        table_agent(),
        space,
        resource="n_steps",
        min_resources=100,
        max_resources=400,
        factor=2,
        cv=2,
        random_state=0,
        error_score="raise",
    ).fit(ENVS)
    assert search.n_resources_ == [100, 200, 400]
    assert search.best_params_ == {"n_steps": 400, "qfunction__initial_value": 0}
    assert search.best_estimator_.n_steps_ == 400


@pytest.mark.slow
def test_validation_curve_falls_with_the_initial_value():
    train, test = validation_curve(
        table_agent(),
        ENVS,
        None,
        param_name="qfunction__initial_value",
        param_range=[0, TOO_HIGH],
        cv=2,
    )
    assert train.shape == test.shape == (2, 2)
    assert knows_the_way(test[0].mean())
    assert test[1].mean() < 1.5


@pytest.mark.slow
def test_learning_curve_over_numbers_of_environments():
    sizes, _train, test = learning_curve(table_agent(), ENVS, None, train_sizes=[1, 2], cv=2)
    assert sizes.tolist() == [1, 2]
    assert knows_the_way(test[-1].mean())


def test_cross_validate_returns_the_agents():
    results = cross_validate(
        table_agent(), ENVS, cv=2, return_estimator=True, return_train_score=True
    )
    assert [agent.predict(-2) for agent in results["estimator"]] == [2, 2]
    assert all(map(knows_the_way, results["train_score"]))


def test_an_agent_can_be_the_last_step_of_a_pipeline():
    """It is passed through whatever comes before: here nothing is transformed."""
    pipeline = make_pipeline("passthrough", table_agent())
    scores = cross_val_score(pipeline, ENVS, cv=2, error_score="raise")
    assert all(map(knows_the_way, scores))


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_jobs():
    grid = {"policy__epsilon": [0.1, 0.5], "qfunction__learning_rate": [0.1, 0.5]}
    tables = []
    for n_jobs in (1, 2):
        search = GridSearchCV(table_agent(n_steps=300), grid, cv=2, n_jobs=n_jobs)
        search.fit(ENVS)
        tables.append(search.best_estimator_.qfunction_.table_)
        scores = search.cv_results_["mean_test_score"]
        tables.append(scores)
    assert (tables[0] == tables[2]).all()
    assert (tables[1] == tables[3]).all()


def test_a_search_can_be_saved_and_loaded():
    search = GridSearchCV(table_agent(), {"policy__epsilon": [0.5]}, cv=2).fit(ENVS)
    loaded = pickle.loads(pickle.dumps(search))
    assert (loaded.predict(np.arange(-3, 4)) == search.predict(np.arange(-3, 4))).all()


# ---- what goes wrong ---------------------------------------------------------------------------


def test_a_bare_string_is_refused_with_the_right_call():
    """scikit-learn takes it for a sequence of characters."""
    search = GridSearchCV(table_agent(), {"policy__epsilon": [0.5]}, cv=2)
    with pytest.raises(ValueError, match=r"\['CartPole-v1'\] \* 6"):
        search.fit("CartPole-v1")
    with pytest.raises(ValueError, match="array-like.*'CartPole-v1'"):  # scikit-learn's own words
        cross_val_score(table_agent(), "CartPole-v1", cv=2, error_score="raise")


def test_a_single_environment_is_refused_with_the_right_call():
    search = GridSearchCV(table_agent(), {"policy__epsilon": [0.5]}, cv=2)
    with pytest.raises(TypeError, match="make_envs"):
        search.fit(GymEnvironment(RING))
    with pytest.raises(TypeError, match="at least 1 dimension"):  # scikit-learn's own words
        search.fit(gymnasium.make(RING))


def test_fewer_environments_than_folds_are_refused():
    with pytest.raises(ValueError, match=r"n_splits=3 greater than the number of samples"):
        cross_val_score(table_agent(), ENVS[:2], cv=3)


def test_mixed_spaces_are_refused():
    mixed = [RING, "CartPole-v1", RING, "CartPole-v1"]
    search = GridSearchCV(table_agent(), {"policy__epsilon": [0.5]}, cv=2)
    with pytest.raises(ValueError, match="equal spaces"):
        search.fit(mixed)


class Broken(Greedy):
    """A policy that fails."""

    def decide(self, *args, **kwargs):
        raise RuntimeError("out of order")


def test_the_error_of_a_candidate_is_shown_plainly():
    search = GridSearchCV(table_agent(), {"policy": [Broken()]}, cv=2, error_score="raise")
    with pytest.raises(RuntimeError, match="out of order"):
        search.fit(ENVS)


SLOW_SEARCH = """
import signal, sys
from sklearn.model_selection import GridSearchCV
from skrl import MemoizationQFunction, QLearningAgent, Callback, make_envs

# What a shell starts in the background ignores interrupts, and passes that on.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Tell(Callback):
    def on_run_begin(self, run):
        open(sys.argv[1], "a").write("learning\\n")

agent = QLearningAgent(
    MemoizationQFunction(), n_steps=10**9, n_evaluations=0, callbacks=[Tell()], random_state=0)
grid = {"qfunction__learning_rate": [0.1, 0.2]}
GridSearchCV(agent, grid, cv=2, n_jobs=2).fit(make_envs("skrl/CircularWorld-v0", n=4))
"""


def processes_of_session(session_id):
    """Numbers of the processes that still run in a session of the operating system."""
    numbers = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _parent, _group, session = stat.read_text().rpartition(") ")[2].split()[:4]
            if int(session) == session_id and state != "Z":
                numbers.append(int(stat.parent.name))
    return numbers


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_an_interrupted_search_leaves_no_process_behind(tmp_path):
    diary = tmp_path / "diary.txt"
    search = subprocess.Popen(
        [sys.executable, "-c", SLOW_SEARCH, str(diary)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: diary.exists() and diary.read_text().count("learning") == 2)
        assert len(processes_of_session(search.pid)) >= 3  # two of them work
        search.send_signal(signal.SIGINT)
        assert search.wait(timeout=120) != 0
        wait_until(lambda: not processes_of_session(search.pid))
    finally:
        for number in processes_of_session(search.pid):
            os.kill(number, signal.SIGKILL)


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)
