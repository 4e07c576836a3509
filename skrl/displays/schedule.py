"""Schedules as curves."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from jaxtyping import Float64

from skrl.displays._style import COLORS, axes_or_new, label_steps
from skrl.policies.schedules import Schedule, evaluate

N_POINTS = 1_001


class ScheduleDisplay:
    """Values of one or more schedules against the progress of training.

    Parameters
    ----------
    progress : ndarray of shape (k,), dtype float64
        Shares of the training budget that are used, from 0 to 1.
    values : dict of str to ndarray of shape (k,), dtype float64
        Values of each schedule there, by its name in the legend.
    n_steps : int or None, default=None
        The training budget in environment steps, to show steps on the x axis. None shows the
        progress.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the curves.
    figure_ : matplotlib.figure.Figure
        Their figure.

    Examples
    --------
    >>> from skrl import ExponentialSchedule, LinearSchedule
    >>> from skrl.displays import ScheduleDisplay
    >>> display = ScheduleDisplay.from_schedule(
    ...     {
    ...         "linear": LinearSchedule(1.0, 0.05, fraction=0.5),
    ...         "exponential": ExponentialSchedule(1.0, 0.05),
    ...     },
    ...     n_steps=50_000,
    ... )
    >>> display.ax_.get_xlabel()
    'environment steps'
    """

    def __init__(
        self,
        progress: Float64[np.ndarray, " k"],
        values: Mapping[str, Float64[np.ndarray, " k"]],
        *,
        n_steps: int | None = None,
    ) -> None:
        self.progress = progress
        self.values = values
        self.n_steps = n_steps

    @classmethod
    def from_schedule(
        cls,
        schedules: Schedule | float | Mapping[str, Schedule | float],
        *,
        n_steps: int | None = None,
        ax: Any = None,
    ) -> Self:
        """Evaluate schedules at 1,001 equidistant points, and draw them.

        Parameters
        ----------
        schedules : Schedule, float, or dict of str to Schedule or float
            What to draw. A number stands for a constant. The keys of a dict are the names in the
            legend.
        n_steps : int or None, default=None
            The training budget in environment steps, to show steps on the x axis. None shows the
            progress.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        ScheduleDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        ValueError
            If `n_steps` is less than 1, a schedule has an invalid parameter, or matplotlib is
            not installed.
        TypeError
            If something is neither a schedule nor a number, or gives something else than numbers.
        """
        if n_steps is not None and n_steps < 1:
            raise ValueError(f"n_steps must be at least 1 or None, got {n_steps}.")
        if not isinstance(schedules, Mapping):
            schedules = {type(schedules).__name__: schedules}
        progress = np.linspace(0.0, 1.0, N_POINTS)
        values = {
            name: np.array([evaluate(name, schedule, p) for p in progress.tolist()])
            for name, schedule in schedules.items()
        }
        return cls(progress, values, n_steps=n_steps).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the schedules.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        ScheduleDisplay
            The display itself, with `ax_` and `figure_`.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        x = self.progress
        if self.n_steps is None:
            self.ax_.set_xlabel("progress (share of the training budget)")
        else:
            x = x * self.n_steps
            label_steps(self.ax_)
        for i, (name, values) in enumerate(self.values.items()):
            self.ax_.plot(x, values, color=COLORS[i % len(COLORS)], lw=2, label=name)
        self.ax_.set_ylabel("value")
        self.ax_.legend()
        return self
