"""How checks say what they expected, and what they got."""

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np

from skrl.arrays import describe

T = TypeVar("T")


def expect(condition: object, what: str, *, expected: object, got: object) -> None:
    """Raise an AssertionError unless the condition holds.

    Parameters
    ----------
    condition : bool
        What must hold.
    what : str
        What the condition is about, such as "the shape of the values".
    expected, got : object
        What should be there, and what is.
    """
    if not condition:
        raise AssertionError(f"Expected {what} to be {expected}, got {got}.")


def expect_same(got: Any, expected: Any, what: str) -> None:
    """Raise an AssertionError unless two arrays are equal, bit by bit."""
    _expect_equal(got, expected, what, np.equal)


def expect_close(got: Any, expected: Any, what: str) -> None:
    """Raise an AssertionError unless two arrays are equal up to the rounding of float32."""
    _expect_equal(got, expected, what, partial(np.isclose, rtol=1e-4, atol=1e-5))


def _expect_equal(got: Any, expected: Any, what: str, equal: Callable[..., Any]) -> None:
    got, expected = np.asarray(got), np.asarray(expected)
    expect(
        got.shape == expected.shape,
        what,
        expected=f"an array of shape {expected.shape}",
        got=describe(got),
    )
    different = np.argwhere(~equal(got, expected))
    if len(different):
        where = tuple(different[0].tolist())
        at = f"{what}, at {where} and {len(different) - 1} other places," if where else what
        expect(False, at, expected=expected[where], got=got[where])


def expect_error(
    kinds: type[Exception] | tuple[type[Exception], ...], call: Callable[[], Any], what: str
) -> None:
    """Raise an AssertionError unless the call raises an error of one of these kinds."""
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    expected = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds:
        return
    except Exception as error:  # whatever a part's author has written
        got: str = f"{type(error).__name__}: {error}"
    else:
        got = "no error"
    raise AssertionError(f"Expected {what} to raise {expected}, got {got}.")


def expect_floats(array: Any, shape: tuple[int, ...], what: str) -> None:
    """Raise an AssertionError unless this is an array of finite floats of the shape."""
    is_float = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    expected = f"an array of floats of shape {shape}"
    expect(is_float and array.shape == shape, what, expected=expected, got=describe(array))
    expect(np.isfinite(array).all(), what, expected="finite", got=array)


def twice(do: Callable[[], T]) -> tuple[T, T]:
    """Do the same twice, while the global generators of random numbers differ.

    What depends on them gives different results. NumPy's must not be touched at all. (Whether
    Python's is touched cannot be told where types are checked at run time: such checks use it.)

    Parameters
    ----------
    do : callable
        Without arguments.

    Returns
    -------
    first, second : object
        What the two calls gave.
    """
    with _global_seed(1):
        first = do()
    with _global_seed(2):
        second = do()
    return first, second


@contextmanager
def _global_seed(seed: int) -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (to see that nobody uses it)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    before = _numpy_state()
    try:
        yield
        expect(
            _numpy_state() == before,
            "NumPy's global generator",
            expected="untouched, since all random numbers come from random_state or rng",
            got="a change",
        )
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def _numpy_state() -> bytes:
    return pickle.dumps(np.random.get_state())  # noqa: NPY002
