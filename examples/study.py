"""
How much should an agent explore?
=================================

A single run is not evidence: with other random numbers, the order of two agents may change. This
study trains three tables with ten seeds each, in two worlds. Their values begin at 0, so that only
epsilon makes them explore. On the frozen lake, the score is the
share of episodes that reach the goal (0.74 at best). Along the cliff, it is minus the number of
steps (-13 at best), and every fall costs 100.
"""

import matplotlib.pyplot as plt

from skrl import EpsilonGreedy, MemoizationQFunction, QLearningAgent, compare
from skrl.displays import StudyDisplay


def table(epsilon):
    return QLearningAgent(
        MemoizationQFunction(learning_rate=0.2, initial_value=0.0),
        EpsilonGreedy(epsilon),
        n_steps=10_000,
        n_evaluations=0,
    )


agents = {f"epsilon {epsilon}": table(epsilon) for epsilon in (0.01, 0.1, 0.5)}

# With resume="study.jsonl", the study can be interrupted and continued.
study = compare(agents, ["FrozenLake-v1", "CliffWalking-v1"], n_seeds=10, n_jobs=2)
print(study)

# %%
# The probability that a single run on the lake shows the right order.
often, seldom = "epsilon 0.5", "epsilon 0.01"
ahead = study.probability_of_improvement(often, seldom, "FrozenLake-v1").value
print(f"\nOn the lake, one run of {often!r} beats one of {seldom!r} with probability {ahead:.2f}.")
needed = study.n_seeds_needed(often, seldom)
print(f"It takes {needed:.0f} seeds in both worlds to show that it is better.")

# %%
# Interquartile means with 95% intervals, over both worlds.

StudyDisplay.from_study(study)
plt.show()
