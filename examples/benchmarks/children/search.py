"""Time a grid search over 8 candidates, ``python search.py N_JOBS N_STEPS``, and print JSON."""

import json
import sys
from time import perf_counter

from sklearn.model_selection import GridSearchCV, ShuffleSplit

from skrl import DQN, ExperienceReplay, QLearningAgent, make_envs

n_jobs, n_steps = map(int, sys.argv[1:])
agent = QLearningAgent(
    DQN(), runner=ExperienceReplay(), n_steps=n_steps, n_evaluations=0, random_state=0
)
candidates = {
    "qfunction__learning_rate": [3e-4, 1e-3, 3e-3, 1e-2],
    "discount_factor": [0.98, 0.99],
}
# One fold: trained on one environment, scored on another.
one_fold = ShuffleSplit(1, test_size=1, random_state=0)
search = GridSearchCV(
    agent, candidates, cv=one_fold, n_jobs=n_jobs, refit=False, error_score="raise"
)
begin = perf_counter()
search.fit(make_envs("CartPole-v1", n=2))
seconds = perf_counter() - begin
results = search.cv_results_
print(
    json.dumps(
        {
            "seconds": seconds,
            "shortest_fit": min(results["mean_fit_time"]),
            "scores": results["mean_test_score"].tolist(),
        }
    )
)
