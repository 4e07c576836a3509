"""Write a training run to a file from time to time, to go on from there."""

import os
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

from skrl.base import Callback, Run, State
from skrl.checkpoints.files import CheckpointFile, check_plain
from skrl.checkpoints.lock import Lock
from skrl.checkpoints.runs import begin_anew, take

# A checkpoint is put off until training has taken so many times as long as the last one did.
LEAST_RATIO = 20.0
# Attributes that belong to a run that is under way.
UNDER_WAY = {"_file", "_lock", "_about", "_last_write", "_seconds", "_n_due"}


class Checkpoint(Callback):
    """Writes the whole training run to a file, from which `QLearningAgent.fit` goes on.

    After a crash or a power failure, ``agent.fit(env, resume_from=path)`` of an agent with the
    same parameters goes on from the last checkpoint. It ends with the same agent, bit for bit, as
    if there had been no interruption.

    A checkpoint holds everything that the run consists of: what was learned, the replay memory
    with its priorities, all random numbers, the history, what evaluation knows, and where the
    environment stands in its episode.

    **Some environments are not captured**, such as LunarLander and Atari games, because a library
    keeps their state. Each checkpoint then leaves the episodes that are under way and begins new
    ones, with a seed from the run's own random numbers. So a run with checkpoints at other steps
    takes another course. Set `interval`, so that the steps do not depend on the speed of the
    machine: an interrupted run then ends like one that was not interrupted and has checkpoints at
    the same steps. `skrl.GymEnvironment.state` says which environments are captured.

    Parameters
    ----------
    path : str or path-like
        The file. Its folder is made if it does not exist. The steps in a replay memory are
        written to files beside it, ``<path>.1.steps`` and so on, which belong to it.
    every : float, default=60.0
        Seconds between two checkpoints, at least. They come at the ends of rollouts, and there is
        one more at the end of the run. If writing takes long, they come less often: at most 5 %
        of the time is spent on them.
    interval : int or None, default=None
        Steps between two checkpoints, which come at the ends of the rollouts that reach multiples
        of it. They then do not depend on time, and `every` is ignored.
    per_run : bool, default=False
        Whether `path` is a folder in which each run has its own file, and goes on from it by
        itself. For searches and studies: the same call continues all runs after an interruption,
        and takes over those that were finished. A run is recognised by the parameters of the
        agent, whose `random_state` must be an integer, and by the environment.

    Attributes
    ----------
    file_ : pathlib.Path
        The file of the latest run.

    Raises
    ------
    ValueError
        When a run begins, if a parameter is out of range, the file exists already, or another
        run writes to it.
    TypeError
        When a run begins, if something in it cannot be written as plain values, such as the
        regressors of a `RegressorQFunction`.

    Notes
    -----
    A checkpoint replaces the earlier one when it is whole and on the disk, so there is always one
    to go on from. Files are checked when they are read, and nothing in them is run. The callback
    in ``agent.callbacks_`` is a copy of the one given, and has the attribute `file_`.

    Examples
    --------
    >>> import tempfile
    >>> from skrl import QLearningAgent
    >>> from skrl.callbacks import Checkpoint
    >>> path = tempfile.mkdtemp() + "/lake.checkpoint"
    >>> agent = QLearningAgent(
    ...     n_steps=2_000, n_evaluations=2, random_state=0, callbacks=[Checkpoint(path)])
    >>> agent = agent.fit("FrozenLake-v1")

    If that is interrupted, this goes on. Here it finds a run that was finished:

    >>> same = QLearningAgent(n_steps=2_000, n_evaluations=2, random_state=0)
    >>> same = same.fit("FrozenLake-v1", resume_from=path)
    >>> bool((same.qfunction_.table_ == agent.qfunction_.table_).all())
    True
    """

    file_: Path | None = None
    _file: CheckpointFile | None = None
    _lock: Lock | None = None
    _about: State | None = None

    def __init__(
        self,
        path: str | os.PathLike[str],
        every: float = 60.0,
        interval: int | None = None,
        per_run: bool = False,
    ) -> None:
        self.path = path
        self.every = every
        self.interval = interval
        self.per_run = per_run

    def open(
        self,
        about: State,
        name: str | None = None,
        continues: bool = False,
        resume_from: str | os.PathLike[str] | None = None,
    ) -> CheckpointFile | None:
        """Lock the file of a run before the run is started; `QLearningAgent` calls it.

        Parameters
        ----------
        about : dict
            What the run belongs to. It becomes part of the file.
        name : str or None
            What the run's file in a folder is called; needed for `per_run`.
        continues : bool
            Whether the run continues the one that this callback watched before.
        resume_from : str, Path or None
            The checkpoint to go on from.

        Returns
        -------
        CheckpointFile or None
            The run's own file, if it is the one to go on from.
        """
        self._check_parameters()
        if self.per_run and name is None:
            raise ValueError(
                "Checkpoint(per_run=True) recognises a run by the agent's parameters: it needs a "
                "QLearningAgent."
            )
        self.close()
        path = self._lock_file(name)
        if name is not None and resume_from is None and path.exists():
            resume_from = path
        resumes = resume_from is not None and path.absolute() == Path(resume_from).absolute()
        if path.exists() and not resumes and not (continues and self.file_ == path):
            raise ValueError(
                f"The checkpoint {str(path)!r} exists. Go on from it with agent.fit(env, "
                f"resume_from={str(path)!r}), or delete it to begin a new training."
            )
        self.file_, self._file, self._about = path, CheckpointFile(path), about
        return self._file if resumes else None

    def _check_parameters(self) -> None:
        if self.every < 0:
            raise ValueError(f"every must be at least 0 seconds, got {self.every!r}.")
        if self.interval is not None and self.interval < 1:
            raise ValueError(f"interval must be at least 1 step or None, got {self.interval!r}.")

    def _lock_file(self, name: str | None) -> Path:
        """Lock the file; in a folder, the first one of this name that no other run uses."""
        if name is None:
            path = Path(self.path)
            try:
                self._lock = Lock(path)
            except BlockingIOError as error:
                raise ValueError(
                    f"Another run writes the checkpoint {str(path)!r}. Give each its own file, or "
                    "set per_run=True."
                ) from error
            return path
        for number in count():
            path = Path(self.path) / f"{name}-{number}.checkpoint"
            with suppress(BlockingIOError):
                self._lock = Lock(path)
                return path
        raise AssertionError("count never ends")

    def close(self) -> None:
        """Let other runs write the file. May be called again."""
        if self._lock is not None:
            self._lock.release()
        self._file = self._lock = self._about = None

    def on_run_begin(self, run: Run) -> None:
        """Check that all can be written, and begin to count the time and the steps."""
        if self._file is None:
            self.open({})
        assert self._about is not None
        check_plain(take(run, self._about))
        self._last_write, self._seconds = perf_counter(), 0.0
        self._n_due = self._count(run)

    def on_rollout_end(self, run: Run) -> None:
        """Write a checkpoint, when it is due, and at the end."""
        if not self._is_due(run):
            return
        assert self._file is not None
        assert self._about is not None
        began = perf_counter()
        state = take(run, self._about)
        self._file.write(state)
        if state["environment"] is None:
            begin_anew(run)
        self._last_write = perf_counter()
        self._seconds = self._last_write - began

    def _is_due(self, run: Run) -> bool:
        if run.stop_reason is not None:
            return True
        if self.interval is not None:
            n_due, self._n_due = self._n_due, self._count(run)
            return self._n_due > n_due
        waited = perf_counter() - self._last_write
        return waited >= max(self.every, LEAST_RATIO * self._seconds)

    def _count(self, run: Run) -> int:
        return 0 if self.interval is None else run.history.n_steps // self.interval

    def on_run_end(self, run: Run) -> None:
        """Let other runs write the file."""
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to a run that is under way."""
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in UNDER_WAY}
