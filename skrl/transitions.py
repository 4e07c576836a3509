"""The data of the learning loop: batches of NumPy arrays, and the `Transitions` they make up.

`skrl.base` explains the shapes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped

States = Shaped[np.ndarray, "m *state_shape"]
Actions = Int64[np.ndarray, " m"]
Values = Float[np.ndarray, "m n_actions"]
Probabilities = Float[np.ndarray, "m n_actions"]
ActionMasks = Bool[np.ndarray, "m n_actions"]


class Decision(NamedTuple):
    """What a policy decided, and what it knows about that.

    Parameters
    ----------
    actions : ndarray of shape (m,), dtype int64
        One action index per state.
    is_greedy : ndarray of shape (m,), bool, or None
        Whether each action has the highest value in its state. None means that the policy does
        not say.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import Decision
    >>> Decision(np.array([2, 0]), is_greedy=np.array([True, False])).actions
    array([2, 0])
    """

    actions: Actions
    is_greedy: Bool[np.ndarray, " m"] | None = None


@dataclass(slots=True, eq=False)
class Transitions:
    """What happened: a batch of transitions (s, a, r, s'), one row each.

    All arrays share their leading axes, written ``*batch``. A step of n environments has batch
    shape (n,). What a replay buffer hands to `QFunction.update` may have shape (K, B): K
    successive updates of B transitions each.

    The discount travels with the transition, so a learner needs to know nothing about episodes.
    Its target is always ``rewards + discounts * bootstrap``: for one step, for a return over n
    steps, at a terminal state and at a time limit alike.

    The optional columns hold facts that only some part of the loop knows. The part that knows a
    fact writes it here; the parts that need it read it here.

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
        The factor of the value of s'. An `Environment` knows no discount factor: it gives 1
        while the episode goes on and 0 where it terminated. The `Runner` multiplies by gamma.
    terminated : ndarray of shape (*batch,), bool
        True where the episode came to its natural end: nothing more can be earned, the discount
        is 0.
    truncated : ndarray of shape (*batch,), bool
        True where something outside the task, such as a time limit, cut the episode off. The
        value of s' still counts, the discount is not 0 (Pardo et al., 2018,
        "Time limits in reinforcement learning").
    env_ids : ndarray of shape (*batch,), dtype int64, or None
        Which of the n environments each row belongs to. None means that row i belongs to
        environment i. Some vector environments spend a step on resetting; an environment that
        does so has no row in that step.
    weights : ndarray of shape (*batch,), float, or None
        The weight of each row in an update, such as the importance weights of prioritized
        replay. None means that all rows have weight 1.
    is_greedy : ndarray of shape (*batch,), bool, or None
        Whether the action had the highest value in s when it was chosen; the policy knows. None
        means that all actions count as greedy.
    next_action_masks : ndarray of shape (*batch, n_actions), bool, or None
        Which actions are allowed in s'; the environment knows. The others are never
        bootstrapped from. None means that all are allowed.
    next_probabilities : ndarray of shape (*batch, n_actions), float, or None
        The probabilities p(a|s') of the bootstrap value ``sum_a p(a|s') Q(s', a)``: one-hot at
        the next action for Sarsa, the policy's probabilities for Expected Sarsa. None means
        that the greedy action counts, as in Q-learning.

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
    is_greedy: Bool[np.ndarray, "*batch"] | None = None
    next_action_masks: Bool[np.ndarray, "*batch n_actions"] | None = None
    next_probabilities: Float[np.ndarray, "*batch n_actions"] | None = None

    def __len__(self) -> int:
        """Length of the first batch axis."""
        return len(self.actions)

    def __getitem__(self, index: Any) -> "Transitions":
        """The transitions at `index` (anything that indexes the batch axes)."""
        columns: Any = (None if c is None else np.asarray(c[index]) for c in get_columns(self))
        return Transitions(*columns)

    def take(self, rows: Int64[np.ndarray, " k"]) -> "Transitions":
        """The transitions in these rows, of batch shape (k,): a faster ``transitions[rows]``."""
        columns: Any = [None if c is None else c.take(rows, axis=0) for c in get_columns(self)]
        return Transitions(*columns)

    def to_dict(self) -> dict[str, np.ndarray]:
        """Give all columns by their names, without those that are None."""
        columns = zip(COLUMNS, get_columns(self), strict=True)
        return {name: column for name, column in columns if column is not None}

    @staticmethod
    def concatenate(parts: "Sequence[Transitions]") -> "Transitions":
        """Join the steps of an environment along the first axis, the oldest first.

        Parameters
        ----------
        parts : sequence of Transitions
            Each of batch shape (m,), m may differ; at least one. All have the same columns, but
            for `env_ids`.

        Returns
        -------
        Transitions
            Its `env_ids` are always given.
        """
        sizes = {len(part.actions) for part in parts}
        all_ids = {m: np.arange(m) for m in sizes}
        env_ids = [all_ids[len(p.actions)] if p.env_ids is None else p.env_ids for p in parts]
        names = [name for name in parts[0].to_dict() if name != "env_ids"]
        columns = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        return Transitions(**columns, env_ids=np.concatenate(env_ids))


COLUMNS = tuple(f.name for f in fields(Transitions))
get_columns: Callable[[Transitions], tuple[Any, ...]] = attrgetter(*COLUMNS)
