"""Continuous states: a plane through the state space, and how the values on it are drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from jaxtyping import Float, Int64, Shaped

# Points along each axis. It is odd, so that the middle of each range is one of them.
N_POINTS = 101


@dataclass(frozen=True)
class Plane:
    """A plane of states, of which two numbers vary.

    Parameters
    ----------
    states : ndarray of shape (1, n_points, n_points, n_dims)
        The states. The first chosen number grows along the third axis, the second one along the
        second axis.
    dims : (int, int)
        Which numbers of the state vary.
    symbols : sequence of str
        Names of the actions.
    """

    states: Shaped[np.ndarray, "1 n_points n_points n_dims"]
    dims: tuple[int, int]
    symbols: Sequence[str]

    masks = None
    n_panels = 2
    panel_size = (4.6, 3.6)
    bar_location = "right"

    def draw(
        self,
        axes: Shaped[np.ndarray, " 2"],
        values: Float[np.ndarray, "1 n_points n_points"],
        actions: Int64[np.ndarray, "1 n_points n_points"],
    ) -> Any:
        """Draw the values on the first axes, and the greedy actions on the second.

        Parameters
        ----------
        axes : ndarray of shape (2,)
            Where to draw.
        values : ndarray of shape (1, n_points, n_points)
            V(s) of each state.
        actions : ndarray of shape (1, n_points, n_points), dtype int64
            The greedy action in each state.

        Returns
        -------
        matplotlib.collections.QuadMesh
            The values, for the colour bar.
        """
        from matplotlib import colormaps
        from matplotlib.colors import BoundaryNorm

        x, y = self.states[0, 0, :, self.dims[0]], self.states[0, :, 0, self.dims[1]]
        n_actions = len(self.symbols)
        mesh = axes[0].pcolormesh(x, y, values[0], cmap="viridis", shading="nearest")
        greedy = axes[1].pcolormesh(
            x,
            y,
            actions[0],
            cmap=colormaps["cividis"].resampled(n_actions),
            norm=BoundaryNorm(np.arange(n_actions + 1) - 0.5, n_actions),
            shading="nearest",
        )
        bar = axes[1].figure.colorbar(greedy, ax=axes[1], label="greedy action")
        bar.set_ticks(range(n_actions), labels=self.symbols)
        for ax in axes:
            # A picture of points, also in a file of vector graphics.
            ax.collections[0].set_rasterized(True)
            ax.set(xlabel=f"state[{self.dims[0]}]", ylabel=f"state[{self.dims[1]}]")
        return mesh


def find_plane(
    space: Box,
    n_actions: int,
    dims: tuple[int, int] = (0, 1),
    at: Mapping[int, float] | None = None,
    ranges: Mapping[int, tuple[float, float]] | None = None,
    actions: Mapping[int, str] | None = None,
) -> Plane:
    """Choose a plane through a space of continuous states.

    Parameters
    ----------
    space : gymnasium.spaces.Box
        The space of one state, of shape (n_dims,).
    n_actions : int
        Number of actions.
    dims : (int, int)
        Which numbers of the state vary.
    at : dict of int to float, or None
        Values of the other numbers, by their index. Those that are not given are in the middle of
        their bounds, or 0 where the bounds are infinite.
    ranges : dict of int to (float, float), or None
        Ranges of the two numbers, by their index. Those that are not given are the bounds.
    actions : dict of int to str, or None
        Names of actions, by their index. Those without a name have their number.

    Returns
    -------
    Plane

    Raises
    ------
    ValueError
        If an index does not exist, or a range is not known.
    """
    (n_dims,) = space.shape
    at, ranges, names = dict(at or {}), dict(ranges or {}), dict(actions or {})
    if len(dims) != 2 or len(set(dims)) != 2 or not set(dims) <= set(range(n_dims)):
        raise ValueError(
            f"dims must be two different indices of a state of {n_dims} numbers, from 0 to "
            f"{n_dims - 1}; got {dims!r}."
        )
    others = sorted(set(range(n_dims)) - set(dims))
    _check_keys("at", at, others)
    _check_keys("ranges", ranges, dims)
    _check_keys("actions", names, range(n_actions))
    middle = np.zeros(n_dims)
    bounded = np.isfinite(space.low) & np.isfinite(space.high)
    middle[bounded] = (space.low[bounded] + space.high[bounded]) / 2
    middle[list(at)] = list(at.values())
    states = np.tile(middle, (1, N_POINTS, N_POINTS, 1))
    x, y = (_ticks(space, dim, ranges.get(dim)) for dim in dims)
    states[..., dims[0]], states[..., dims[1]] = np.meshgrid(x, y)
    symbols = [names.get(index, str(index)) for index in range(n_actions)]
    return Plane(states.astype(space.dtype), dims, symbols)


def _check_keys(name: str, given: Mapping[int, Any], known: Sequence[int]) -> None:
    if not set(given) <= set(known):
        raise ValueError(
            f"{name} must be a dict whose keys are among the indices {list(known)}, got {given!r}."
        )


def _ticks(space: Box, dim: int, given: tuple[float, float] | None) -> Float[np.ndarray, " n"]:
    """Points between the ends of the range of a number."""
    low, high = (space.low[dim], space.high[dim]) if given is None else given
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"The range of state[{dim}] must be finite and increasing, got ({low}, {high}). Pass "
            f"one, such as ranges={{{dim}: (-1, 1)}}."
        )
    return np.linspace(low, high, N_POINTS)
