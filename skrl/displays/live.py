"""A learning curve that grows while the agent trains."""

import multiprocessing
import threading
from importlib import import_module
from io import BytesIO
from time import perf_counter
from typing import Any

from skrl.base import Callback, Run
from skrl.displays._style import pyplot
from skrl.displays.learning_curve import LearningCurveDisplay
from skrl.environments.recording import in_notebook

# Drawing takes at most this share of the time.
MAX_SHARE = 0.1


class LiveCurve(Callback):
    """Shows a learning curve that grows while the agent trains.

    In a notebook it updates one picture below the cell. In a script with an interactive
    matplotlib backend it updates a window, which stays open until the script ends. Everywhere
    else, such as on a server or in a worker process, it only draws to `figure_`. If the
    environment has a reward threshold, a dashed line marks it.

    Parameters
    ----------
    every : float, default=1.0
        Seconds between two redraws, at least. Drawing takes at most about a tenth of the time,
        so that redraws of many episodes come less often. The last one comes when training ends.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure. It is not copied or saved with the agent.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.displays import LiveCurve
    >>> agent = QLearningAgent(n_steps=1_000, callbacks=[LiveCurve(every=0.5)], random_state=0)
    >>> agent = agent.fit("skrl/CircularWorld-v0")
    >>> agent.callbacks_[0].figure_.axes[0].get_xlabel()
    'environment steps'
    """

    _handle: Any = None  # of the picture in the notebook
    _next_draw = 0.0

    def __init__(self, every: float = 1.0) -> None:
        self.every = every

    def __getstate__(self) -> Any:
        """Leave out what cannot be saved: the figure, and the notebook's picture."""
        state = super().__getstate__()
        return {key: state[key] for key in state if key not in ("figure_", "_handle")}

    def on_run_begin(self, run: Run) -> None:
        """Make a figure, unless this run continues another."""
        if self.every < 0:
            raise ValueError(f"every must be at least 0 seconds, got {self.every}.")
        self._handle, self._next_draw = None, 0.0
        if not hasattr(self, "figure_"):
            self.figure_ = _new_figure()

    def on_rollout_end(self, run: Run) -> None:
        """Redraw, when it is time."""
        if perf_counter() >= self._next_draw:
            self._draw(run)

    def on_run_end(self, run: Run) -> None:
        """Draw everything."""
        if hasattr(self, "figure_"):
            self._draw(run)

    def _draw(self, run: Run) -> None:
        """Draw the curve, once there is an episode, and show it."""
        if not len(run.history):
            return
        began = perf_counter()
        self.figure_.clear()
        threshold = run.environment.reward_threshold
        display = LearningCurveDisplay([run.history], reward_threshold=threshold)
        display.plot(self.figure_.subplots())
        if in_notebook():
            self._show_in_notebook()
        elif _is_window(self.figure_):
            self.figure_.canvas.draw()
            self.figure_.canvas.flush_events()
        now = perf_counter()
        self._next_draw = now + max(self.every, (now - began) / MAX_SHARE)

    def _show_in_notebook(self) -> None:
        ipython = import_module("IPython.display")  # installed with the notebook, not with skrl
        file = BytesIO()
        self.figure_.savefig(file, format="png")
        picture = ipython.Image(file.getvalue())
        if self._handle is None:
            self._handle = ipython.display(picture, display_id=True)
        else:
            self._handle.update(picture)


def _new_figure() -> Any:
    """Make a figure, in a window if this is a script that may open one."""
    plt = pyplot()
    figure_class = import_module("matplotlib.figure").Figure
    # Windows belong to the main thread of the main process.
    is_main = (
        threading.current_thread() is threading.main_thread()
        and multiprocessing.parent_process() is None
    )
    if in_notebook() or not is_main or not _opens_windows(plt.get_backend()):
        return figure_class(layout="constrained")  # unknown to pyplot, which would show it
    figure = plt.figure(layout="constrained")
    figure.show()
    return figure


def _opens_windows(backend: str) -> bool:
    """Whether a backend of matplotlib opens windows: it is interactive, not in a browser."""
    backends = import_module("matplotlib.backends")
    names = backends.backend_registry.list_builtin(backends.BackendFilter.INTERACTIVE)
    return backend.lower() in set(names) - {"nbagg", "webagg"}


def _is_window(figure: Any) -> bool:
    """Whether the figure has a window that is still open."""
    return hasattr(figure, "number") and pyplot().fignum_exists(figure.number)
