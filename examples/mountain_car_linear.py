"""
A linear regressor climbs the hill
==================================

The car is too weak for the hill: it must swing back and forth to gain momentum. Each step costs 1
and an episode ends after 200 steps, so a random policy earns -200; -110 counts as solved. A linear
regressor of scikit-learn on tile-coded features solves it, as in Sutton & Barto (2018), section
10.1.
"""

import matplotlib.pyplot as plt
from sklearn.linear_model import SGDRegressor

from skrl import (
    ExperienceReplay,
    Greedy,
    GymEnvironment,
    QLearningAgent,
    RegressorQFunction,
    TileCoding,
)
from skrl.displays import ValueDisplay
from skrl.runners import ReplayBuffer

regressor = SGDRegressor(learning_rate="constant", eta0=0.2 / 8, penalty=None, fit_intercept=False)
agent = QLearningAgent(
    RegressorQFunction(regressor, features=TileCoding(n_tilings=8, n_tiles=8)),
    # All values are 0 at first, more than can be earned, so the greedy policy tries everything and
    # needs no random actions.
    policy=Greedy(),
    # A call of scikit-learn takes about the same time for 500 transitions as for one.
    runner=ExperienceReplay(
        batch_size=500,
        gradient_steps=20,
        train_freq=500,
        learning_starts=500,
        buffer=ReplayBuffer(n_step_return=3),
    ),
    discount_factor=1.0,
    n_steps=40_000,
    n_evaluations=10,
    n_evaluation_episodes=20,
    random_state=0,
)
agent.fit(GymEnvironment("MountainCar-v0", n_envs=10))

for row in agent.history_.evaluations[:]:
    print(f"After {row['n_steps']:6,} steps the greedy policy earns {row['score']:6.1f}.")
print(f"Mean return of 100 fresh episodes: {agent.score('MountainCar-v0'):.1f}")

# %%
# The number of steps to the goal that the agent expects, as in the book's figure 10.1.
positions = [-1.2, -0.9, -0.6, -0.3, 0.0, 0.3]
print("position" + "".join(f"{position:6.1f}" for position in positions))
for velocity in [0.06, 0.03, 0.0, -0.03, -0.06]:
    values = agent.decision_function([[position, velocity] for position in positions])
    print(
        f"v ={velocity:5.2f}" + "".join(f"{steps:6.0f}" for steps in (-values.max(axis=1)).clip(0))
    )

# %%
# The whole plane of states, and what the car does in each: mostly, it pushes the way it moves.

ValueDisplay.from_agent(agent, "MountainCar-v0", actions={0: "left", 1: "nothing", 2: "right"})
plt.show()
