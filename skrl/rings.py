"""Ring arrays of numbered entries, so that a checkpoint writes only the new ones."""

from typing import Any

import numpy as np


def places(first: int, m: int, size: int) -> Any:
    """Where m entries, numbered from `first` on, have their places in a ring: a slice or an array.

    Parameters
    ----------
    first, m : int
        Number of the first entry, and how many follow.
    size : int
        Places of the ring.

    Examples
    --------
    >>> from skrl.rings import places
    >>> places(6, 3, size=10), places(8, 3, size=10)
    (slice(6, 9, None), array([8, 9, 0]))
    """
    start = first % size
    # A slice is much faster than a list of places.
    return slice(start, start + m) if start + m <= size else (first + np.arange(m)) % size


class Ring:
    """The entries of a ring array, which are not copied before they are needed.

    Entries are numbered in the order of writing, and never change. Entry i stands at place
    ``i % size``.

    Parameters
    ----------
    name : str
        Tells the rings of a run apart.
    array : ndarray of shape (size, ...)
        The ring.
    n_written : int
        How many entries have ever been written. The last `size` of them are there.

    Attributes
    ----------
    size : int
        Number of places.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.rings import Ring
    >>> ring = Ring("squares", np.array([9, 16, 4]), n_written=5)
    >>> ring.first, ring.since(3)
    (2, array([ 9, 16]))
    """

    def __init__(self, name: str, array: np.ndarray, n_written: int) -> None:
        self.name, self.array, self.n_written = name, array, n_written
        self.size = len(array)

    @property
    def first(self) -> int:
        """Number of the oldest entry that is still there."""
        return max(0, self.n_written - self.size)

    def since(self, first: int) -> np.ndarray:
        """Copy the entries from number `first` on, in their order."""
        m = self.n_written - first
        entries: np.ndarray = self.array[places(first, m, self.size) if m else []]
        return entries.copy()


def copied(state: Any) -> Any:
    """Copy the arrays of a state; a ring becomes an array of the places that are in use."""
    if isinstance(state, dict):
        return {name: copied(value) for name, value in state.items()}
    if isinstance(state, list):
        return [copied(value) for value in state]
    if isinstance(state, Ring):
        return state.array[: state.n_written].copy()
    return state.copy() if isinstance(state, np.ndarray) else state
