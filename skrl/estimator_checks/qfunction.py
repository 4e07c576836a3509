"""Checks of a Q function: the contracts of `skrl.base.QFunction`."""

import copy
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from numpy.random import Generator
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skrl.base import QFunction, States, Transitions, Values
from skrl.environments import as_environment
from skrl.estimator_checks.expectations import (
    expect,
    expect_close,
    expect_error,
    expect_floats,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks

# K batches of B transitions each, and gamma.
K, B = 3, 16
DISCOUNT_FACTOR = 0.9


@dataclass(frozen=True)
class Sample:
    """What a Q function is tried on: transitions of a random walk.

    Parameters
    ----------
    state_space : gymnasium.Space
        Space of one state.
    n_actions : int
        Number of actions.
    batches : Transitions
        Of batch shape (K, B).
    states : ndarray of shape (B, *state_shape)
        Those of the first batch.
    """

    state_space: gymnasium.Space[Any]
    n_actions: int
    batches: Transitions
    states: States


def check_qfunction(
    qfunction: QFunction,
    env: Any = "skrl/IntervalWorld-v0",
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
) -> None:
    """Check that a Q function keeps the contracts of `QFunction`.

    Run it on Q functions of your own, in a test.

    Parameters
    ----------
    qfunction : QFunction
        It is left as it is.
    env : str, callable, gymnasium.Env, Environment or list
        Where the transitions come from that it is tried on: something whose states the Q function
        can deal with, and where several of 48 random steps differ.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is no Q function.
    AssertionError
        If it breaks a contract: the message says which one, what came and what was expected.

    Examples
    --------
    >>> from skrl import MemoizationQFunction
    >>> from skrl.estimator_checks import check_qfunction
    >>> check_qfunction(MemoizationQFunction(learning_rate=0.1))
    """
    run_checks(
        qfunction,
        QFunction,
        QFUNCTION_CHECKS,
        [collect(env)],
        expected_failed_checks=expected_failed_checks,
    )


def collect(env: Any) -> Sample:
    """Walk at random, and shuffle the transitions."""
    environment = clone(as_environment(env))
    rng = np.random.default_rng(0)
    environment.reset(seed=0)
    steps: list[Transitions] = []
    while sum(len(step) for step in steps) < K * B:
        actions = rng.integers(environment.n_actions, size=environment.n_envs_)
        steps.append(environment.step(actions))
    batches = Transitions.concatenate(steps)[rng.permutation(K * B).reshape(K, B)]
    batches.discounts *= DISCOUNT_FACTOR
    sample = Sample(
        environment.state_space, environment.n_actions, batches, batches.states[0].copy()
    )
    environment.close()
    return sample


def fresh(qfunction: QFunction, sample: Sample, seed: int | None = 0) -> QFunction:
    """A clone that is built, and has learned nothing."""
    copied: QFunction = clone(qfunction)
    return copied.build(sample.state_space, sample.n_actions, seed)


def values_of(qfunction: QFunction, sample: Sample) -> Values:
    """A copy of the values of the sample's states."""
    return qfunction.values(sample.states).copy()


def check_build(qfunction: QFunction, sample: Sample) -> None:
    """`build` makes the Q function ready, returns it, and keeps its parameters."""
    built = clone(qfunction)
    parameters = built.get_params(deep=False)
    result = built.build(sample.state_space, sample.n_actions, 0)
    expect(result is built, "what build returns", expected="self", got=repr(result))
    for name, expected in (("state_space_", sample.state_space), ("n_actions_", sample.n_actions)):
        got = getattr(built, name, "no such attribute")
        expect(got == expected, f"{name} after build", expected=expected, got=got)
    for name, parameter in built.get_params(deep=False).items():
        is_kept = parameter is parameters[name]
        expect(is_kept, f"{name} after build", expected=parameters[name], got=parameter)


def check_refuses_before_build(qfunction: QFunction, sample: Sample) -> None:
    """Before `build`, `values` and `update` raise a NotFittedError."""
    blank = clone(qfunction)
    expect_error(NotFittedError, lambda: blank.values(sample.states), "values before build")
    expect_error(NotFittedError, lambda: blank.update(sample.batches[0]), "update before build")


def check_values(qfunction: QFunction, sample: Sample) -> None:
    """`values` gives one finite float per state and action."""
    built = fresh(qfunction, sample)
    for m in (1, 2, B):
        values = built.values(sample.states[:m])
        expect_floats(values, (m, sample.n_actions), f"the values of {m} states")


def check_values_do_not_depend_on_the_batch(qfunction: QFunction, sample: Sample) -> None:
    """A state has the same values in any batch."""
    built = fresh(qfunction, sample)
    built.update(sample.batches)
    together = values_of(built, sample)
    singly = np.concatenate([built.values(sample.states[i : i + 1]).copy() for i in range(B)])
    expect_close(singly, together, "the values of single states")


def check_looking_changes_nothing(qfunction: QFunction, sample: Sample) -> None:
    """Values are not changed by being looked at, and neither are the states."""
    built = fresh(qfunction, sample)
    built.update(sample.batches)
    before, states = values_of(built, sample), sample.states.copy()
    built.values(sample.batches.next_states[0])
    built.encode(sample.states)
    expect_same(values_of(built, sample), before, "the values at the second look")
    expect_same(sample.states, states, "the states after a look")


def check_encode(qfunction: QFunction, sample: Sample) -> None:
    """`encode` gives one row of finite floats per state."""
    features = fresh(qfunction, sample).encode(sample.states)
    n_features = np.shape(features)[-1] if np.ndim(features) else 0
    expect_floats(features, (B, n_features), "the features")


def check_update(qfunction: QFunction, sample: Sample) -> None:
    """`update` gives one TD error per transition, for K batches of B and for one batch."""
    built, batches = fresh(qfunction, sample), copy.deepcopy(sample.batches)
    expect_floats(built.update(batches), (K, B), "the TD errors of (K, B) transitions")
    expect_floats(built.update(batches[0]), (B,), "the TD errors of (B,) transitions")
    for name in ("states", "actions", "rewards", "next_states", "discounts"):
        got, expected = getattr(batches, name), getattr(sample.batches, name)
        expect_same(got, expected, f"the {name} after an update")


def check_td_errors_of_ended_episodes(qfunction: QFunction, sample: Sample) -> None:
    """Where the discount is 0, the TD error is ``rewards - Q(states, actions)``."""
    built, ended = fresh(qfunction, sample), _ended(sample.batches)
    # delta = r + 0 - Q(s, a)
    chosen = built.values(ended.states[0])[np.arange(B), ended.actions[0]]
    expected = ended.rewards[0] - chosen
    expect_close(built.update(ended)[0], expected, "the TD errors of ended episodes")


def check_update_learns(qfunction: QFunction, sample: Sample) -> None:
    """Updates with the same transitions bring the values closer to their targets."""
    built, ended = fresh(qfunction, sample), _ended(sample.batches)
    first = np.abs(built.update(ended)[0]).mean()
    for _ in range(30):
        last = np.abs(built.update(ended)[0]).mean()
    smaller = f"smaller than {first:.4g}"
    expect(last < first, "the mean size of the TD errors", expected=smaller, got=f"{last:.4g}")


def check_many_updates_equal_single_ones(qfunction: QFunction, sample: Sample) -> None:
    """Transitions of shape (K, B) are learned as in K successive calls with B each."""
    singly, together = fresh(qfunction, sample), fresh(qfunction, sample)
    singly.update(sample.batches)  # the first time may be special
    one_by_one = [singly.update(sample.batches[k]) for k in range(K)]
    together.update(sample.batches)
    td_errors = together.update(sample.batches)
    expect_close(td_errors, one_by_one, "the TD errors of (K, B) transitions")
    expected = values_of(singly, sample)
    expect_close(values_of(together, sample), expected, "the values after K updates in one call")


def check_start_update(qfunction: QFunction, sample: Sample) -> None:
    """`start_update` comes into force when it is finished, and is then the same as `update`."""
    at_once, begun = fresh(qfunction, sample), fresh(qfunction, sample)
    for _ in range(2):
        before = values_of(begun, sample)
        finish = begun.start_update(sample.batches)
        expect_same(values_of(begun, sample), before, "the values before the update is finished")
        td_errors = finish()
        expect_same(td_errors, at_once.update(sample.batches), "the TD errors of start_update")
        expected = values_of(at_once, sample)
        expect_same(values_of(begun, sample), expected, "the values after start_update")


def check_snapshot_and_restore(qfunction: QFunction, sample: Sample) -> None:
    """`restore` goes back to the values as they were at `snapshot`, again and again."""
    built = fresh(qfunction, sample)
    built.update(sample.batches)
    before, snapshot = values_of(built, sample), built.snapshot()
    for _ in range(2):
        built.update(sample.batches)
        built.restore(snapshot)
        expect_same(values_of(built, sample), before, "the values after restore")


def check_build_forgets(qfunction: QFunction, sample: Sample) -> None:
    """`build` forgets everything that was learned."""
    built = fresh(qfunction, sample)
    first = values_of(built, sample), built.update(sample.batches), values_of(built, sample)
    built.build(sample.state_space, sample.n_actions, 0)
    again = values_of(built, sample), built.update(sample.batches), values_of(built, sample)
    for one, other in zip(first, again, strict=True):
        expect_same(other, one, "what is learned after a second build")


def check_pickled_qfunction(qfunction: QFunction, sample: Sample) -> None:
    """A Q function that was saved and loaded has the same values, and learns on the same way."""
    built = fresh(qfunction, sample)
    built.update(sample.batches)
    loaded: QFunction = pickle.loads(pickle.dumps(built))
    expected = values_of(built, sample)
    expect_same(values_of(loaded, sample), expected, "the values of a loaded Q function")
    expected = built.update(sample.batches)
    expect_same(loaded.update(sample.batches), expected, "its TD errors")
    expected = values_of(built, sample)
    expect_same(values_of(loaded, sample), expected, "its values after an update")


def check_qfunction_is_reproducible(qfunction: QFunction, sample: Sample) -> None:
    """The same `random_state` gives the same values and TD errors, bit by bit."""

    def learn(random_state: int | Generator) -> list[np.ndarray]:
        built = clone(qfunction).build(sample.state_space, sample.n_actions, random_state)
        return [values_of(built, sample), built.update(sample.batches), values_of(built, sample)]

    seeded = twice(lambda: learn(3))
    from_generators = twice(lambda: learn(np.random.default_rng(3)))
    for first, second in (seeded, from_generators):
        for one, other in zip(first, second, strict=True):
            expect_same(other, one, "what is learned with the same random_state")


def check_random_state_matters(qfunction: QFunction, sample: Sample) -> None:
    """Where the first values are random, `random_state` decides on them."""

    def first_values(seed: int | None) -> Values:
        return values_of(fresh(qfunction, sample, seed), sample)

    if np.array_equal(first_values(None), first_values(None)):
        return  # nothing about them is random
    is_different = not np.array_equal(first_values(0), first_values(1))
    expect(is_different, "the first values of two seeds", expected="different", got="the same")


def _ended(transitions: Transitions) -> Transitions:
    """The same transitions, as if each had ended its episode."""
    return replace(
        transitions,
        discounts=np.zeros_like(transitions.discounts),
        terminated=np.ones_like(transitions.terminated),
        truncated=np.zeros_like(transitions.truncated),
    )


QFUNCTION_CHECKS: tuple[Check, ...] = (
    check_build,
    check_refuses_before_build,
    check_values,
    check_update,
    check_encode,
    check_values_do_not_depend_on_the_batch,
    check_looking_changes_nothing,
    check_td_errors_of_ended_episodes,
    check_update_learns,
    check_many_updates_equal_single_ones,
    check_start_update,
    check_snapshot_and_restore,
    check_build_forgets,
    check_pickled_qfunction,
    check_qfunction_is_reproducible,
    check_random_state_matters,
)
