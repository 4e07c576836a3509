"""
From the table to the DQN, 3: experience replay
===============================================

A network that learns from successive transitions sees one corner of the world at a time. A memory
gives it random batches of all that happened lately (Lin, 1992, "Self-improving reactive agents
based on reinforcement learning, planning and teaching").
"""

# %%
# The network that learns from every step
# ---------------------------------------
# It is the one of the last tutorial. It is slow, one call of TensorFlow per step, and failed with
# all seeds, so one seed is enough here.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone

from skrl import DQN, EpsilonGreedy, ExperienceReplay, QLearningAgent, SimpleRunner
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
network = DQN((64, 64), tau=1.0, double=False, learning_rate_decay=0.0)
online = QLearningAgent(network, EpsilonGreedy(), SimpleRunner(), **budget, random_state=0)
online.fit("CartPole-v1")

# %%
# The network with a memory
# -------------------------
# The memory holds the last 2,000 transitions. There is still one update per step, but each takes
# the mean gradient of 32 transitions, drawn from the memory M at random:
#
# .. math:: \mathbf{w} \leftarrow \mathbf{w} + \alpha \, \frac{1}{32} \sum_{i=1}^{32}
#           [R_i + \gamma \max_a \hat q(S'_i, a, \mathbf{w}) - \hat q(S_i, A_i, \mathbf{w})]
#           \nabla \hat q(S_i, A_i, \mathbf{w}), \quad (S_i, A_i, R_i, S'_i) \sim M
#
# (64 updates follow after every 64 steps in one compiled call, which is many times faster.)

runner = ExperienceReplay(
    ReplayBuffer(capacity=2_000, n_step_return=1),
    batch_size=32,
    train_freq=64,
    gradient_steps=64,
    learning_starts=64,
)
replays = train(QLearningAgent(network, EpsilonGreedy(), runner, **budget))

# %%
# The learning curves
# -------------------

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
LearningCurveDisplay.from_agent(online, ax=left, label="every step")
LearningCurveDisplay.from_agent(replays, ax=left, label="replay")
for agents, name, color in (([online], "every step", "C0"), (replays, "replay", "C1")):
    for i, agent in enumerate(agents):
        metrics = agent.history_.metrics
        label = name if i == 0 else None
        right.plot(metrics[:, "n_steps"], metrics[:, "q_mean"], color=color, label=label)
right.axhline(100, color="grey", ls="--", label="largest possible value")
right.set(xlabel="environment steps", ylabel="mean of Q(s, a)", yscale="log")
right.legend()
plt.show()

# %%
# Replay alone does not help here. The greedy policy lets the pole fall after 9 steps, with all
# seeds, and the values grow faster than before, to about 0.4 to 1.3 million. The batches are
# varied now, but each update still moves its own target. The next tutorial holds the target still.
# Keep the memory: it is the basis of all that follows.
#
# Exercise
# --------
# How often is a transition drawn while it stays in the memory? What is the probability that it is
# never drawn? How many times is it learned from without a memory?

# %%
# Solution
# --------
# It stays for 2,000 steps, hence 2,000 updates of 32 draws. Each draw finds it with probability
# 1/2,000, so it is drawn 32 times on average, and never with probability
# :math:`(1 - 1/2000)^{64000} \approx e^{-32}`. Without a memory it is learned from once.
# A simulation:

draws = np.random.default_rng(0).integers(2_000, size=2_000 * 32)
n_draws = np.bincount(draws, minlength=2_000)
print(f"drawn {n_draws.mean():.0f} times on average, {n_draws.min()} to {n_draws.max()} times")
