"""
Interrupt a training, and resume it
===================================

A checkpoint holds the whole training run. After a crash, the same training goes on from the file,
and ends with the same agent as if there had been no crash.
"""

import tempfile

import numpy as np

from skrl import Callback, MemoizationQFunction, QLearningAgent
from skrl.callbacks import Checkpoint


def make_agent(*callbacks):
    return QLearningAgent(
        MemoizationQFunction(),
        n_steps=20_000,
        n_evaluations=4,
        random_state=0,
        callbacks=list(callbacks),
    )


class PowerFailure(Callback):
    """Fails in the middle of the training."""

    def on_rollout_end(self, run):
        if run.history.n_steps > 9_000:
            raise RuntimeError("power failure")


# %%
# A training is interrupted. Here, checkpoints come every 1,000 steps. ``every=60`` would be once a
# minute.
path = tempfile.mkdtemp() + "/lake.checkpoint"
checkpoint = Checkpoint(path, interval=1_000)
try:
    make_agent(checkpoint, PowerFailure()).fit("FrozenLake-v1")
except RuntimeError as error:
    print(f"Interrupted by a {error}.")

# %%
# The same agent goes on from the file, and is compared with one that was never interrupted.
resumed = make_agent(checkpoint).fit("FrozenLake-v1", resume_from=path)
whole = make_agent().fit("FrozenLake-v1")

print("Same table:", np.array_equal(resumed.qfunction_.table_, whole.qfunction_.table_))
returns = resumed.history_[:, "return"], whole.history_[:, "return"]
print("Same episodes:", np.array_equal(*returns), f"({len(returns[0])} of them)")
print("Same score:", resumed.score("FrozenLake-v1") == whole.score("FrozenLake-v1"))
