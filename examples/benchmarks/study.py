"""A study of learning: tasks, runs with many seeds, and the file of finished runs."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from learning_rows import peers_python
from measuring import run_child

QUICK = 50  # --quick divides the steps by this ...
LEAST_STEPS = 2_000  # ... but a budget must be longer than the warm-up of an agent
LIBRARIES = {"ours": "skrl", "sb3": "Stable-Baselines3"}


@dataclass(frozen=True)
class Task:
    """An environment, a budget of steps, and the mean return that counts as solved.

    The steps of the control tasks are those of the RL Baselines3 Zoo. If they equal our agent's
    default, they are not passed to it.
    """

    name: str
    env_id: str
    threshold: float
    n_steps: int
    is_our_default: bool = False
    is_table: bool = False

    @property
    def libraries(self) -> tuple[str, ...]:
        return ("ours",) if self.is_table else ("ours", "sb3")

    def budget(self, library: str, quick: bool) -> int | None:
        """The steps that are passed to a library; None is its default."""
        if quick:
            return max(self.n_steps // QUICK, LEAST_STEPS)
        return None if library == "ours" and self.is_our_default else self.n_steps


# The thresholds of the control tasks are Gymnasium's. Those of the tables are the values of the
# optimal policies, by dynamic programming. (FrozenLake's is 0.7442, for a policy that depends on
# the time; others come close.) Gymnasium's thresholds do not serve: 0.7 is below the optimum of
# FrozenLake, 8 is above that of Taxi, and CliffWalking has none.
TASKS = [
    Task("cartpole", "CartPole-v1", 475, 50_000, is_our_default=True),
    Task("acrobot", "Acrobot-v1", -100, 100_000),
    Task("mountaincar", "MountainCar-v0", -110, 120_000),
    Task("frozenlake", "FrozenLake-v1", 0.73, 300_000, is_our_default=True, is_table=True),
    Task("taxi", "Taxi-v4", 7.93, 300_000, is_our_default=True, is_table=True),
    Task("cliffwalking", "CliffWalking-v1", -13, 300_000, is_our_default=True, is_table=True),
]


@dataclass(frozen=True)
class Run:
    """The result of one library on one task with one seed, and how the run was made."""

    task: str
    library: str
    seed: int
    budget: int | None  # steps passed to the library; None: its default
    score: float
    seconds: float  # of the whole fit, compilation included
    n_steps: int  # of training
    evaluation_steps: int  # environment steps of all evaluations during training
    evaluations: Sequence[tuple[int, float, float]]  # (steps, score, seconds)
    versions: dict[str, str]
    session: str  # start time of the command that made the run ...
    n_jobs: int  # ... and the number of its runs at a time

    @property
    def key(self) -> tuple[Any, ...]:
        return self.task, self.library, self.seed, self.budget


@dataclass(frozen=True)
class Study:
    """The options of the command line."""

    tasks: Sequence[Task]
    seeds: Sequence[int]
    libraries: Sequence[str]
    n_jobs: int
    quick: bool
    peers: Path
    session: str
    file: Path | None = None

    def libraries_for(self, task: Task) -> list[str]:
        return [library for library in task.libraries if library in self.libraries]

    def run(self, task: Task) -> Iterator[Run]:
        """Yield all runs of a task: those in the file, and then the others as they finish.

        The libraries alternate, seed by seed, so that other load on the machine affects both.
        """
        finished = {run.key: run for run in read(self.file)}
        wanted = [
            (task.name, library, seed, task.budget(library, self.quick))
            for seed in self.seeds
            for library in self.libraries_for(task)
        ]
        yield from (finished[key] for key in wanted if key in finished)
        missing = [key for key in wanted if key not in finished]
        if any(library != "ours" for _, library, _, _ in missing):
            peers_python(self.peers)  # before several runs at once do it
        jobs = [delayed(self._train)(task, *key[1:]) for key in missing]
        # Threads suffice: each of them waits for a process.
        workers = Parallel(self.n_jobs, prefer="threads", return_as="generator_unordered")
        for run in workers(jobs):
            if self.file is not None:
                append(self.file, run)
            yield run

    def _train(self, task: Task, library: str, seed: int, budget: int | None) -> Run:
        python = sys.executable if library == "ours" else self.peers / "bin" / "python"
        arguments: list[object] = [library, task.env_id, "--seed", seed]
        if budget is not None:
            arguments += ["--steps", budget]
        if task.is_table:
            arguments += ["--table"]
        # A single run may use the whole machine; several share it.
        n_threads = None if self.n_jobs == 1 else max((os.cpu_count() or 1) // self.n_jobs, 1)
        result = run_child("learn.py", *arguments, python=python, n_threads=n_threads)
        return Run(
            task.name, library, seed, budget, **result, session=self.session, n_jobs=self.n_jobs
        )


def read(file: Path | None) -> list[Run]:
    """Read the finished runs."""
    if file is None or not file.exists():
        return []
    return [Run(**json.loads(line)) for line in file.read_text().splitlines()]


def append(file: Path, run: Run) -> None:
    with file.open("a") as lines:
        print(json.dumps(asdict(run)), file=lines)


def alternating_pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Pairs of our and their run with the same seed, made sequentially in the same session."""
    alone = [run for run in runs if run.n_jobs == 1]
    theirs = {(run.seed, run.session): run for run in alone if run.library != "ours"}
    ours = [run for run in alone if run.library == "ours" and (run.seed, run.session) in theirs]
    return [(run, theirs[run.seed, run.session]) for run in ours]
