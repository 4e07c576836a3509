"""Train a DQN on CartPole with the settings of the RL Baselines3 Zoo, and print the time as JSON.

Run it with the Python that has the library: ``python zoo.py skrl|sb3|sbx``. The time includes
everything but imports: making the agent and the environment, compiling, acting, learning.
"""

import argparse
import json
from time import perf_counter
from typing import Any

LEARNING_RATE = 2.3e-3
GAMMA = 0.99
BATCH_SIZE = 64
CAPACITY = 100_000
LEARNING_STARTS = 1000
TRAIN_FREQ, GRADIENT_STEPS = 256, 128
EPSILON, EXPLORATION_FRACTION = (1.0, 0.04), 0.16
HIDDEN_LAYERS = (256, 256)


def train_skrl(n_steps: int, seed: int) -> dict[str, Any]:
    from skrl import DQN, EpsilonGreedy, ExperienceReplay, LinearSchedule, QLearningAgent
    from skrl.qfunctions.deep.tensorflow import tf
    from skrl.runners import ReplayBuffer

    assert tf.__version__  # loads TensorFlow before the clock starts, as the peers do theirs
    begin = perf_counter()
    agent = QLearningAgent(
        DQN(
            HIDDEN_LAYERS,
            learning_rate=LEARNING_RATE,
            learning_rate_decay=0.0,
            double=False,
            scale_states=False,
            tau=1.0,
            target_update_interval=128,  # equals the peers' 10 steps, see train_peer
        ),
        EpsilonGreedy(LinearSchedule(*EPSILON, fraction=EXPLORATION_FRACTION)),
        ExperienceReplay(
            batch_size=BATCH_SIZE,
            train_freq=TRAIN_FREQ,
            gradient_steps=GRADIENT_STEPS,
            learning_starts=LEARNING_STARTS,
            buffer=ReplayBuffer(CAPACITY, n_step_return=1),
        ),
        discount_factor=GAMMA,
        n_steps=n_steps,
        n_evaluations=0,
        random_state=seed,
    )
    agent.fit("CartPole-v1")
    return {
        "seconds": perf_counter() - begin,
        "n_steps": agent.n_steps_,
        "n_updates": agent.qfunction_.n_updates_,
    }


def train_sb3(n_steps: int, seed: int) -> dict[str, Any]:
    from stable_baselines3 import DQN

    return train_peer(DQN, n_steps, seed)


def train_sbx(n_steps: int, seed: int) -> dict[str, Any]:
    from sbx import DQN

    return train_peer(DQN, n_steps, seed)


def train_peer(make_model: Any, n_steps: int, seed: int) -> dict[str, Any]:
    begin = perf_counter()
    model = make_model(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=LEARNING_RATE,
        gamma=GAMMA,
        batch_size=BATCH_SIZE,
        buffer_size=CAPACITY,
        learning_starts=LEARNING_STARTS,
        train_freq=TRAIN_FREQ,
        gradient_steps=GRADIENT_STEPS,
        # In environment steps. Since updates happen once in 256 steps, the target network is in
        # effect updated once per 128 gradient steps.
        target_update_interval=10,
        exploration_initial_eps=EPSILON[0],
        exploration_final_eps=EPSILON[1],
        exploration_fraction=EXPLORATION_FRACTION,
        policy_kwargs={"net_arch": list(HIDDEN_LAYERS)},
        device="cpu",
        seed=seed,
    )
    model.learn(n_steps)
    return {
        "seconds": perf_counter() - begin,
        "n_steps": model.num_timesteps,
        "n_updates": model._n_updates,  # the peers have no public attribute for it
    }


TRAIN = {"skrl": train_skrl, "sb3": train_sb3, "sbx": train_sbx}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library", choices=TRAIN)
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(json.dumps(TRAIN[arguments.library](arguments.steps, arguments.seed)))
