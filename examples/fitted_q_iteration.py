"""
Fitted Q iteration: a forest climbs the hill
============================================

Any regressor of scikit-learn can be a Q function. A forest of extremely randomized trees cannot
learn incrementally, so it is fitted repeatedly, each time to better targets: fitted Q iteration
(Ernst, Geurts & Wehenkel, 2005). A forest does not extrapolate, so the episodes start everywhere:
exploring starts (Sutton & Barto, 2018, section 5.3).

It takes minutes, so the gallery shows it without its output.
"""

import gymnasium
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.preprocessing import StandardScaler

from skrl import (
    ExperienceReplay,
    GymEnvironment,
    LinearSchedule,
    QLearningAgent,
    RegressorQFunction,
    SegmentedEpsilonGreedy,
)
from skrl.runners import ReplayBuffer


class ExploringStarts(gymnasium.Wrapper):
    """Start the car anywhere between the left wall and the goal, not only in the valley."""

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed, options={"low": -1.2, "high": 0.5})


agent = QLearningAgent(
    # The policy's random linear policies need scaled features; the forest does not.
    RegressorQFunction(
        ExtraTreesRegressor(n_estimators=10, min_samples_leaf=4), features=StandardScaler()
    ),
    # Random linear policies at first, then fewer of them; a new one every 6,000 steps.
    policy=SegmentedEpsilonGreedy(
        epsilon=0.0, linear_fraction=LinearSchedule(1.0, 0.0), n_segments=5
    ),
    # 10 iterations after every 5,000 steps, each on 10,000 draws from the memory.
    runner=ExperienceReplay(
        batch_size=10_000,
        gradient_steps=10,
        train_freq=5_000,
        learning_starts=5_000,
        buffer=ReplayBuffer(n_step_return=10),
    ),
    n_steps=30_000,
    n_evaluations=6,
    n_evaluation_episodes=20,
    random_state=0,
)
# A forest takes milliseconds for one state or for many, so 50 environments run side by side.
agent.fit(GymEnvironment(lambda: ExploringStarts(gymnasium.make("MountainCar-v0")), n_envs=50))

for row in agent.history_.evaluations[:]:
    print(f"After {row['n_steps']:6,} steps: {row['score']:6.1f} from random starts.")
print(f"Mean return of 100 fresh episodes: {agent.score('MountainCar-v0'):.1f}")
