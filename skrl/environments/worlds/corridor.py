"""A long corridor with a reward at its end."""

from skrl.environments.worlds.numbered_world import NumberedWorld


class Corridor(NumberedWorld):
    """A corridor of n + 1 places, rewarded only at its far end.

    The agent begins at place 0, and steps left (-1) or right (+1). There is a wall at place 0: a
    step left stays there. Arriving at place n earns 1 and terminates the episode; all other steps
    earn 0. ``gymnasium.make("skrl/Corridor-v0")`` truncates it after 100 steps.

    With one-step returns, the value of the reward propagates back by one place per episode; with
    n-step returns it propagates by n places (Sutton & Barto, 2018, chapter 7). With a discount
    factor gamma < 1 it is optimal always to step right, and the optimal values are known exactly::

        V(s)        = gamma^(n-1-s),  V(n) = 0
        Q(s, right) = V(s)
        Q(s, left)  = gamma V(s - 1) = gamma^(n+1-s)   for 0 < s < n
        Q(0, left)  = gamma V(0)     = gamma^n

    Parameters
    ----------
    n : int, default=20
        Number of steps from one end to the other, at least 1.
    render_mode : {"ansi"} or None
        What `render` returns: a line of text, or nothing.

    Attributes
    ----------
    observation_space : gymnasium.spaces.Discrete
        The places 0, 1, ..., n.
    action_space : gymnasium.spaces.Discrete
        0 steps left (-1), 1 steps right (+1).
    state : int or None
        Where the agent is; None until the first `reset`.

    Raises
    ------
    ValueError
        If `n` is not an integer, or is less than 1, or `render_mode` is not known.

    Examples
    --------
    >>> from skrl.environments.worlds import Corridor
    >>> world = Corridor(n=2, render_mode="ansi")
    >>> world.reset()
    (0, {})
    >>> world.step(0)                  # left, against the wall
    (0, 0.0, False, False, {})
    >>> world.step(1)                  # right
    (1, 0.0, False, False, {})
    >>> world.render()
    '0 [1] 2'
    >>> world.step(1)                  # right, to the end
    (2, 1.0, True, False, {})

    By its id, with another time limit:

    >>> import gymnasium
    >>> world = gymnasium.make("skrl/Corridor-v0", n=50, max_episode_steps=1000)
    >>> world.spec.max_episode_steps
    1000
    """

    action_names = ("left", "right")

    def __init__(self, n: int = 20, render_mode: str | None = None) -> None:
        super().__init__(n, render_mode)

    def outcome(self, state: int, action: int) -> tuple[int, float]:
        """Give the next state and the reward: 1 for arriving at the end, 0 for other steps."""
        next_state = max(state + (-1, +1)[action], 0)
        return next_state, float(next_state == self.n)
