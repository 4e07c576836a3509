"""Folders for the files of a run."""

import os
from itertools import count
from pathlib import Path


def make_run_folder(parent: str | os.PathLike[str]) -> Path:
    """Make a new folder ``run-0``, ``run-1``, ... in `parent`: the first that does not exist.

    Parameters
    ----------
    parent : str or path-like
        It is made as well if it does not exist.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ValueError
        If `parent` is a file.
    """
    parent = Path(parent)
    if parent.exists() and not parent.is_dir():
        raise ValueError(f"Expected a folder to write to, got the file {str(parent)!r}.")
    for number in count():
        folder = parent / f"run-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue  # an earlier run's, or one that runs at the same time
        return folder
    raise AssertionError("count never ends")
