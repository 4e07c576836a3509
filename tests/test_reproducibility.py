"""The same seed learns the same, bit by bit: again, in another process, however many at a time."""

import numpy as np
import pytest
from joblib import Parallel, delayed

from skrl import (
    DQN,
    QRDQN,
    CoherentEpsilonGreedy,
    ExperienceReplay,
    PrioritizedReplay,
    QLearningAgent,
)

AGENTS = {
    "table": QLearningAgent(n_steps=20_000),
    "default": QLearningAgent(n_steps=3_000, n_evaluations=2),
    "replay": QLearningAgent(DQN((16,)), runner=ExperienceReplay(), n_steps=3_000, n_evaluations=2),
    "priorities": QLearningAgent(
        QRDQN((16,), n_quantiles=8, tau=0.01, dueling=True),
        CoherentEpsilonGreedy(),
        PrioritizedReplay(),
        n_steps=3_000,
        n_evaluations=2,
    ),
}


def learn(name, seed):
    """Train; give every number that was learned or noted, as bytes."""
    agent = AGENTS[name].set_params(random_state=seed)
    agent.fit("FrozenLake-v1" if name == "table" else "CartPole-v1")
    learned = agent.qfunction_
    weights = [learned.table_] if name == "table" else learned.weights_
    history = agent.history_
    notes = [history[:, column] for column in history.columns if column != "seconds"]
    evaluations = [history.evaluations[:, column] for column in ("n_steps", "score", "std")]
    return [np.asarray(array).tobytes() for array in (*weights, *notes, *evaluations)]


@pytest.mark.parametrize("name", AGENTS)
def test_same_seed_same_bits_for_any_number_of_jobs(name):
    seeds = (0, 1)
    here = [learn(name, seed) for seed in seeds]
    for n_jobs in (1, 2):  # two processes of their own; and once more in this one
        assert Parallel(n_jobs)(delayed(learn)(name, seed) for seed in seeds) == here
    assert here[0] != here[1]
