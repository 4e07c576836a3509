"""Checks of a policy: the contracts of `skrl.base.Policy`."""

import pickle
from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Discrete
from sklearn.base import clone

from skrl.arrays import describe
from skrl.base import (
    ActionMasks,
    Actions,
    Decision,
    Environment,
    MaskedQFunction,
    Policy,
    QFunction,
    Run,
    States,
    Transitions,
    mask_probabilities,
)
from skrl.estimator_checks.expectations import (
    expect,
    expect_close,
    expect_floats,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks
from skrl.estimator_checks.states import expect_same_state
from skrl.history import Budget, History
from skrl.qfunctions.tables import MemoizationQFunction
from skrl.runners.simple import SimpleRunner

# Action values of five states: one best action, two, three, two apart, and all far below 0.
VALUES = np.array(
    [[1.0, 3.0, 2.0], [2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0], [-5.0, -9.0, -1.0]]
)
N_ACTIONS = VALUES.shape[1]
STATES = np.arange(len(VALUES))
# The best action is forbidden, one of several best ones, another one, all but one, none.
MASKS = np.array([[1, 0, 1], [1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 1]], dtype=bool)
BATCHES = STATES, STATES[1:2], np.tile(STATES, 20)
PROGRESSES = 0.0, 0.05, 0.5, 1.0

# How many decisions are counted, and how many standard deviations chance may be off.
N_DECISIONS = 400
N_DEVIATIONS = 5


def check_policy(
    policy: Policy, *, expected_failed_checks: Mapping[str, str] | None = None
) -> None:
    """Check that a policy keeps the contracts of `Policy`.

    Call it in a test of your own policies. The policy acts on a table of known values, of five
    states and three actions.

    Parameters
    ----------
    policy : Policy
        It is left as it is.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is not a policy.
    AssertionError
        If it breaks a contract: the message says which one, what came and what was expected.

    Examples
    --------
    >>> from skrl import EpsilonGreedy
    >>> from skrl.estimator_checks import check_policy
    >>> check_policy(EpsilonGreedy(0.1))
    """
    run_checks(policy, Policy, POLICY_CHECKS, expected_failed_checks=expected_failed_checks)


def known_values() -> QFunction:
    """A Q function that gives `VALUES`."""
    qfunction = MemoizationQFunction().build(Discrete(len(VALUES)), N_ACTIONS, random_state=None)
    qfunction.table_[:] = VALUES
    return qfunction


class _Anywhere(Environment):
    """Environments side by side that jump to random states; no action earns anything."""

    state_space = observation_space = Discrete(len(VALUES))
    action_space = Discrete(N_ACTIONS)
    n_actions = N_ACTIONS
    reward_threshold = None

    def __init__(self, n_envs: int = 1) -> None:
        self.n_envs = n_envs

    def reset(self, seed: int | None = None) -> States:
        """Jump."""
        self.n_envs_ = self.n_envs
        self._rng = np.random.default_rng(seed)
        self.states = self._rng.integers(len(VALUES), size=self.n_envs)
        return self.states

    def step(self, actions: Actions) -> Transitions:
        """Jump."""
        before = self.states
        self.states = self._rng.integers(len(VALUES), size=self.n_envs)
        never = np.zeros(self.n_envs, dtype=bool)
        return Transitions(
            before, actions, np.zeros(self.n_envs), self.states, np.ones(self.n_envs), never, never
        )

    def replicate(self, n_envs: int, render_mode: str | None = None) -> "_Anywhere":
        """Make a fresh one."""
        return _Anywhere(n_envs)


def begun(policy: Policy, n_envs: int) -> Policy:
    """A clone that is ready for a run of `n_envs` environments."""
    copied: Policy = clone(policy)
    begin(copied, n_envs)
    return copied


def begin(policy: Policy, n_envs: int) -> None:
    """Let a policy begin a run of `n_envs` environments."""
    environment, history = _Anywhere(n_envs), History()
    environment.reset(seed=0)
    history.begin(n_envs)
    budget = Budget(history, n_steps=1_000, n_episodes=None)
    parts = environment, known_values(), policy, SimpleRunner()
    rng = np.random.default_rng(0)
    policy.begin(Run(*parts, history, budget, budget, discount_factor=0.9, rng=rng))


def decide_often(policy: Policy, seed: int = 7) -> list[Actions]:
    """Decisions in a run of five environments, from random numbers that are always the same."""
    rng, qfunction = np.random.default_rng(seed), known_values()
    actions = []
    for progress in PROGRESSES:
        for n_decisions in range(5):
            actions.append(policy.decide(STATES, qfunction, progress, rng).actions)
            policy.end_episodes(STATES[:n_decisions])
    return actions


def count_decisions(
    policy: Policy, states: States, progress: float, masks: ActionMasks | None
) -> np.ndarray:
    """Count how often each action is chosen, if nothing is remembered from one to the next."""
    counts = np.zeros((len(states), N_ACTIONS))
    state, qfunction = policy.state(), known_values()
    for seed in range(N_DECISIONS):
        policy.set_state(state)
        rng = np.random.default_rng(seed)
        actions = policy.decide(states, qfunction, progress, rng, masks).actions
        counts[np.arange(len(states)), actions] += 1
    policy.set_state(state)
    return counts


def expect_frequencies(counts: np.ndarray, p: np.ndarray, what: str) -> None:
    """Raise an AssertionError unless the counts can be due to the probabilities p."""
    deviations = np.sqrt(N_DECISIONS * p * (1 - p))
    expect(
        (np.abs(counts - N_DECISIONS * p) <= N_DEVIATIONS * deviations + 1e-6).all(),
        what,
        expected=f"close to the probabilities {p.round(3).tolist()}",
        got=(counts / N_DECISIONS).round(3).tolist(),
    )


def check_probabilities(policy: Policy) -> None:
    """`probabilities` gives one distribution over the actions per state."""
    for states in BATCHES:
        for progress in PROGRESSES:
            ready = begun(policy, len(states))
            probabilities = ready.probabilities(states, known_values(), progress)
            expect_floats(probabilities, (len(states), N_ACTIONS), "the probabilities")
            is_positive = bool((probabilities >= 0).all())
            expect(is_positive, "the probabilities", expected="at least 0", got=probabilities)
            expect_close(probabilities.sum(axis=1), np.ones(len(states)), "their sums")


def check_decisions(policy: Policy) -> None:
    """`decide` gives one action index per state, in a fresh array."""
    qfunction, rng = known_values(), np.random.default_rng(0)
    for states in BATCHES:
        ready = begun(policy, len(states))
        for progress in PROGRESSES:
            decision = ready.decide(states, qfunction, progress, rng)
            is_right = isinstance(decision, Decision)
            expect(is_right, "what decide gives", expected="a Decision", got=describe(decision))
            actions = decision.actions
            is_right = (
                isinstance(actions, np.ndarray)
                and actions.dtype == np.int64
                and actions.shape == states.shape
            )
            expected = f"an array of dtype int64 and shape {states.shape}"
            expect(is_right, "the actions", expected=expected, got=describe(actions))
            is_index = bool(((actions >= 0) & (actions < N_ACTIONS)).all())
            expect(is_index, "the actions", expected=f"in [0, {N_ACTIONS})", got=actions)
            again = ready.decide(states, qfunction, progress, rng).actions
            is_fresh = not np.shares_memory(actions, again)
            expect(is_fresh, "each decision", expected="a fresh array", got="the same one again")


def check_is_greedy(policy: Policy) -> None:
    """`is_greedy` says which actions have the highest value of those that are allowed."""
    rng = np.random.default_rng(0)
    for states in BATCHES:
        for masks in (None, MASKS[states]):
            ready = begun(policy, len(states))
            values = VALUES[states] if masks is None else np.where(masks, VALUES[states], -np.inf)
            for progress in PROGRESSES * 5:
                actions, is_greedy = ready.decide(states, known_values(), progress, rng, masks)
                if is_greedy is not None:
                    expected = values[np.arange(len(states)), actions] == values.max(axis=1)
                    expect_same(is_greedy, expected, f"is_greedy of the actions {actions}")


def check_decisions_agree_with_probabilities(policy: Policy) -> None:
    """`decide` chooses each action as often as `probabilities` says."""
    for progress in (0.0, 0.5):
        # A single state may have its own path through the code.
        for states in (STATES, STATES[1:2]):
            ready = begun(policy, len(states))
            counts = count_decisions(ready, states, progress, None)
            p = ready.probabilities(states, known_values(), progress)
            expect_frequencies(counts, p, f"how often each action is chosen at progress {progress}")


def check_masks(policy: Policy) -> None:
    """Actions that are not allowed are never chosen; the others as `mask_probabilities` says."""
    for progress in (0.0, 0.5):
        for states in (STATES, STATES[1:2]):
            ready, masks = begun(policy, len(states)), MASKS[states]
            counts = count_decisions(ready, states, progress, masks)
            masked = MaskedQFunction(known_values(), masks)
            p = mask_probabilities(ready.probabilities(states, masked, progress), masks)
            expect_frequencies(counts, p, f"how often allowed actions are chosen at {progress}")


def check_decisions_are_reproducible(policy: Policy) -> None:
    """The same `rng` gives the same decisions: there is no other source of randomness."""
    first, second = twice(lambda: decide_often(begun(policy, len(STATES))))
    for one, other in zip(first, second, strict=True):
        expect_same(other, one, "the decisions with the same rng")


def check_begin_forgets(policy: Policy) -> None:
    """`begin` forgets earlier runs."""
    used = begun(policy, len(STATES))
    first = decide_often(used)
    begin(used, len(STATES))
    for one, other in zip(first, decide_often(used), strict=True):
        expect_same(other, one, "the decisions of a policy that was used before")


def check_state(policy: Policy) -> None:
    """A `state` is a copy of everything that the policy remembers."""
    used = begun(policy, len(STATES))
    decide_often(used)
    state = used.state()
    saved = pickle.loads(pickle.dumps(state))
    expected = decide_often(used, seed=8)
    for one in (used, begun(policy, len(STATES))):
        one.set_state(state)
        for actions, others in zip(decide_often(one, seed=8), expected, strict=True):
            expect_same(actions, others, "the decisions that follow set_state")
        expect_same_state(state, saved, "a state after later decisions")


def check_leaves_the_values(policy: Policy) -> None:
    """A policy looks at the Q function and at the states, and changes neither."""
    qfunction, states = known_values(), STATES.copy()
    policy = begun(policy, len(states))
    policy.decide(states, qfunction, 0.0, np.random.default_rng(0))
    policy.probabilities(states, qfunction, 1.0)
    expect_same(states, STATES, "the states after a decision")
    expect_same(qfunction.values(STATES), VALUES, "the values after a decision")


def check_pickled_policy(policy: Policy) -> None:
    """A policy that was saved and loaded decides as before."""
    used = begun(policy, len(STATES))
    decide_often(used)
    loaded: Policy = pickle.loads(pickle.dumps(used))
    for one, other in zip(decide_often(used), decide_often(loaded), strict=True):
        expect_same(other, one, "the decisions of a loaded policy")


POLICY_CHECKS: tuple[Check, ...] = (
    check_probabilities,
    check_decisions,
    check_is_greedy,
    check_decisions_agree_with_probabilities,
    check_masks,
    check_decisions_are_reproducible,
    check_begin_forgets,
    check_state,
    check_leaves_the_values,
    check_pickled_policy,
)
