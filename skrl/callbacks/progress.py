"""A progress bar."""

import sys
from typing import Any

import numpy as np

from skrl.base import Callback, Run


class ProgressBar(Callback):
    """Shows how far a run is: episodes, mean return, steps per second.

    With evaluation, also the latest score, and as "evaluated" the steps that evaluation has
    taken. The bar works in a terminal and in a notebook (by tqdm).

    Parameters
    ----------
    n_last : int, default=100
        The mean return shown is that of the last `n_last` episodes.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.callbacks import ProgressBar
    >>> agent = QLearningAgent(n_steps=500, callbacks=[ProgressBar()], n_evaluations=0)
    >>> agent = agent.fit("FrozenLake-v1")
    """

    _bar: Any = None  # while a run is under way

    def __init__(self, n_last: int = 100) -> None:
        self.n_last = n_last

    def on_run_begin(self, run: Run) -> None:
        """Open the bar."""
        from tqdm.auto import tqdm  # here, because it looks for a notebook

        self._first_step = run.history.n_steps
        self._bar = tqdm(
            total=100, bar_format="{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
        )

    def on_rollout_end(self, run: Run) -> None:
        """Move the bar."""
        if run.progress < 1.0:
            self._show(run)

    def on_run_end(self, run: Run) -> None:
        """Close the bar, and say why the run ended before its budget."""
        if self._bar is None:
            return
        bar = self._bar
        try:
            self._show(run)
        finally:
            bar.close()
            self._bar = None
        if run.stop_reason is not None and not run.budget.is_used_up():
            bar.write(f"Stopped: {run.stop_reason}.", file=sys.stderr)

    def _show(self, run: Run) -> None:
        history, bar = run.history, self._bar
        seconds = bar.format_dict["elapsed"]
        notes = {
            "episodes": len(history),
            "steps/s": f"{(history.n_steps - self._first_step) / max(seconds, 1e-9):,.0f}",
        }
        if len(history):
            notes["return"] = f"{np.mean(history[-self.n_last :, 'return']):.4g}"
        if len(history.evaluations):
            evaluation = history.evaluations[-1]
            notes["score"] = f"{evaluation['score']:.4g}"
            notes["evaluated"] = f"{evaluation['evaluation_steps']:,}"
        bar.set_postfix(notes, refresh=False)
        bar.update(100 * run.progress - bar.n)
