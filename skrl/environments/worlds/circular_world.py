"""A walk around a ring of integers."""

import math

from skrl.environments.worlds.drawing import Point
from skrl.environments.worlds.integer_world import IntegerWorld


class CircularWorld(IntegerWorld):
    """The integers -n..n in a ring, to be walked towards 0.

    The agent steps left (-1), stays, or steps right (+1). A step right from n leads to -n, and a
    step left from -n leads to n. With ``|s|`` the distance of s to 0 along the ring, a step from
    s to s' earns ``|s| - |s'|``: +1 towards 0, -1 away from 0, 0 for staying and for the step
    between n and -n, which are equally far from 0. An episode never terminates;
    ``gymnasium.make("skrl/CircularWorld-v0")`` truncates it after 100 steps.

    With a discount factor gamma < 1 the optimal policy goes to 0 on the shorter way and stays
    there. From distance d that earns +1 in each of the next d steps, and nothing afterwards. The
    optimal values are therefore known exactly::

        V(s)        = 1 + gamma + ... + gamma^(d-1) = (1 - gamma^d) / (1 - gamma),  d = |s|
        Q(s, a)     = |s| - |s'| + gamma V(s'),  where a leads from s to s'

    which is ``V(s)`` for the step towards 0, ``gamma V(s)`` for staying, ``-1 + gamma V(s')`` for
    a step away from 0, and ``gamma V(n)`` for the step between n and -n.

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
    IntervalWorld : The same walk on a line, whose ends terminate the episode.

    Examples
    --------
    >>> from skrl.environments.worlds import CircularWorld
    >>> world = CircularWorld(n=2, render_mode="ansi")
    >>> world.reset(options={"state": 2})
    (2, {})
    >>> world.step(2)                  # right, from n to -n: as far from 0 as before
    (-2, 0.0, False, False, {})
    >>> world.step(2)                  # right, towards 0
    (-1, 1.0, False, False, {})
    >>> world.render()
    '-2 [-1] 0 1 2'

    By its id, with the time limit:

    >>> import gymnasium
    >>> world = gymnasium.make("skrl/CircularWorld-v0", n=2)
    >>> world.spec.max_episode_steps
    100
    """

    picture_size = (400, 400)

    def neighbour(self, state: int, step: int) -> int:
        """Give the integer that a step of -1, 0 or +1 leads to; n and -n are neighbours."""
        return (state + step + self.n) % (2 * self.n + 1) - self.n

    def is_terminal(self, state: int) -> bool:
        """Whether arriving at `state` ends the episode: never."""
        return False

    def position(self, state: int) -> Point:
        """Place `state` in the picture: on a circle, clockwise from 0 at the top."""
        angle = 2 * math.pi * state / (2 * self.n + 1)
        return 200 + 152 * math.sin(angle), 200 - 152 * math.cos(angle)
