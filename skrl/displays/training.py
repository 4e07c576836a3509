"""What went on inside the agent while it was trained."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skrl.displays._style import COLORS, label_steps, pyplot
from skrl.history import Table

# Label of the y axis, and the columns shown there, each with its name in the legend.
PANELS: dict[str, dict[str, str]] = {
    "loss": {"loss": ""},
    "mean |TD error| (rewards)": {"td_error": ""},
    "Q(s, a) (discounted return)": {"q_mean": "mean", "q_max": "maximum"},
    "epsilon (probability)": {"epsilon": ""},
    "learning rate": {"learning_rate": ""},
}


class TrainingDisplay:
    """Loss, TD error, action values and exploration during training, one small plot each.

    What a part of the agent does not know is left out. The learning rate is shown where there is
    room: instead of epsilon, for a policy that has none.

    Parameters
    ----------
    metrics : Table
        One row per rollout, as ``history_.metrics`` of an agent.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes, of shape (n,)
        The axes of the n plots, at most four.
    figure_ : matplotlib.figure.Figure
        Their figure.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.displays import TrainingDisplay
    >>> agent = QLearningAgent(n_steps=1_000, n_evaluations=0, random_state=0).fit("FrozenLake-v1")
    >>> [ax.get_ylabel() for ax in TrainingDisplay.from_agent(agent).axes_]
    ['loss', 'mean |TD error| (rewards)', 'Q(s, a) (discounted return)', 'epsilon (probability)']
    """

    def __init__(self, metrics: Table) -> None:
        self.metrics = metrics

    @classmethod
    def from_agent(cls, agent: Any, *, axes: Any = None) -> Self:
        """Draw the metrics of a fitted agent.

        Parameters
        ----------
        agent : QLearningAgent
            A fitted agent.
        axes : array-like of four matplotlib.axes.Axes, or None, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        TrainingDisplay
            The display, with `axes_` and `figure_`.

        Raises
        ------
        NotFittedError
            If the agent is not fitted.
        ValueError
            If it has not learned from anything yet, there are fewer axes than plots, or
            matplotlib is not installed.
        """
        check_is_fitted(agent, "history_")
        return cls(agent.history_.metrics).plot(axes)

    def plot(self, axes: Any = None) -> Self:
        """Draw the metrics.

        Parameters
        ----------
        axes : array-like of four matplotlib.axes.Axes, or None, default=None
            Where to draw. None makes a new figure.

        Returns
        -------
        TrainingDisplay
            The display itself, with `axes_` and `figure_`.
        """
        panels = self._known_panels()
        if axes is None:
            figure, axes = pyplot().subplots(2, 2, figsize=(8, 5), layout="constrained")
            for ax in axes.flat[len(panels) :]:
                figure.delaxes(ax)
        axes = np.ravel(axes)
        if len(axes) < len(panels):
            raise ValueError(
                f"There are {len(panels)} plots to draw, got {len(axes)} axes. Give four, such as "
                "those of plt.subplots(2, 2)."
            )
        self.axes_ = axes[: len(panels)]
        self.figure_ = self.axes_[0].figure
        steps = self.metrics[:, "n_steps"]
        for ax, (label, columns) in zip(self.axes_, panels.items(), strict=True):
            for color, (column, name) in zip(COLORS, columns.items(), strict=False):
                ax.plot(steps, self.metrics[:, column], color=color, lw=1, label=name)
            label_steps(ax)
            ax.set_ylabel(label)
            if len(columns) > 1:
                ax.legend()
        return self

    def _known_panels(self) -> dict[str, dict[str, str]]:
        """The first four panels whose columns are known."""
        if not len(self.metrics):
            raise ValueError(
                "There are no metrics: the agent has not learned from anything yet. Train it for "
                "more steps."
            )
        known = {
            label: columns
            for label, columns in PANELS.items()
            if all(np.isfinite(self.metrics[:, column]).any() for column in columns)
        }
        return dict(list(known.items())[:4])
