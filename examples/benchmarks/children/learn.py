"""Train one agent with one seed, and print its score and its training time as JSON.

Run it with the Python that has the library: ``python learn.py ours|sb3 ENV``. Ours is the default
agent with a seed and, optionally, a number of steps. Theirs has the settings of the RL Baselines3
Zoo for the environment. The time includes everything but imports: making the agent and the
environment, compiling, learning.
"""

import argparse
import json
import sys
from hashlib import sha256
from importlib.metadata import packages_distributions, version
from pathlib import Path
from time import perf_counter
from typing import Any

N_EPISODES = 100  # of the final score
UNSEEN = 1_000_000  # added to the seed for the environment of the final score

# Tuned settings of the RL Baselines3 Zoo (hyperparams/dqn.yml), all with two layers of 256.
ZOO: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000,
        "gamma": 0.99, "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128,
        "exploration_fraction": 0.16, "exploration_final_eps": 0.04,
    },
    "Acrobot-v1": {
        "learning_rate": 6.3e-4, "batch_size": 128, "buffer_size": 50_000, "learning_starts": 0,
        "gamma": 0.99, "target_update_interval": 250, "train_freq": 4, "gradient_steps": 4,
        "exploration_fraction": 0.12, "exploration_final_eps": 0.1,
    },
    "MountainCar-v0": {
        "learning_rate": 4e-3, "batch_size": 128, "buffer_size": 10_000, "learning_starts": 1000,
        "gamma": 0.98, "target_update_interval": 600, "train_freq": 16, "gradient_steps": 8,
        "exploration_fraction": 0.2, "exploration_final_eps": 0.07,
    },
}  # fmt: skip


def learn_ours(env_id: str, seed: int, n_steps: int | None, is_table: bool) -> dict[str, Any]:
    import skrl
    from skrl import QLearningAgent

    if not is_table:
        from skrl.qfunctions.deep.tensorflow import tf

        assert tf.__version__  # loads TensorFlow before the clock starts, as the peer does PyTorch

    begin = perf_counter()
    agent = QLearningAgent(n_steps=n_steps, random_state=seed).fit(env_id)
    seconds = perf_counter() - begin
    before = seconds - agent.history_.seconds()  # up to the begin of the run
    evaluations = agent.history_.evaluations
    return {
        "score": score(agent, env_id, is_table),
        "seconds": seconds,
        "n_steps": agent.n_steps_,
        "evaluation_steps": evaluations[-1]["evaluation_steps"] if len(evaluations) else 0,
        "evaluations": [
            (row["n_steps"], row["score"], row["seconds"] + before) for row in evaluations[:]
        ],
        "versions": versions("skrl", "gymnasium", "numpy", "tensorflow", "keras")
        | {"skrl's code": digest(Path(skrl.__file__).parent)},
    }


def score(agent: Any, env_id: str, is_table: bool) -> float:
    """Mean return of the greedy policy: exact for a table, sampled for a network."""
    if not is_table:
        return float(agent.score(env_id, n_episodes=N_EPISODES))
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from exact import greedy_policy_value

    return greedy_policy_value(agent, env_id)


def learn_sb3(env_id: str, seed: int, n_steps: int | None, is_table: bool) -> dict[str, Any]:
    import gymnasium
    from stable_baselines3 import DQN
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv

    if n_steps is None or is_table:
        raise ValueError("Stable-Baselines3 needs --steps, and does not support --table.")
    begin = perf_counter()
    model = DQN(
        "MlpPolicy",
        env_id,
        **ZOO[env_id],
        policy_kwargs={"net_arch": [256, 256]},
        device="cpu",
        seed=seed,
    )
    model.learn(n_steps)
    seconds = perf_counter() - begin

    fresh = DummyVecEnv([lambda: Monitor(gymnasium.make(env_id))])
    fresh.seed(UNSEEN + seed)
    score, _ = evaluate_policy(model, fresh, n_eval_episodes=N_EPISODES, deterministic=True)
    return {
        "score": float(score),
        "seconds": seconds,
        "n_steps": model.num_timesteps,
        "evaluation_steps": 0,
        "evaluations": [],  # they would slow it down
        "versions": versions("stable_baselines3", "gymnasium", "numpy", "torch"),
    }


def versions(*packages: str) -> dict[str, str]:
    """Versions by distribution (TensorFlow's may be tensorflow-cpu)."""
    distributions = packages_distributions()
    return {name: version(name) for name in (distributions[package][0] for package in packages)}


def digest(folder: Path) -> str:
    """Digest of the code, to tell apart states with the same version number."""
    code = b"".join(path.read_bytes() for path in sorted(folder.rglob("*.py")))
    return sha256(code).hexdigest()[:8]


LEARN = {"ours": learn_ours, "sb3": learn_sb3}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=LEARN)
    parser.add_argument("env_id")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--table", action="store_true", help="compute the exact score")
    arguments = parser.parse_args()
    learn = LEARN[arguments.library]
    print(json.dumps(learn(arguments.env_id, arguments.seed, arguments.steps, arguments.table)))
