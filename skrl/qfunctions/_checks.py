"""What several Q functions share: checks of their use, and parts of their state."""

from typing import Any

import numpy as np
from jaxtyping import Shaped
from numpy.random import Generator
from sklearn.exceptions import NotFittedError

from skrl.base import QFunction, State


def check_is_built(qfunction: QFunction) -> None:
    """Raise `NotFittedError` unless the Q function has been built."""
    if not hasattr(qfunction, "n_actions_"):
        raise NotFittedError(
            f"This {type(qfunction).__name__} does not know its environment yet. Call "
            "build(state_space, n_actions, random_state) first, or fit the agent it belongs to."
        ) from None


def check_names(qfunction: QFunction, state: State, names: set[str]) -> None:
    """Raise a ValueError unless a state has exactly these entries."""
    if state.keys() != names:
        raise ValueError(
            f"A state of {type(qfunction).__name__} has the entries {sorted(names)}, got "
            f"{sorted(state)}. Use what `state` gave."
        )


def generator_at(rng: Generator, state: dict[str, Any]) -> Generator:
    """Make a generator of the same kind as `rng`, which continues from a state.

    Parameters
    ----------
    rng : numpy.random.Generator
        It is left as it is: somebody else may use it as well.
    state : dict
        The state of a bit generator.

    Raises
    ------
    ValueError
        If it is the state of another kind of bit generator.
    """
    bit_generator = type(rng.bit_generator)()
    bit_generator.state = state
    return np.random.Generator(bit_generator)


def check_range(what: str, numbers: Shaped[np.ndarray, "*batch"], end: float) -> None:
    """Raise a ValueError unless all are integers from 0 to end - 1."""
    if numbers.size == 1:  # the same as below, faster
        lowest = highest = numbers.item()
    else:
        lowest, highest = numbers.min(initial=0).item(), numbers.max(initial=0).item()
    if type(lowest) is not int or lowest < 0 or highest >= end:
        wrong = highest if lowest == 0 else lowest
        raise ValueError(f"{what} must be integers in [0, {end}), got {wrong}.")
