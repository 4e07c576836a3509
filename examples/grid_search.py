"""
Grid search over hyperparameters
================================

An agent is a scikit-learn estimator whose data X is a list of environments, so `GridSearchCV` works
unmodified. Every candidate is trained on some of the environments and scored on the others, in as
many processes as there are cores.

It takes minutes, so the gallery shows it without its output.
"""

from sklearn.model_selection import GridSearchCV

from skrl import DQN, EpsilonGreedy, ExperienceReplay, QLearningAgent, make_envs
from skrl.runners import ReplayBuffer

agent = QLearningAgent(
    qfunction=DQN(),
    policy=EpsilonGreedy(),
    runner=ExperienceReplay(buffer=ReplayBuffer()),
    n_steps=8_000,
    n_evaluations=4,  # fewer than by default, to save time
    random_state=0,
)

# %%
# Two underscores lead to the parameters of a part. A whole part may be a value too.
candidates = {
    "qfunction": [DQN(), DQN(dueling=True)],
    "qfunction__learning_rate": [1e-4, 1e-3],
    "runner__buffer__n_step_return": [1, 10],
}

# %%
# X: four poles, each with its own seed. ``error_score="raise"`` raises the error of a failing
# candidate at once, instead of a warning at the end.
search = GridSearchCV(agent, candidates, cv=2, n_jobs=-1, error_score="raise")
search.fit(make_envs("CartPole-v1", n=4))

# %%
# The result has the usual form. The best candidate has been refitted on all four poles.
results = search.cv_results_
for i in results["rank_test_score"].argsort():
    print(f"{results['mean_test_score'][i]:6.1f}  {results['params'][i]}")
print(
    f"The best one balances for {search.score(make_envs('CartPole-v1', n=10, seed=1)):.0f} steps."
)
