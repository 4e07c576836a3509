"""Checks that several Q functions share."""

from sklearn.exceptions import NotFittedError

from skrl.base import QFunction


def check_is_built(qfunction: QFunction) -> None:
    """Raise `NotFittedError` unless the Q function has been built."""
    if not hasattr(qfunction, "n_actions_"):
        raise NotFittedError(
            f"This {type(qfunction).__name__} does not know its environment yet. Call "
            "build(state_space, n_actions, random_state) first, or fit the agent it belongs to."
        ) from None
