"""A choice between nothing and a gamble that is worth less than nothing."""

from typing import Any, ClassVar, SupportsIndex

import gymnasium
import numpy as np
from gymnasium.spaces import Discrete

# The states: where an episode begins, where the arms are, and the ends to the right and left.
A, B, RIGHT_END, LEFT_END = range(4)

# How they lie side by side, from left to right, and what they are called.
NAMES = {LEFT_END: "end", B: "B", A: "A", RIGHT_END: "end"}

MEAN, STANDARD_DEVIATION = -0.1, 1.0


class MaximizationBias(gymnasium.Env[Any, Any]):
    """Go right for nothing, or left to a row of arms that pay -0.1 on average.

    Example 6.7 of Sutton & Barto (2018), which shows where Q-learning errs and Double Q-learning
    does not. An episode begins in A. To go right ends it with a reward of 0. To go left leads to B,
    with a reward of 0 as well, and there every action ends the episode with a reward drawn from a
    normal distribution of mean -0.1 and standard deviation 1::

        end <-- B <-- A --> end
         N(-0.1, 1)  0    0

    To go right is best. But the highest of many noisy estimates in B is positive for long, so that
    an agent which believes in the maximum goes left. The values are known exactly::

        Q(A, right) = 0      Q(A, left) = -0.1 gamma      Q(B, a) = -0.1
        V(A)        = 0                                   V(B)    = -0.1

    In the book A has two actions and B has many. Here one action space serves both: in A, the
    first half of the actions goes left and the other half right, so that a random action goes left
    as often as right, as in the book. The greedy choice in A is one of `n_arms` then, half of which
    must be found to be bad one by one: the bias lasts longer than in the book's figure 6.5.

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
        If `n_arms` is no even integer or less than 2, or `render_mode` is not known.

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
                "n_arms, the number of actions, must be an even integer from 2 on (half of the "
                f"actions go left in A), got {n_arms!r}."
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
            Seeds `np_random`, from which the rewards are drawn.
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
            In A, one below n_arms / 2 goes left, any other right. In B, the arm.

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
            If there is no such action, or no episode is under way.
        """
        if not self.action_space.contains(action):
            raise ValueError(
                f"An action is an integer from 0 to {self.n_arms - 1}, got {action!r}."
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
                'Nothing is rendered without a render mode: make the world with render_mode="ansi".'
            )
            return None
        if self.state is None:
            raise ValueError("There is nothing to render yet. Call reset() first.")
        return " ".join(f"[{name}]" if s == self.state else name for s, name in NAMES.items())
