"""Small helpers for arrays that several parts share."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped


def one_hot(
    values: Shaped[np.ndarray, "m k"], sizes: Shaped[np.ndarray, " k"]
) -> Float32[np.ndarray, "m size"]:
    """Encode each row of k numbers as k one-hot vectors, concatenated.

    Parameters
    ----------
    values : ndarray of shape (m, k), dtype int64
        Column j counts from 0 to ``sizes[j] - 1``.
    sizes : ndarray of shape (k,), dtype int64
        The lengths of the one-hot vectors.

    Returns
    -------
    ndarray of shape (m, sum of sizes), dtype float32
    """
    first_places = np.cumsum(sizes) - sizes
    encoded = np.zeros((len(values), sizes.sum()), dtype=np.float32)
    np.put_along_axis(encoded, first_places + values, 1, axis=1)
    return encoded


def describe(value: Any) -> str:
    """Describe a value in an error message: an array by its dtype and shape."""
    if isinstance(value, np.ndarray):
        return f"an array of dtype {value.dtype} and shape {value.shape}"
    return f"{value!r:.200} of type {type(value).__name__}"
