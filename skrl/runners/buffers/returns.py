"""Returns over several steps, from the single steps of episodes."""

import numpy as np
from jaxtyping import Bool, Float, Int

from skrl.base import Transitions


def find_successors(steps: Transitions) -> Bool[np.ndarray, " m"]:
    """Find the rows that are followed by the next step of the same episode.

    Parameters
    ----------
    steps : Transitions
        Of batch shape (m,), sorted by environment, then by time.

    Returns
    -------
    bool ndarray of shape (m,)
    """
    assert steps.env_ids is not None
    continues: np.ndarray = ~(steps.terminated | steps.truncated)
    continues[:-1] &= steps.env_ids[1:] == steps.env_ids[:-1]
    continues[-1:] = False
    return continues


def n_step_returns(
    steps: Transitions, continues: Bool[np.ndarray, " m"], n_step_return: int
) -> tuple[Int[np.ndarray, " m"], Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Sum up rewards over several steps.

    Parameters
    ----------
    steps : Transitions
        Single steps of batch shape (m,), every episode's in a row.
    continues : bool ndarray of shape (m,)
        Whether the next row is the next step of the same episode, and is to be summed up.
    n_step_return : int
        Over how many steps at most.

    Returns
    -------
    last : int ndarray of shape (m,)
        The last row that is summed up.
    rewards, discounts : ndarray of shape (m,), dtype float32
        ``r + g r' + g^2 r'' + ...``, and the discount after the last of them.
    """
    m = len(continues)
    rows = np.arange(m)
    # The last row of an episode is the next one that does not continue.
    ends = np.minimum.accumulate(np.where(continues, m, rows)[::-1])[::-1]
    last = np.minimum(rows + n_step_return - 1, ends)
    single_rewards = steps.rewards.astype(np.float32)
    single_discounts = steps.discounts.astype(np.float32)
    within = np.where(continues, single_discounts, 0)
    ending = single_discounts - within
    rewards, discounts = np.zeros_like(single_rewards), np.zeros_like(within)
    # What the k-th reward counts: the product of the k discounts before it, and 0 after the end.
    weights = np.ones_like(within)
    for k in range(min(n_step_return, m)):
        # G = r + g r' + g g' r'' + ..., and the discount after an end on the way
        rewards[: m - k] += weights[: m - k] * single_rewards[k:]
        discounts[: m - k] += weights[: m - k] * ending[k:]
        weights[: m - k] *= within[k:]
    # ... or after n_step_return steps without an end
    discounts += weights
    return last, rewards, discounts
