"""
From the table to the DQN, 4: the target network
================================================

An update moves the target that it aims at. Mnih et al. (2015, "Human-level control through deep
reinforcement learning") hold the target still for a while.
"""

# %%
# The network without a target network
# ------------------------------------
# It has a memory, and diverged in the last tutorial.

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
network = DQN((64, 64), tau=1.0, double=False, learning_rate_decay=0.0)
runner = ExperienceReplay(
    ReplayBuffer(capacity=2_000, n_step_return=1),
    batch_size=32,
    train_freq=64,
    gradient_steps=64,
    learning_starts=64,
)
agent = QLearningAgent(network, EpsilonGreedy(), runner, **budget)
replays = train(agent)

# %%
# The target network
# ------------------
# The bootstrap value comes from older weights :math:`\mathbf{w}^-`, a copy that is made after
# every 250 updates:
#
# .. math:: \mathbf{w} \leftarrow \mathbf{w} + \alpha [R + \gamma \max_a \hat q(S', a, \mathbf{w}^-)
#           - \hat q(S, A, \mathbf{w})] \nabla \hat q(S, A, \mathbf{w})
#
# Between two copies this is supervised learning with fixed targets: one iteration of fitted Q
# iteration, learned by gradient descent.

targets = train(clone(agent).set_params(qfunction__target_update_interval=250))

# %%
# The learning curves
# -------------------


def compare(**curves):
    _, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for (name, agents), color in zip(curves.items(), ("C0", "C1"), strict=True):
        LearningCurveDisplay.from_agent(agents, ax=left, label=name)
        for i, agent in enumerate(agents):
            metrics = agent.history_.metrics
            label = name if i == 0 else None
            right.plot(metrics[:, "n_steps"], metrics[:, "q_mean"], color=color, label=label)
    right.axhline(100, color="grey", ls="--", label="largest possible value")
    right.set(xlabel="environment steps", ylabel="mean of Q(s, a)", yscale="log")
    right.legend()
    plt.show()


compare(replay=replays, target=targets)


def last_scores(agents):
    return [float(agent.history_.evaluations[-1]["score"]) for agent in agents]


print("without:", np.round(last_scores(replays)), "with:", np.round(last_scores(targets)))

# %%
# This is the step that makes the network learn. The last evaluations of our runs are 199, 422 and
# 84, instead of 9. The values stay near 20: after 5,000 updates and 20 copies, :math:`(1 -
# \gamma^{20}) / (1 - \gamma) = 18.2` is what 20 iterations from 0 give. The curves are not smooth:
# the second run had reached 500 at two evaluations before the last one, and the third had reached
# 182. The agent keeps the best Q function of all evaluations.
#
# Exercise
# --------
# Lillicrap et al. (2016, "Continuous control with deep reinforcement learning") let the target
# network follow slowly, :math:`\mathbf{w}^- \leftarrow \mathbf{w}^- + \tau (\mathbf{w} -
# \mathbf{w}^-)`, after every update. Try `target_update_interval` = 1 and `tau` = 0.015. Is it
# better?

# %%
# Solution
# --------

softs = train(clone(agent).set_params(qfunction__tau=0.015))
compare(hard=targets, soft=softs)
print("hard:", np.round(last_scores(targets)), "soft:", np.round(last_scores(softs)))

# %%
# Not here. At first the soft target is faster: 177, 149 and 80 at the first evaluation, instead of
# 11, 10 and 10. Then the values become several times as large as those of the hard one, with one
# seed larger than 100, and the last evaluations are 10, 48 and 9. The target network is about
# :math:`1 / \tau` = 67 updates old, which is too young for these step sizes. The default agent uses
# soft updates together with double Q-learning, n-step returns and step sizes that decay: parts have
# to fit each other.
