"""Rows about overhead: start-up time and memory."""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter

import numpy as np
from children.memory import EPISODE_LENGTH, fill
from measuring import HERE, Options, Row, alternate, ratios, run_child, run_python

from skrl.runners import ReplayBuffer

IMPORT = """
import json, sys, time
import gymnasium, numpy, sklearn.base
begin = time.perf_counter()
import skrl
seconds = time.perf_counter() - begin
heavy = [name for name in ("tensorflow", "matplotlib") if name in sys.modules]
print(json.dumps({"seconds": seconds, "heavy": heavy}))
"""


def import_time(options: Options) -> Iterator[Row]:
    results = [run_python("-c", IMPORT) for _ in range(3 * options.pairs)]
    heavy = ", ".join(results[0]["heavy"])
    yield Row(
        name="import",
        title="import skrl, beyond scikit-learn and gymnasium",
        figures=[result["seconds"] for result in results],
        unit="s",
        at_most=0.3,
        notes=[f"it loads {heavy}" if heavy else "it loads neither TensorFlow nor matplotlib"],
    )


def frozen_lake_script(options: Options) -> Iterator[Row]:
    script = HERE.parent / "frozen_lake.py"
    ours, bare = alternate(
        lambda _: process_seconds(str(script)),
        lambda _: process_seconds("-c", "import gymnasium, sklearn"),
        options.pairs,
    )
    yield Row(
        name="frozen-lake-script",
        title="examples/frozen_lake.py, whole process, beyond scikit-learn and gymnasium",
        figures=[a - b for a, b in zip(ours, bare, strict=True)],
        unit="s",
        at_most=3,
        sides={
            "the script": f"{median(ours):.2f} s",
            "import gymnasium, sklearn": f"{median(bare):.2f} s",
        },
    )


def process_seconds(*arguments: str) -> float:
    begin = perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - begin


def replay_memory(options: Options) -> Iterator[Row]:
    n_transitions = options.work(1_000_000, multiple_of=EPISODE_LENGTH)
    yield from replay_rows(
        "cartpole", f"{n_transitions:,} CartPole transitions", n_transitions, 1.2
    )
    n_frames = options.work(100_000, multiple_of=EPISODE_LENGTH)
    yield from replay_rows("frames", f"{n_frames:,} frames of 84x84 bytes", n_frames, 1.1)
    what = f"{n_frames:,} stacks of four such frames, each frame counted once"
    yield from replay_rows("stacks", what, n_frames, 1.1)


def replay_rows(kind: str, what: str, capacity: int, at_most: float) -> Iterator[Row]:
    """The size of a full buffer, as it reports it and as the process occupies it."""
    result = run_child("memory.py", kind, capacity)
    for key, meaning in (("nbytes", "as reported"), ("resident", "resident")):
        yield Row(
            name=f"replay-memory-{kind}-{key}",
            title=f"replay of {what}, {meaning}, against the raw bytes of its content",
            figures=[result[key] / result["raw"]],
            at_most=at_most,
            sides={
                "replay": f"{result[key] / 1e6:,.1f} MB",
                "raw": f"{result['raw'] / 1e6:,.1f} MB",
            },
            notes=[f"it holds {result['stored']:,} transitions"],
        )


def replay_sampling(options: Options) -> Iterator[Row]:
    """Time of a draw from a large memory against a small one."""
    n_large = options.work(1_000_000, EPISODE_LENGTH)
    large, small = fill("cartpole", n_large), fill("cartpole", 1_000)
    n_draws = options.work(200)
    of_large, of_small = alternate(
        lambda seed: sampling_time(large, n_draws, seed),
        lambda seed: sampling_time(small, n_draws, seed),
        3 * options.pairs,
    )
    yield Row(
        name="replay-sampling",
        title=f"drawing 128 batches of 64 out of {n_large:,} transitions, against out of 1,000",
        figures=ratios(of_large, of_small),
        sides={
            f"out of {n_large:,}": f"{median(of_large):.0f} us",
            "out of 1,000": f"{median(of_small):.0f} us",
        },
    )


def sampling_time(buffer: ReplayBuffer, n_draws: int, seed: int) -> float:
    """Microseconds for 128 batches of 64."""
    rng = np.random.default_rng(seed)
    begin = perf_counter()
    for _ in range(n_draws):
        buffer.sample(rng, n_batches=128, batch_size=64)
    return (perf_counter() - begin) / n_draws * 1e6


def memory_50_fits(options: Options) -> Iterator[Row]:
    n_fits = 10 if options.quick else 50
    resident = run_child("memory.py", "fits", n_fits)["resident"]
    early, late = resident[4], resident[-1]
    every_fifth = [f"{n / 1e6:.0f}" for n in resident[4::5]]
    yield Row(
        name="memory-50-fits",
        title=f"growth of resident memory from fit 5 to fit {n_fits} in one process",
        figures=[100 * (late / early - 1)],
        unit="%",
        at_most=5,
        sides={"fit 5": f"{early / 1e6:.0f} MB", f"fit {n_fits}": f"{late / 1e6:.0f} MB"},
        notes=[f"after every fifth fit, in MB: {' '.join(every_fifth)}"],
    )
