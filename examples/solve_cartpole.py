"""
Solve CartPole with all parameters in view
==========================================

The same as in ten lines, but with explicit parts: what the agent learns (`DQN`), how it explores
(`SegmentedEpsilonGreedy`), what it learns from and when (`ExperienceReplay`), and where
(`GymEnvironment`).
"""

import matplotlib.pyplot as plt
import numpy as np

from skrl import (
    DQN,
    Callback,
    ExperienceReplay,
    GymEnvironment,
    LinearSchedule,
    QLearningAgent,
    SegmentedEpsilonGreedy,
)
from skrl.displays import LearningCurveDisplay
from skrl.runners import ReplayBuffer


class PrintReturns(Callback):
    """A custom callback: prints the mean return of every ten episodes."""

    def on_episode_end(self, run):
        if len(run.history) % 10 == 0:
            returns = run.history[-10:, "return"]
            print(f"episode {len(run.history):4}: mean return {np.mean(returns):6.1f}")


agent = QLearningAgent(
    qfunction=DQN(
        hidden_layer_sizes=(128, 128),
        activation="relu",
        learning_rate=1e-3,
        learning_rate_decay=1e-4,  # the n-th update has the step size 1e-3 / (1 + 1e-4 (n - 1))
        optimizer="adam",
        target_update_interval=1,  # updates between two changes of the target network
        tau=0.015,  # how far a change moves it towards the online network
        double=True,  # Double DQN
        huber_delta=1.0,
        scale_states=True,
    ),
    policy=SegmentedEpsilonGreedy(
        epsilon=LinearSchedule(start=1.0, end=0.05, fraction=0.2),
        # The share of segments that follow a random linear policy.
        linear_fraction=LinearSchedule(start=0.25, end=0.0),
        n_segments=500,
    ),
    runner=ExperienceReplay(
        batch_size=128,
        train_freq=256,  # steps of a rollout
        gradient_steps=128,  # updates after each rollout
        learning_starts=1000,
        buffer=ReplayBuffer(
            capacity=100_000,
            n_step_return=10,  # rewards summed, at most, before the bootstrap value
        ),
    ),
    discount_factor=0.99,
    n_steps=50_000,
    early_stopping=True,
    n_evaluations=40,
    n_evaluation_episodes=100,
    callbacks=[PrintReturns()],
    random_state=0,
)
environment = GymEnvironment("CartPole-v1")
agent.fit(environment)
print(f"Solved after {agent.n_steps_:,} steps, {agent.n_episodes_} episodes.")
print(f"Mean return of 100 fresh episodes: {agent.score(environment):.1f}")

# %%
# The value of each action when the pole leans to the right.
state = np.array([0.0, 0.0, 0.1, 0.5])  # cart position and velocity, pole angle and velocity
for action, value in zip(["left", "right"], agent.decision_function(state), strict=True):
    print(f"Q(leaning right, push {action:>5}) = {value:.1f}")

# %%
# The returns of all episodes, their moving average, and the evaluations of the greedy policy.

LearningCurveDisplay.from_agent(agent)
plt.show()
