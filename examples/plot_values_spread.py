"""
Watch the values spread
=======================

An agent crosses a lake that is not slippery, from the top left corner to the goal in the bottom
right corner. The reward is 1 at the goal and 0 everywhere else, so the first value that is learned
is that of the cell beside the goal. From there the values spread backwards, one cell per visit,
until every cell at distance d from the goal has the exact value gamma^(d-1).
"""

import gymnasium
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation

from skrl import MemoizationQFunction, QLearningAgent, RandomPolicy, SimpleRunner
from skrl.displays import ValueDisplay

gamma = 0.9
env = gymnasium.make("FrozenLake-v1", is_slippery=False)
agent = QLearningAgent(
    MemoizationQFunction(learning_rate=1.0, initial_value=0.0),
    RandomPolicy(),
    SimpleRunner(),
    discount_factor=gamma,
    n_evaluations=0,
    random_state=0,
)

# %%
# The agent moves at random: Q-learning learns the values of the best policy from any behaviour
# that tries everything. With a learning rate of 1, each update replaces a value by its target,
# which is right in a world without chance.

maps = []
for _ in range(20):
    agent.partial_fit(env, n_steps=250)
    display = ValueDisplay.from_agent(agent, env)
    plt.close(display.figure_)
    maps.append((agent.n_steps_, display))

figure = plt.figure(figsize=(5.5, 4.5), layout="constrained")


def draw(frame):
    n_steps, display = maps[frame]
    figure.clear()
    display.plot(figure.add_subplot())
    display.axes_[0].set_title(f"after {n_steps:,} steps")


animation = FuncAnimation(figure, draw, frames=len(maps), interval=400)
plt.show()

# %%
# The start is six moves away from the goal.

start = agent.decision_function(0).max()
print(f"learned V(start) = {start:.5f}, exact {gamma**5:.5f}")
