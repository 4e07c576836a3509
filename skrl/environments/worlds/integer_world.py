"""The base class of the worlds that are walks towards 0."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
from jaxtyping import UInt8

from skrl.environments.worlds.drawing import Point, draw_world
from skrl.environments.worlds.numbered_world import NumberedWorld

# What an action adds to the state: 0 steps left, 1 stays, 2 steps right.
STEPS = (-1, 0, +1)


class IntegerWorld(NumberedWorld):
    """A walk over the integers -n..n, rewarded for coming closer to 0.

    A subclass defines which integers are neighbours, where an episode ends, and the place of each
    integer in a picture.

    Parameters
    ----------
    n : int
        The largest integer, at least 1.
    render_mode : {"rgb_array", "ansi"} or None
        What `render` returns: a picture, a line of text, or nothing.

    Attributes
    ----------
    observation_space : gymnasium.spaces.Discrete
        The integers -n..n; an observation is the integer itself.
    action_space : gymnasium.spaces.Discrete
        0 steps left (-1), 1 stays, 2 steps right (+1).
    state : int or None
        Where the agent is; None until the first `reset`.

    Raises
    ------
    ValueError
        If `n` is not an integer, or is less than 1, or `render_mode` is not known.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
    }

    action_names = ("left", "stay", "right")

    # Width and height of the picture, in pixels.
    picture_size: ClassVar[tuple[int, int]]

    def __init__(self, n: int = 5, render_mode: str | None = None) -> None:
        super().__init__(n, render_mode)

    @abstractmethod
    def neighbour(self, state: int, step: int) -> int:
        """Give the integer that a step of -1, 0 or +1 leads to."""

    @abstractmethod
    def is_terminal(self, state: int) -> bool:
        """Whether arriving at `state` ends the episode."""

    @abstractmethod
    def position(self, state: int) -> Point:
        """Place `state` in the picture: pixels from the left and from the top."""

    @property
    def states(self) -> range:
        """The integers -n..n."""
        return range(-self.n, self.n + 1)

    def first_state(self) -> int:
        """Draw the first state: all that are not terminal are equally likely."""
        return int(self.np_random.choice(self.starts))

    def outcome(self, state: int, action: int) -> tuple[int, float]:
        """Give the next state s' and the reward, how much closer to 0 it is."""
        # r = |s| - |s'|
        next_state = self.neighbour(state, STEPS[action])
        return next_state, float(abs(state) - abs(next_state))

    def _show(self, agent: int) -> UInt8[np.ndarray, "height width 3"] | str:
        if self.render_mode == "ansi":
            return super()._show(agent)
        inner = [s for s in self.states if not self.is_terminal(s)]
        return draw_world(
            size=self.picture_size,
            positions={s: self.position(s) for s in self.states},
            links=[(s, self.neighbour(s, step)) for s in inner for step in (-1, +1)],
            ends=[s for s in self.states if self.is_terminal(s)],
            agent=agent,
        )
