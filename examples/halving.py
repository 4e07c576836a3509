"""
Successive halving: more steps for better candidates
====================================================

Most candidates of a search perform badly from the beginning. Successive halving trains all of them
for a few steps, the better third for three times as many, and so on. The resource is the agent's
parameter ``n_steps``.

It takes minutes, so the gallery shows it without its output.
"""

from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV

from skrl import DQN, ExperienceReplay, QLearningAgent, make_envs
from skrl.runners import ReplayBuffer

runner = ExperienceReplay(buffer=ReplayBuffer())
agent = QLearningAgent(DQN(), runner=runner, n_evaluations=6, random_state=0)
candidates = {
    "qfunction__learning_rate": loguniform(1e-5, 1e-1),
    "runner__buffer__n_step_return": [1, 3, 10],
    "discount_factor": [0.9, 0.99, 0.999],
}

# %%
# Nine candidates for 2,000 steps, three for 6,000, one for 18,000.
search = HalvingRandomSearchCV(
    agent,
    candidates,
    n_candidates=9,
    resource="n_steps",
    min_resources=2_000,
    max_resources=18_000,
    cv=2,
    n_jobs=-1,
    random_state=0,
)
search.fit(make_envs("CartPole-v1", n=4))

# %%
results = search.cv_results_
for i, params in enumerate(results["params"]):
    shown = ", ".join(f"{name}={params[name]:.3g}" for name in candidates)
    print(f"{results['n_resources'][i]:6,} steps: {results['mean_test_score'][i]:5.0f}  {shown}")
