"""Recognise parameters, environments and runs, in another process as well."""

import re
from collections.abc import Mapping
from pickle import PicklingError
from types import BuiltinFunctionType, FunctionType
from typing import Any

import joblib


def recipe(value: Any) -> Any:
    """Replace estimators by their classes and parameters, so that equal ones have equal hashes.

    Parameters
    ----------
    value : object
        An estimator or anything else; the items of dicts, lists and tuples are replaced as well.
    """
    if hasattr(value, "get_params") and not isinstance(value, type):
        return [type(value), recipe(value.get_params(deep=False))]
    if isinstance(value, Mapping):
        return {name: recipe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [recipe(item) for item in value]
    return value


def digest(value: Any) -> str:
    """Compute a hash that is the same in every process.

    Parameters
    ----------
    value : object
        What `recipe` gave.

    Raises
    ------
    ValueError
        If it contains a lambda or a local function or class.
    """
    try:
        found: str = joblib.hash(value)
    except (PicklingError, TypeError, AttributeError) as error:
        raise ValueError(
            "it contains a lambda or a local function or class. Define it at the top of a module"
        ) from error
    return found


def describe_parameters(estimator: Any) -> dict[str, str]:
    """Describe all parameters of an estimator, nested ones by names such as ``runner__buffer``."""
    return {name: _in_words(value) for name, value in estimator.get_params().items()}


def _in_words(value: Any) -> str:
    if hasattr(value, "get_params") and not isinstance(value, type):
        return type(value).__name__  # get_params lists its parameters by their own names
    if isinstance(value, type | FunctionType | BuiltinFunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    # Where an object stands in memory does not matter.
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(value))
