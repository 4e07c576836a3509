"""The same search on a cluster of processes, of which one dies."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from skrl import Callback, EpsilonGreedy, MemoizationQFunction, QLearningAgent, make_envs

ENVS = make_envs("skrl/CircularWorld-v0", n=4, max_episode_steps=8)
GRID = {"qfunction__learning_rate": [0.1, 0.3, 0.5], "policy__epsilon": [0.1, 0.5]}
N_FITS = 12  # six candidates, two folds


class Diary(Callback):
    """Notes which process begins to learn, and gives others the time to kill it."""

    def __init__(self, path=None):
        self.path = path

    def on_run_begin(self, run):
        if self.path is not None:
            with Path(self.path).open("a") as diary:
                diary.write(f"{os.getpid()}\n")
            time.sleep(0.5)


def search(path=None):
    agent = QLearningAgent(
        MemoizationQFunction(),
        EpsilonGreedy(),
        n_steps=300,
        n_evaluations=0,
        callbacks=[Diary(path)],
        random_state=0,
    )
    return GridSearchCV(agent, GRID, cv=2, refit=False, error_score="raise")


@pytest.fixture
def client():
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    with cluster, Client(cluster) as client:
        yield client


def kill_a_worker_that_learns(diary):
    """Wait until half of the search is done, and kill the process that began to learn last."""
    end = time.monotonic() + 60
    while not diary.exists() or len(diary.read_text().split()) < N_FITS // 2:
        assert time.monotonic() < end, "the search does not get on"
        time.sleep(0.01)
    victim = int(diary.read_text().split()[-1])
    os.kill(victim, signal.SIGKILL)
    return victim


@pytest.mark.slow
def test_the_search_survives_the_death_of_a_worker(client, tmp_path):
    diary = tmp_path / "diary.txt"
    workers = set(client.run(os.getpid).values())
    assert len(workers) == 2
    assert os.getpid() not in workers

    with ThreadPoolExecutor(1) as executor, joblib.parallel_config("dask"):
        victim = executor.submit(kill_a_worker_that_learns, diary)
        on_cluster = search(diary).fit(ENVS)
    assert victim.result() in workers
    assert victim.result() not in client.run(os.getpid).values()
    # What it was learning when it died was learned once more.
    assert len(diary.read_text().split()) > N_FITS

    here = search().fit(ENVS)
    for result in ("params", "mean_test_score", "rank_test_score"):
        np.testing.assert_array_equal(on_cluster.cv_results_[result], here.cv_results_[result])
