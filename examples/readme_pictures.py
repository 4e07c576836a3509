"""
The pictures of the README
==========================

Five default agents learn to balance the pole. The first picture shows their learning curves, the
second one is an animation of one of them.

    python examples/readme_pictures.py docs/_static
"""

import sys
from pathlib import Path

import gymnasium
import joblib
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from skrl import QLearningAgent

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
agents = joblib.Parallel(n_jobs=2)(
    joblib.delayed(QLearningAgent(random_state=seed).fit)("CartPole-v1") for seed in range(5)
)


# %%
# An agent keeps the best network of all evaluations, and stops when the task is solved. So its
# curve is the best score so far, and stays there after the end.
def best_so_far(agent, steps):
    evaluations = agent.history_.evaluations
    best = np.maximum.accumulate(evaluations[:, "score"])
    return np.interp(steps, evaluations[:, "n_steps"], best)


steps = np.linspace(1_250, max(agent.n_steps_ for agent in agents), 200)
curves = np.array([best_so_far(agent, steps) for agent in agents])

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
ax.fill_between(steps, curves.min(axis=0), curves.max(axis=0), alpha=0.2, label="lowest to highest")
ax.plot(steps, curves.T, color="C0", lw=0.7, alpha=0.5)
ax.plot(steps, curves.mean(axis=0), color="C0", lw=2.5, label="mean of five seeds")
ax.axhline(475, color="gray", ls="--", label="solved: 475")
ax.xaxis.set_major_formatter("{x:,.0f}")
ax.set(
    title="CartPole-v1, default agent",
    xlabel="environment steps",
    ylabel="return of greedy episodes, best network so far",
    ylim=(0, 510),
)
ax.legend(loc="lower right")
figure.savefig(folder / "five_seeds.png", dpi=120)

# %%
# The environment makes 50 pictures per second. Every second one, at half the size and with 32
# colors, makes a small file.
env = gymnasium.make("CartPole-v1", render_mode="rgb_array")
observation, _ = env.reset(seed=0)
frames = []
for step in range(250):
    if step % 2 == 0:
        frames.append(Image.fromarray(env.render()).resize((300, 200)).quantize(32))
    observation, *_ = env.step(agents[0].predict(observation))
env.close()
frames[0].save(
    folder / "cartpole.gif", save_all=True, append_images=frames[1:], duration=40, loop=0
)

for picture in (folder / "five_seeds.png", folder / "cartpole.gif"):
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")
