"""Whether a long training gets slower or takes more and more memory."""

from collections.abc import Iterator
from statistics import median

from measuring import Options, Row, run_child

N_STEPS = 1_000_000
SUBJECTS = {"table": "a table on FrozenLake", "network": "a DQN with replay on CartPole"}


def long_run(options: Options) -> Iterator[Row]:
    """The last tenth of a training beside its second tenth: the first one fills the memory."""
    n_steps = options.work(N_STEPS)
    for kind, subject in SUBJECTS.items():
        results = [run_child("long_run.py", kind, n_steps) for _ in range(options.pairs)]
        rows = results[0]["episodes"]
        tenths = [median(r["seconds"][i] for r in results) / (n_steps / 10) for i in range(10)]
        yield Row(
            name="long-run-time",
            title=f"{subject}, {n_steps:,} steps: time of the last tenth / of the second",
            figures=[r["seconds"][9] / r["seconds"][1] for r in results],
            at_most=1.1,
            sides={"second": f"{1e6 * tenths[1]:.2f} us", "last": f"{1e6 * tenths[9]:.2f} us"},
        )
        yield Row(
            name="long-run-memory",
            title=f"{subject}, {n_steps:,} steps: growth of memory after the first tenth",
            figures=[(r["resident"][10] - r["resident"][1]) / 1e6 for r in results],
            unit="MB",
            notes=[f"{rows:,} episodes, which are a row of the history each"],
        )
