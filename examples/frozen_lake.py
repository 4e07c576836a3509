"""
A frozen lake, and a table that crosses it
==========================================

The ice is slippery: only every third step goes where it should. The best policy reaches the goal
in 74 of 100 episodes (computed by dynamic programming), a random one in 1 or 2.
"""

import numpy as np

from skrl import QLearningAgent

# The states are discrete, so it chooses a table by itself. It stops once it is sure to be done, and
# on so small a lake a third of its usual budget is plenty.
agent = QLearningAgent(n_steps=100_000, random_state=0)
agent.fit("FrozenLake-v1")
score = agent.score("FrozenLake-v1", n_episodes=1000)
print(f"{agent.n_steps_:,} steps of training; reaches the goal in {score:.1%} of 1,000 episodes.")

# %%
# The greedy policy. It often walks away from a hole, into a wall: that is where it cannot slip in.
arrows = np.array(["<", "v", ">", "^"])[agent.predict(np.arange(16))]
lake = ["SFFF", "FHFH", "FFFH", "HFFG"]
for row, tiles in zip(arrows.reshape(4, 4), lake, strict=True):
    print(" ".join(a if t in "SF" else t for a, t in zip(row, tiles, strict=True)))
