"""Rows about images: updates against PyTorch, and decisions."""

from collections.abc import Iterator
from functools import partial
from statistics import median
from typing import Any

from learning_rows import peers_python
from measuring import Options, Row, alternate, ratios, run_child

N_CALLS = 5


def pixels_10(options: Options) -> Iterator[Row]:
    """MinAtar's images."""
    yield from pixel_rows(options, size=10, batch=32, K=64, at_most=0.7, decision_us=100)
    yield from pixel_rows(options, size=10, batch=128, K=32, at_most=0.7)


def pixels_84(options: Options) -> Iterator[Row]:
    """Atari's images."""
    yield from pixel_rows(options, size=84, batch=32, K=16, at_most=0.8, decision_us=1000)


def pixel_rows(
    options: Options, size: int, batch: int, K: int, at_most: float, decision_us: float = 0.0
) -> Iterator[Row]:
    """Updates of a convolutional network, and if there is a bar for it, a decision."""
    arguments = size, batch, options.work(K), N_CALLS
    python = peers_python(options.peers)

    def measure(script: str, _: int, **keywords: Any) -> Any:
        return run_child(script, *arguments, **keywords)

    ours, theirs = alternate(
        partial(measure, "pixels.py"),
        partial(measure, "pixels_torch.py", python=python),
        options.pairs,
    )
    updates = [[result["update_ms"] for result in results] for results in (ours, theirs)]
    yield Row(
        name=f"pixels-{size}-{batch}",
        title=f"one DQN update, {size}x{size}x4 images, batch {batch}, against PyTorch",
        figures=ratios(*updates),
        at_most=at_most,
        sides={
            "DQN.update": f"{median(updates[0]):.2f} ms",
            "PyTorch": f"{median(updates[1]):.2f} ms",
        },
        notes=[f"PyTorch computes in {theirs[0]['threads']} threads"],
    )
    if decision_us:
        yield Row(
            name=f"pixels-{size}-acting",
            title=f"the values of one {size}x{size}x4 state",
            figures=[result["decision_us"] for result in ours],
            unit="us",
            at_most=decision_us,
        )
