"""Where all random numbers of an agent come from."""

from typing import Any

import numpy as np
from numpy.random import SeedSequence


def seed_sequence(random_state: Any) -> SeedSequence:
    """Turn scikit-learn's random_state into the root of all random numbers.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        None takes the operating system's randomness. A generator is drawn from.

    Returns
    -------
    numpy.random.SeedSequence

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if random_state is None or isinstance(random_state, int | np.integer):
        return SeedSequence(random_state)
    if isinstance(random_state, np.random.RandomState):
        return SeedSequence(random_state.randint(2**32, size=4, dtype=np.uint32).tolist())
    if isinstance(random_state, np.random.Generator):
        return SeedSequence(random_state.integers(2**32, size=4).tolist())
    raise TypeError(
        "random_state must be an integer, None, or a numpy.random RandomState or Generator, got "
        f"{random_state!r}."
    )
