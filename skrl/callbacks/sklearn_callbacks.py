"""Tell scikit-learn's own callbacks (`sklearn.callback`) how far a fit is."""

from collections.abc import Callable
from typing import Any

from sklearn.callback import CallbackContext

from skrl.base import Callback, Run
from skrl.history import Budget

# ScoringMonitor only scores if there is a y. The agent ignores it.
NO_TARGETS = ()


class SklearnTasks(Callback):
    """Splits a fit into tasks, and calls scikit-learn's callbacks at their ends.

    `QLearningAgent.fit` makes one by itself. A task goes on for `interval` steps, and ends at the
    end of a rollout. The last one ends with the run. If a callback returns True, the run stops.

    scikit-learn's callbacks are experimental, and so is this. In version 1.9, a
    `sklearn.callback.ScoringMonitor` needs a dict, or a callable that returns one: it fails with
    ``scoring=None`` and with a callable that returns a number, for any estimator.

    Parameters
    ----------
    agent : QLearningAgent
        The agent that is being fitted.
    env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
        What it is fitted to. Callbacks get it as X.
    context : sklearn.callback.CallbackContext
        The context of the fit, of which each task is a subtask.
    interval : int
        Steps per task.
    fitted_attributes : callable
        Takes no arguments, and gives the attributes that make the agent a fitted one as if
        training had stopped now. It is called only for callbacks that ask for a fitted agent.
    """

    def __init__(
        self,
        agent: Any,
        env: Any,
        context: CallbackContext,
        interval: int,
        fitted_attributes: Callable[[], dict[str, Any]],
    ) -> None:
        self.agent = agent
        self.env = env
        self.context = context
        self.interval = interval
        self.fitted_attributes = fitted_attributes

    def on_run_begin(self, run: Run) -> None:
        """Begin the fit and its first task."""
        self._begin(self.context)
        self._n_due = run.history.n_steps // self.interval

    def on_rollout_end(self, run: Run) -> None:
        """End a task when it is due, and at the end."""
        n_due = run.history.n_steps // self.interval
        if n_due == self._n_due and run.stop_reason is None:
            return
        self._n_due = n_due
        task = self.context.subcontext(task_name="interval")
        self._begin(task)
        if self._end(task, self.fitted_attributes) and run.stop_reason is None:
            run.stop("a scikit-learn callback asked for it")

    def end(self) -> None:
        """End the fit: the agent is fitted."""
        self._end(self.context, dict)

    # X is given as a function, because one that can be called would be called.

    def _begin(self, task: CallbackContext) -> None:
        task.call_on_fit_task_begin(estimator=self.agent, X=lambda: self.env, y=NO_TARGETS)

    def _end(self, task: CallbackContext, attributes: Callable[[], dict[str, Any]]) -> bool:
        wants_to_stop: bool = task.call_on_fit_task_end(
            estimator=self.agent,
            X=lambda: self.env,
            y=NO_TARGETS,
            reconstruction_attributes=attributes,
        )
        return wants_to_stop


def count_tasks(budget: Budget, interval: int) -> int | None:
    """Count the tasks of a run, at most; None if its budget is in episodes only.

    Parameters
    ----------
    budget : Budget
        The budget of the run.
    interval : int
        Steps per task.
    """
    if budget.last_step == float("inf"):
        return None
    n_due = int(budget.last_step) // interval - budget.first_step // interval
    return n_due + (budget.last_step % interval > 0)
