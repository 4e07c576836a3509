"""How fast is skrl? One command prints every figure, each a ratio taken within this run.

Absolute times depend on the machine and its other load; ratios of alternating measurements depend
on them much less. Every row measures its two sides alternately, A B A B ..., by default three
pairs, and prints the smallest, the median and the largest ratio.
"""

import argparse
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterator
from datetime import date
from importlib.metadata import packages_distributions, version
from pathlib import Path

import acting_rows
import checkpoint_row
import cost_rows
import learning_rows
import long_row
import pixel_rows
import search_row
import step_profile
from measuring import HERE, QUICK, Breakdown, Options, Row

ROWS: dict[str, Callable[[Options], Iterator[Row | Breakdown]]] = {
    "cartpole-sb3": learning_rows.cartpole_sb3,
    "cartpole-sbx": learning_rows.cartpole_sbx,
    "fused-update": learning_rows.fused_update,
    "pixels-10": pixel_rows.pixels_10,
    "pixels-84": pixel_rows.pixels_84,
    "acting-1": acting_rows.acting_1,
    "acting-128": acting_rows.acting_128,
    "table-frozenlake": acting_rows.table_frozenlake,
    "table-taxi": acting_rows.table_taxi,
    "import": cost_rows.import_time,
    "frozen-lake-script": cost_rows.frozen_lake_script,
    "replay-memory": cost_rows.replay_memory,
    "replay-sampling": cost_rows.replay_sampling,
    "memory-50-fits": cost_rows.memory_50_fits,
    "checkpoint": checkpoint_row.checkpoint,
    "long-run": long_row.long_run,
    "search-2-jobs": search_row.search_2_jobs,
    "profile": step_profile.profile,
}
PACKAGES = ("gymnasium", "numpy", "sklearn", "tensorflow", "keras")  # import names


def main() -> None:
    arguments = parse_arguments()
    options = Options(arguments.pairs, arguments.quick, arguments.peers)
    facts = describe_run(options)
    print("\n".join(facts), end="\n\n")
    results: list[Row | Breakdown] = []
    for name in arguments.only:
        for result in ROWS[name](options):
            results.append(result)
            print(result.text(), end="\n\n", flush=True)
    if arguments.markdown:
        arguments.markdown.write_text(to_markdown(describe_run(options), results))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME",
        help=f"measure only these: {', '.join(ROWS)}",
    )  # fmt: skip
    parser.add_argument("--pairs", type=at_least_one, default=3, help="pairs of measurements")
    parser.add_argument("--quick", action="store_true", help=f"a test run: 1/{QUICK} of the work")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write a table to this file")
    parser.add_argument(
        "--peers", type=Path, default=HERE / ".venv-peers", metavar="DIR",
        help="virtual environment of the peers, made if it does not exist",
    )  # fmt: skip
    return parser.parse_args()


def at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def describe_run(options: Options) -> list[str]:
    """The conditions of the measurement."""
    # (TensorFlow has several distributions, such as tensorflow-cpu.)
    distributions = [packages_distributions()[name][0] for name in PACKAGES]
    packages = [f"{name} {version(name)}" for name in ("skrl-toolkit", *distributions)]
    peers = [f"{name} {v}" for name, v in learning_rows.peers_versions(options.peers).items()]
    lines = [
        f"Command: python examples/benchmarks/speed.py {shlex.join(sys.argv[1:])}".rstrip(),
        f"Machine: {cpu_model()}, {os.cpu_count()} cores, {platform.system()}",
        f"Date: {date.today().isoformat()}",
        f"Python {platform.python_version()}, {', '.join(packages)}",
        f"Peers: {', '.join(peers) or 'not installed yet'}",
    ]
    if options.quick:
        lines.append(f"QUICK: a test run with 1/{QUICK} of the work. The figures mean nothing.")
    return lines


def cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def to_markdown(facts: list[str], results: list[Row | Breakdown]) -> str:
    """The printed report as Markdown."""
    rows = [result for result in results if isinstance(result, Row)]
    breakdowns = [result for result in results if isinstance(result, Breakdown)]
    lines = ["# Speed", "", *[f"- {fact}" for fact in facts], ""]
    lines += [
        "| row | what | min | median | max | bar | | medians of both sides, notes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        sides = "; ".join(f"{who}: {much}" for who, much in row.sides.items())
        details = "; ".join(part for part in (sides, *row.notes) if part)
        cells = (row.name, row.title, *row.spread(), row.bar, row.verdict, details)
        lines.append(f"| {' | '.join(cells)} |")
    for table in breakdowns:
        lines += ["", f"{table.name}: {table.title}", ""]
        lines += ["| part | us | x bare step |", "|---|---|---|"]
        lines += [f"| {' | '.join(cells)} |" for cells in table.cells()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
