"""A walk along a cliff where only one long sequence of actions is rewarded."""

from skrl.environments.worlds.numbered_world import NumberedWorld


class BlindCliffwalk(NumberedWorld):
    """A walk of n steps along a cliff, rewarded only at its end.

    An episode begins in state 0. In each of the states 0, 1, ..., n - 1 one of the two actions is
    right and leads to the next state. The other one is wrong: it leads to state n, earns 0 and
    ends the episode. The right action is 0 in even states and 1 in odd ones. The right action in
    state n - 1 leads to state n, earns 1 and ends the episode.

    A random policy sees the reward once in 2^n episodes, so few of the transitions in a replay
    buffer are worth learning from. The world shows the benefit of prioritized replay (Schaul et
    al., 2016, section 3.1 and figure 1). The optimal values are known exactly::

        V(s)        = gamma^(n-1-s),  V(n) = 0
        Q(s, right) = V(s)
        Q(s, wrong) = 0

    Parameters
    ----------
    n : int, default=10
        Number of states in which the agent acts, at least 1.
    render_mode : {"ansi"} or None
        What `render` returns: a line of text, or nothing.

    Attributes
    ----------
    observation_space : gymnasium.spaces.Discrete
        The states 0, 1, ..., n.
    action_space : gymnasium.spaces.Discrete
        0 and 1; the state decides which is right, see `right_action`.
    state : int or None
        Where the agent is; None until the first `reset`.

    Raises
    ------
    ValueError
        If `n` is not an integer, or is less than 1, or `render_mode` is not known.

    References
    ----------
    T. Schaul, J. Quan, I. Antonoglou & D. Silver (2016), "Prioritized experience replay", ICLR,
    arXiv 1511.05952.

    Examples
    --------
    >>> from skrl.environments.worlds import BlindCliffwalk
    >>> world = BlindCliffwalk(n=2, render_mode="ansi")
    >>> world.reset()
    (0, {})
    >>> world.step(0)                  # right
    (1, 0.0, False, False, {})
    >>> world.render()
    '0 [1] 2'
    >>> world.step(1)                  # right again: the end is reached
    (2, 1.0, True, False, {})

    By its id:

    >>> import gymnasium
    >>> gymnasium.make("skrl/BlindCliffwalk-v0", n=5).observation_space
    Discrete(6)
    """

    action_names = ("right in even states", "right in odd states")

    def __init__(self, n: int = 10, render_mode: str | None = None) -> None:
        super().__init__(n, render_mode)

    @staticmethod
    def right_action(state: int) -> int:
        """Give the action that leads to the next state: 0 in even states, 1 in odd ones."""
        return state % 2

    def outcome(self, state: int, action: int) -> tuple[int, float]:
        """Give the next state and the reward: 1 for the last right step, 0 for all others."""
        if action != self.right_action(state):
            return self.n, 0.0
        return state + 1, float(state + 1 == self.n)
