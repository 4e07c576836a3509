"""
Solve CartPole in ten lines
===========================

A pole stands on a cart; push the cart left or right so that it does not fall. A mean of 475 of 500
steps counts as solved. By default, the agent uses a deep Q-network and experience replay here, and
stops when the task is solved.
"""

import joblib

from skrl import GymEnvironment, QLearningAgent

agent = QLearningAgent(random_state=0, verbose=1)
agent.fit("CartPole-v1")
print(f"Trained for {agent.n_steps_:,} steps in {agent.history_.seconds_so_far():.1f} seconds.")

print("  n_steps  greedy score")
for row in agent.history_.evaluations[:]:
    print(f"{row['n_steps']:9,}  {row['score']:12.1f}")

score = agent.score("CartPole-v1", n_episodes=20)
print(f"Mean return of 20 fresh episodes: {score:.1f}")
if score < 475:
    raise SystemExit("That is below 475: CartPole is not solved.")

# %%
# An agent is saved like any other estimator. It predicts actions as the environment numbers them.
joblib.dump(agent, "cartpole.joblib")
loaded = joblib.load("cartpole.joblib")

env = GymEnvironment("CartPole-v1")
state = env.reset(seed=1)[0]
print(f"In state {state} it pushes {['left', 'right'][loaded.predict(state)]}.")
print("A video of one episode:", env.record_video(loaded, "cartpole.mp4", seed=1))
