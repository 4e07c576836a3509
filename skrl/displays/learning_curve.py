"""Learning curves: how the return grows with the steps of training."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from jaxtyping import Float64
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skrl.displays._style import GREY, axes_or_new, label_steps, next_color
from skrl.history import History
from skrl.studies.statistics import interquartile_mean, stratified_bootstrap

# Points of the common grid of several runs, and resamples for the interval at each of them.
N_GRID_POINTS, N_RESAMPLES = 200, 1_000

# Opacity of what is in the background.
DIM = 0.5


class Band(NamedTuple):
    """Curves of several runs, summarized on a common grid of steps."""

    steps: Float64[np.ndarray, " k"]
    middle: Float64[np.ndarray, " k"]
    low: Float64[np.ndarray, " k"]
    high: Float64[np.ndarray, " k"]


class LearningCurveDisplay:
    """Learning curve of a training run, or of several runs with different seeds.

    For one run, small dots show the returns of the training episodes, a line their mean over the
    last `window` episodes, and large dots the evaluations of the greedy policy, with their
    standard errors.

    For several runs, thin lines show each run's mean over the last `window` episodes, a thick
    line their interquartile mean, a band its 95 % interval, and large dots the evaluations of all
    runs.

    Parameters
    ----------
    histories : sequence of History
        One per run, such as an agent's ``history_`` or what `Runner.run` returns.
    window : int or None, default=None
        Number of episodes to take the mean over. The first episodes have the mean of all up to
        them. None stands for a tenth of the episodes of the shortest run, at least 1 and at most
        100.
    reward_threshold : float or None, default=None
        Mean return at which the environment counts as solved, drawn as a dashed line.
    label : str or None, default=None
        Name of the curve in the legend, in place of explanations.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes with the curve.
    figure_ : matplotlib.figure.Figure
        Their figure.

    Notes
    -----
    Several runs are summarized at 200 equidistant steps, from the first step at which all have
    finished an episode to the last step of the longest run. A run that ended earlier keeps its
    last value: usually it was stopped because the environment was solved. The interval is a
    percentile bootstrap over the runs, at each step separately
    (`skrl.studies.statistics.stratified_bootstrap`). It is too narrow for few runs.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.displays import LearningCurveDisplay
    >>> agents = [
    ...     QLearningAgent(n_steps=1_000, n_evaluations=2, random_state=seed).fit("FrozenLake-v1")
    ...     for seed in range(3)
    ... ]
    >>> display = LearningCurveDisplay.from_agent(agents, window=10, label="table")
    >>> display.ax_.get_xlabel()
    'environment steps'
    """

    def __init__(
        self,
        histories: Sequence[History],
        *,
        window: int | None = None,
        reward_threshold: float | None = None,
        label: str | None = None,
    ) -> None:
        self.histories = histories
        self.window = window
        self.reward_threshold = reward_threshold
        self.label = label

    @classmethod
    def from_agent(
        cls,
        agents: Any,
        *,
        window: int | None = None,
        reward_threshold: float | None = None,
        ax: Any = None,
        label: str | None = None,
    ) -> Self:
        """Draw the learning curve of a fitted agent, or of several.

        Parameters
        ----------
        agents : QLearningAgent or sequence of QLearningAgent
            Fitted agents. Several agents differ in their seeds only.
        window : int or None, default=None
            Number of episodes to take the mean over; see `LearningCurveDisplay`.
        reward_threshold : float or None, default=None
            Mean return to mark by a dashed line. None marks none.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None makes a new figure. Curves on the same axes get different colors.
        label : str or None, default=None
            Name of the curve in the legend, in place of explanations.

        Returns
        -------
        LearningCurveDisplay
            The display, with `ax_` and `figure_`.

        Raises
        ------
        NotFittedError
            If an agent is not fitted.
        ValueError
            If there is no agent, an agent has not finished an episode, `window` is invalid, or
            matplotlib is not installed.
        """
        agents = [agents] if isinstance(agents, BaseEstimator) else list(agents)
        for agent in agents:
            check_is_fitted(agent, "history_")
        histories = [agent.history_ for agent in agents]
        display = cls(histories, window=window, reward_threshold=reward_threshold, label=label)
        return display.plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw. None makes a new figure. Curves on the same axes get different colors.

        Returns
        -------
        LearningCurveDisplay
            The display itself, with `ax_` and `figure_`.
        """
        window = self._check_window()
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        color = next_color(self.ax_)
        if len(self.histories) == 1:
            self._plot_run(window, color)
        else:
            self._plot_runs(window, color)
        self._plot_evaluations(color)
        if self.reward_threshold is not None:
            self.ax_.axhline(self.reward_threshold, color=GREY, ls="--", label="reward threshold")
        label_steps(self.ax_)
        self.ax_.set_ylabel("return (sum of rewards)")
        self.ax_.legend(loc="best", fontsize="small", framealpha=0.6)
        return self

    def _check_window(self) -> int:
        """Check the data, and give the window that is used."""
        if not self.histories:
            raise ValueError("A learning curve needs at least one run, got none.")
        n_episodes = [len(history) for history in self.histories]
        if min(n_episodes) == 0:
            which = n_episodes.index(0)
            raise ValueError(
                f"A learning curve shows finished episodes, but run {which} of "
                f"{len(n_episodes)} has none after {self.histories[which].n_steps} steps. Train "
                "for more steps."
            )
        if self.window is None:
            return min(max(min(n_episodes) // 10, 1), 100)
        if self.window < 1:
            raise ValueError(f"window must be at least 1 episode or None, got {self.window}.")
        return self.window

    def _plot_run(self, window: int, color: str) -> None:
        """Draw the returns of one run, and their mean."""
        steps, returns = self.histories[0][:, "n_steps"], self.histories[0][:, "return"]
        name = self._name("training episodes")
        self.ax_.plot(steps, returns, ".", ms=2.5, color=color, alpha=DIM, label=name)
        name = self.label or f"mean of the last {window} episodes"
        self.ax_.plot(steps, mean_of_last(returns, window), color=color, lw=2, label=name)

    def _plot_runs(self, window: int, color: str) -> None:
        """Draw the mean of each run, their interquartile mean, and its interval."""
        name = self._name(f"each run, mean of the last {window} episodes")
        for history in self.histories:
            means = mean_of_last(history[:, "return"], window)
            self.ax_.plot(history[:, "n_steps"], means, color=color, lw=0.7, alpha=DIM, label=name)
            name = ""  # the legend names all of them once
        steps, middle, low, high = summarize(self.histories, window)
        name = self.label or f"interquartile mean of {len(self.histories)} runs"
        self.ax_.plot(steps, middle, color=color, lw=2, label=name)
        name = self._name("its 95 % interval")
        self.ax_.fill_between(steps, low, high, color=color, alpha=0.3, lw=0, label=name)

    def _plot_evaluations(self, color: str) -> None:
        """Draw the evaluations of all runs, with standard errors if there is only one run."""
        name = self._name("evaluations of the greedy policy", f"{self.label}, evaluations")
        for history in self.histories:
            evaluations = history.evaluations
            if not len(evaluations):
                continue
            errors = evaluations[:, "std"] / np.sqrt(evaluations[:, "n_episodes"])
            self.ax_.errorbar(
                evaluations[:, "n_steps"],
                evaluations[:, "score"],
                yerr=errors if len(self.histories) == 1 else None,
                fmt="o",
                ms=5,
                lw=1,
                color=color,
                markeredgecolor=self.ax_.get_facecolor(),
                label=name,
            )
            name = ""

    def _name(self, unlabelled: str, labelled: str = "") -> str:
        """Name a part of the display in the legend, which is short if the display has a label."""
        return unlabelled if self.label is None else labelled


def mean_of_last(returns: Any, window: int) -> Float64[np.ndarray, " k"]:
    """Mean of each return and those before it, `window` in all.

    Parameters
    ----------
    returns : array-like of shape (k,)
        One per episode.
    window : int
        How many episodes. The first ones have the mean of all up to them.

    Returns
    -------
    ndarray of shape (k,), dtype float64

    Examples
    --------
    >>> mean_of_last([1.0, 3.0, 5.0, 7.0], window=2)
    array([1., 2., 4., 6.])
    """
    sums = np.cumsum(returns, dtype=np.float64)
    sums[window:] -= sums[:-window].copy()
    means: np.ndarray = sums / np.minimum(np.arange(len(sums)) + 1, window)
    return means


def summarize(histories: Sequence[History], window: int) -> Band:
    """Summarize several runs on a common grid of steps.

    Parameters
    ----------
    histories : sequence of History
        Two or more runs, with at least one finished episode each.
    window : int
        Number of episodes to take the mean over.

    Returns
    -------
    Band
        Interquartile mean over the runs, and its 95 % interval, as `LearningCurveDisplay` says.
    """
    first = max(history[0, "n_steps"] for history in histories)
    last = max(history[-1, "n_steps"] for history in histories)
    steps = np.linspace(first, last, N_GRID_POINTS)
    curves = np.empty((len(histories), N_GRID_POINTS))
    for curve, history in zip(curves, histories, strict=True):
        # The last episode that ended at or before each step of the grid.
        positions = history[:, "n_steps"].searchsorted(steps, side="right") - 1
        curve[:] = mean_of_last(history[:, "return"], window)[positions]
    intervals = [stratified_bootstrap(scores, n_resamples=N_RESAMPLES) for scores in curves.T]
    low, high = np.transpose(intervals)
    return Band(steps, np.asarray(interquartile_mean(curves, axis=0)), low, high)
