"""Choose the best of several Q functions, by the returns in the same episodes."""

from dataclasses import dataclass, field
from math import inf, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from skrl.base import State

Returns = Float64[np.ndarray, "_"]

# More of them would take more memory, and choose no better.
MAX_CONTENDERS = 8


class Contender(NamedTuple):
    """A Q function that may be the best.

    Parameters
    ----------
    state : dict
        What it has learned.
    returns : ndarray of shape (k,), dtype float64
        What its greedy policy earned in the first k episodes, which are the same for all.
    """

    state: State
    returns: Returns


@dataclass
class Race:
    """Keeps the Q functions that may be the best, at most eight, in the order of their learning.

    Two are compared by the differences of their returns in the episodes that both have played.
    One that is behind the leader by two standard errors is dropped.

    Parameters
    ----------
    contenders : list of Contender
        The earliest first.

    Examples
    --------
    >>> import numpy as np
    >>> race = Race()
    >>> race.enter({"name": "early"}, np.array([5.0, 7.0, 6.0]))
    >>> race.may_win(np.array([0.0, 1.0]))
    False
    >>> race.enter({"name": "later"}, np.array([5.0, 9.0, 4.0]))
    >>> race.winner().state
    {'name': 'later'}
    """

    contenders: list[Contender] = field(default_factory=list)

    @property
    def leader_returns(self) -> Returns:
        """The returns of the contender with the highest mean; empty if there is none."""
        all_returns = [contender.returns for contender in self.contenders]
        return max(all_returns, key=np.mean, default=np.empty(0))

    def may_win(self, returns: Returns) -> bool:
        """Whether a candidate may become the best, given its first returns."""
        gain, error = compare(returns, self.leader_returns)
        is_open = len(returns) < len(self.leader_returns)
        return gain >= (-2 if is_open else -1 / 2) * error

    def enter(self, state: State, returns: Returns) -> None:
        """Add a candidate that learned longer than all others."""
        self.contenders.append(Contender(state, returns))
        self._drop()

    def next_to_play(self, n_episodes: int) -> int | None:
        """Position of the contender that plays next in a play-off of up to `n_episodes`.

        It is the one with the fewest episodes, of several the latest. None ends the play-off.
        """
        lengths = [(len(c.returns), -i) for i, c in enumerate(self.contenders)]
        if len(lengths) < 2 or min(lengths)[0] >= n_episodes:
            return None
        return -min(lengths)[1]

    def extend(self, position: int, heat: Returns) -> None:
        """Add further returns of a contender."""
        state, returns = self.contenders[position]
        self.contenders[position] = Contender(state, np.concatenate([returns, heat]))
        self._drop()

    def winner(self) -> Contender:
        """The latest contender that is behind the leader by at most half a standard error.

        Of equals the later one has learned longer.
        """
        leader, latest_first = self.leader_returns, self.contenders[::-1]
        gains = [compare(contender.returns, leader) for contender in latest_first]
        return latest_first[[gain >= -error / 2 for gain, error in gains].index(True)]

    def _drop(self) -> None:
        """Drop those that are clearly behind, and the worst if there are too many."""
        leader = self.leader_returns
        gains = [compare(contender.returns, leader) for contender in self.contenders]
        self.contenders = [
            contender
            for contender, (gain, error) in zip(self.contenders, gains, strict=True)
            if gain >= -2 * error
        ]
        if len(self.contenders) > MAX_CONTENDERS:
            means = [contender.returns.mean() for contender in self.contenders]
            del self.contenders[int(np.argmin(means))]


def compare(returns: Returns, others: Returns) -> tuple[float, float]:
    """By how much `returns` are better in the episodes that both played, and its standard error.

    Parameters
    ----------
    returns, others : ndarray of shape (k,) and (l,), dtype float64
        Returns in the first k and the first l of the same episodes.

    Returns
    -------
    (float, float)
        Infinity and 0 if they share no episode.
    """
    k = min(len(returns), len(others))
    if k == 0:
        return inf, 0.0
    gains = returns[:k] - others[:k]
    return float(gains.mean()), float(gains.std(ddof=1) / sqrt(k)) if k > 1 else 0.0
