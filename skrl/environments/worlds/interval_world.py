"""A walk on a line of integers with two ends."""

from skrl.environments.worlds.drawing import Point
from skrl.environments.worlds.integer_world import IntegerWorld


class IntervalWorld(IntegerWorld):
    """The integers -n..n on a line, to be walked towards 0; its ends terminate the episode.

    The agent steps left (-1), stays, or steps right (+1). A step from s to s' earns
    ``|s| - |s'|``: +1 towards 0, -1 away from 0, 0 for staying. An episode begins anywhere
    between -n and n, and terminates on arrival at one of them.
    ``gymnasium.make("skrl/IntervalWorld-v0")`` truncates it after 100 steps.

    With a discount factor gamma < 1 the optimal policy goes to 0 and stays there. From distance d
    that earns +1 in each of the next d steps, and nothing afterwards. The optimal values are
    therefore known exactly::

        V(s)    = 1 + gamma + ... + gamma^(d-1) = (1 - gamma^d) / (1 - gamma),  d = |s| < n
        V(-n)   = V(n) = 0, because the episode is over
        Q(s, a) = |s| - |s'| + gamma V(s'),  where a leads from s to s'

    which is ``V(s)`` for the step towards 0, ``gamma V(s)`` for staying, ``-1 + gamma V(s')`` for
    a step away from 0, and thus -1 for the step onto an end.

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

    See Also
    --------
    CircularWorld : The same walk in a ring, which never terminates.

    Examples
    --------
    >>> from skrl.environments.worlds import IntervalWorld
    >>> world = IntervalWorld(n=2, render_mode="ansi")
    >>> world.reset(options={"state": 0})
    (0, {})
    >>> world.step(0)                  # left, away from 0
    (-1, -1.0, False, False, {})
    >>> world.render()
    '-2 [-1] 0 1 2'
    >>> world.step(0)                  # left, onto the end: the episode is over
    (-2, -1.0, True, False, {})

    By its id, with the time limit:

    >>> import gymnasium
    >>> world = gymnasium.make("skrl/IntervalWorld-v0", n=2)
    >>> world.spec.max_episode_steps
    100
    """

    picture_size = (640, 120)

    def neighbour(self, state: int, step: int) -> int:
        """Give the integer that a step of -1, 0 or +1 leads to."""
        return state + step

    def is_terminal(self, state: int) -> bool:
        """Whether arriving at `state` ends the episode: at both ends."""
        return abs(state) == self.n

    def position(self, state: int) -> Point:
        """Place `state` in the picture: on a line from left to right."""
        cell_width = 616 / (2 * self.n + 1)
        return 320 + cell_width * state, 50.0
