"""
Solve CartPole without a memory
===============================

`ParallelQ` learns from what 16 environments do side by side, and forgets it at once. Neither a
replay memory nor a target network is needed: layer normalization keeps the network stable.
"""

import numpy as np

from skrl import DQN, EpsilonGreedy, GymEnvironment, ParallelQ, QLearningAgent

agent = QLearningAgent(
    DQN((128, 128), layer_norm=True), EpsilonGreedy(), ParallelQ(), random_state=0
)
environment = GymEnvironment("CartPole-v1", n_envs=16)
agent.fit(environment)
print(f"Solved after {agent.n_steps_:,} steps, {agent.qfunction_.n_updates_:,} updates.")
print(f"Mean return of 100 fresh episodes: {agent.score(environment):.1f}")

# %%
# The value of each action when the pole leans to the right.
state = np.array([0.0, 0.0, 0.1, 0.5])  # cart position and velocity, pole angle and velocity
for action, value in zip(["left", "right"], agent.decision_function(state), strict=True):
    print(f"Q(leaning right, push {action:>5}) = {value:.1f}")
