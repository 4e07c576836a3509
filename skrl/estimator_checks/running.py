"""How checks are run, and how a failure is reported."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skrl.estimator_checks.parameters import PARAMETER_CHECKS

# A check takes a part, and perhaps data to try it on. The first line of its documentation is the
# contract that it checks.
Check = Callable[..., None]


def run_checks(
    part: Any,
    interface: type,
    checks: Sequence[Check],
    data: Sequence[Any] = (),
    *,
    expected_failed_checks: Mapping[str, str] | None,
) -> None:
    """Run checks on a part, those of its parameters first; stop at the first broken contract.

    Parameters
    ----------
    part : object
        What is checked.
    interface : type
        What it must be an instance of.
    checks : sequence of callable
        They are called with the part and the data.
    data : sequence of object
        What the part is tried on.
    expected_failed_checks : dict of str to str, or None
        Names of checks that the part fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If the part is not an instance of the interface.
    ValueError
        If there is no check of a name in `expected_failed_checks`.
    AssertionError
        If the part breaks a contract, or passes a check that it is expected to fail.
    """
    if not isinstance(part, interface):
        raise TypeError(f"Expected an instance of {interface.__name__}, got {part!r}.")
    expected = dict(expected_failed_checks or {})
    names = [check.__name__ for check in (*PARAMETER_CHECKS, *checks)]
    if unknown := sorted(expected.keys() - set(names)):
        raise ValueError(f"There is no check of the name {unknown[0]!r}; there are {names}.")
    for check in PARAMETER_CHECKS:
        _run(check, part, (), interface, expected.get(check.__name__))
    for check in checks:
        _run(check, part, data, interface, expected.get(check.__name__))


def _run(
    check: Check, part: Any, data: Sequence[Any], interface: type, reason_to_fail: str | None
) -> None:
    try:
        check(part, *data)
    except Exception as error:  # whatever the part's author has written
        if reason_to_fail is None:
            raise AssertionError(_report(check, part, interface, error)) from error
        return
    if reason_to_fail is not None:
        raise AssertionError(
            f"{type(part).__name__} passes {check.__name__}, which it is expected to fail "
            f"({reason_to_fail}). Take it off expected_failed_checks."
        )


def _report(check: Check, part: Any, interface: type, error: Exception) -> str:
    contract = (inspect.getdoc(check) or "").splitlines()[0]
    kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
    return (
        f"{type(part).__name__} breaks a contract of {interface.__name__}, see {check.__name__}: "
        f"{contract} {kind}{error}"
    )
