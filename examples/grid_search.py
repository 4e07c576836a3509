"""
Grid search over hyperparameters
================================

An agent is a scikit-learn estimator whose data X is a list of environments. So scikit-learn's own
grid search works as it is: every candidate is trained on some of the environments and scored on
the others, in as many processes as there are cores.
"""

from sklearn.model_selection import GridSearchCV

from skrl import DQN, EpsilonGreedy, ExperienceReplay, QLearningAgent, make_envs

agent = QLearningAgent(
    qfunction=DQN(),
    policy=EpsilonGreedy(),
    runner=ExperienceReplay(),
    n_steps=8_000,
    n_evaluations=4,  # a search takes time enough
    random_state=0,
)

# %%
# Parameters of the parts are reached by two underscores, and a whole part is a value as well.
candidates = {
    "qfunction": [DQN(), DQN(dueling=True)],
    "qfunction__learning_rate": [1e-4, 1e-3],
    "runner__n_step": [1, 10],
}

# %%
# X: four poles, each with a seed of its own. ``error_score="raise"`` shows the error of a candidate
# that cannot be trained at once, instead of a warning at the end.
search = GridSearchCV(agent, candidates, cv=2, n_jobs=-1, error_score="raise")
search.fit(make_envs("CartPole-v1", n=4))

# %%
# The result has the usual form. The best candidate has been trained once more, on all four.
results = search.cv_results_
for i in results["rank_test_score"].argsort():
    print(f"{results['mean_test_score'][i]:6.1f}  {results['params'][i]}")
print(
    f"The best one balances for {search.score(make_envs('CartPole-v1', n=10, seed=1)):.0f} steps."
)
