"""Read which actions are allowed from the infos that Gymnasium environments give."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from skrl.arrays import describe
from skrl.transitions import ActionMasks

# The key that Gymnasium's own environments use, such as Taxi.
KEY = "action_mask"


def read_masks(
    infos: dict[str, Any], may_be_missing: Bool[np.ndarray, " n"], n_actions: int
) -> ActionMasks:
    """Read the action masks of n environments.

    Parameters
    ----------
    infos : dict
        What a vector environment's `reset` or `step` gave. ``infos["action_mask"]`` has one row
        per environment, and ``infos["_action_mask"]`` says which rows count.
    may_be_missing : ndarray of shape (n,), bool
        Rows that may allow nothing, or be missing, because nothing can be done there. All
        actions are allowed in such a row.
    n_actions : int
        Number of actions.

    Returns
    -------
    ndarray of shape (n, n_actions), bool
        A fresh array. Every row allows at least one action.

    Raises
    ------
    ValueError
        If the masks have another shape, or if another row allows nothing or is missing.
    """
    n = len(may_be_missing)
    rows = infos.get(KEY, [None] * n)
    is_given = np.array(infos.get(f"_{KEY}", [True] * n))
    if not isinstance(rows, np.ndarray) or rows.dtype == object:
        is_given = is_given & [row is not None for row in rows]
        rows = [np.zeros(n_actions) if row is None else row for row in rows]
    try:
        masks = np.array(rows, dtype=bool)
    except (TypeError, ValueError):
        masks = np.empty(0, dtype=bool)
    if masks.shape != (n, n_actions):
        raise ValueError(
            f'Expected each info["{KEY}"] to be an array of shape ({n_actions},), one number per '
            "action (per combination, in lexicographic order, for a MultiDiscrete or MultiBinary "
            f"action space), got {describe(rows[0] if len(rows) else rows)}."
        )
    masks &= is_given[:, np.newaxis]
    allows_nothing = ~masks.any(axis=1)
    if np.count_nonzero(allows_nothing):
        bad = np.flatnonzero(allows_nothing & ~may_be_missing)
        if len(bad):
            what = "allows no action" if is_given[bad[0]] else "is missing"
            raise ValueError(
                f'info["{KEY}"] {what} in a state that is not terminal (environment {bad[0]}). An '
                "environment that gives masks must give one for every state, which allows at "
                "least one action unless the state is terminal."
            )
        masks[allows_nothing] = True
    return masks
