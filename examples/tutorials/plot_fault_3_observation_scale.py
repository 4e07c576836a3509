"""
My agent does not learn, 3: observations in large units
=======================================================

The units of an observation are arbitrary: metres or millimetres describe the same world. A neural
network is not indifferent to them.
"""

# %%
# The fault
# ---------
# This CartPole measures the cart in millimetres and millimetres per second, and the agent takes
# the numbers as they are: ``scale_states=False``. The first weights of a network suit inputs
# around 1. With inputs in the hundreds, the cart dominates every unit of the first layer, the
# pole's angle (at most 0.2 rad before it counts as fallen) disappears, and each step of the
# optimizer moves the values by far too much.

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from gymnasium.spaces import Box
from gymnasium.wrappers import TransformObservation
from sklearn.base import clone

from skrl import DQN, QLearningAgent, diagnose
from skrl.displays import LearningCurveDisplay

UNITS = np.array([1_000, 1_000, 1, 1], np.float32)


def in_millimetres():
    env = gymnasium.make("CartPole-v1")
    space = Box(-np.inf, np.inf, (4,), np.float32)
    return TransformObservation(env, lambda state: UNITS * state, space)


def train(qfunction):
    agent = QLearningAgent(qfunction, n_steps=6_000, n_evaluations=0)
    return [clone(agent).set_params(random_state=seed).fit(in_millimetres) for seed in (0, 1)]


broken = train(DQN(scale_states=False))

# %%
# The repair
# ----------
# Standardize the observations, as before most networks and linear models of scikit-learn. `DQN`
# does so by default, with the states that it learns from.

repaired = train(DQN())

# %%
# What gives it away
# ------------------
# First look at the observations themselves. `diagnose` plays a random policy and shows their range
# and deviation. Numbers that differ by a factor of 1,000 call for a scale.

print(diagnose(in_millimetres))

# %%
# During training, the loss gives it away: without a scale, it is several times as large from the
# beginning. No value can exceed :math:`1 / (1 - \gamma) = 100`, yet the mean value grows to 115
# with one seed, and to 760 with the other. (With a scale it grows to 190 with the second seed: a
# scale does not prevent all overestimation.)

_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
LearningCurveDisplay.from_agent(broken, ax=axes[0], label="as they are")
LearningCurveDisplay.from_agent(repaired, ax=axes[0], label="standardized")
for ax, column in zip(axes[1:], ("loss", "q_mean"), strict=True):
    for agents, color in ((broken, "#0072B2"), (repaired, "#D55E00")):
        for agent in agents:
            metrics = agent.history_.metrics
            ax.plot(metrics[:, "n_steps"], metrics[:, column], color=color)
    ax.set(xlabel="environment steps", ylabel=column, yscale="log")
plt.show()

# %%
# In our runs the greedy policy balances the pole for 29 and 37 steps without a scale, and for 134
# and 150 steps with it.

broken_scores = [agent.score(in_millimetres) for agent in broken]
repaired_scores = [agent.score(in_millimetres) for agent in repaired]
print("as they are: ", broken_scores)
print("standardized:", repaired_scores)
