"""What the academic worlds of integers have in common."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, SupportsIndex

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import UInt8

from skrl.environments.worlds.drawing import Point, draw_world

# What an action adds to the state: 0 steps left, 1 stays, 2 steps right.
STEPS = (-1, 0, +1)


class IntegerWorld(gymnasium.Env[Any, Any], ABC):
    """A walk over the integers -n..n, rewarded for coming closer to 0.

    A subclass says which integer is next to which, where an episode ends, and where a picture
    shows each integer.

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
        If `n` is no integer or less than 1, or `render_mode` is not known.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array", "ansi"],
        "render_fps": 4,
    }

    # Width and height of the picture, in pixels.
    picture_size: ClassVar[tuple[int, int]]

    def __init__(self, n: int = 5, render_mode: str | None = None) -> None:
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n, the largest integer, must be an integer from 1 on, got {n!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, "
                f"got {render_mode!r}."
            )
        self.n = n
        self.render_mode = render_mode
        self.observation_space = Discrete(2 * n + 1, start=-n)
        self.action_space = Discrete(len(STEPS))
        self.state: int | None = None

    @abstractmethod
    def neighbour(self, state: int, step: int) -> int:
        """Give the integer that a step of -1, 0 or +1 leads to."""

    @abstractmethod
    def is_terminal(self, state: int) -> bool:
        """Whether arriving at `state` ends the episode."""

    @abstractmethod
    def position(self, state: int) -> Point:
        """Where the picture shows `state`: pixels from the left and from the top."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Begin an episode.

        Parameters
        ----------
        seed : int or None
            Seeds `np_random`, from which the first state is drawn.
        options : dict or None
            ``{"state": s}`` begins at the integer s. Without it, the first state is any that
            does not end the episode, all with the same probability.

        Returns
        -------
        observation : int
            The first state.
        info : dict
            Empty.

        Raises
        ------
        ValueError
            If an episode cannot begin at ``options["state"]``.
        """
        super().reset(seed=seed)
        starts = [state for state in self.states if not self.is_terminal(state)]
        state = (options or {}).get("state")
        if state is None:
            state = self.np_random.choice(starts)
        elif state not in starts:
            raise ValueError(
                f"An episode begins at an integer from {starts[0]} to {starts[-1]}, "
                f"got options={{'state': {state!r}}}."
            )
        self.state = int(state)
        return self.state, {}

    def step(self, action: SupportsIndex) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Step left, stay, or step right.

        Parameters
        ----------
        action : int
            0 steps left, 1 stays, 2 steps right.

        Returns
        -------
        observation : int
            The next state s'.
        reward : float
            ``|s| - |s'|``: how much closer to 0 the agent is now.
        terminated : bool
            Whether the episode ended.
        truncated : bool
            False: a time limit is up to ``gymnasium.make``.
        info : dict
            Empty.

        Raises
        ------
        ValueError
            If there is no such action, or no episode is under way.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"An action is 0 (left), 1 (stay) or 2 (right), got {action!r}.")
        if self.state is None or self.is_terminal(self.state):
            raise ValueError(f"No episode is under way (state: {self.state}). Call reset() first.")
        next_state = self.neighbour(self.state, STEPS[action])
        reward = float(abs(self.state) - abs(next_state))
        self.state = next_state
        return next_state, reward, self.is_terminal(next_state), False, {}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | str | None:
        """Show where the agent is.

        Returns
        -------
        ndarray of shape (height, width, 3) and dtype uint8, str or None
            A picture for the render mode "rgb_array"; for "ansi", the integers in a line, the
            agent's in brackets; None without a render mode.

        Raises
        ------
        ValueError
            If no episode has begun.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "Nothing is rendered without a render mode: make the world with "
                'render_mode="rgb_array" or render_mode="ansi".'
            )
            return None
        if self.state is None:
            raise ValueError("There is nothing to render yet. Call reset() first.")
        if self.render_mode == "ansi":
            return " ".join(f"[{s}]" if s == self.state else f"{s}" for s in self.states)
        inner = [s for s in self.states if not self.is_terminal(s)]
        return draw_world(
            size=self.picture_size,
            positions={s: self.position(s) for s in self.states},
            links=[(s, self.neighbour(s, step)) for s in inner for step in (-1, +1)],
            ends=[s for s in self.states if self.is_terminal(s)],
            agent=self.state,
        )

    @property
    def states(self) -> range:
        """The integers -n..n."""
        return range(-self.n, self.n + 1)
