"""
How much should an agent explore?
=================================

One run proves nothing: with other random numbers, the order of two agents may be the other way
round. So train each of three tables with ten seeds, in two worlds. On the frozen lake the ice is
slippery, and the score is how often the goal is reached (0.74 at best). Along the cliff it is minus
the number of steps (-13 at best), and every fall costs 100.
"""

from skrl import EpsilonGreedy, MemoizationQFunction, QLearningAgent, compare


def table(epsilon):
    return QLearningAgent(
        MemoizationQFunction(learning_rate=0.2),
        EpsilonGreedy(epsilon),
        n_steps=10_000,
        n_evaluations=0,
    )


agents = {f"epsilon {epsilon}": table(epsilon) for epsilon in (0.01, 0.1, 0.5)}

# With resume="study.jsonl" it could be stopped at any time, and go on later.
study = compare(agents, ["FrozenLake-v1", "CliffWalking-v1"], n_seeds=10, n_jobs=2)
print(study)

# %%
# What would a single run on the lake have said?
often, seldom = "epsilon 0.5", "epsilon 0.01"
ahead = study.probability_of_improvement(often, seldom, "FrozenLake-v1").value
print(f"\nOn the lake, one run of {often!r} beats one of {seldom!r} with probability {ahead:.2f}.")
needed = study.n_seeds_needed(often, seldom)
print(f"To show with both worlds that it is better takes {needed:.0f} seeds.")
