"""
A table of values for a ring of integers
========================================

In the circular world, an agent walks around a ring of the integers -5..5. A step towards 0 earns
1, a step away from 0 costs 1, and staying earns 0. The optimal values are known: at distance d
from 0, the agent earns 1 in each of the next d steps, so the value is
1 + gamma + ... + gamma^(d-1). Q-learning finds these values.
"""

import matplotlib.pyplot as plt
import numpy as np

from skrl import EpsilonGreedy, MemoizationQFunction, QLearningAgent, SimpleRunner

gamma = 0.9
agent = QLearningAgent(
    MemoizationQFunction(learning_rate=0.5),
    EpsilonGreedy(0.2),
    SimpleRunner(),
    discount_factor=gamma,
    n_steps=20_000,
    random_state=0,
)
agent.fit("skrl/CircularWorld-v0")

# %%
integers = np.arange(-5, 6)
learned = agent.decision_function(integers).max(axis=1)
exact = (1 - gamma ** np.abs(integers)) / (1 - gamma)
arrows = np.array(["<-", "stay", "->"])[agent.predict(integers)]

print("integer  best action  learned value  exact value")
for row in zip(integers, arrows, learned, exact, strict=True):
    print("{:7d}  {:>11}  {:13.3f}  {:11.3f}".format(*row))

# %%
# The learned values lie on the exact ones.

_, ax = plt.subplots(layout="constrained")
ax.plot(integers, exact, color="0.6", linewidth=4, label="exact")
ax.plot(integers, learned, "o", label="learned")
ax.set(xlabel="integer", ylabel="V(s) (expected discounted return)")
ax.legend()
plt.show()
