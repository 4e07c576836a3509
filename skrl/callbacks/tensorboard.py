"""Write the history of a run for TensorBoard while the agent trains."""

import os
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from skrl.base import Callback, Run, State
from skrl.callbacks.run_folder import make_run_folder
from skrl.history import History
from skrl.qfunctions.deep.tensorflow import check_not_forked, tf

# The columns that are drawn, by table.
SCALARS = {
    "evaluations": ("score",),
    "metrics": ("loss", "td_error", "q_mean", "q_max", "epsilon", "learning_rate"),
}


class TensorBoard(Callback):
    """Writes curves for TensorBoard, at the end of each rollout.

    To see them, run ``tensorboard --logdir LOG_DIR``. All are drawn against the steps of
    training:

    - ``episodes/return``, ``episodes/length``: means over the episodes that ended in a rollout;
    - ``evaluations/score``: mean return of the greedy policy;
    - ``metrics/loss``, ``metrics/td_error``, ``metrics/q_mean``, ``metrics/q_max``,
      ``metrics/epsilon``, ``metrics/learning_rate``: those that are known.

    A run that begins anew (`fit`) writes to a new folder ``run-0``, ``run-1``, ... in `log_dir`,
    which TensorBoard shows as another run. A run that continues (`partial_fit`, or `fit` with
    ``warm_start``) goes on with the curves of the run that it continues.

    Parameters
    ----------
    log_dir : str or path-like
        The folder of all runs. It is made if it does not exist.

    Attributes
    ----------
    folder_ : pathlib.Path
        The folder of the latest run, in `log_dir`.

    Notes
    -----
    The first run loads TensorFlow, also if a table is trained. `History` explains the numbers.

    Examples
    --------
    >>> import tempfile
    >>> from skrl import QLearningAgent
    >>> from skrl.callbacks import TensorBoard
    >>> with tempfile.TemporaryDirectory() as log_dir:
    ...     agent = QLearningAgent(n_steps=1_000, n_evaluations=0, callbacks=[TensorBoard(log_dir)])
    ...     agent = agent.fit("skrl/CircularWorld-v0")
    ...     print(agent.callbacks_[0].folder_.name)
    run-0
    """

    folder_: Path | None = None
    # Number of rows written per table, in all runs that continue each other.
    _n_written: dict[str, int] | None = None
    _writer: Any = None  # while a run is under way

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        self.log_dir = log_dir

    def state(self) -> State:
        """Copy where the files are, and what was written; see `QFunction.state`."""
        if self.folder_ is None or self._n_written is None:
            return {}
        return {"folder": str(self.folder_), "n_written": dict(self._n_written)}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self.folder_ = self._n_written = None
        if state:
            self.folder_, self._n_written = Path(state["folder"]), dict(state["n_written"])

    def on_run_begin(self, run: Run) -> None:
        """Open the writer."""
        check_not_forked()
        sizes = {name: len(table) for name, table in run.history.tables().items()}
        if self.folder_ is None or self._n_written is None or run.history.n_steps == 0:
            self.folder_, self._n_written = make_run_folder(self.log_dir), sizes
        # The history is shorter than what was written if a run failed and was undone.
        self._n_written = {name: min(n, sizes[name]) for name, n in self._n_written.items()}
        self._writer = tf.summary.create_file_writer(str(self.folder_))

    def on_rollout_end(self, run: Run) -> None:
        """Write the new rows."""
        assert self._n_written is not None
        with self._writer.as_default():
            self._write_episodes(run.history, self._n_written["episodes"])
            for name, columns in SCALARS.items():
                for row in run.history.tables()[name][self._n_written[name] :]:
                    for column in columns:
                        _write(f"{name}/{column}", row[column], row["n_steps"])
        self._n_written = {name: len(table) for name, table in run.history.tables().items()}
        self._writer.flush()

    def on_run_end(self, run: Run) -> None:
        """Write the last rows, and close the writer."""
        if self._writer is None:
            return
        try:
            self.on_rollout_end(run)
        finally:
            self._writer.close()
            self._writer = None

    def _write_episodes(self, history: History, first: int) -> None:
        """Write the means over the episodes from number `first` on.

        There may be thousands of short episodes, and each number takes a while to write.
        """
        if first < len(history):
            for column in ("return", "length"):
                mean = float(np.mean(history[first:, column]))
                _write(f"episodes/{column}", mean, history.n_steps)


def _write(tag: str, value: float, step: int) -> None:
    """Write one number, unless it is not known."""
    if not isnan(value):
        tf.summary.scalar(tag, value, step=step)
