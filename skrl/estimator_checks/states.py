"""How the states of parts are compared."""

from typing import Any

import joblib
import numpy as np

from skrl.base import State
from skrl.estimator_checks.expectations import expect


def expect_same_state(got: State, expected: State, what: str) -> None:
    """Raise an AssertionError unless the arrays and numbers of two states are equal."""
    expect(got.keys() == expected.keys(), what, expected=[*expected], got=[*got])
    different = [
        name
        for name in expected
        if joblib.hash(_plain(got[name])) != joblib.hash(_plain(expected[name]))
    ]
    expect(not different, what, expected="unchanged", got=f"a change of {different}")


def _plain(value: Any) -> Any:
    """A part of a state, where objects such as fitted estimators are replaced by their type."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray) and not value.size:
        return [value.shape, str(value.dtype)]  # the strides of an empty array mean nothing
    is_plain = isinstance(value, np.ndarray | np.generic | int | float | str | None)
    return value if is_plain else type(value).__name__
