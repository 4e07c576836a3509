"""
My agent does not learn, 4: too little exploration
==================================================

An agent that has found some reward and stops looking never learns of the better one.
"""

# %%
# The fault
# ---------
# A corridor has two exits. The near one is two steps to the left and pays 1; the far one is ten
# steps to the right and pays 10. With :math:`\gamma = 0.99` the far one is worth more:
# :math:`0.99^9 \cdot 10 = 9.1`, compared with 0.99. The policy explores with the constant
# probability :math:`\varepsilon = 0.05`.

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from gymnasium.spaces import Discrete
from sklearn.base import clone

from skrl import EpsilonGreedy, LinearSchedule, MemoizationQFunction, QLearningAgent, diagnose
from skrl.displays import LearningCurveDisplay, ScheduleDisplay

START, NEAR, FAR = 2, 0, 12


class TwoExits(gymnasium.Env):
    """Step left (0) or right (1) on 0, ..., 12; exit 0 pays 1, exit 12 pays 10."""

    observation_space, action_space = Discrete(FAR + 1), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = START
        return self.place, {}

    def step(self, action):
        self.place += (-1, +1)[action]
        reward = {NEAR: 1.0, FAR: 10.0}.get(self.place, 0.0)
        return self.place, reward, self.place in (NEAR, FAR), False, {}


def train(policy):
    table = MemoizationQFunction(learning_rate=0.2, initial_value=0.0)
    agent = QLearningAgent(table, policy, n_steps=10_000, n_evaluations=0)
    return [clone(agent).set_params(random_state=seed).fit(TwoExits) for seed in range(3)]


broken = train(EpsilonGreedy(0.05))

# %%
# The repair
# ----------
# Explore a lot at first, and less as the values become known: epsilon falls from 1 to 0.05 over the
# first half of the training. A random walk from place 2 leaves by the far exit with probability
# 2/12, so every sixth episode of it finds the 10.

schedule = LinearSchedule(1.0, 0.05, fraction=0.5)
repaired = train(EpsilonGreedy(schedule))

# %%
# What gives it away
# ------------------
# The learning curve is flat, early and without noise: the agent always does the same. The number
# of updates of each state shows where it has hardly been. The TD error would not tell: it is almost
# 0, because the agent knows very well the little that it knows.

_, axes = plt.subplots(1, 3, figsize=(12, 4), layout="constrained")
ScheduleDisplay.from_schedule({"constant": 0.05, "schedule": schedule}, n_steps=10_000, ax=axes[0])
LearningCurveDisplay.from_agent(broken, ax=axes[1], label="constant")
LearningCurveDisplay.from_agent(repaired, ax=axes[1], label="schedule")
for agents, name, shift, color in (
    (broken, "constant", -0.2, "#0072B2"),
    (repaired, "schedule", 0.2, "#D55E00"),
):
    visits = np.mean([agent.qfunction_.n_updates_.sum(axis=1) for agent in agents], axis=0)
    axes[2].bar(np.arange(FAR + 1) + shift, visits, width=0.4, color=color, label=name)
axes[0].set_ylabel("epsilon (probability)")
axes[2].set(xlabel="place", ylabel="number of updates", yscale="log")
axes[2].legend()
plt.show()

for name, agents in (("constant", broken), ("schedule", repaired)):
    print(name, "last TD errors", [agent.history_.metrics[-1]["td_error"] for agent in agents])

# %%
# `diagnose` compares the random policy with constant ones. "Always 1" earns 10, more than the agent
# has learned: an agent that cannot beat a constant policy has not explored enough, or learns
# nothing.

print(diagnose(TwoExits))

# %%
# All three seeds agree: the return is 1 with the fault, and 10 after the repair. Where rewards are
# even rarer, let the agent explore in segments (`SegmentedEpsilonGreedy`).

broken_scores = [agent.score(TwoExits) for agent in broken]
repaired_scores = [agent.score(TwoExits) for agent in repaired]
print("constant:", broken_scores)
print("schedule:", repaired_scores)
