"""The base class of deterministic worlds whose states are successive integers."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, SupportsIndex

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import UInt8


class NumberedWorld(gymnasium.Env[Any, Any], ABC):
    """A deterministic world whose states are successive integers.

    A subclass names the actions, and defines where they lead and what they earn. By default the
    states are 0, 1, ..., n, and an episode begins at 0 and ends at n.

    Parameters
    ----------
    n : int
        Size of the world, at least 1.
    render_mode : {"ansi"} or None
        What `render` returns: a line of text, or nothing.

    Attributes
    ----------
    observation_space : gymnasium.spaces.Discrete
        The integers; an observation is the integer itself.
    action_space : gymnasium.spaces.Discrete
        One number per name in `action_names`.
    state : int or None
        Where the agent is; None until the first `reset`.

    Raises
    ------
    ValueError
        If `n` is not an integer, or is less than 1, or `render_mode` is not known.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi"],
        "render_fps": 4,
    }

    action_names: ClassVar[tuple[str, ...]]

    def __init__(self, n: int, render_mode: str | None = None) -> None:
        if not isinstance(n, int | np.integer) or n < 1:
            raise ValueError(f"n must be an integer of at least 1, got {n!r}.")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, "
                f"got {render_mode!r}."
            )
        self.n = n
        self.render_mode = render_mode
        self.observation_space = Discrete(len(self.states), start=self.states[0])
        self.action_space = Discrete(len(self.action_names))
        self.state: int | None = None

    @abstractmethod
    def outcome(self, state: int, action: int) -> tuple[int, float]:
        """Give the next state and the reward."""

    @property
    def states(self) -> range:
        """The integers 0, 1, ..., n."""
        return range(self.n + 1)

    def first_state(self) -> int:
        """Choose the first state: 0."""
        return 0

    def is_terminal(self, state: int) -> bool:
        """Whether arriving at `state` ends the episode: at n."""
        return state == self.n

    @property
    def starts(self) -> list[int]:
        """The states where an episode can begin: all that are not terminal."""
        return [state for state in self.states if not self.is_terminal(state)]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Begin an episode.

        Parameters
        ----------
        seed : int or None
            Seeds `np_random`, the source of all random numbers.
        options : dict or None
            ``{"state": s}`` begins in state s. Without it, `first_state` chooses.

        Returns
        -------
        observation : int
            The first state.
        info : dict
            Empty.

        Raises
        ------
        ValueError
            If an episode cannot begin in ``options["state"]``.
        """
        super().reset(seed=seed)
        state = (options or {}).get("state")
        if state is None:
            state = self.first_state()
        elif state not in self.starts:
            raise ValueError(
                f"The first state must be an integer from {self.starts[0]} to "
                f"{self.starts[-1]}, got options={{'state': {state!r}}}."
            )
        self.state = int(state)
        return self.state, {}

    def step(self, action: SupportsIndex) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Take an action.

        Parameters
        ----------
        action : int
            Its number in `action_names`.

        Returns
        -------
        observation : int
            The next state.
        reward : float
            See the description of the world.
        terminated : bool
            Whether the episode ended.
        truncated : bool
            False: ``gymnasium.make`` adds the time limit.
        info : dict
            Empty.

        Raises
        ------
        ValueError
            If the action does not exist, or no episode is under way.
        """
        if not self.action_space.contains(action):
            actions = ", ".join(f"{i} ({name})" for i, name in enumerate(self.action_names))
            raise ValueError(f"The action must be one of {actions}, got {action!r}.")
        if self.state is None or self.is_terminal(self.state):
            raise ValueError(f"No episode is under way (state: {self.state}). Call reset() first.")
        self.state, reward = self.outcome(self.state, int(action))
        return self.state, reward, self.is_terminal(self.state), False, {}

    def render(self) -> UInt8[np.ndarray, "height width 3"] | str | None:
        """Show where the agent is.

        Returns
        -------
        str, ndarray of shape (height, width, 3) and dtype uint8, or None
            For the render mode "ansi", the states in a line, the agent's in brackets. For
            "rgb_array", if the world has that mode, a picture. None without a render mode.

        Raises
        ------
        ValueError
            If no episode has begun.
        """
        if self.render_mode is None:
            modes = " or ".join(f'render_mode="{mode}"' for mode in self.metadata["render_modes"])
            gymnasium.logger.warn(
                f"The world has no render mode, so render() returns None: make it with {modes}."
            )
            return None
        if self.state is None:
            raise ValueError("No episode has begun. Call reset() first.")
        return self._show(self.state)

    def _show(self, agent: int) -> UInt8[np.ndarray, "height width 3"] | str:
        return " ".join(f"[{s}]" if s == agent else f"{s}" for s in self.states)
