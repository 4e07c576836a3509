"""
Cross-validation over environments
==================================

Does an agent that has learned to balance some poles balance others as well? The environments
differ in the length of the pole, and each fold is scored on lengths that are not in its training.

It takes about two minutes, so the gallery shows it without its output.
"""

from functools import partial

import gymnasium
from sklearn.model_selection import KFold, cross_validate

from skrl import QLearningAgent


def pole(length: float) -> gymnasium.Env:
    """Make a CartPole with this pole length, in metres from the joint to the centre."""
    env = gymnasium.make("CartPole-v1")
    env.unwrapped.length = length
    env.unwrapped.polemass_length = env.unwrapped.masspole * length
    return env


# %%
# A sample may be a function without arguments that makes an environment. A `partial` of a module's
# function can be sent to another process.
lengths = [0.25, 0.4, 0.5, 0.75, 1.0, 1.5]
envs = [partial(pole, length) for length in lengths]

# %%
# Three folds: each trains on four lengths side by side, and is scored on the other two.
folds = KFold(3, shuffle=True, random_state=0)
agent = QLearningAgent(n_steps=20_000, n_evaluations=10, random_state=0)
results = cross_validate(agent, envs, cv=folds, n_jobs=-1, return_train_score=True)
for (_, unseen), seen_score, score in zip(
    folds.split(envs), results["train_score"], results["test_score"], strict=True
):
    print(f"lengths {[lengths[i] for i in unseen]}: {score:.0f} steps; the others {seen_score:.0f}")
