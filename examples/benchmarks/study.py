"""A study of learning: tasks, runs with many seeds, and a file that remembers finished runs."""

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
LEAST_STEPS = 2_000  # ... but an agent that has no time to warm up at all is an error
LIBRARIES = {"ours": "skrl", "sb3": "Stable-Baselines3"}


@dataclass(frozen=True)
class Task:
    """What is to be learned, in how many steps, and from what mean return on it counts as solved.

    The steps of the control tasks are those of the RL Baselines3 Zoo. Where they are also our
    agent's own default, it is told no number at all.
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
        """How many steps a library is told to take."""
        if quick:
            return max(self.n_steps // QUICK, LEAST_STEPS)
        return None if library == "ours" and self.is_our_default else self.n_steps


# The thresholds of the control tasks are Gymnasium's. Those of the tables are the best that
# anybody can do, by dynamic programming (FrozenLake: 0.7442; a policy that does not look at the
# clock cannot quite get there): Gymnasium's 0.7 for the lake can be had for less, its 8 for the
# taxi cannot be had, and the cliff has none.
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
    """One library, one task, one seed: what came of it, and how it was done."""

    task: str
    library: str
    seed: int
    budget: int | None  # steps that the library was told to take; None: its own default
    score: float
    seconds: float  # of the whole fit, compilation included
    n_steps: int  # taken
    evaluations: Sequence[tuple[int, float, float]]  # (steps, score, seconds)
    versions: dict[str, str]
    session: str  # when the command was started that made the run ...
    n_jobs: int  # ... and how many runs it made at a time

    @property
    def key(self) -> tuple[Any, ...]:
        return self.task, self.library, self.seed, self.budget


@dataclass(frozen=True)
class Study:
    """What the command line asked for."""

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
        """Make all runs of a task that the file does not know, and give all, as they are done.

        The libraries take turns, seed by seed: one at a time, both meet the same busy spells of
        the machine.
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
            peers_python(self.peers)  # made now, not by several runs at once
        jobs = [delayed(self._train)(task, *key[1:]) for key in missing]
        # Threads are enough: each of them waits for a process.
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
        # Alone, a run may use the whole machine; together they share it.
        n_threads = None if self.n_jobs == 1 else max((os.cpu_count() or 1) // self.n_jobs, 1)
        result = run_child("learn.py", *arguments, python=python, n_threads=n_threads)
        return Run(
            task.name, library, seed, budget, **result, session=self.session, n_jobs=self.n_jobs
        )


def read(file: Path | None) -> list[Run]:
    """Runs that were finished earlier."""
    if file is None or not file.exists():
        return []
    return [Run(**json.loads(line)) for line in file.read_text().splitlines()]


def append(file: Path, run: Run) -> None:
    with file.open("a") as lines:
        print(json.dumps(asdict(run)), file=lines)


def pairs_in_turns(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of ours and theirs with the same seed, made one after the other, nothing beside them."""
    alone = [run for run in runs if run.n_jobs == 1]
    theirs = {(run.seed, run.session): run for run in alone if run.library != "ours"}
    ours = [run for run in alone if run.library == "ours" and (run.seed, run.session) in theirs]
    return [(run, theirs[run.seed, run.session]) for run in ours]
