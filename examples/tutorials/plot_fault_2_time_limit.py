"""
My agent does not learn, 2: time limits taken for terminations
==============================================================

An episode that *terminates* has no future: its last state is worth 0. An episode that a time limit
*truncates* is only cut off: the world would go on, and so would its values. An environment that
reports the second as the first teaches the agent that waiting is a way out.
"""

# %%
# The fault
# ---------
# Every step of this walk costs 1, the goal is up to 30 steps away, and training episodes end after
# 20 steps. `BrokenWalk` reports this as a termination. The targets of Q-learning are then
#
# .. math:: R + \gamma \max_a Q(S', a) \quad \text{if not terminated, but only} \quad R
#           \quad \text{after 20 steps.}
#
# So an agent far from the goal learns that it does not matter where it goes (Pardo et al., 2018,
# "Time limits in reinforcement learning").

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
from gymnasium.spaces import Discrete
from gymnasium.wrappers import TimeLimit
from sklearn.base import clone

from skrl import MemoizationQFunction, QLearningAgent, diagnose

GOAL, LIMIT = 30, 20


class Walk(gymnasium.Env):
    """Step left (0) or right (1) on 0, ..., 30; each step costs 1, and the goal is 30."""

    observation_space, action_space = Discrete(GOAL + 1), Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = int(self.np_random.integers(GOAL)), 0
        return self.place, {}

    def step(self, action):
        self.place = max(0, self.place + (-1, +1)[action])
        self.time += 1
        return self.place, -1.0, self.place == GOAL, False, {}


class BrokenWalk(Walk):
    def step(self, action):
        place, reward, terminated, _, info = super().step(action)
        return place, reward, terminated or self.time == LIMIT, False, info


def train(env):
    table = MemoizationQFunction(learning_rate=0.2, initial_value=0.0)
    agent = QLearningAgent(table, n_steps=20_000, n_evaluations=0)
    return [clone(agent).set_params(random_state=seed).fit(env) for seed in range(3)]


broken = train(BrokenWalk)

# %%
# The repair
# ----------
# The world reports only real terminations. The limit belongs to a wrapper, which reports a
# truncation (`gymnasium.make` adds it, if the world is registered with `max_episode_steps`).


def repaired_walk(limit=LIMIT):
    return TimeLimit(Walk(), limit)


repaired = train(repaired_walk)

# %%
# What gives it away
# ------------------
# Not the training returns: no episode can cost more than 20, in both worlds.

for name, agents in (("terminated", broken), ("truncated", repaired)):
    returns = [agent.history_[-200:, "return"].mean() for agent in agents]
    print(f"{name}: mean return of the last 200 training episodes {np.round(returns, 1)}")

# %%
# `diagnose` notices it: no episode of a random policy is longer than 20 steps, and most of them
# terminate after exactly 20.

for finding in diagnose(BrokenWalk).warnings:
    print(finding)

# %%
# The values give it away as well. From distance d the exact value is :math:`-(1 + \gamma + \cdots +
# \gamma^{d-1}) = -(1 - \gamma^d) / (1 - \gamma)`. With the fault the values are too high far from
# the goal, and with two of the seeds they even rise. Another sign is the length of the episodes:
# many "terminate" after exactly 20 steps.

places = np.arange(GOAL)
_, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for agents, name, color in ((broken, "terminated", "C1"), (repaired, "truncated", "C0")):
    for i, agent in enumerate(agents):
        values = agent.decision_function(places).max(axis=1)
        left.plot(places, values, color=color, label=name if i == 0 else None)
left.plot(places, -(1 - 0.99 ** (GOAL - places)) / 0.01, "k:", label="exact")
left.set(xlabel="place (the goal is 30)", ylabel="V(s) = max Q(s, a)")
left.legend()
right.hist(broken[0].history_[:, "length"], bins=np.arange(0.5, LIMIT + 1))
right.set(xlabel="length of episodes that terminated (steps)", ylabel="number of episodes")
plt.show()

# %%
# Without the limit of 20 steps the policies differ as well. In our runs the mean return of the
# broken agents is -63, -15 and -67, that of the repaired ones -14, -15 and -15. (The second broken
# agent has wrong values, but still steps to the right everywhere. The episodes start at random, so
# scores differ a little.)

broken_scores = [agent.score(lambda: repaired_walk(200)) for agent in broken]
repaired_scores = [agent.score(lambda: repaired_walk(200)) for agent in repaired]
print("terminated:", broken_scores)
print("truncated: ", repaired_scores)
