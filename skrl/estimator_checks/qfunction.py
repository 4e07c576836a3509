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

from skrl.base import QFunction, State, States, Transitions, Values
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
from skrl.estimator_checks.states import expect_same_state

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

    Call it in a test of your own Q functions. A Q function may use the first batch it ever sees
    only to set the scale of its states.

    Parameters
    ----------
    qfunction : QFunction
        It is left as it is.
    env : str, callable, gymnasium.Env, Environment or list
        Where the transitions for the checks come from. The Q function must support its states,
        and several of 48 random steps must differ.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is not a Q function.
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


def trained(qfunction: QFunction, sample: Sample, seed: int = 0) -> QFunction:
    """A clone that has learned from the sample once."""
    built = fresh(qfunction, sample, seed)
    built.update(sample.batches)
    return built


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
    built = trained(qfunction, sample)
    together = values_of(built, sample)
    singly = np.concatenate([built.values(sample.states[i : i + 1]).copy() for i in range(B)])
    expect_close(singly, together, "the values of single states")


def check_looking_changes_nothing(qfunction: QFunction, sample: Sample) -> None:
    """Values are not changed by being looked at, and neither are the states."""
    built = trained(qfunction, sample)
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
    # There may be no allowed action at the end of an episode.
    ended.next_action_masks = np.zeros((K, B, sample.n_actions), dtype=bool)
    for _ in range(2):
        # delta = r + 0 - Q(s, a)
        chosen = built.values(ended.states[0])[np.arange(B), ended.actions[0]]
        expected, td_errors = ended.rewards[0] - chosen, built.update(ended)[0]
        if np.allclose(td_errors, expected, rtol=1e-4, atol=1e-5):
            return  # otherwise the first batch may have set the scale
    expect_close(td_errors, expected, "the TD errors of ended episodes")


def check_next_action_masks(qfunction: QFunction, sample: Sample) -> None:
    """`next_action_masks` says which actions count in the bootstrap value."""
    built, n_actions = trained(qfunction, sample), sample.n_actions
    state, batches = built.state(), sample.batches
    all_allowed = np.ones((K, B, n_actions), dtype=bool)
    td_errors = _td_errors(built, state, replace(batches, next_action_masks=all_allowed))
    expected = _td_errors(built, state, batches)
    expect_close(td_errors, expected, "the TD errors where all actions are allowed")
    for action in range(n_actions):
        only = np.eye(n_actions)[np.full((K, B), action)]
        one_allowed = replace(batches, next_action_masks=only.astype(bool))
        expect_close(
            _td_errors(built, state, one_allowed),
            _td_errors(built, state, replace(batches, next_probabilities=only)),
            f"the TD errors where only action {action} is allowed next, and where it is certain",
        )


def check_next_probabilities(qfunction: QFunction, sample: Sample) -> None:
    """With `next_probabilities` the bootstrap value is ``sum_a p(a|s') Q(s', a)``."""
    built, n_actions, batch = trained(qfunction, sample), sample.n_actions, sample.batches[0]
    state = built.state()
    p = np.random.default_rng(0).dirichlet(np.ones(n_actions), size=B)
    # sum_a p(a) (r + discount * Q(s', a) - Q(s, a)), the mean over the next action
    expected = np.zeros(B)
    for action in range(n_actions):
        certain = np.eye(n_actions)[np.full(B, action)]
        td_errors = _td_errors(built, state, replace(batch, next_probabilities=certain))
        expected += p[:, action] * td_errors
    got = _td_errors(built, state, replace(batch, next_probabilities=p))
    expect_close(got, expected, "the TD errors where the next action is random")


def check_update_learns(qfunction: QFunction, sample: Sample) -> None:
    """Updates with the same transitions bring the values closer to their targets."""
    built, ended = trained(qfunction, sample), _ended(sample.batches)
    first = np.abs(built.update(ended)[0]).mean()
    for _ in range(30):
        last = np.abs(built.update(ended)[0]).mean()
    smaller = f"smaller than {first:.4g}"
    expect(last < first, "the mean size of the TD errors", expected=smaller, got=f"{last:.4g}")


