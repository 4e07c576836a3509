"""Train DQN on a game of MinAtar, and print its score and its training time as JSON.

Run it with the Python that has the library:
``python minatar_dqn.py ours|sb3 GAME --folder DIR``, where MinAtar is in the folder. Both have the
settings of Young & Tian (2019), "MinAtar: an Atari-inspired testbed for thorough and reproducible
reinforcement learning experiments", but Adam, and an update for every four steps. The time includes
everything but imports.
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from minatar_games import GAMES, MinAtar

BATCH_SIZE, CAPACITY, LEARNING_STARTS, GAMMA, LEARNING_RATE = 32, 100_000, 5_000, 0.99, 2.5e-4
FINAL_EPSILON, EPSILON_STEPS = 0.1, 100_000
TRAIN_FREQ, TARGET_STEPS = 4, 1_000  # steps for an update, and for a new target network
N_CALL = 64  # updates in a call of ours
N_EPISODES = 100  # of the final score
UNSEEN = 1_000_000  # added to the seed for the environment of the final score


def exploration(n_steps: int) -> float:
    """The fraction of the steps after which epsilon is at its end."""
    return min(EPSILON_STEPS / n_steps, 1.0)


def learn_ours(game: str, seed: int, n_steps: int) -> dict[str, Any]:
    from skrl import (
        DQN,
        EpsilonGreedy,
        ExperienceReplay,
        GymEnvironment,
        LinearSchedule,
        QLearningAgent,
        ReplayBuffer,
    )
    from skrl.qfunctions.deep.images import minatar_network
    from skrl.qfunctions.deep.tensorflow import tf

    assert tf.__version__  # loads TensorFlow before the clock starts, as the peer does PyTorch
    begin = perf_counter()
    agent = QLearningAgent(
        DQN(
            network=minatar_network,
            learning_rate=LEARNING_RATE,
            learning_rate_decay=0.0,
            double=False,
            tau=1.0,
            target_update_interval=TARGET_STEPS // TRAIN_FREQ,
            scale_states=False,
        ),
        EpsilonGreedy(LinearSchedule(1.0, FINAL_EPSILON, exploration(n_steps))),
        ExperienceReplay(
            ReplayBuffer(CAPACITY, n_step_return=1),
            batch_size=BATCH_SIZE,
            train_freq=TRAIN_FREQ * N_CALL,
            gradient_steps=N_CALL,
            learning_starts=LEARNING_STARTS,
        ),
        discount_factor=GAMMA,
        n_steps=n_steps,
        n_evaluations=0,
        random_state=seed,
    ).fit(GymEnvironment(partial(MinAtar, game)))
    seconds = perf_counter() - begin
    score = agent.score(GymEnvironment(partial(MinAtar, game)), n_episodes=N_EPISODES)
    return {"score": float(score), "seconds": seconds, "updates": agent.qfunction_.n_updates_}


def learn_sb3(game: str, seed: int, n_steps: int) -> dict[str, Any]:
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
    from stable_baselines3.common.vec_env import DummyVecEnv

    class Features(BaseFeaturesExtractor):
        """One convolution of 16 filters; the dense layers are those of the policy."""

        def __init__(self, observation_space: Any) -> None:
            super().__init__(observation_space, features_dim=16 * 8 * 8)
            n_channels = observation_space.shape[2]
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(n_channels, 16, 3), torch.nn.ReLU(), torch.nn.Flatten()
            )

        def forward(self, states: Any) -> Any:
            return self.layers(states.permute(0, 3, 1, 2))

    begin = perf_counter()
    model = DQN(
        "MlpPolicy",
        MinAtar(game),
        policy_kwargs={"features_extractor_class": Features, "net_arch": [128]},
        learning_rate=LEARNING_RATE,
        buffer_size=CAPACITY,
        learning_starts=LEARNING_STARTS,
        batch_size=BATCH_SIZE,
        gamma=GAMMA,
        train_freq=TRAIN_FREQ,
        target_update_interval=TARGET_STEPS,
        exploration_fraction=exploration(n_steps),
        exploration_final_eps=FINAL_EPSILON,
        device="cpu",
        seed=seed,
    )
    model.learn(n_steps)
    seconds = perf_counter() - begin
    fresh = DummyVecEnv([lambda: Monitor(MinAtar(game))])
    fresh.seed(UNSEEN + seed)
    score, _ = evaluate_policy(model, fresh, n_eval_episodes=N_EPISODES, deterministic=True)
    return {"score": float(score), "seconds": seconds, "updates": model._n_updates}


LEARN: dict[str, Callable[[str, int, int], dict[str, Any]]] = {"ours": learn_ours, "sb3": learn_sb3}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LEARN)
    parser.add_argument("game", choices=GAMES)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1_000_000)
    arguments = parser.parse_args()
    sys.path.insert(0, str(arguments.folder.resolve()))
    learn = LEARN[arguments.library]
    print(json.dumps(learn(arguments.game, arguments.seed, arguments.steps)))
