"""StudyDisplay: the pictures of a study with many seeds."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

import numpy as np
from jaxtyping import Float64

from skrl.displays._style import COLORS, GREY, axes_or_new
from skrl.studies import Study
from skrl.studies.statistics import Estimate

N_THRESHOLDS = 201
N_POINTS = 21


class StudyDisplay:
    """A study of agents with many seeds, in one of the pictures of Agarwal et al. (2021).

    Use `from_study` to make one. The scores of several environments are on one scale, from 0 for
    the lowest to 1 for the highest score of the study in each environment.

    Parameters
    ----------
    kind : {"intervals", "profiles", "improvement", "efficiency"}
        Which picture.
    data : dict
        What is drawn, by the name of the agent, or of the pair of agents:

        - "intervals" and "improvement": an `Estimate`;
        - "profiles": thresholds tau and the shares of runs with a higher score, in an array of
          shape (2, n_thresholds);
        - "efficiency": steps of training, interquartile means and the ends of their intervals, in
          an array of shape (4, n_points).
    score_name : str, default="return"
        Name of the axis of scores.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        What was drawn on. Known after `plot`.
    figure_ : matplotlib.figure.Figure
        Its figure. Known after `plot`.

    References
    ----------
    R. Agarwal, M. Schwarzer, P. Castro, A. Courville & M. Bellemare (2021), "Deep reinforcement
    learning at the edge of the statistical precipice", NeurIPS, arXiv 2108.13264.

    Examples
    --------
    >>> from skrl.displays import StudyDisplay
    >>> from skrl.studies.study import Result, Study
    >>> scores = {"old": [12.0, 13.5, 16.0], "new": [19.0, 15.0, 18.0]}
    >>> study = Study([
    ...     Result(agent, "Taxi-v4", seed, score, n_steps=1_000, seconds=0.5)
    ...     for agent in scores for seed, score in enumerate(scores[agent])])
    >>> display = StudyDisplay.from_study(study, kind="improvement")
    >>> print(display.data["new > old"])
    0.8889 [0.5556, 1]
    >>> display.ax_.get_xlabel()
    'probability of improvement'
    """

    def __init__(self, kind: str, data: Mapping[str, Any], score_name: str = "return") -> None:
        self.kind = kind
        self.data = data
        self.score_name = score_name

    @classmethod
    def from_study(
        cls, study: Study, kind: str = "intervals", *, env: str | None = None, ax: Any = None
    ) -> Self:
        """Compute the statistics of a study, and draw them.

        Parameters
        ----------
        study : Study
            The results of many runs.
        kind : {"intervals", "profiles", "improvement", "efficiency"}, default="intervals"
            Which picture:

            - "intervals": the interquartile mean of each agent's scores, with a 95% stratified
              bootstrap interval;
            - "profiles": performance profiles, the share of each agent's runs that score higher
              than each threshold tau;
            - "improvement": for each pair of agents, the probability that a run of the first one
              scores higher than a run of the second one, with a 95% interval;
            - "efficiency": the interquartile mean of the scores in the middle of training, with a
              95% interval, over the steps of training.
        env : str or None, default=None
            Name of an environment; None pools all, on one scale.
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        StudyDisplay

        Raises
        ------
        ValueError
            If `kind` or `env` is not known, or the study does not contain what is drawn: two
            agents, or evaluations during training.
        """
        _check_kind(kind)
        pools = env is None and len(study.envs) > 1
        score_name = "scaled return" if pools else "return"
        return cls(kind, _COMPUTE[kind](study, env), score_name).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the data.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or None, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `kind` is not known.
        """
        _check_kind(self.kind)
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        getattr(self, f"_plot_{self.kind}")()
        return self

    def _plot_intervals(self) -> None:
        self._plot_rows(_colors())
        self.ax_.set_xlabel(f"interquartile mean of the {self.score_name}")

    def _plot_improvement(self) -> None:
        self._plot_rows(itertools.repeat(COLORS[0]))
        # At 1/2, neither agent is better.
        self.ax_.axvline(0.5, color=GREY, linestyle="--", zorder=0)
        self.ax_.set(xlabel="probability of improvement", xlim=(-0.03, 1.03))

    def _plot_rows(self, colors: Iterator[str]) -> None:
        """Draw one estimate per row, the first one on top."""
        for row, (color, estimate) in enumerate(zip(colors, self.data.values(), strict=False)):
            self.ax_.errorbar(
                estimate.value, row, xerr=_bars(estimate), fmt="o", color=color, capsize=4
            )
        n = len(self.data)
        self.ax_.set_yticks(range(n), labels=list(self.data))
        self.ax_.set_ylim(n - 0.5, -0.5)

    def _plot_profiles(self) -> None:
        styles = zip(_colors(), itertools.cycle(["-", "--", "-.", ":"]), strict=True)
        for (color, style), (agent, (taus, shares)) in zip(styles, self.data.items(), strict=False):
            self.ax_.step(taus, shares, style, where="post", color=color, label=agent)
        self.ax_.set(
            xlabel=f"threshold τ of the {self.score_name}",
            ylabel="share of runs with score > τ",
            ylim=(-0.03, 1.03),
        )
        self.ax_.legend()

    def _plot_efficiency(self) -> None:
        styles = zip(_colors(), itertools.cycle(["-", "--", "-.", ":"]), strict=True)
        for (color, style), (agent, curve) in zip(styles, self.data.items(), strict=False):
            steps, means, lows, highs = curve
            self.ax_.plot(steps, means, style, color=color, label=agent)
            if np.isfinite(lows).all():
                self.ax_.fill_between(steps, lows, highs, color=color, alpha=0.2, linewidth=0)
        self.ax_.set(
            xlabel="environment steps of training",
            ylabel=f"interquartile mean of the {self.score_name}",
        )
        self.ax_.set_xlim(left=0)
        self.ax_.legend()


