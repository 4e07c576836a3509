"""
From the table to the DQN, 5: n-step returns
============================================

With a one-step target, news of a failure travels back by one step per iteration. An n-step return
carries it n steps at once (Watkins, 1989; Sutton & Barto, 2018, chapter 7).
"""

# %%
# One step
# --------
# This is the network with memory and target network from the last tutorial.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone

from skrl import DQN, EpsilonGreedy, ExperienceReplay, QLearningAgent
from skrl.displays import LearningCurveDisplay
from skrl.runners import ReplayBuffer


def train(agent, env="CartPole-v1"):
    return [clone(agent).set_params(random_state=seed).fit(env) for seed in range(3)]


budget = {
    "n_steps": 5_000,
    "n_evaluations": 5,
    "n_evaluation_episodes": 20,
    "early_stopping": False,
}
network = DQN((64, 64), tau=1.0, double=False, learning_rate_decay=0.0, target_update_interval=250)
runner = ExperienceReplay(
    ReplayBuffer(capacity=2_000, n_step_return=1),
    batch_size=32,
    train_freq=64,
    gradient_steps=64,
    learning_starts=64,
)
agent = QLearningAgent(network, EpsilonGreedy(), runner, **budget)
one_steps = train(agent)

# %%
# Five steps
# ----------
# The target is the sum of five rewards, and the bootstrap value after them:
#
# .. math:: G_{t:t+n} = R_{t+1} + \gamma R_{t+2} + \cdots + \gamma^{n-1} R_{t+n}
#           + \gamma^n \max_a \hat q(S_{t+n}, a, \mathbf{w}^-)
#
# The sum ends early at the end of an episode, and before an exploratory action: what follows such
# an action says nothing about the greedy policy (Watkins, 1989).

five_steps = train(clone(agent).set_params(runner__buffer__n_step_return=5))

# %%
# The learning curves
# -------------------

_, ax = plt.subplots()
LearningCurveDisplay.from_agent(one_steps, ax=ax, label="1 step")
LearningCurveDisplay.from_agent(five_steps, ax=ax, label="5 steps")
plt.show()

for name, agents in (("1 step ", one_steps), ("5 steps", five_steps)):
    for agent in agents:
        print(name, np.round(agent.history_.evaluations[:, "score"]))

# %%
# Five steps learn faster at the beginning: after 1,000 steps the evaluations are 57, 153 and 59,
# instead of 11, 10 and 10. After 5,000 steps three seeds cannot tell the two apart: 378, 72 and
# 309, compared with 199, 422 and 84. Claims like these need more seeds
# (`skrl.compare` says how many).
#
# Exercise
# --------
# How much does an error of the bootstrap value count in a target over 1, 5 and 50 steps? With
# :math:`\varepsilon = 0.05` and two actions, how many steps does a return over 50 steps have on
# average, in a long episode? So is n = 50 better than n = 5?

# %%
# Solution
# --------
# The bootstrap value counts :math:`\gamma^n`: 0.99, 0.951 and 0.605. Half of the random actions
# happen to be greedy, so each of the n - 1 later actions is exploratory with probability p = 0.025.
# The return has its k-th step if the k - 1 actions before were greedy, hence
# :math:`\sum_{k=1}^{n} (1 - p)^{k-1} = (1 - (1 - p)^n) / p` steps on average. Longer returns carry
# more noise and come from older policies; beyond some n, they are mostly cut anyway.

for n in (1, 5, 50):
    mean_length = (1 - (1 - 0.025) ** n) / 0.025
    print(f"n = {n:2}: gamma^n = {0.99**n:.3f}, {mean_length:4.1f} steps on average")
