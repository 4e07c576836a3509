"""The speedup of a search with two workers."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from measuring import Options, Row, alternate, ratios, run_child

N_STEPS = 40_000


def search_2_jobs(options: Options) -> Iterator[Row]:
    """The same search of 8 candidates with one worker and with two."""
    n_steps = options.work(N_STEPS)

    def search(n_jobs: int) -> dict[str, Any]:
        result: dict[str, Any] = run_child("search.py", n_jobs, n_steps)
        return result

    two, one = alternate(lambda _: search(2), lambda _: search(1), options.pairs)
    if any(pair[0]["scores"] != pair[1]["scores"] for pair in zip(two, one, strict=True)):
        raise RuntimeError("The scores depend on the number of jobs.")
    seconds_two, seconds_one = ([run["seconds"] for run in side] for side in (two, one))
    yield Row(
        name="search-2-jobs",
        title="a grid search of 8 candidates: how much faster with 2 workers than with 1",
        figures=ratios(seconds_one, seconds_two),
        at_least=1.7,
        sides={
            "1 worker": f"{median(seconds_one):.1f} s",
            "2 workers": f"{median(seconds_two):.1f} s",
        },
        notes=[
            f"shortest fit of a candidate {min(run['shortest_fit'] for run in one):.1f} s",
            "the scores are the same",
        ],
    )
