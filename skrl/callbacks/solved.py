"""Is the environment solved? A sequential test with a stated error."""

from math import sqrt

import numpy as np
from jaxtyping import Float64
from scipy.special import stdtrit

# Probability that a run claims, in any of its attempts, to be solved although it is not.
ERROR = 0.05
# Fewer episodes claim nothing: a rare failure would hardly be seen.
MIN_EPISODES = 20


class SolvedTest:
    """Tests sequentially whether the mean return is above a threshold.

    It looks at the returns when there are 2 n of them, and each time they have doubled, up to
    20 n. The answer is yes if the one-sided confidence limit of the mean (Student's t) reaches
    the threshold. Look i of attempt j may err with probability ``0.05 / (j (j + 1) 2^i)``, which
    adds up to 0.05. So if the true mean is at or below the threshold, the probability that any
    attempt of a run says yes is at most 5 %. This holds for normally distributed returns.

    Parameters
    ----------
    threshold : float
        The mean return that counts as solved.
    attempt : int
        The number j of this test in its run, from 1.
    n_episodes : int
        n, the episodes of an evaluation.

    Examples
    --------
    >>> import numpy as np
    >>> test = SolvedTest(threshold=475.0, attempt=1, n_episodes=50)
    >>> print(test.look(np.full(20, 500.0)))
    None
    >>> test.look(np.full(100, 500.0))
    True
    """

    def __init__(self, threshold: float, attempt: int, n_episodes: int) -> None:
        self.threshold = threshold
        self.error = ERROR / (attempt * (attempt + 1))
        self.next_look = max(MIN_EPISODES, 2 * n_episodes)
        self.last_look = max(MIN_EPISODES, 20 * n_episodes)

    def look(self, returns: Float64[np.ndarray, " k"], is_last: bool = False) -> bool | None:
        """Look at the returns, if it is time.

        Parameters
        ----------
        returns : ndarray of shape (k,)
            All returns so far.
        is_last : bool
            Whether there will be no more: then they are looked at if there are 20 or more.

        Returns
        -------
        bool or None
            Whether the environment is solved. None asks for more episodes.
        """
        n = len(returns)
        if n < (MIN_EPISODES if is_last else self.next_look):
            return False if is_last else None
        self.next_look = min(2 * n, max(self.last_look, n + 1))
        self.error /= 2
        # mean - t_{n-1}(1 - error) s / sqrt(n)
        margin = stdtrit(n - 1, 1 - self.error) * returns.std(ddof=1) / sqrt(n)
        if returns.mean() - margin >= self.threshold:
            return True
        # Below the threshold more episodes are unlikely to help.
        may_go_on = returns.mean() >= self.threshold and n < self.last_look and not is_last
        return None if may_go_on else False
