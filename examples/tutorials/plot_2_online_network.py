"""
From the table to the DQN, 2: a network learns from every step
==============================================================

A forest is fitted anew to all transitions in each iteration. A neural network can learn
incrementally, from the newest transition only, as a table does. That looks simpler. It fails.
"""

# %%
# The forest, from the last tutorial
# ----------------------------------

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesRegressor

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    QLearningAgent,
    RegressorQFunction,
    SimpleRunner,
)
from skrl.displays import LearningCurveDisplay, TrainingDisplay
from skrl.runners import ReplayBuffer


def train(agent, env="CartPole-v1"):
    return [clone(agent).set_params(random_state=seed).fit(env) for seed in range(3)]


budget = {
    "n_steps": 5_000,
    "n_evaluations": 5,
    "n_evaluation_episodes": 20,
    "early_stopping": False,
}
forest = QLearningAgent(
    RegressorQFunction(ExtraTreesRegressor(n_estimators=10, min_samples_leaf=5)),
    EpsilonGreedy(),
    ExperienceReplay(
        ReplayBuffer(n_step_return=1), batch_size=2_000, train_freq=1_000, gradient_steps=10
    ),
    **budget,
)
forests = train(forest, GymEnvironment("CartPole-v1", n_envs=10))

# %%
# The network
# -----------
# After every step, the weights take a semi-gradient step (Sutton & Barto, 2018, section 9.3 and
# chapter 11):
#
# .. math:: \mathbf{w} \leftarrow \mathbf{w} + \alpha [R + \gamma \max_a \hat q(S', a, \mathbf{w})
#           - \hat q(S, A, \mathbf{w})] \nabla \hat q(S, A, \mathbf{w})
#
# (The error is clipped, and Adam chooses the step sizes.) `SimpleRunner` learns from the newest
# transition. With `tau` = 1 the target network is a copy of the weights after every update, so
# there is none in effect.

network = DQN((64, 64), tau=1.0, double=False, learning_rate_decay=0.0)
onlines = train(QLearningAgent(network, EpsilonGreedy(), SimpleRunner(), **budget))

# %%
# The learning curves
# -------------------

_, ax = plt.subplots()
LearningCurveDisplay.from_agent(forests, ax=ax, label="forest")
LearningCurveDisplay.from_agent(onlines, ax=ax, label="network, every step")
plt.show()

TrainingDisplay.from_agent(onlines[0])
plt.show()

for agent in onlines:
    score, q_mean = agent.history_.evaluations[-1]["score"], agent.history_.metrics[-1]["q_mean"]
    print(f"last evaluation {score:.1f}, mean value {q_mean:,.0f}")

# %%
# In all our runs the pole falls after 9 or 10 steps, about as soon as it can, while the mean value
# grows to between 28,000 and 217,000. The three ingredients are what Sutton & Barto call the
# *deadly triad* (section 11.3): function approximation, bootstrapping and off-policy learning. An
# update that raises :math:`\hat q(S, A)` also raises :math:`\hat q(S', \cdot)`, because the two
# states are neighbours; so the target rises, and the next update raises both again. Successive
# transitions are much alike, so nothing that was learned elsewhere holds against it.
#
# Exercise
# --------
# No return can be larger than :math:`1 + \gamma + \gamma^2 + \cdots = 1 / (1 - \gamma) = 100`.
# After how many steps could you have known that these runs had failed?

# %%
# Solution
# --------
# When the mean value exceeds 100 for the first time. Look at the values first when an agent
# does not learn: a bound on them is often easy to find.

for agent in onlines:
    metrics = agent.history_.metrics
    first = np.argmax(metrics[:, "q_mean"] > 100)
    print(
        f"The mean value is {metrics[first]['q_mean']:.0f} after {metrics[first]['n_steps']} steps."
    )
