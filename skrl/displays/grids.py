"""Grid worlds: which cell of a map shows which state, and how a map is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.toy_text import CliffWalkingEnv, FrozenLakeEnv, TaxiEnv
from gymnasium.spaces import Discrete
from jaxtyping import Bool, Float, Int64, Shaped

from skrl.base import ActionMasks
from skrl.displays._style import COLORS, GREY
from skrl.environments.worlds.numbered_world import NumberedWorld

LEFT, DOWN, RIGHT, UP = "←", "↓", "→", "↑"
# What `NumberedWorld.action_names` are drawn as; other actions are drawn as their numbers.
ARROWS = {"left": LEFT, "stay": "•", "right": RIGHT}

# Taxi: where the passenger is, in the order of its numbers.
PASSENGERS = ("R", "G", "Y", "B", "taxi")
DEFAULT_SLICES = (("R", "B"), ("taxi", "B"), ("Y", "G"), ("taxi", "G"))

# Cells in which no action is chosen: face colour, text colour, hatch.
CLOSED_STYLES = {
    "goal": ("#ffffff", "#000000", ""),
    "end": ("#ffffff", "#000000", ""),
    "hole": ("#303030", "#ffffff", "xxx"),
    "cliff": ("#303030", "#ffffff", "///"),
}


@dataclass(frozen=True)
class Grid:
    """Maps of a world with numbered states.

    Parameters
    ----------
    states : ndarray of shape (n_maps, n_rows, n_columns), dtype int64
        The state that each cell shows.
    symbols : sequence of str
        What each action is drawn as.
    letters : ndarray of shape (n_rows, n_columns), str
        A small label of each cell, which may be empty.
    closed : ndarray of shape (n_rows, n_columns), str
        "goal", "end", "hole" or "cliff" where no action is chosen, because the state is terminal
        or is never entered. Empty in all other cells.
    masks : ndarray of shape (n_maps * n_rows * n_columns, n_actions), bool, or None
        Which actions are allowed. None means that all are.
    walls : ndarray of shape (n_rows, n_columns), bool, or None
        Whether a wall is to the right of a cell.
    titles : sequence of str
        One per map.
    """

    states: Int64[np.ndarray, "n_maps n_rows n_columns"]
    symbols: Sequence[str]
    letters: Shaped[np.ndarray, "n_rows n_columns"]
    closed: Shaped[np.ndarray, "n_rows n_columns"]
    masks: ActionMasks | None = None
    walls: Bool[np.ndarray, "n_rows n_columns"] | None = None
    titles: Sequence[str] = ("",)

    @property
    def n_panels(self) -> int:
        """Number of axes to draw on: one per map."""
        return len(self.states)

    @property
    def panel_size(self) -> tuple[float, float]:
        """Width and height of a panel in inches."""
        n_maps, n_rows, n_columns = self.states.shape
        cell = float(np.clip(5 / max(n_rows, n_columns), 0.65, 1.0 if n_maps == 1 else 0.7))
        # Room for the names of the axes.
        return cell * n_columns + 0.7, cell * n_rows + 0.7

    @property
    def bar_location(self) -> str:
        """Where the colour bar is: along the longer side of a map."""
        n_rows, n_columns = self.letters.shape
        return "bottom" if n_columns > 2 * n_rows else "right"

    def draw(
        self,
        axes: Shaped[np.ndarray, " n_maps"],
        values: Float[np.ndarray, "n_maps n_rows n_columns"],
        actions: Int64[np.ndarray, "n_maps n_rows n_columns"],
    ) -> Any:
        """Draw all maps on one scale of colours.

        Parameters
        ----------
        axes : ndarray of shape (n_maps,)
            Where to draw.
        values : ndarray of shape (n_maps, n_rows, n_columns)
            V(s) of each cell.
        actions : ndarray of shape (n_maps, n_rows, n_columns), dtype int64
            The greedy action of each cell.

        Returns
        -------
        matplotlib.image.AxesImage
            The last map, for the colour bar.
        """
        hidden = np.broadcast_to(self.closed != "", values.shape)
        shown = np.ma.masked_array(values, hidden)
        for ax, title, cells, chosen in zip(axes, self.titles, shown, actions, strict=True):
            image = ax.imshow(cells, cmap="viridis", vmin=shown.min(), vmax=shown.max())
            self._draw_cells(ax, image, chosen)
            ax.set(title=title, xlabel="column", ylabel="row")
        return image

    def _draw_cells(self, ax: Any, image: Any, actions: Int64[np.ndarray, "n_rows n_cols"]) -> None:
        """Draw what is not the heat map: borders, symbols, labels, closed cells and walls."""
        n_rows, n_columns = actions.shape
        ax.set(xticks=range(n_columns), yticks=range(n_rows))
        ax.set_xticks(np.arange(n_columns + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(n_rows + 1) - 0.5, minor=True)
        ax.tick_params(which="minor", length=0)
        ax.grid(False)
        ax.grid(which="minor", color=GREY, linewidth=0.5)
        points = _cell_size(ax, n_rows, n_columns)
        for (row, column), closed in np.ndenumerate(self.closed):
            if closed:
                color = _draw_closed(ax, row, column, str(closed), points)
            else:
                color = _readable_on(image.to_rgba(image.get_array()[row, column]))
                symbol = self.symbols[int(actions[row, column])]
                size = points * (0.5 if len(symbol) == 1 else 0.9 / len(symbol))
                _write(ax, column, row, symbol, color, size)
            letter = str(self.letters[row, column])
            _write(ax, column - 0.36, row - 0.34, letter, color, 0.18 * points)
            if self.walls is not None and self.walls[row, column]:
                ax.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color=COLORS[1], linewidth=4)


def _draw_closed(ax: Any, row: int, column: int, name: str, points: float) -> str:
    """Draw a cell in which no action is chosen, and give the colour of its text."""
    from matplotlib.patches import Rectangle

    face, text, hatch = CLOSED_STYLES[name]
    corner = column - 0.5, row - 0.5
    ax.add_patch(Rectangle(corner, 1, 1, facecolor=face, edgecolor=GREY, hatch=hatch))
    box = {"facecolor": face, "edgecolor": "none", "pad": 0.5}
    _write(ax, column, row + 0.1, name, text, min(0.25 * points, 12), bbox=box)
    return text


def _write(
    ax: Any, x: float, y: float, text: str, color: str, size: float, bbox: Any = None
) -> None:
    if text:
        ax.text(x, y, text, color=color, size=size, ha="center", va="center", bbox=bbox)


def _cell_size(ax: Any, n_rows: int, n_columns: int) -> float:
    """Size of a cell in points (1/72 inch), before the axes are arranged."""
    box = ax.get_window_extent()
    pixels = min(box.width / n_columns, box.height / n_rows)
    return float(72 * pixels / ax.figure.dpi)


def _readable_on(color: Sequence[float]) -> str:
    """Black on a bright colour, white on a dark one."""
    red, green, blue = color[:3]
    # Luma of ITU-R BT.601
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"


# ---- finding the map of a world ----------------------------------------------------------------


def find_grid(
    world: gymnasium.Env[Any, Any] | None,
    n_states: int,
    n_actions: int,
    shape: tuple[int, int] | None = None,
    actions: Mapping[int, str] | None = None,
    slices: Sequence[tuple[str, str]] | None = None,
) -> Grid:
    """Find the maps of a world.

    Parameters
    ----------
    world : gymnasium.Env or None
        The unwrapped environment. It may be None if `shape` is given.
    n_states, n_actions : int
        Numbers of states and actions.
    shape : (int, int) or None
        Rows and columns of a world whose states are numbered row by row. None stands for what is
        known of `world`.
    actions : dict of int to str, or None
        Symbols of actions. Actions without one have what is known of `world`, or their number.
    slices : sequence of (str, str), or None
        For Taxi: where the passenger is and where to, for each map.

    Returns
    -------
    Grid

    Raises
    ------
    ValueError
        If the world is not known and there is no `shape`, or an argument does not fit the world.
    """
    if slices is not None and not isinstance(world, TaxiEnv):
        raise ValueError(f"slices are for Taxi only, got slices={slices!r}. Omit them.")
    if shape is not None:
        grid = _plain(n_states, shape)
        return replace(grid, symbols=_symbols((), n_actions, actions))
    if isinstance(world, FrozenLakeEnv):
        grid = _frozen_lake(world)
    elif isinstance(world, CliffWalkingEnv):
        grid = _cliff_walking(world)
    elif isinstance(world, TaxiEnv):
        grid = _taxi(world, DEFAULT_SLICES if slices is None else slices)
    elif isinstance(world, NumberedWorld):
        grid = _numbered(world)
    else:
        raise ValueError(
            f"The map of this world of {n_states} states is not known. Pass its number of rows and "
            "columns, shape=(n_rows, n_columns), if its states are numbered row by row."
        )
    # A wrapper may have changed the states or the actions.
    if _sizes(world) != (n_states, n_actions):
        raise ValueError(
            f"The map of {world} is one of {_sizes(world)} states and actions, but the agent has "
            f"{(n_states, n_actions)}. Pass shape=(n_rows, n_columns) and "
            "actions={index: symbol}."
        )
    return replace(grid, symbols=_symbols(grid.symbols, n_actions, actions))


def _sizes(world: gymnasium.Env[Any, Any]) -> tuple[int, int]:
    """Numbers of states and actions of a world with numbered states."""
    spaces = world.observation_space, world.action_space
    assert isinstance(spaces[0], Discrete)
    assert isinstance(spaces[1], Discrete)
    return int(spaces[0].n), int(spaces[1].n)


def _symbols(known: Sequence[str], n_actions: int, actions: Mapping[int, str] | None) -> list[str]:
    """Give one symbol per action: the user's, the known one, or the action's number."""
    symbols = dict(enumerate(known or map(str, range(n_actions))))
    if not set(actions or {}) <= set(symbols):
        raise ValueError(
            f"actions must be a dict of action indices, from 0 to {n_actions - 1}, and symbols, "
            f"such as {{0: '{LEFT}'}}; got {actions!r}."
        )
    return list((symbols | dict(actions or {})).values())


def _plain(n_states: int, shape: tuple[int, int]) -> Grid:
    if len(shape) != 2 or min(shape) < 1 or np.prod(shape) != n_states:
        raise ValueError(
            f"shape must be (n_rows, n_columns) of a map of {n_states} states, got {shape!r}: "
            "n_rows * n_columns must be the number of states."
        )
    blank = np.full(shape, "", dtype="U5")
    return Grid(np.arange(n_states).reshape(1, *shape), symbols=(), letters=blank, closed=blank)


def _frozen_lake(world: FrozenLakeEnv) -> Grid:
    letters = np.asarray(world.desc).astype(str)
    closed = np.select([letters == "H", letters == "G"], ["hole", "goal"], "")
    plain = _plain(letters.size, letters.shape)
    return replace(plain, symbols=(LEFT, DOWN, RIGHT, UP), letters=letters, closed=closed)


def _cliff_walking(world: CliffWalkingEnv) -> Grid:
    plain = _plain(int(world.nS), world.shape)
    outcomes = [
        o for by_action in world.P.values() for listed in by_action.values() for o in listed
    ]
    # Nothing leads onto the cliff: who steps off is back at the start at once.
    entered = {int(state) for _, state, _, _ in outcomes}
    goals = {int(state) for _, state, _, terminated in outcomes if terminated}
    closed = np.array(
        ["goal" if s in goals else "" if s in entered else "cliff" for s in range(world.nS)]
    )
    letters = np.full(world.nS, "", dtype="U1")
    letters[world.start_state_index] = "S"
    return replace(
        plain,
        symbols=(UP, RIGHT, DOWN, LEFT),
        letters=letters.reshape(world.shape),
        closed=closed.reshape(world.shape),
    )


def _taxi(world: TaxiEnv, slices: Sequence[tuple[str, str]]) -> Grid:
    for passenger, destination in slices:
        is_known = passenger in PASSENGERS and destination in PASSENGERS[:4]
        if not is_known or passenger == destination:
            raise ValueError(
                "Each of slices must be a pair of different places, where the passenger is (one "
                f"of {PASSENGERS}) and where to (one of {PASSENGERS[:4]}); got "
                f"{(passenger, destination)!r}. If they are equal, the episode has ended."
            )
    places = np.array([[PASSENGERS.index(place) for place in pair] for pair in slices])
    passenger, destination = places.T[:, :, np.newaxis, np.newaxis]
    rows, columns = np.indices((world.max_row + 1, world.max_col + 1))
    # `encode` takes single numbers.
    states = np.vectorize(world.encode)(rows, columns, passenger, destination)
    # Row 1 + r of `desc` is "|R: | : :G|": cells at odd positions, walls between them.
    picture = world.desc.astype(str)[1:-1]
    letters = np.char.strip(picture[:, 1::2])
    walls = picture[:, 2::2] == "|"
    walls[:, -1] = False  # the border
    titles = [f"passenger: {passenger}, destination: {to}" for passenger, to in slices]
    return Grid(
        states=states,
        symbols=(DOWN, UP, RIGHT, LEFT, "pick", "drop"),
        letters=letters,
        closed=np.full_like(letters, "", dtype="U5"),
        masks=np.array([world.action_mask(int(state)) for state in states.flat], dtype=bool),
        walls=walls,
        titles=titles,
    )


def _numbered(world: NumberedWorld) -> Grid:
    """Put the integers of an academic world in a row."""
    symbols = [ARROWS.get(name, str(index)) for index, name in enumerate(world.action_names)]
    closed = ["end" if world.is_terminal(state) else "" for state in world.states]
    return replace(
        _plain(len(closed), (1, len(closed))),
        symbols=symbols,
        letters=np.array([[str(state) for state in world.states]]),
        closed=np.array([closed]),
    )
