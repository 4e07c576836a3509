"""The world of example 6.7 of Sutton & Barto, where Q-learning overestimates values."""

from typing import Any, ClassVar, SupportsIndex

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

# The states: the first one, that of the arms, and the ends to the right and to the left.
A, B, RIGHT_END, LEFT_END = range(4)

# Their order from left to right, and their names.
NAMES = {LEFT_END: "end", B: "B", A: "A", RIGHT_END: "end"}

MEAN, STANDARD_DEVIATION = -0.1, 1.0


class MaximizationBias(gymnasium.Env[Any, Any]):
    """Go right and earn 0, or left to many arms that earn -0.1 on average.

    Example 6.7 of Sutton & Barto (2018), where Q-learning overestimates values and Double
    Q-learning does not. An episode begins in A. Going right ends it with a reward of 0. Going left
    leads to B, also with a reward of 0. In B every action ends the episode with a reward drawn
    from a normal distribution of mean -0.1 and standard deviation 1::

        end <-- B <-- A --> end
         N(-0.1, 1)  0    0

    Going right is optimal. But the maximum of many noisy estimates in B stays positive for many
    episodes, so Q-learning goes left. The values are known exactly::

        Q(A, right) = 0      Q(A, left) = -0.1 gamma      Q(B, a) = -0.1
        V(A)        = 0                                   V(B)    = -0.1

    In the book A has two actions and B has many. Here both have the same actions: in A, the first
    half of them goes left and the other half right, so a random action goes left half of the time,
    as in the book. The values of `n_arms` / 2 actions that go left must be learned separately, so
    the bias lasts longer than in the book's figure 6.5.

    Parameters
    ----------
    n_arms : int
        Number of actions, even and at least 2.
    render_mode : {"ansi"} or None
        What `render` returns: a line of text, or nothing.

    Attributes
    ----------
    observation_space : gymnasium.spaces.Discrete
        0 is A, 1 is B, 2 the end to the right of A, 3 the end to the left of B.
    action_space : gymnasium.spaces.Discrete
        In A, the actions 0, ..., n_arms / 2 - 1 go left, the others right. In B, each is an arm.
    state : int or None
        Where the agent is; None until the first `reset`.

    Raises
    ------
    ValueError
        If `n_arms` is not an even integer of at least 2, or `render_mode` is not known.

    References
    ----------
    R. Sutton & A. Barto (2018), "Reinforcement learning", section 6.7.

    Examples
    --------
    >>> from skrl.environments.worlds import MaximizationBias
    >>> world = MaximizationBias(n_arms=4, render_mode="ansi")
    >>> world.reset(seed=0)
    (0, {})
    >>> world.step(1)                  # the first two of four actions go left, to B
    (1, 0.0, False, False, {})
    >>> world.render()
    'end [B] A end'
    >>> state, reward, terminated, truncated, info = world.step(3)
    >>> state, round(reward, 2), terminated
    (3, 0.03, True)

    By its id:

    >>> import gymnasium
    >>> gymnasium.make("skrl/MaximizationBias-v0").action_space
    Discrete(10)
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi"],
        "render_fps": 4,
    }

    def __init__(self, n_arms: int = 10, render_mode: str | None = None) -> None:
        if not isinstance(n_arms, int | np.integer) or n_arms < 2 or n_arms % 2:
            raise ValueError(
                "n_arms must be an even integer of at least 2 (half of the actions go left in A), "
                f"got {n_arms!r}."
            )
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(
                f"render_mode must be one of {self.metadata['render_modes']} or None, "
                f"got {render_mode!r}."
            )
        self.n_arms = n_arms
        self.render_mode = render_mode
        self.observation_space = Discrete(len(NAMES))
        self.action_space = Discrete(n_arms)
        self.state: int | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Begin an episode in A.

        Parameters
        ----------
        seed : int or None
            Seeds `np_random`, the source of the rewards.
        options : dict or None
            Ignored.

        Returns
        -------
        observation : int
            0, which is A.
        info : dict
            Empty.
        """
        super().reset(seed=seed)
        self.state = A
        return A, {}

    def step(self, action: SupportsIndex) -> tuple[int, float, bool, bool, dict[str, Any]]:
        """Go left or right in A, or pull an arm in B.

        Parameters
        ----------
        action : int
            In A, 0, ..., n_arms / 2 - 1 go left, the others right. In B, the arm.

        Returns
        -------
        observation : int
            The next state.
        reward : float
            0 for a step from A; from B, a draw from N(-0.1, 1).
        terminated : bool
            Whether an end has been reached.
        truncated : bool
            False.
        info : dict
            Empty.

        Raises
        ------
        ValueError
            If the action does not exist, or no episode is under way.
        """
        if not self.action_space.contains(action):
            raise ValueError(
                f"The action must be an integer from 0 to {self.n_arms - 1}, got {action!r}."
            )
        if self.state not in (A, B):
            raise ValueError(f"No episode is under way (state: {self.state}). Call reset() first.")
        reward = 0.0
        if self.state == A:
            goes_left = int(action) < self.n_arms // 2
            self.state = B if goes_left else RIGHT_END
        else:
            reward = self.np_random.normal(MEAN, STANDARD_DEVIATION)
            self.state = LEFT_END
        return self.state, reward, self.state != B, False, {}

    def render(self) -> str | None:
        """Show where the agent is.

        Returns
        -------
        str or None
            The states in a line, the agent's in brackets; None without a render mode.

        Raises
        ------
        ValueError
            If no episode has begun.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "The world has no render mode, so render() returns None: make it with "
                'render_mode="ansi".'
            )
            return None
        if self.state is None:
            raise ValueError("No episode has begun. Call reset() first.")
        return " ".join(f"[{name}]" if s == self.state else name for s, name in NAMES.items())
