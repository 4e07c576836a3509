"""Does the default agent learn with every seed? One command trains it, and a peer, with many.

Ours is `QLearningAgent(random_state=seed).fit(id)`. Its only other argument is the number of steps,
where that is not its default. The peer is Stable-Baselines3's DQN with the settings of the RL
Baselines3 Zoo for each task. Every run is a fresh process. The score is the mean return of greedy
episodes from new seeds; for tables it is computed exactly.
"""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from pathlib import Path
from statistics import median

from measuring import HERE, Row, ratios
from seed_statistics import first_solved, median_solved, summarize
from speed import at_least_one, cpu_model
from study import LEAST_STEPS, LIBRARIES, QUICK, TASKS, Run, Study, Task, alternating_pairs

NAMES = [task.name for task in TASKS]
HEADINGS = (
    "task", "who", "interquartile mean", "95% interval", "threshold", "solved by", "worst",
    "solved after (median)", "steps (median)", "evaluation steps (median)", "fit (median)",
)  # fmt: skip
# Whole fits on CartPole: the required ratios of Stable-Baselines3's median time to our median and
# to our slowest time.
TIMED, AT_LEAST_MEDIAN, AT_LEAST_SLOWEST = "cartpole", 8, 3


def main() -> None:
    study, markdown = parse_arguments()
    facts = describe(study)
    print("\n".join(facts), end="\n\n", flush=True)
    report = Report(facts)
    for task in study.tasks:
        runs = []
        for run in study.run(task):
            runs.append(run)
            print(describe_run(run, task), flush=True)
        report.add(task, runs)
        print(f"\n{report.text()}\n", flush=True)
        if markdown:
            markdown.write_text(report.markdown())
    print(report.details())


def parse_arguments() -> tuple[Study, Path | None]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME",
        help=f"only these tasks: {', '.join(NAMES)}",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=seeds, default=range(10), metavar="N | FIRST:LAST",
        help="10 means the seeds 0 to 9, the default; 3:5 means 3, 4 and 5",
    )  # fmt: skip
    parser.add_argument(
        "--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES), metavar="LIBRARY",
        help="ours, sb3, or both, the default",
    )  # fmt: skip
    parser.add_argument(
        "--n-jobs", type=at_least_one, default=1, metavar="N",
        help="runs at a time; seconds are compared only if it is 1, the default",
    )  # fmt: skip
    parser.add_argument(
        "--resume", type=Path, metavar="FILE",
        help="file of finished runs, one line of JSON each; they are not repeated",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true",
        help=f"a test run: 1/{QUICK} of the steps, but at least {LEAST_STEPS:,}",
    )  # fmt: skip
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table to this file")
    parser.add_argument(
        "--peers", type=Path, default=HERE / ".venv-peers", metavar="DIR",
        help="virtual environment of the peers, made if it does not exist",
    )  # fmt: skip
    given = parser.parse_args()
    tasks = [task for task in TASKS if task.name in given.only]
    session = datetime.now().astimezone().isoformat(timespec="seconds")
    study = Study(
        tasks, given.seeds, given.libraries, given.n_jobs, given.quick, given.peers, session,
        given.resume,
    )  # fmt: skip
    return study, given.markdown


def seeds(text: str) -> range:
    first, colon, last = text.partition(":")
    chosen = range(int(first), int(last) + 1) if colon else range(int(first))
    if not chosen:
        raise argparse.ArgumentTypeError(f"{text!r} contains no seeds; write 10 or 3:5")
    return chosen


def describe(study: Study) -> list[str]:
    """The conditions of the measurement, without the versions."""
    lines = [
        f"Command: python examples/benchmarks/learning.py {shlex.join(sys.argv[1:])}".rstrip(),
        f"Machine: {cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        f"Date: {study.session[:10]}",
    ]
    if study.quick:
        lines.append("QUICK: a test run with a fraction of the steps. The figures mean nothing.")
    if study.n_jobs > 1:
        lines.append(f"{study.n_jobs} runs at a time: do not compare seconds.")
    return lines


def describe_run(run: Run, task: Task) -> str:
    steps, _ = first_solved(run.evaluations, task.threshold)
    solved = f", solved after {steps:,} of them" if isfinite(steps) else ""
    return (
        f"{run.task} {run.library} seed {run.seed}: {run.score:.4g} after {run.n_steps:,} steps"
        f"{solved}, and {run.evaluation_steps:,} of evaluation; {run.seconds:.1f} s"
    )


