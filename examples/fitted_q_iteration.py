"""
Fitted Q iteration: a forest climbs the hill
============================================

Any regressor of scikit-learn can be a Q function. One that cannot go on learning, such as a forest
of extremely randomized trees, is fitted afresh again and again, each time to better targets:
fitted Q iteration (Ernst, Geurts & Wehenkel, 2005). Where a forest has seen nothing, its values
mean nothing, so the agent practises from everywhere: exploring starts (Sutton & Barto, 2018,
section 5.3).
"""

import gymnasium
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.preprocessing import StandardScaler

from skrl import (
    CoherentEpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    LinearSchedule,
    QLearningAgent,
    RegressorQFunction,
)


class ExploringStarts(gymnasium.Wrapper):
    """The car starts anywhere between the left wall and the goal, not only in the valley."""

    def reset(self, *, seed=None, options=None):
        return self.env.reset(seed=seed, options={"low": -1.2, "high": 0.5})


agent = QLearningAgent(
    # The scale is for the policy's linear policies; a forest needs none.
    RegressorQFunction(
        ExtraTreesRegressor(n_estimators=10, min_samples_leaf=4), features=StandardScaler()
    ),
    # Random linear policies at first, fewer and fewer of them; a new one every 6,000 steps.
    policy=CoherentEpsilonGreedy(epsilon=0.0, coherence=LinearSchedule(1.0, 0.0), n_turns=5),
    # After every 5,000 steps 10 iterations, each on 10,000 draws from all that was seen.
    runner=ExperienceReplay(
        batch_size=10_000, gradient_steps=10, train_freq=5_000, learning_starts=5_000, n_step=10
    ),
    n_steps=30_000,
    n_evaluations=6,
    n_evaluation_episodes=20,
    random_state=0,
)
# A call of a forest takes milliseconds, for one state or for many: act in 50 at a time.
agent.fit(GymEnvironment(lambda: ExploringStarts(gymnasium.make("MountainCar-v0")), n_envs=50))

for row in agent.history_.evaluations[:]:
    print(f"After {row['n_steps']:6,} steps: {row['score']:6.1f} from anywhere.")
print(f"Mean return of 100 fresh episodes: {agent.score('MountainCar-v0'):.1f}")
