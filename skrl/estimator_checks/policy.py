"""Checks of a policy: the contracts of `skrl.base.Policy`."""

import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from sklearn.base import clone

from skrl.base import Actions, Policy, QFunction
from skrl.estimator_checks.expectations import (
    describe,
    expect,
    expect_close,
    expect_floats,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks
from skrl.qfunctions import MemoizationQFunction

# Action values of five states: one best action, two, three, two apart, and all far below 0.
VALUES = np.array(
    [[1.0, 3.0, 2.0], [2.0, 2.0, 1.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -1.0], [-5.0, -9.0, -1.0]]
)
N_ACTIONS = VALUES.shape[1]
STATES = np.arange(len(VALUES))
BATCHES = STATES, STATES[1:2], np.tile(STATES, 20)
PROGRESSES = 0.0, 0.05, 0.5, 1.0

# How many decisions are counted, and how many standard deviations chance may be off.
N_DECISIONS = 400
N_DEVIATIONS = 5


def check_policy(
    policy: Policy, *, expected_failed_checks: Mapping[str, str] | None = None
) -> None:
    """Check that a policy keeps the contracts of `Policy`.

    Run it on policies of your own, in a test. The policy acts on a table of known values, of five
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
        If it is no policy.
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


def decide_often(policy: Policy) -> list[Actions]:
    """Decisions in all batches and at all times, from random numbers that are always the same."""
    rng, qfunction = np.random.default_rng(7), known_values()
    return [
        policy.decide(states, qfunction, progress, rng)
        for states in BATCHES
        for progress in PROGRESSES
        for _ in range(5)
    ]


def check_probabilities(policy: Policy) -> None:
    """`probabilities` gives one distribution over the actions per state."""
    for states in BATCHES:
        for progress in PROGRESSES:
            probabilities = clone(policy).probabilities(states, known_values(), progress)
            expect_floats(probabilities, (len(states), N_ACTIONS), "the probabilities")
            is_positive = bool((probabilities >= 0).all())
            expect(is_positive, "the probabilities", expected="at least 0", got=probabilities)
            expect_close(probabilities.sum(axis=1), np.ones(len(states)), "their sums")


def check_decisions(policy: Policy) -> None:
    """`decide` gives one action index per state, in a fresh array."""
    policy, qfunction, rng = clone(policy), known_values(), np.random.default_rng(0)
    for states in BATCHES:
        for progress in PROGRESSES:
            actions = policy.decide(states, qfunction, progress, rng)
            is_right = (
                isinstance(actions, np.ndarray)
                and actions.dtype == np.int64
                and actions.shape == states.shape
            )
            expected = f"an array of dtype int64 and shape {states.shape}"
            expect(is_right, "the actions", expected=expected, got=describe(actions))
            is_index = bool(((actions >= 0) & (actions < N_ACTIONS)).all())
            expect(is_index, "the actions", expected=f"in [0, {N_ACTIONS})", got=actions)
            again = policy.decide(states, qfunction, progress, rng)
            is_fresh = not np.shares_memory(actions, again)
            expect(is_fresh, "each decision", expected="a fresh array", got="the same one again")


def check_decisions_agree_with_probabilities(policy: Policy) -> None:
    """`decide` chooses each action as often as `probabilities` says."""
    policy, qfunction = clone(policy), known_values()
    for progress in (0.0, 0.5):
        # One state at a time may take a way of its own through the code.
        for states in (STATES, STATES[1:2]):
            counts = np.zeros((len(states), N_ACTIONS))
            for seed in range(N_DECISIONS):
                rng = np.random.default_rng(seed)
                actions = policy.decide(states, qfunction, progress, rng)
                counts[np.arange(len(states)), actions] += 1
            p = policy.probabilities(states, qfunction, progress)
            deviations = np.sqrt(N_DECISIONS * p * (1 - p))
            is_right = (np.abs(counts - N_DECISIONS * p) <= N_DEVIATIONS * deviations + 1e-6).all()
            expect(
                is_right,
                f"how often each action is chosen at progress {progress}",
                expected=f"close to the probabilities {p.round(3).tolist()}",
                got=(counts / N_DECISIONS).round(3).tolist(),
            )


def check_decisions_are_reproducible(policy: Policy) -> None:
    """The same `rng` gives the same decisions: there is no other source of randomness."""
    first, second = twice(lambda: decide_often(clone(policy)))
    for one, other in zip(first, second, strict=True):
        expect_same(other, one, "the decisions with the same rng")


def check_holds_no_state(policy: Policy) -> None:
    """A policy holds no state: how it was used before makes no difference."""
    used, before = clone(policy), vars(clone(policy)).keys()
    first = decide_often(used)
    expect(vars(used).keys() == before, "its attributes after use", expected=before, got=vars(used))
    for one, other in zip(first, decide_often(used), strict=True):
        expect_same(other, one, "the decisions of a policy that was used before")


def check_leaves_the_values(policy: Policy) -> None:
    """A policy looks at the Q function and at the states, and changes neither."""
    qfunction, states = known_values(), STATES.copy()
    policy = clone(policy)
    policy.decide(states, qfunction, 0.0, np.random.default_rng(0))
    policy.probabilities(states, qfunction, 1.0)
    expect_same(states, STATES, "the states after a decision")
    expect_same(qfunction.values(STATES), VALUES, "the values after a decision")


def check_pickled_policy(policy: Policy) -> None:
    """A policy that was saved and loaded decides as before."""
    loaded: Any = pickle.loads(pickle.dumps(policy))
    for one, other in zip(decide_often(clone(policy)), decide_often(loaded), strict=True):
        expect_same(other, one, "the decisions of a loaded policy")


POLICY_CHECKS: tuple[Check, ...] = (
    check_probabilities,
    check_decisions,
    check_decisions_agree_with_probabilities,
    check_decisions_are_reproducible,
    check_holds_no_state,
    check_leaves_the_values,
    check_pickled_policy,
)
