"""Write the history of a run to CSV files while the agent trains."""

import csv
import os
from pathlib import Path

from skrl.base import Callback, Run, State
from skrl.callbacks.run_folder import make_run_folder
from skrl.history import Table


class CSVLogger(Callback):
    """Writes episodes, evaluations and metrics to CSV files, at the end of each rollout.

    A run that begins anew (`fit`) writes to a new folder ``run-0``, ``run-1``, ... in `path`, so
    that no earlier file is lost, and agents that train at the same time do not disturb each
    other. A run that continues (`partial_fit`, or `fit` with ``warm_start``) appends to the files
    of the run that it continues.

    ========================== ==================================================
    file                       rows
    ========================== ==================================================
    ``run-0/episodes.csv``     one per training episode, as ``agent.history_``
    ``run-0/evaluations.csv``  one per evaluation, as ``agent.history_.evaluations``
    ``run-0/metrics.csv``      one per rollout, as ``agent.history_.metrics``
    ========================== ==================================================

    Parameters
    ----------
    path : str or path-like
        The folder of all runs. It is made if it does not exist.

    Attributes
    ----------
    folder_ : pathlib.Path
        The folder of the latest run, in `path`.

    Notes
    -----
    The callback in ``agent.callbacks_`` is a copy of the one given, and has the attribute
    `folder_`. Numbers are written with all their digits; NaN stands for what is not known. A run
    that continues another one begins by writing the whole history so far, so the files agree with
    it also if they were deleted, or if a call of `partial_fit` failed and was undone.

    Examples
    --------
    >>> import tempfile
    >>> import pandas as pd
    >>> from skrl import QLearningAgent
    >>> from skrl.callbacks import CSVLogger
    >>> with tempfile.TemporaryDirectory() as path:
    ...     agent = QLearningAgent(n_steps=1_000, n_evaluations=0, callbacks=[CSVLogger(path)])
    ...     agent = agent.fit("skrl/CircularWorld-v0")
    ...     episodes = pd.read_csv(agent.callbacks_[0].folder_ / "episodes.csv")
    >>> episodes.columns.tolist()
    ['episode', 'env_id', 'n_steps', 'length', 'return', 'seconds']
    >>> len(episodes) == len(agent.history_)
    True
    """

    folder_: Path | None = None
    # Number of rows written per table, while a run is under way.
    _n_written: dict[str, int] | None = None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = path

    def state(self) -> State:
        """Copy where the files are; see `QFunction.state`."""
        return {"folder": None if self.folder_ is None else str(self.folder_)}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self.folder_ = None if state["folder"] is None else Path(state["folder"])

    def on_run_begin(self, run: Run) -> None:
        """Write the history so far: only the names of the columns if the run begins anew."""
        if self.folder_ is None or run.history.n_steps == 0:
            self.folder_ = make_run_folder(self.path)
        self.folder_.mkdir(parents=True, exist_ok=True)
        self._n_written = {}
        for name, table in run.history.tables().items():
            # The earlier file is complete until the new one is.
            part = self.folder_ / f"{name}.csv.part"
            _write(part, table, first=0)
            part.replace(self.folder_ / f"{name}.csv")
            self._n_written[name] = len(table)

    def on_rollout_end(self, run: Run) -> None:
        """Append the new rows."""
        assert self.folder_ is not None
        assert self._n_written is not None
        for name, table in run.history.tables().items():
            first = self._n_written[name]
            if first < len(table):
                _write(self.folder_ / f"{name}.csv", table, first)
                self._n_written[name] = len(table)

    def on_run_end(self, run: Run) -> None:
        """Append the last rows, also those of a run that failed."""
        if self._n_written is not None and len(self._n_written) == len(run.history.tables()):
            self.on_rollout_end(run)
        self._n_written = None


def _write(path: Path, table: Table, first: int) -> None:
    """Write the rows from number `first` on; 0 begins the file."""
    with path.open("a" if first else "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table.columns)
        if not first:
            writer.writeheader()
        writer.writerows(table[first:])
