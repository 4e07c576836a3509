"""Draw with given priorities in logarithmic time."""

import numpy as np
from jaxtyping import Float, Float64, Int64


class SumTree:
    """A binary tree of sums over priorities: changing one and drawing by them take O(log n).

    The leaves are the priorities of the places 0, 1, 2, ..., and every other node is the sum of
    its two children. Put end to end, the priorities divide the line from 0 to `total` into
    intervals; a random point on it falls into the interval of place i with a probability
    proportional to the priority of i (Schaul et al., 2016, appendix B.2.1).

    All methods work on m places at once, level by level. As sums are always formed anew from the
    two children, rounding errors do not add up over time.

    Parameters
    ----------
    capacity : int
        Number of places n, at least 1. All priorities are 0 at first.

    Raises
    ------
    ValueError
        If the capacity is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.runners.buffers.sum_tree import SumTree
    >>> tree = SumTree(capacity=5)
    >>> tree.set(np.array([0, 2, 4]), np.array([1.0, 2.0, 0.5]))
    >>> tree.total
    3.5
    >>> tree.find(np.array([0.5, 1.0, 2.9, 3.0]))
    array([0, 2, 2, 4])
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}.")
        self.capacity = capacity
        # A full tree: the root is node 1, the children of node i are 2 i and 2 i + 1, and the
        # leaf of place i is node n_leaves + i.
        self._n_leaves = 1 << (capacity - 1).bit_length()
        self._nodes = np.zeros(2 * self._n_leaves)

    @property
    def total(self) -> float:
        """Sum of all priorities."""
        return float(self._nodes[1])

    @property
    def nbytes(self) -> int:
        """Bytes that the tree takes."""
        return self._nodes.nbytes

    def get(self, places: Int64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """Look up priorities.

        Parameters
        ----------
        places : ndarray of any shape, dtype int64
            In [0, capacity).

        Returns
        -------
        ndarray of the same shape, dtype float64
            Their priorities.
        """
        return self._nodes.take(self._n_leaves + places)

    def set(self, places: Int64[np.ndarray, " m"], priorities: Float[np.ndarray, " m"]) -> None:
        """Change priorities.

        Parameters
        ----------
        places : ndarray of shape (m,), dtype int64
            In [0, capacity). Where a place occurs several times, the last one counts.
        priorities : ndarray of shape (m,), float
            Their new priorities, at least 0.

        Raises
        ------
        ValueError
            If a priority is negative, infinite or NaN; none is then changed.
        """
        is_fine = (priorities >= 0) & np.isfinite(priorities)
        if not is_fine.all():
            raise ValueError(
                f"Priorities must be finite and at least 0, got {priorities[~is_fine][0]}. "
                "Look for NaN or infinity in the TD errors."
            )
        changed = self._n_leaves + places
        self._nodes[changed] = priorities
        width = self._n_leaves
        while width > 1:
            # From level to level: the nodes from `width` on, as many as that.
            width //= 2
            if width > len(changed):
                changed = changed // 2
                children = self._nodes.reshape(-1, 2).take(changed, axis=0)
                self._nodes[changed] = children[:, 0] + children[:, 1]
            else:  # about all nodes of the level have changed
                children = self._nodes[2 * width : 4 * width].reshape(-1, 2)
                self._nodes[width : 2 * width] = children[:, 0] + children[:, 1]

    def find(self, masses: Float64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """Find the places into whose intervals these points fall.

        Parameters
        ----------
        masses : ndarray of any shape, dtype float64
            Points in [0, total].

        Returns
        -------
        ndarray of the same shape, dtype int64
            For each point, the place whose own priority, added to those of all places before it,
            exceeds the point. It never is a place of priority 0.

        Raises
        ------
        ValueError
            If all priorities are 0.
        """
        if self.total == 0:
            raise ValueError("All priorities are 0: set some before looking for places.")
        nodes = np.ones(masses.shape, dtype=np.int64)
        rest = masses.copy()
        for _ in range(self._n_leaves.bit_length() - 1):
            nodes *= 2
            left = self._nodes.take(nodes)
            # Rounding may leave a little more than the sum of both: never end where nothing is.
            goes_right = (rest >= left) & (self._nodes.take(nodes + 1) > 0)
            rest -= left * goes_right
            nodes += goes_right
        return nodes - self._n_leaves
