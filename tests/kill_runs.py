"""Kill trainings at random moments, go on from their checkpoints, and compare how they end.

Each training runs in its own process group, which gets SIGKILL at a random moment; every second one
gets it at the next moment in which it writes a checkpoint. A fresh process goes on from what is on
the disk. What it ends with is compared bit by bit with a training that was not interrupted.

``python tests/kill_runs.py 50`` makes 50 kills of each kind of training, which takes an hour or two.
``python tests/kill_runs.py 5 table`` makes five of one kind.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np
from outcomes import digest, outcome
from sklearn.model_selection import GridSearchCV

from skrl import (
    DQN,
    Callback,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    MemoizationQFunction,
    PrioritizedBuffer,
    QLearningAgent,
    make_envs,
)
from skrl.callbacks import Checkpoint

EVALUATED = {"n_evaluations": 3, "n_evaluation_episodes": 10, "early_stopping": False}
# How often checkpoints are written. It changes a training only if its environment is not captured.
OFTEN = [{"interval": 256}, {"interval": 1_000}, {"every": 0.0}]


def table(n_steps):
    return QLearningAgent(MemoizationQFunction(), n_steps=n_steps, random_state=0, **EVALUATED)


def network():
    return QLearningAgent(
        DQN((32,)),
        EpsilonGreedy(0.2),
        ExperienceReplay(PrioritizedBuffer(5_000, n_step_return=5)),
        n_steps=16_000,
        random_state=0,
        **EVALUATED,
    )


def train(agent, env, path, callbacks, way):
    """Fit an agent; go on if there is a checkpoint."""
    checkpoints = [] if way is None else [Checkpoint(path, **way)]
    agent.set_params(callbacks=callbacks + checkpoints)
    return outcome(agent.fit(env, resume_from=path if path.exists() else None))


def search(path, callbacks, way):
    """Search for a parameter. The same call goes on by itself."""
    checkpoints = [] if way is None else [Checkpoint(path, per_run=True, **way)]
    agent = table(10_000).set_params(callbacks=callbacks + checkpoints)
    found = GridSearchCV(agent, {"discount_factor": [0.9, 0.99]}, cv=2, error_score="raise")
    found.fit(make_envs("FrozenLake-v1", n=4))
    scores = {"scores": found.cv_results_["mean_test_score"]}
    return {**scores, **outcome(found.best_estimator_)}


PROCESSES = GymEnvironment("FrozenLake-v1", n_envs=2, asynchronous=True)
# What is trained, and the ways in which checkpoints are written.
KINDS = {
    "table": (lambda *how: train(table(40_000), "FrozenLake-v1", *how), OFTEN),
    "processes": (lambda *how: train(table(8_000), PROCESSES, *how), OFTEN),
    "search": (search, OFTEN),
    "DQN": (lambda *how: train(network(), "CartPole-v1", *how), OFTEN),
    # It is not captured.
    "LunarLander": (lambda *how: train(network(), "LunarLander-v3", *how), [{"interval": 512}]),
}


class Report(Callback):
    """Writes a byte to a pipe at the end of each rollout."""

    def __init__(self, pipe):
        self.pipe = pipe

    def on_rollout_end(self, run):
        os.write(self.pipe, b".")


class Training:
    """A training in its own process group.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    folder : Path
        Where the checkpoint, the outcome and the output are.
    way : dict or None
        How often checkpoints are written; None stands for never.
    """

    def __init__(self, kind, folder, way):
        self.folder = folder
        self.path = folder / "run.checkpoint"
        self.pipe, pipe = os.pipe()
        self.pid = os.fork()
        os.setpgid(self.pid, self.pid)  # both do it: nobody knows which one is first
        if self.pid == 0:
            os._exit(self._train(kind, way, pipe))
        os.close(pipe)

    def _train(self, kind, way, pipe):
        output = os.open(self.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        try:
            numbers = KINDS[kind][0](self.path, [Report(pipe)], way)
            (self.folder / "outcome").write_text(digest(numbers))
        except BaseException:
            traceback.print_exc()
            return 1
        return 0

    def wait_for_rollouts(self, n):
        """Wait until n rollouts have ended, and give the seconds of the last one."""
        began = time.perf_counter()
        for _ in range(n):
            began, _ = time.perf_counter(), os.read(self.pipe, 1)
        return time.perf_counter() - began

    def is_writing(self):
        """Whether a checkpoint is being written, or was when the process was killed."""
        return any(self.folder.rglob("*.part"))

    def wait_for_write(self):
        """Wait until a checkpoint is being written, or the training has ended."""
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        while not self.is_writing() and os.waitid(os.P_PID, self.pid, options) is None:
            pass

    def kill(self):
        """Kill the process group. False if the training had ended."""
        os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pipe)
        return os.WIFSIGNALED(os.waitpid(self.pid, 0)[1])

    def finish(self):
        """Wait for the end. Give the outcome, and how many rollouts there were."""
        n_rollouts = 0
        while os.read(self.pipe, 1):
            n_rollouts += 1
        os.close(self.pipe)
        os.waitpid(self.pid, 0)
        path = self.folder / "outcome"
        if not path.exists():
            sys.exit((self.folder / "output").read_text())
        return path.read_text(), n_rollouts


def kill_runs(kind, n_kills, rng):
    """Kill trainings of a kind, and print how many of them ended as they should."""
    ways = KINDS[kind][1]
    with tempfile.TemporaryDirectory() as folder:
        # Where the environment is not captured, the checkpoints must come at the same steps.
        reference = Training(kind, Path(folder), ways[0] if len(ways) == 1 else None)
        expected, n_rollouts = reference.finish()
    n_killed = n_alike = n_writing = n_early = 0
    while n_killed < n_kills:
        with tempfile.TemporaryDirectory() as folder:
            way = ways[rng.integers(len(ways))]
            training = Training(kind, Path(folder), way)
            seconds = training.wait_for_rollouts(rng.integers(n_rollouts))
            time.sleep(rng.uniform(0, seconds))
            if n_killed % 2:
                training.wait_for_write()
            if not training.kill():
                continue
            n_killed += 1
            n_writing += training.is_writing()
            n_early += not training.path.exists()
            n_alike += Training(kind, Path(folder), way).finish()[0] == expected
        print(f"\r{kind}: {n_alike} of {n_killed}", end="", file=sys.stderr, flush=True)
    print(
        f"\r{kind}: {n_alike} of {n_killed} ended bit-identical; {n_writing} were killed while "
        f"writing, {n_early} before the first checkpoint",
        flush=True,
    )
    return n_alike == n_killed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n_kills", type=int)
    parser.add_argument("kinds", nargs="*", default=list(KINDS), help=f"of {list(KINDS)}")
    parser.add_argument("--seed", type=int, help="of the moments; by default new ones each time")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    found = [kill_runs(kind, arguments.n_kills, rng) for kind in arguments.kinds]
    sys.exit(not all(found))
