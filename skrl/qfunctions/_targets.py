"""The bootstrap value, which the targets of several Q functions share."""

import numpy as np
from jaxtyping import Bool, Float


def bootstrap_values(
    values: Float[np.ndarray, "*batch n_actions"],
    action_masks: Bool[np.ndarray, "*batch n_actions"] | None,
    probabilities: Float[np.ndarray, "*batch n_actions"] | None,
    chosen_by: Float[np.ndarray, "*batch n_actions"] | None = None,
) -> Float[np.ndarray, "*batch"]:
    """Give the bootstrap values of a batch of successors s'; see `QFunction.update`.

    Parameters
    ----------
    values : ndarray of shape (*batch, n_actions)
        Q(s', .).
    action_masks : ndarray of shape (*batch, n_actions), bool, or None
        The `next_action_masks` of the transitions.
    probabilities : ndarray of shape (*batch, n_actions) or None
        The `next_probabilities` of the transitions. If they are given, the masks do not count.
    chosen_by : ndarray of shape (*batch, n_actions) or None
        Other values of s', which choose the greedy action. None means `values`.

    Returns
    -------
    ndarray of shape (*batch,)
    """
    if probabilities is not None:
        # sum_a p(a|s') Q(s', a)
        expected: Float[np.ndarray, "*batch"] = (probabilities * values).sum(axis=-1)
        return expected
    if chosen_by is None:
        chosen_by = values
    if action_masks is not None:
        chosen_by = np.where(action_masks, chosen_by, -np.inf)
    # Q(s', argmax_a Q(s', a)). The value is looked up, because the maximum may be -inf at the end
    # of an episode, where no action is allowed.
    greedy = chosen_by.argmax(axis=-1)
    greedy_values: Float[np.ndarray, "*batch"] = np.take_along_axis(
        values, greedy[..., np.newaxis], axis=-1
    )[..., 0]
    return greedy_values