def check_many_updates_equal_single_ones(qfunction: QFunction, sample: Sample) -> None:
    """Transitions of shape (K, B) are learned as in K successive calls with B each."""
    singly, together = trained(qfunction, sample), trained(qfunction, sample)
    one_by_one = [singly.update(sample.batches[k]) for k in range(K)]
    td_errors = together.update(sample.batches)
    expect_close(td_errors, one_by_one, "the TD errors of (K, B) transitions")
    expected = values_of(singly, sample)
    expect_close(values_of(together, sample), expected, "the values after K updates in one call")


def check_start_update(qfunction: QFunction, sample: Sample) -> None:
    """`start_update` changes nothing until it is finished, and is then the same as `update`."""
    at_once, begun = fresh(qfunction, sample), fresh(qfunction, sample)
    for _ in range(2):
        before, state = values_of(begun, sample), begun.state()
        finish = begun.start_update(sample.batches)
        expect_same(values_of(begun, sample), before, "the values before the update is finished")
        expect_same_state(begun.state(), state, "the state before the update is finished")
        td_errors = finish()
        expect_same(td_errors, at_once.update(sample.batches), "the TD errors of start_update")
        expected = values_of(at_once, sample)
        expect_same(values_of(begun, sample), expected, "the values after start_update")


def check_state(qfunction: QFunction, sample: Sample) -> None:
    """A `state` is a copy of everything that learning goes on from, bit by bit."""
    built = trained(qfunction, sample)
    state = built.state()
    saved = pickle.loads(pickle.dumps(state))

    def learn_on(built: QFunction) -> list[np.ndarray]:
        return [values_of(built, sample), built.update(sample.batches), values_of(built, sample)]

    expected = learn_on(built)
    for _ in range(2):
        for one in (built, fresh(qfunction, sample, seed=1)):
            one.set_state(state)
            what = "the values and TD errors that follow set_state"
            for got, values in zip(learn_on(one), expected, strict=True):
                expect_same(got, values, what)
            expect_same_state(state, saved, "a state after later updates")


def check_refuses_other_states(qfunction: QFunction, sample: Sample) -> None:
    """`set_state` raises a ValueError for a state that does not fit, and changes nothing."""
    built = trained(qfunction, sample)
    more = clone(qfunction).build(sample.state_space, sample.n_actions + 1, 0)
    more.update(sample.batches)
    for name, other in (("of more actions", more.state()), ("without entries", {})):
        state = built.state()
        try:
            built.set_state(other)
        except ValueError:
            expect_same_state(built.state(), state, f"the state after one {name} was refused")
        else:
            expect_floats(
                built.values(sample.states), (B, sample.n_actions), f"the values by one {name}"
            )


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
    built = trained(qfunction, sample)
    built.values(sample.states[::-1])
    loaded: QFunction = pickle.loads(pickle.dumps(built))
    # These are not the states that were looked at before it was saved.
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
    """If the first values are random, `random_state` determines them."""

    def first_values(seed: int | None) -> Values:
        return values_of(fresh(qfunction, sample, seed), sample)

    if np.array_equal(first_values(None), first_values(None)):
        return  # they are not random
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


def _td_errors(qfunction: QFunction, state: State, transitions: Transitions) -> np.ndarray:
    """The TD errors of an update that begins at a state."""
    qfunction.set_state(state)
    return qfunction.update(transitions)


QFUNCTION_CHECKS: tuple[Check, ...] = (
    check_build,
    check_refuses_before_build,
    check_values,
    check_update,
    check_encode,
    check_values_do_not_depend_on_the_batch,
    check_looking_changes_nothing,
    check_td_errors_of_ended_episodes,
    check_next_action_masks,
    check_next_probabilities,
    check_update_learns,
    check_many_updates_equal_single_ones,
    check_start_update,
    check_state,
    check_refuses_other_states,
    check_build_forgets,
    check_pickled_qfunction,
    check_qfunction_is_reproducible,
    check_random_state_matters,
)
