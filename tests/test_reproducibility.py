"""The same seed learns the same, bit by bit: again, in another process, however many at a time."""

import subprocess
import sys

import pytest

# Prints a digest of every number that was learned or noted, for several agents and two seeds. (In
# a script, because what checks types at run time here would not be there in joblib's processes.)
SCRIPT = """
import sys
import joblib
from skrl import *

AGENTS = [
    QLearningAgent(MemoizationQFunction(), n_steps=3_000, n_evaluations=2),
    QLearningAgent(n_steps=2_000, n_evaluations=1),
    QLearningAgent(
        QRDQN(8, hidden_layer_sizes=(16,), dueling=True), runner=ExperienceReplay(PrioritizedBuffer()),
        n_steps=2_000, n_evaluations=1),
    QLearningAgent(
        IQN(hidden_layer_sizes=(16,), noisy=True), Greedy(), n_steps=2_000, n_evaluations=1),
]

def learn(agent, seed):
    is_table = isinstance(agent.qfunction, MemoizationQFunction)
    agent.set_params(random_state=seed).fit("FrozenLake-v1" if is_table else "CartPole-v1")
    learned = agent.qfunction_.table_ if is_table else agent.qfunction_.weights_
    history = agent.history_
    notes = [history[:, column] for column in history.columns if column != "seconds"]
    evaluations = [history.evaluations[:, column] for column in ("n_steps", "score", "std")]
    return joblib.hash([learned, notes, evaluations])

runs = [(agent, seed) for agent in AGENTS for seed in (0, 1)]
print(*joblib.Parallel(int(sys.argv[1]))(joblib.delayed(learn)(*run) for run in runs))
"""


def digests(n_jobs):
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(n_jobs)], capture_output=True, text=True, check=True
    )
    return run.stdout.split()


@pytest.mark.slow
def test_same_seed_same_bits_for_any_number_of_jobs():
    one = digests(n_jobs=1)
    assert len(set(one)) == 8
    assert digests(n_jobs=2) == one
