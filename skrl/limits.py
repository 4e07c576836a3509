"""Checks of parameters: what came, and what was expected."""

import sys
from math import inf
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_count(
    name: str, value: Any, least: int, is_optional: bool = False, hint: str = ""
) -> None:
    """Raise a TypeError or ValueError unless `value` is an integer of at least `least`.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.
    least : int
        The lowest valid integer. The highest one is ``2**63 - 1``.
    is_optional : bool, default=False
        Whether None is valid.
    hint : str, default=""
        What the message ends with.

    Examples
    --------
    >>> from skrl.limits import check_count
    >>> check_count("batch_size", 32, least=1)
    """
    if value is None and is_optional:
        return
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r:.80}.{hint}")
    count = int(value)
    if count < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r:.80}.{hint}")
    if count >= 2**63:
        raise ValueError(f"{name} must be less than 2**63, got {value!r:.80}.{hint}")


def check_number(
    name: str, value: Any, least: float = -inf, most: float = inf, is_positive: bool = False
) -> None:
    """Raise a TypeError or ValueError unless `value` is a finite number of an interval.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.
    least, most : float
        The lowest and the highest valid number.
    is_positive : bool
        Whether it must be above 0.

    Examples
    --------
    >>> from skrl.limits import check_number
    >>> check_number("tau", 0.5, is_positive=True, most=1)
    """
    if not isinstance(value, Real) or isinstance(value, bool | np.bool):
        raise TypeError(f"{name} must be a number, got {value!r:.80}.")
    number = value if isinstance(value, int) else float(value)
    # False for NaN, and fine for integers of any size.
    is_finite = -sys.float_info.max <= number <= sys.float_info.max
    if is_finite and least <= number <= most and (number > 0 or not is_positive):
        return
    if most < inf:
        limits = f"in {'(0' if is_positive else f'[{least:g}'}, {most:g}]"
    elif is_positive:
        limits = "positive and finite"
    else:
        limits = "finite" if least == -inf else f"at least {least:g} and finite"
    raise ValueError(f"{name} must be {limits}, got {value!r:.80}.")


def check_flag(name: str, value: Any) -> None:
    """Raise a TypeError unless `value` is True or False.

    Parameters
    ----------
    name : str
        The parameter's name.
    value : object
        What the user gave.

    Examples
    --------
    >>> from skrl.limits import check_flag
    >>> check_flag("double", True)
    """
    if not isinstance(value, bool | np.bool):
        raise TypeError(f"{name} must be True or False, got {value!r:.80}.")
