"""The data of the learning loop: batches of NumPy arrays, and the `Transitions` they make up.

`skrl.base` explains the shapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

States = Shaped[np.ndarray, "m *state_shape"]
Actions = Int64[np.ndarray, " m"]
Values = Float[np.ndarray, "m n_actions"]
Probabilities = Float[np.ndarray, "m n_actions"]


@dataclass(slots=True, eq=False)
class Transitions:
    """What happened: a batch of transitions (s, a, r, s'), one row each.

    All arrays share their leading axes, written ``*batch``. A step of n environments has batch
    shape (n,); what a replay buffer hands to `QFunction.update` may be of shape (K, B): K
    successive updates of B transitions each.

    Because the discount travels with the transition, a learner needs to know nothing about
    episodes: its target is always ``rewards + discounts * bootstrap``, for one step, for a
    return over n steps, at a terminal state and at a time limit alike.

    Parameters
    ----------
    states : ndarray of shape (*batch, *state_shape)
        The states s in which the agent acted.
    actions : ndarray of shape (*batch,), dtype int64
        The actions a, as indices ``0 <= a < n_actions``.
    rewards : ndarray of shape (*batch,), float
        The rewards r.
    next_states : ndarray of shape (*batch, *state_shape)
        The true successors s'. At the end of an episode this is its last observation, never the
        first one of the episode that an automatic reset began.
    discounts : ndarray of shape (*batch,), float
        What multiplies the value of s'. An `Environment` knows no discount factor and gives 1
        while the episode goes on and 0 where it terminated; the `Runner` multiplies by gamma.
    terminated : ndarray of shape (*batch,), bool
        True where the episode came to its natural end: nothing more can be earned, the discount
        is 0.
    truncated : ndarray of shape (*batch,), bool
        True where something outside the task, such as a time limit, cut the episode off. The
        value of s' still counts, the discount is not 0 (Pardo et al., 2018,
        "Time limits in reinforcement learning").
    env_ids : ndarray of shape (*batch,), dtype int64, or None
        In which of the n environments side by side each row happened. None means that row i
        belongs to environment i. Some vector environments spend a step on resetting; the
        environments which do so have no row in that step.
    weights : ndarray of shape (*batch,), float, or None
        How much each row counts in an update, such as the importance weights of prioritized
        replay. None means that all count the same.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import Transitions
    >>> transitions = Transitions(
    ...     states=np.array([3, 4]), actions=np.array([1, 0]), rewards=np.array([0.0, 1.0]),
    ...     next_states=np.array([4, 5]), discounts=np.array([1.0, 0.0]),
    ...     terminated=np.array([False, True]), truncated=np.array([False, False]))
    >>> len(transitions)
    2
    >>> transitions[1].next_states
    array(5)
    """

    states: Shaped[np.ndarray, "*batch_and_state_shape"]
    actions: Int64[np.ndarray, "*batch"]
    rewards: Float[np.ndarray, "*batch"]
    next_states: Shaped[np.ndarray, "*batch_and_state_shape"]
    discounts: Float[np.ndarray, "*batch"]
    terminated: Bool[np.ndarray, "*batch"]
    truncated: Bool[np.ndarray, "*batch"]
    env_ids: Int64[np.ndarray, "*batch"] | None = None
    weights: Float[np.ndarray, "*batch"] | None = None

    def __len__(self) -> int:
        """Length of the first batch axis."""
        return len(self.actions)

    def __getitem__(self, index: Any) -> "Transitions":
        """The transitions at `index` (anything that indexes the batch axes)."""
        rows: dict[str, Any] = {}
        for f in fields(self):
            array = getattr(self, f.name)
            rows[f.name] = None if array is None else np.asarray(array[index])
        return Transitions(**rows)

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Transitions":
        """The transitions in these rows, of batch shape (k,): a faster ``transitions[rows]``."""
        return Transitions(
            self.states.take(rows, axis=0),
            self.actions.take(rows),
            self.rewards.take(rows),
            self.next_states.take(rows, axis=0),
            self.discounts.take(rows),
            self.terminated.take(rows),
            self.truncated.take(rows),
            None if self.env_ids is None else self.env_ids.take(rows),
            None if self.weights is None else self.weights.take(rows),
        )

    @staticmethod
    def concatenate(parts: "Sequence[Transitions]") -> "Transitions":
        """Join steps of an environment, one after the other, along the first axis.

        Parameters
        ----------
        parts : sequence of Transitions
            Each of batch shape (m,), m may differ; at least one.

        Returns
        -------
        Transitions
            Its `env_ids` are always given, and its `weights` are None: steps have none.
        """
        sizes = {len(p.actions) for p in parts}
        all_ids = {m: np.arange(m) for m in sizes}
        env_ids = [all_ids[len(p.actions)] if p.env_ids is None else p.env_ids for p in parts]
        return Transitions(
            np.concatenate([p.states for p in parts]),
            np.concatenate([p.actions for p in parts]),
            np.concatenate([p.rewards for p in parts]),
            np.concatenate([p.next_states for p in parts]),
            np.concatenate([p.discounts for p in parts]),
            np.concatenate([p.terminated for p in parts]),
            np.concatenate([p.truncated for p in parts]),
            np.concatenate(env_ids),
        )