@dataclass
class Report:
    """The printed and written report; it grows task by task."""

    facts: list[str]
    table: list[tuple[str, ...]] = field(default_factory=list)
    comparisons: list[Row] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)

    def add(self, task: Task, runs: Sequence[Run]) -> None:
        for library, title in LIBRARIES.items():
            of_library = [run for run in runs if run.library == library]
            if of_library:
                self.table.append(row(task, title, of_library))
        self.comparisons += comparisons(task, alternating_pairs(runs))
        for run in runs:
            packages = ", ".join(f"{name} {version}" for name, version in run.versions.items())
            line = f"Versions: {packages}"
            if line not in self.versions:
                self.versions.append(line)

    def text(self) -> str:
        rows = [HEADINGS, *self.table]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
            for cells in rows
        ]
        return "\n".join(lines)

    def details(self) -> str:
        """The part that is printed once, at the end."""
        return "\n\n".join([*(row.text() for row in self.comparisons), "\n".join(self.versions)])

    def markdown(self) -> str:
        """The printed report as Markdown."""
        lines = ["# Learning", "", *[f"- {fact}" for fact in (*self.facts, *self.versions)], ""]
        lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        lines += [f"| {' | '.join(cells)} |" for cells in self.table]
        if self.comparisons:
            lines += ["", "| seconds | min | median | max | bar | | both sides |"]
            lines += ["|---|---|---|---|---|---|---|"]
        for row in self.comparisons:
            sides = "; ".join(f"{who}: {much}" for who, much in row.sides.items())
            cells = (row.title, *row.spread(), row.bar, row.verdict, sides)
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"


def row(task: Task, title: str, runs: Sequence[Run]) -> tuple[str, ...]:
    """One row of the table: all seeds of one library on one task."""
    summary = summarize([run.score for run in runs], task.threshold)
    digits = ".4g" if task.is_table else ".1f"
    known = isfinite(summary.low)
    worst = min(runs, key=lambda run: run.score)
    return (
        task.env_id,
        title,
        f"{summary.mean:{digits}}",
        f"{summary.low:{digits}} to {summary.high:{digits}}" if known else "-",
        f"{task.threshold:g}",
        f"{summary.n_solved} of {len(runs)}",
        f"{summary.worst:{digits}} (seed {worst.seed})",
        describe_solved(task, runs),
        f"{median(run.n_steps for run in runs):,.0f}",
        f"{median(run.evaluation_steps for run in runs):,.0f}",
        f"{median(run.seconds for run in runs):.1f} s",
    )


def describe_solved(task: Task, runs: Sequence[Run]) -> str:
    """Median over the runs of the first evaluation that reached the threshold."""
    if not all(run.evaluations for run in runs):
        return "-"
    steps, seconds = median_solved([run.evaluations for run in runs], task.threshold)
    return f"{steps:,.0f} steps, {seconds:.1f} s" if isfinite(steps) else "never"


def comparisons(task: Task, pairs: Sequence[tuple[Run, Run]]) -> list[Row]:
    """Ratios of the times of whole fits, of runs made alternately."""
    if not pairs:
        return []
    ours, theirs = ([run.seconds for run in side] for side in zip(*pairs, strict=True))
    middle = median(theirs)
    rows = [
        Row(
            name=f"{task.name}-seconds",
            title=f"whole fit on {task.env_id}, how much faster, {len(pairs)} alternating pairs",
            figures=ratios(theirs, ours),
            sides={"skrl": spread(ours), "Stable-Baselines3": spread(theirs)},
        )
    ]
    if task.name == TIMED:
        rows += [
            Row(
                name=f"{task.name}-median",
                title=f"the same, median of ours against median of theirs ({middle:.1f} s)",
                figures=[middle / median(ours)],
                at_least=AT_LEAST_MEDIAN,
            ),
            Row(
                name=f"{task.name}-slowest",
                title=f"the same, slowest of ours against median of theirs ({middle:.1f} s)",
                figures=[middle / max(ours)],
                at_least=AT_LEAST_SLOWEST,
            ),
        ]
    return rows


def spread(seconds: Sequence[float]) -> str:
    return f"{min(seconds):.1f} to {max(seconds):.1f}, median {median(seconds):.1f} s"


if __name__ == "__main__":
    main()
