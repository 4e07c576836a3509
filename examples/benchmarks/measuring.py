"""Shared by all rows: options, pairs of measurements, child processes, and the report."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

HERE = Path(__file__).resolve().parent
QUICK = 20  # --quick divides the work by this


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    pairs: int
    quick: bool
    peers: Path

    def work(self, amount: int, multiple_of: int = 1) -> int:
        """The amount of work of this run, where the full benchmark does `amount`."""
        if self.quick:
            amount //= QUICK
        return max(amount // multiple_of, 1) * multiple_of


@dataclass(frozen=True)
class Row:
    """One row of the table: figures, the bar, and the absolute numbers behind the figures.

    The bar is compared with the median. There is one figure per pair of measurements, and a single
    one if nothing is timed.
    """

    name: str
    title: str
    figures: Sequence[float]
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    sides: dict[str, str] = field(default_factory=dict)  # name and median of each side
    notes: Sequence[str] = ()

    @property
    def bar(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g} {self.unit}"
        return "-" if self.at_most is None else f"<= {self.at_most:g} {self.unit}"

    @property
    def verdict(self) -> str:
        middle = median(self.figures)
        if self.at_least is not None:
            return "met" if middle >= self.at_least else "MISSED"
        if self.at_most is not None:
            return "met" if middle <= self.at_most else "MISSED"
        return "-"

    def spread(self) -> tuple[str, str, str]:
        """Smallest, middle and largest figure."""
        figures = min(self.figures), median(self.figures), max(self.figures)
        low, middle, high = (f"{figure:.3g}" for figure in figures)
        return low, middle, high

    def text(self) -> str:
        low, middle, high = self.spread()
        lines = [f"{self.name}: {self.title}"]
        lines.append(
            f"    min {low}  median {middle}  max {high} {self.unit}"
            f"    bar {self.bar}    {self.verdict}"
        )
        if self.sides:
            lines.append("    " + ", ".join(f"{who} {much}" for who, much in self.sides.items()))
        lines += [f"    {note}" for note in self.notes]
        return "\n".join(lines)


@dataclass(frozen=True)
class Breakdown:
    """The time of one step by parts: in microseconds, and relative to a yardstick."""

    name: str
    title: str
    parts: Sequence[tuple[str, float]]
    yardstick: float

    def cells(self) -> list[tuple[str, str, str]]:
        return [(part, f"{us:.2f}", f"{us / self.yardstick:.2f}") for part, us in self.parts]

    def text(self) -> str:
        lines = [f"{self.name}: {self.title}"]
        lines.append(f"    {'':44}{'us':>8}  {'x bare step':>12}")
        lines += [f"    {part:44}{us:>8}  {times:>12}" for part, us, times in self.cells()]
        return "\n".join(lines)


def alternate(
    ours: Callable[[int], T], other: Callable[[int], T], n_pairs: int
) -> tuple[list[T], list[T]]:
    """Measure A B A B ..., so that other load on the machine affects both sides.

    Each side is called with the number of the pair, which is used as a seed.
    """
    pairs = [(ours(i), other(i)) for i in range(n_pairs)]
    return [first for first, _ in pairs], [second for _, second in pairs]


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """One ratio per pair."""
    return [a / b for a, b in zip(numerators, denominators, strict=True)]


def run_child(
    script: str,
    *arguments: object,
    python: Path | str = sys.executable,
    n_threads: int | None = None,
) -> Any:
    """Run a script of ``children/`` in a fresh process; return the JSON of its last line."""
    return run_python(HERE / "children" / script, *arguments, python=python, n_threads=n_threads)


def run_python(
    *arguments: object, python: Path | str = sys.executable, n_threads: int | None = None
) -> Any:
    """Run Python in a fresh process; return the JSON of its last line.

    `n_threads` limits the threads of the numerical libraries.
    """
    command = [str(python), *map(str, arguments)]
    # All libraries compute on the CPU.
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    if n_threads is not None:
        environment |= {"OMP_NUM_THREADS": str(n_threads)}  # PyTorch, NumPy
        environment |= {"TF_NUM_INTRAOP_THREADS": str(n_threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])
