"""Checks of what makes a part a scikit-learn estimator: the contracts of its constructor."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils import estimator_html_repr

from skrl.estimator_checks.expectations import expect, expect_error

MUTABLE = (list, dict, set, bytearray, np.ndarray, BaseEstimator)


def parameters_of(part: Any) -> dict[str, inspect.Parameter]:
    """The constructor's parameters, by name, without `self`."""
    # A class without a constructor has that of `object`, which has no parameters.
    constructor: Callable[..., None] = type(part).__init__
    if constructor is object.__init__:
        return {}
    return dict(list(inspect.signature(constructor).parameters.items())[1:])


def check_parameters_are_named(part: Any) -> None:
    """The constructor names all its parameters: no ``*args``, no ``**kwargs``."""
    for name, parameter in parameters_of(part).items():
        is_named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        expect(is_named, f"the parameter {name}", expected="one by name", got=str(parameter))


def check_defaults_cannot_change(part: Any) -> None:
    """No default is an object that all instances would share and one of them could change."""
    for name, parameter in parameters_of(part).items():
        default = parameter.default
        expect(
            not isinstance(default, MUTABLE),
            f"the default of {name}",
            expected="None or another constant",
            got=f"{default!r}, which all instances share",
        )


def check_constructor_only_stores(part: Any) -> None:
    """The constructor stores each argument as it is, under its name, and does nothing else."""
    arguments = part.get_params(deep=False)
    expect(
        arguments.keys() == parameters_of(part).keys(),
        "the names that get_params gives",
        expected=sorted(parameters_of(part)),
        got=sorted(arguments),
    )
    fresh = type(part)(**arguments)
    for name, argument in arguments.items():
        stored = getattr(fresh, name)
        expect(
            stored is argument,
            f"the attribute {name} of a new instance",
            expected=f"the very object that was given, {argument!r}",
            got=repr(stored),
        )
    others = sorted(vars(fresh).keys() - arguments.keys())
    expect(not others, "the attributes besides the arguments", expected="none", got=others)


def check_get_and_set_params(part: Any) -> None:
    """`set_params` takes what `get_params` gives, as it is, and refuses unknown names."""
    copy = clone(part)
    arguments = copy.get_params(deep=False)
    result = copy.set_params(**arguments)
    expect(result is copy, "what set_params returns", expected="self", got=repr(result))
    for name, argument in copy.get_params(deep=False).items():
        expect(
            argument is arguments[name],
            f"the parameter {name} after set_params",
            expected=repr(arguments[name]),
            got=repr(argument),
        )
    expect_error(
        ValueError, lambda: copy.set_params(no_such_parameter=1), "set_params of an unknown name"
    )


def check_clone(part: Any) -> None:
    """`sklearn.base.clone` gives a new instance of equal parameters, nested ones as well."""
    copy = clone(part)
    expect(type(copy) is type(part), "a clone", expected=type(part), got=type(copy))
    mine, its = part.get_params(deep=True), copy.get_params(deep=True)
    expect(its.keys() == mine.keys(), "a clone's parameters", expected=[*mine], got=[*its])
    for name, value in mine.items():
        if isinstance(value, BaseEstimator):
            is_copied = its[name] is not value and type(its[name]) is type(value)
            expect(is_copied, f"a clone's {name}", expected="a clone as well", got=its[name])
        elif isinstance(value, bool | int | float | str | None):
            is_equal = its[name] == value or value != value  # NaN differs from itself
            expect(is_equal, f"a clone's {name}", expected=repr(value), got=repr(its[name]))


def check_representation(part: Any) -> None:
    """The text and the HTML that show the part name its class."""
    for kind, shown in (("repr", repr(part)), ("HTML", estimator_html_repr(part))):
        name = type(part).__name__
        expect(name in shown, f"its {kind}", expected=f"a text with {name}", got=shown[:200])


PARAMETER_CHECKS: tuple[Callable[[Any], None], ...] = (
    check_parameters_are_named,
    check_defaults_cannot_change,
    check_constructor_only_stores,
    check_get_and_set_params,
    check_clone,
    check_representation,
)
