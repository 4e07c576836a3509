"""The arrays that a learner is called with."""

import numpy as np
from jaxtyping import Shaped

from skrl.transitions import Transitions


def to_columns(transitions: Transitions) -> dict[str, np.ndarray]:
    """What is learned from, in the dtypes that networks compute in."""
    columns = {
        "states": transitions.states,
        "actions": transitions.actions.astype(np.int32),
        "rewards": transitions.rewards.astype(np.float32, copy=False),
        "discounts": transitions.discounts.astype(np.float32, copy=False),
    }
    weights, masks = transitions.weights, transitions.next_action_masks
    shape = transitions.actions.shape
    columns["weights"] = np.ones(shape, np.float32) if weights is None else weights.astype("f4")
    if transitions.discounts.any():
        columns["next_states"] = transitions.next_states
    if transitions.next_probabilities is not None:
        columns["next_probabilities"] = transitions.next_probabilities.astype(np.float32)
    if masks is not None:
        columns["next_action_masks"] = masks
    return columns


def fill_up(array: Shaped[np.ndarray, "K ..."], n_updates: int) -> np.ndarray:
    """Lengthen the first axis to `n_updates` by repeating the array."""
    if len(array) == n_updates:
        return array
    return np.resize(array, (n_updates, *array.shape[1:]))


def why_not_finite(transitions: Transitions) -> str:
    """Tell whether the data or the learning is to blame for errors that are not finite."""
    for name in ("states", "rewards", "next_states"):
        if not np.isfinite(getattr(transitions, name)).all():
            return (
                f"The environment gave {name} that are NaN or infinite; they cannot be learned "
                "from. Check its step() and reset()."
            )
    largest = np.abs(transitions.rewards).max()
    return (
        "Training diverged: errors or weights of the network became NaN or infinite. The weights "
        "are as they were before this rollout. Lower learning_rate; lower tau, or raise "
        f"target_update_interval; or scale the rewards to about 1 (here, up to {largest:.3g})."
    )