def _colors() -> Iterator[str]:
    """Colours of the agents, in the order of the study: the same in all pictures."""
    return itertools.cycle(COLORS)


def _bars(estimate: Estimate) -> Float64[np.ndarray, "2 1"] | None:
    """Lengths of the error bars; None for the infinite interval of a single seed."""
    value, low, high = estimate
    return np.array([[value - low], [high - value]]) if np.isfinite([low, high]).all() else None


# ---- what is drawn -----------------------------------------------------------------------------


def _check_kind(kind: str) -> None:
    if kind not in _COMPUTE:
        raise ValueError(f"kind must be one of {sorted(_COMPUTE)}, got {kind!r}.")


def _intervals(study: Study, env: str | None) -> dict[str, Estimate]:
    return {agent: study.interquartile_mean(agent, env) for agent in study.agents}


def _profiles(study: Study, env: str | None) -> dict[str, Any]:
    """Performance profiles, over all thresholds where a share changes."""
    low, high = 0.0, 1.0
    if env is not None or len(study.envs) == 1:
        scores = np.concatenate([study.scores(agent, env) for agent in study.agents])
        low, high = float(scores.min()), float(scores.max())
    margin = 0.05 * (high - low) or 1.0
    taus = np.linspace(low - margin, high + margin, N_THRESHOLDS)
    shares = study.performance_profile(taus, env)
    return {agent: np.stack([taus, share]) for agent, share in shares.items()}


def _improvement(study: Study, env: str | None) -> dict[str, Estimate]:
    """Probabilities of improvement of all pairs, the better agent first."""
    if len(study.agents) < 2:
        raise ValueError(
            f"kind='improvement' compares agents, but the study contains only {study.agents}. "
            "Pass a study of at least two agents, or kind='intervals'."
        )
    means = _intervals(study, env)
    ranked = sorted(means, key=lambda agent: means[agent].value, reverse=True)
    return {
        f"{a} > {b}": study.probability_of_improvement(a, b, env)
        for a, b in itertools.combinations(ranked, 2)
    }


def _efficiency(study: Study, env: str | None) -> dict[str, Float64[np.ndarray, "4 n_points"]]:
    """Learning curves, from where every run has been evaluated."""
    runs = [run for run in study.results if env in (None, run.env)]
    if not all(run.evaluations for run in runs):
        raise ValueError(
            "kind='efficiency' needs evaluations during training in every run. Compare agents "
            "with n_evaluations > 0, or choose another kind."
        )
    curves = {}
    for agent in study.agents:
        steps = [[n for n, _ in run.evaluations or []] for run in runs if run.agent == agent]
        first, last = max(run[0] for run in steps), max(run[-1] for run in steps)
        points = np.linspace(first, last, N_POINTS).round()
        estimates = [study.sample_efficiency(agent, int(n), env) for n in points]
        curves[agent] = np.stack([points, *np.array(estimates).T])
    return curves


_COMPUTE: dict[str, Callable[[Study, str | None], dict[str, Any]]] = {
    "intervals": _intervals,
    "profiles": _profiles,
    "improvement": _improvement,
    "efficiency": _efficiency,
}
