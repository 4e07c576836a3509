"""
My agent does not learn, 1: rewards of the wrong size
=====================================================

The pole of CartPole earns 1 per step. Somebody counts in thousandths and gives 1,000 per step.
The optimal policy is the same, yet the agent does not learn it.
"""

# %%
# The fault
# ---------
# `DQN` has the Huber loss of Mnih et al. (2015). Beyond an error of `huber_delta` = 1 it grows
# linearly, so its gradient has size 1, whatever the error is:
#
# .. math:: \delta = R + \gamma \max_a Q(S', a) - Q(S, A), \qquad
#           \left|\frac{\partial L}{\partial \delta}\right| = \min(|\delta|, 1)
#
# That protects a network from outliers. Here every error is an outlier. The network learns the
# sign of its errors, but not their size, and the values have to grow to tens of thousands.

import gymnasium
import matplotlib.pyplot as plt
from gymnasium.wrappers import TransformReward
from sklearn.base import clone

from skrl import QLearningAgent, diagnose
from skrl.displays import TrainingDisplay


def in_thousandths():
    return TransformReward(gymnasium.make("CartPole-v1"), lambda reward: 1_000 * reward)


def train(env):
    agent = QLearningAgent(n_steps=6_000, n_evaluations=0)
    return [clone(agent).set_params(random_state=seed).fit(env) for seed in (0, 1)]


broken = train(in_thousandths)

# %%
# What gives it away
# ------------------
# The loss and the mean TD error are in the thousands, from the first update to the last. A mean TD
# error of more than a thousand times `huber_delta` means that almost all errors are clipped.

TrainingDisplay.from_agent(broken[0])
plt.show()

# %%
# `diagnose` plays random and constant policies. It does not call large rewards a fault, because
# tables and trees can learn from them, but it shows them: the rewards, and the return of a random
# policy.

print(diagnose(in_thousandths))

# %%
# The repair
# ----------
# Divide the rewards by a constant, so that most of them lie between -1 and 1. This multiplies all
# values by the same number and changes no policy.


def repaired_cartpole():
    return TransformReward(in_thousandths(), lambda reward: reward / 1_000)


repaired = train(repaired_cartpole)

_, ax = plt.subplots()
for agents, name, color in ((broken, "rewards of 1,000", "C1"), (repaired, "rewards of 1", "C0")):
    for i, agent in enumerate(agents):
        history = agent.history_
        label = name if i == 0 else None
        ax.plot(history[:, "n_steps"], history[:, "length"], ".", color=color, label=label)
ax.set(xlabel="environment steps", ylabel="length of the training episodes (steps)")
ax.legend()
plt.show()

# %%
# CartPole's return is the length of the episode, so all agents can be scored in the original. In
# our runs the greedy episodes last 11 and 9 steps with the fault, and 433 and 500 after the repair.

broken_scores = [agent.score("CartPole-v1") for agent in broken]
repaired_scores = [agent.score("CartPole-v1") for agent in repaired]
print("rewards of 1,000:", broken_scores)
print("rewards of 1:    ", repaired_scores)
