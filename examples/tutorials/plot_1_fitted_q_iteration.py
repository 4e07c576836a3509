"""
From the table to the DQN, 1: fitted Q iteration
================================================

A table has one row per state. CartPole has infinitely many states, so a table must round them,
and what it learns in one cell says nothing about the next cell. This tutorial replaces the table
by a regressor of scikit-learn that generalizes: a forest of regression trees.

All six tutorials of this series use the same world, CartPole-v1: keep a pole upright, for a
reward of 1 per step and at most 500 steps. All agents train for 5,000 steps (in the last tutorial
for 15,000) with the seeds 0, 1 and 2. Three seeds show what can happen, not how often.
"""

# %%
# The table
# ---------
# Q-learning moves one entry towards a target after every step (Watkins, 1989; Sutton & Barto,
# 2018, equation 6.8):
#
# .. math:: Q(S, A) \leftarrow Q(S, A) + \alpha [R + \gamma \max_a Q(S', a) - Q(S, A)]
#
# A wrapper rounds the four numbers of a state to the middle of a cell.

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from gymnasium.wrappers import TransformObservation
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from skrl import (
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    QLearningAgent,
    RegressorQFunction,
    SimpleRunner,
)
from skrl.displays import LearningCurveDisplay
from skrl.runners import ReplayBuffer

# Size of a cell: position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
CELL = np.array([1.6, 1.0, 0.07, 0.8], np.float32)


def rounded_cartpole():
    env = gymnasium.make("CartPole-v1")
    return TransformObservation(env, lambda s: CELL * np.round(s / CELL), env.observation_space)


def train(agent, env):
    return [clone(agent).set_params(random_state=seed).fit(env) for seed in range(3)]


budget = {
    "n_steps": 5_000,
    "n_evaluations": 5,
    "n_evaluation_episodes": 20,
    "early_stopping": False,
}
table = QLearningAgent(
    MemoizationQFunction(learning_rate=0.2), EpsilonGreedy(), SimpleRunner(), **budget
)
tables = train(table, rounded_cartpole)

# %%
# The forest
# ----------
# Fitted Q iteration (Ernst, Geurts & Wehenkel, 2005, "Tree-based batch mode reinforcement
# learning") turns the update into supervised learning. Iteration k computes a target for every
# remembered transition, and fits a new regressor to all of them:
#
# .. math:: Q_k(S, A) \approx R + \gamma \max_a Q_{k-1}(S', a), \quad Q_0 = 0
#
# Here 10 iterations follow after every 1,000 steps, each on 2,000 transitions drawn from all
# steps so far.

forest = QLearningAgent(
    RegressorQFunction(ExtraTreesRegressor(n_estimators=10, min_samples_leaf=5)),
    EpsilonGreedy(),
    ExperienceReplay(
        ReplayBuffer(n_step_return=1), batch_size=2_000, train_freq=1_000, gradient_steps=10
    ),
    **budget,
)
# Trees take milliseconds for one state or for many, so ten environments run side by side.
forests = train(forest, GymEnvironment("CartPole-v1", n_envs=10))

# %%
# The learning curves
# -------------------
# Lines show the returns of training episodes, with exploration; dots show evaluations of the
# greedy policy, 20 episodes each.

_, ax = plt.subplots()
LearningCurveDisplay.from_agent(tables, ax=ax, label="table")
LearningCurveDisplay.from_agent(forests, ax=ax, label="forest")
plt.show()

for name, agents in (("table", tables), ("forest", forests)):
    print(name, [float(agent.history_.evaluations[-1]["score"]) for agent in agents])

# %%
# In our runs the last evaluations of the table were 30, 17 and 42, those of the forest 204, 480 and
# 206. The table has hardly begun: most of its cells have been visited a few times. The forest uses
# each step many times, and averages over neighbouring states.
#
# Exercise
# --------
# All values are 0 at first. How large can the values of the forest be after the first 10
# iterations, if :math:`\gamma = 0.99`? Compare your answer with the metric `q_max`.

# %%
# Solution
# --------
# A tree predicts means of its targets, so it never exceeds the largest target. With rewards of 1,
#
# .. math:: Q_k \leq 1 + \gamma Q_{k-1} \leq 1 + \gamma + \cdots + \gamma^{k-1}
#           = \frac{1 - \gamma^k}{1 - \gamma}
#
# This is 9.56 for k = 10. The values can grow no faster than that, and never beyond 100. A neural
# network has no such bound: see the next tutorial.

bound = (1 - 0.99**10) / (1 - 0.99)
q_max = [agent.history_.metrics[0]["q_max"] for agent in forests]
print(f"bound {bound:.2f}, q_max {np.round(q_max, 2)}")
