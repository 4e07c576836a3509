"""
The same search on a cluster
============================

scikit-learn runs a search in parallel with joblib, and joblib can send the work to a Dask cluster.
The search itself does not change. This script starts a small cluster on its own machine. For an
existing cluster, pass the address of its scheduler, such as ``Client("tcp://scheduler:8786")``.

It needs ``pip install "skrl-toolkit[dask]"``, and starts other processes, so the gallery shows it
without its output.
"""

import joblib
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from skrl import DQN, ExperienceReplay, QLearningAgent, make_envs


def search_on_the_cluster() -> None:
    """Search over learning rates, in the processes of a cluster."""
    agent = QLearningAgent(
        DQN(), runner=ExperienceReplay(), n_steps=4_000, n_evaluations=4, random_state=0
    )
    candidates = {"qfunction__learning_rate": [1e-4, 1e-3, 1e-2]}
    search = GridSearchCV(agent, candidates, cv=2)

    # One thread per worker: each has its own process and its share of the cores.
    with (
        LocalCluster(n_workers=2, threads_per_worker=1) as cluster,
        Client(cluster),
        joblib.parallel_config("dask"),
    ):
        search.fit(make_envs("CartPole-v1", n=4))

    results = search.cv_results_
    for params, score in zip(results["params"], results["mean_test_score"], strict=True):
        print(f"{score:6.1f}  {params}")
    print(f"Best: {search.best_params_}")


# The workers load this file too; only the main process may start a cluster.
if __name__ == "__main__":
    search_on_the_cluster()
