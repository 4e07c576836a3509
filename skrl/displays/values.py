"""ValueDisplay: what an agent has learned, the value of each state and its greedy action."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Self

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from jaxtyping import Float, Int64
from sklearn.utils.validation import check_is_fitted

from skrl.displays._style import pyplot
from skrl.displays.grids import Grid, find_grid
from skrl.displays.planes import Plane, find_plane
from skrl.environments import GymEnvironment, as_environment
from skrl.environments.opening import make_one, replicate

COLOR_BAR = "V(s) (expected discounted return)"


class ValueDisplay:
    """What an agent has learned: the values of states, and the greedy policy.

    Use `from_agent` to make one. The value of a state is V(s) = max_a Q(s, a), over the actions
    that are allowed in s, and the greedy action is the first one that has this value.

    Parameters
    ----------
    values : ndarray of shape (n_maps, n_rows, n_columns)
        V(s) in each state of `layout`.
    actions : ndarray of shape (n_maps, n_rows, n_columns), dtype int64
        Index of the greedy action in each state.
    layout : Grid or Plane
        Which states these are, and how they are drawn.

    Attributes
    ----------
    axes_ : ndarray of matplotlib.axes.Axes, shape (n_panels,)
        What was drawn on. Known after `plot`.
    figure_ : matplotlib.figure.Figure
        Their figure. Known after `plot`.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.displays import ValueDisplay
    >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=0, random_state=0)
    >>> agent = agent.fit("FrozenLake-v1")
    >>> display = ValueDisplay.from_agent(agent, "FrozenLake-v1")
    >>> display.values.shape
    (1, 4, 4)
    >>> display.figure_.savefig("values.png")  # doctest: +SKIP
    """

    def __init__(
        self,
        values: Float[np.ndarray, "n_maps n_rows n_columns"],
        actions: Int64[np.ndarray, "n_maps n_rows n_columns"],
        layout: Grid | Plane,
    ) -> None:
        self.values = values
        self.actions = actions
        self.layout = layout

    @classmethod
    def from_agent(
        cls,
        agent: Any,
        env: Any,
        *,
        shape: tuple[int, int] | None = None,
        actions: Mapping[int, str] | None = None,
        slices: Sequence[tuple[str, str]] | None = None,
        dims: tuple[int, int] = (0, 1),
        at: Mapping[int, float] | None = None,
        ranges: Mapping[int, tuple[float, float]] | None = None,
        ax: Any = None,
    ) -> Self:
        """Compute the values of an agent, and draw them.

        Numbered states are drawn as a map of cells with a symbol for the greedy action. Terminal
        states and cells that are never entered have none. Continuous states are drawn as a plane
        through the state space: two numbers of the state vary, the others are fixed. A second
        panel shows the greedy action.

        Parameters
        ----------
        agent : QLearningAgent
            A fitted agent.
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            The environment that it was trained in. The maps of FrozenLake, CliffWalking, Taxi and
            of the academic worlds of `skrl` are known. Of a list the first one is used.
        shape : (int, int) or None, default=None
            Numbers of rows and columns of another world, whose states are numbered row by row.
        actions : dict of int to str, or None, default=None
            Symbols or names of the actions, by their index. Actions without a symbol have that of
            the known map, or their number.
        slices : sequence of (str, str), or None, default=None
            The maps of Taxi, each for a place of the passenger ("R", "G", "Y", "B" or "taxi")
            and a different destination ("R", "G", "Y" or "B"). None shows four maps.
        dims : (int, int), default=(0, 1)
            Which two numbers of a continuous state vary.
        at : dict of int to float, or None, default=None
            Values of the other numbers of a continuous state, by their index. Those that are not
            given are in the middle of their bounds, or 0 where the bounds are infinite.
        ranges : dict of int to (float, float), or None, default=None
            Ranges of the numbers that vary, by their index. Those that are not given are the
            bounds of the state space.
        ax : matplotlib.axes.Axes, array of those, or None, default=None
            Where to draw; see `plot`.

        Returns
        -------
        ValueDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the agent has not been fitted.
        ValueError
            If the environment does not fit the agent, its states cannot be drawn, or an argument
            does not fit the states.

        Examples
        --------
        A map for a passenger who waits at R, and one for a passenger in the taxi:

        >>> from skrl import QLearningAgent
        >>> from skrl.displays import ValueDisplay
        >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=0).fit("Taxi-v4")
        >>> display = ValueDisplay.from_agent(
        ...     agent, "Taxi-v4", slices=[("R", "B"), ("taxi", "B")])
        >>> display.axes_.shape
        (2,)
        """
        check_is_fitted(agent, "qfunction_")
        _check_spaces(agent, env)
        space, n_actions = agent.state_space_, len(agent.classes_)
        layout: Grid | Plane
        if isinstance(space, Discrete):
            _check_unused(space, at=at, ranges=ranges)
            world = _unwrapped(env) if shape is None else None
            layout = find_grid(world, int(space.n), n_actions, shape, actions, slices)
        elif isinstance(space, Box) and len(space.shape) == 1 and space.shape[0] > 1:
            _check_unused(space, shape=shape, slices=slices)
            layout = find_plane(space, n_actions, dims, at, ranges, actions)
        else:
            raise ValueError(
                f"States of the space {space} cannot be drawn. Expected Discrete states, or a Box "
                "of shape (n,) with n > 1. Pass an agent that has such states."
            )
        n_cells = layout.states.shape[:3]
        batch = layout.states.reshape(prod(n_cells), *space.shape)
        q_values = agent.qfunction_.values(batch)
        if layout.masks is not None:
            q_values = np.where(layout.masks, q_values, -np.inf)
        # V(s) = max_a Q(s, a)
        values, greedy = q_values.max(axis=1), q_values.argmax(axis=1)
        return cls(values.reshape(n_cells), greedy.reshape(n_cells), layout).plot(ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw the values and the greedy actions.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, array of those, or None, default=None
            Where to draw: one per map, and two for continuous states. None makes a new figure.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If the number of axes is wrong.
        """
        n_panels = self.layout.n_panels
        axes = self._new_axes() if ax is None else np.atleast_1d(ax).ravel()
        if len(axes) != n_panels:
            raise ValueError(
                f"Expected {n_panels} axes, got {len(axes)}. Omit ax, or pass the axes of "
                f"plt.subplots(1, {n_panels})."
            )
        self.axes_, self.figure_ = axes, axes[0].figure
        drawn = self.layout.draw(axes, self.values, self.actions)
        beside = axes[:1] if isinstance(self.layout, Plane) else axes
        self.figure_.colorbar(
            drawn, ax=list(beside), label=COLOR_BAR, location=self.layout.bar_location
        )
        return self

    def _new_axes(self) -> Any:
        """Make a figure with two panels in a row."""
        n_panels, (width, height) = self.layout.n_panels, self.layout.panel_size
        n_columns = min(n_panels, 2)
        n_rows = -(-n_panels // n_columns)
        size = np.array([n_columns * width, n_rows * height])
        size[1 if self.layout.bar_location == "bottom" else 0] += 0.9  # room for the colour bar
        _, axes = pyplot().subplots(
            n_rows, n_columns, figsize=size, layout="constrained", squeeze=False
        )
        for ax in axes.flat[n_panels:]:
            ax.remove()
        return axes.ravel()[:n_panels]


def _check_spaces(agent: Any, env: Any) -> None:
    """Raise a ValueError unless the agent can act in the environment."""
    environment = as_environment(env)
    try:
        given = environment.observation_space, environment.action_space
    finally:
        if environment is not env:
            environment.close()
    trained = agent.observation_space_, agent.action_space_
    if trained != given:
        raise ValueError(
            f"The agent was trained with observation and action space {trained}, but this "
            f"environment has {given}. Pass the environment that it was trained in."
        )


def _check_unused(space: gymnasium.Space[Any], **arguments: Any) -> None:
    given = {name: value for name, value in arguments.items() if value is not None}
    if given:
        raise ValueError(f"These arguments do not apply to states of {space}: {given}. Omit them.")


def _unwrapped(env: Any) -> gymnasium.Env[Any, Any] | None:
    """Make the unwrapped environment; None for an `Environment` that is not of Gymnasium."""
    environment = as_environment(env)
    if not isinstance(environment, GymEnvironment):
        return None
    recipe, _ = replicate(environment.env, 1, None)
    world = make_one(recipe[0] if isinstance(recipe, list) else recipe, None)
    world.close()
    return world.unwrapped
