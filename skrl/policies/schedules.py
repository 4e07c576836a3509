"""Settings that change while an agent trains, such as the epsilon of epsilon-greedy."""

from abc import ABC, abstractmethod
from numbers import Real

from sklearn.base import BaseEstimator

from skrl.limits import check_number


class Schedule(BaseEstimator, ABC):
    """A number that depends on how much of the training budget is used.

    To write your own schedule, subclass it and implement `__call__`.

    Examples
    --------
    >>> from skrl.policies import Schedule
    >>> class Halves(Schedule):
    ...     def __call__(self, progress):
    ...         return 1.0 if progress < 0.5 else 0.1
    >>> Halves()(0.75)
    0.1
    """

    @abstractmethod
    def __call__(self, progress: float) -> float:
        """Give the number for a progress.

        Parameters
        ----------
        progress : float in [0, 1]
            How much of the training budget is used.

        Returns
        -------
        float
        """


class ConstantSchedule(Schedule):
    """A constant number.

    Parameters
    ----------
    value : float
        The number.

    Examples
    --------
    >>> from skrl.policies import ConstantSchedule
    >>> ConstantSchedule(0.1)(progress=0.7)
    0.1
    """

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, progress: float) -> float:
        """Give the number; see `Schedule`."""
        return self.value


class LinearSchedule(Schedule):
    """A straight line from `start` to `end`, and `end` from then on.

    Parameters
    ----------
    start : float
        The number at progress 0.
    end : float
        The number from progress `fraction` on.
    fraction : float in (0, 1]
        The part of the training budget over which the number changes.

    Raises
    ------
    ValueError
        When called, if `fraction` is out of range.

    Examples
    --------
    >>> from skrl.policies import LinearSchedule
    >>> schedule = LinearSchedule(1.0, 0.5, fraction=0.2)
    >>> schedule(0.0), schedule(0.1), schedule(0.2), schedule(1.0)
    (1.0, 0.75, 0.5, 0.5)
    """

    def __init__(self, start: float, end: float, fraction: float = 1.0) -> None:
        self.start = start
        self.end = end
        self.fraction = fraction

    def __call__(self, progress: float) -> float:
        """Give the number for a progress; see `Schedule`."""
        _check_fraction(self.fraction)
        if progress >= self.fraction:
            return self.end
        return self.start + (self.end - self.start) * (progress / self.fraction)


class ExponentialSchedule(Schedule):
    """Exponential decay or growth from `start` to `end`, and `end` from then on.

    Parameters
    ----------
    start : float > 0
        The number at progress 0.
    end : float > 0
        The number from progress `fraction` on.
    fraction : float in (0, 1]
        The part of the training budget over which the number changes.

    Raises
    ------
    ValueError
        When called, if one of the parameters is out of range.

    Examples
    --------
    >>> from skrl.policies import ExponentialSchedule
    >>> schedule = ExponentialSchedule(1.0, 0.25, fraction=0.5)
    >>> schedule(0.0), schedule(0.25), schedule(0.5), schedule(1.0)
    (1.0, 0.5, 0.25, 0.25)
    """

    def __init__(self, start: float, end: float, fraction: float = 1.0) -> None:
        self.start = start
        self.end = end
        self.fraction = fraction

    def __call__(self, progress: float) -> float:
        """Give the number for a progress; see `Schedule`."""
        _check_fraction(self.fraction)
        if not (self.start > 0 and self.end > 0):
            raise ValueError(
                "The start and the end of an ExponentialSchedule must be positive, got "
                f"start={self.start!r} and end={self.end!r}."
            )
        if progress >= self.fraction:
            return self.end
        factor: float = (self.end / self.start) ** (progress / self.fraction)
        return self.start * factor


def evaluate(name: str, setting: object, progress: float) -> float:
    """Evaluate a setting: a number, or a schedule.

    Parameters
    ----------
    name : str
        The setting's name, for the error message.
    setting : float or Schedule
        What the user gave.
    progress : float in [0, 1]
        How much of the training budget is used.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the setting, or what its schedule gives, is not a number.
    """
    # Every step of the agent calls this: the common cases first.
    if type(setting) is float:
        return setting
    try:
        value = setting(progress) if isinstance(setting, Schedule) else setting
    except TypeError as error:  # a parameter of the schedule is not a number
        raise _bad_setting(name, setting) from error
    if type(value) is float:
        return value
    if isinstance(value, Real) and not isinstance(value, bool):
        return float(value)
    raise _bad_setting(name, setting)


def _bad_setting(name: str, setting: object) -> TypeError:
    return TypeError(
        f"{name} must be a number or a Schedule, such as LinearSchedule(1.0, 0.05), "
        f"got {setting!r:.200}."
    )


def _check_fraction(fraction: float) -> None:
    if type(fraction) is not float or not 0 < fraction <= 1:  # faster, where all is fine
        check_number("fraction", fraction, is_positive=True, most=1)
