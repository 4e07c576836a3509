"""
A frozen lake, and a table that crosses it
==========================================

The ice is slippery: only one step in three goes in the chosen direction. The optimal policy reaches
the goal in 74 of 100 episodes (computed by dynamic programming), a random policy in 1 or 2.
"""

import numpy as np

from skrl import QLearningAgent

# The states are discrete, so the agent uses a table. It stops when the lake is solved; a third of
# its default budget is enough here.
agent = QLearningAgent(n_steps=100_000, random_state=0)
agent.fit("FrozenLake-v1")
score = agent.score("FrozenLake-v1", n_episodes=1000)
print(f"{agent.n_steps_:,} steps of training; reaches the goal in {score:.1%} of 1,000 episodes.")

# %%
# The greedy policy. It often walks into a wall, away from a hole: so it cannot slip into the hole.
arrows = np.array(["<", "v", ">", "^"])[agent.predict(np.arange(16))]
lake = ["SFFF", "FHFH", "FFFH", "HFFG"]
for row, tiles in zip(arrows.reshape(4, 4), lake, strict=True):
    print(" ".join(a if t in "SF" else t for a, t in zip(row, tiles, strict=True)))
