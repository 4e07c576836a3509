"""Checks of an environment: the contracts of `skrl.base.Environment`."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from jaxtyping import Int64
from sklearn.base import clone

from skrl.arrays import describe
from skrl.base import ActionMasks, Environment, States, Transitions
from skrl.estimator_checks.expectations import (
    expect,
    expect_error,
    expect_floats,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks

N_STEPS = 120
# The check of the successors stops after this many ends of episodes, or this many steps.
N_ENDS, MOST_STEPS = 5, 2_000
# If first states are random, this many of them differ.
N_RESETS = 10


def check_environment(
    environment: Environment, *, expected_failed_checks: Mapping[str, str] | None = None
) -> None:
    """Check that an environment keeps the contracts of `Environment`.

    Run it on your own environments, in a test. (For a `gymnasium.Env`, run
    `gymnasium.utils.env_checker.check_env` first, then check a `GymEnvironment` of it.) The
    actions are random. The end of an episode is checked only if one ends within 2,000 steps.

    Parameters
    ----------
    environment : Environment
        It is not changed: clones are checked.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it is expected to fail, each with the reason.

    Raises
    ------
    TypeError
        If it is not an `Environment`.
    AssertionError
        If it breaks a contract: the message says which one, what was expected and what came.

    Notes
    -----
    The check of the successors fails if every episode ends in the first state of the next one.
    This looks the same as giving the state after the automatic reset as the successor.

    Examples
    --------
    >>> from skrl import GymEnvironment
    >>> from skrl.estimator_checks import check_environment
    >>> check_environment(GymEnvironment("skrl/IntervalWorld-v0", n_envs=2))
    """
    run_checks(
        environment,
        Environment,
        ENVIRONMENT_CHECKS,
        expected_failed_checks=expected_failed_checks,
    )


@dataclass
class Step:
    """One step of a walk.

    Parameters
    ----------
    before : ndarray of shape (n_envs_, *state_shape)
        The environment's `states` before it.
    actions : ndarray of shape (n_envs_,), dtype int64
        The actions taken.
    transitions : Transitions
        What the environment gave.
    after : ndarray of shape (n_envs_, *state_shape)
        The environment's `states` after it.
    masks : ndarray of shape (n_envs_, n_actions), bool, or None
        The environment's `action_masks` after it.
    """

    before: States
    actions: Int64[np.ndarray, " n"]
    transitions: Transitions
    after: States
    masks: ActionMasks | None

    def rows(self) -> Int64[np.ndarray, " k"]:
        """Numbers of the environments that the rows of the transitions belong to."""
        env_ids = self.transitions.env_ids
        return np.arange(len(self.before)) if env_ids is None else env_ids

    def ended(self) -> Any:
        """Which rows ended an episode."""
        return self.transitions.terminated | self.transitions.truncated


def walk(environment: Environment, n_steps: int, seed: int = 0) -> Iterator[Step]:
    """Reset, and take random steps that are allowed; the same ones for the same seed."""
    environment.reset(seed=seed)
    yield from walk_on(environment, n_steps, seed)


def walk_on(environment: Environment, n_steps: int, seed: int = 0) -> Iterator[Step]:
    """Take the same steps from where the environment stands."""
    rng = np.random.default_rng(seed)
    for _ in range(n_steps):
        before, masks = environment.states.copy(), environment.action_masks
        draws = rng.random((environment.n_envs_, environment.n_actions))
        actions = (draws if masks is None else np.where(masks, draws, -1)).argmax(axis=1)
        transitions = environment.step(actions)
        masks = copy.copy(environment.action_masks)
        yield Step(before, actions, transitions, environment.states.copy(), masks)


def state_shape(environment: Environment) -> tuple[int, ...]:
    """Shape of one state."""
    return tuple(environment.state_space.shape or ())


def expect_states(environment: Environment, states: Any, m: int, what: str) -> None:
    """Raise an AssertionError unless these are m states of the environment's space."""
    space = environment.state_space
    shape = (m, *state_shape(environment))
    is_array = isinstance(states, np.ndarray) and states.dtype == space.dtype
    expected = f"an array of dtype {space.dtype} and shape {shape}"
    expect(is_array and states.shape == shape, what, expected=expected, got=describe(states))
    for state in states:
        expect(space.contains(state), what, expected=f"elements of {space}", got=state)


def check_spaces_and_numbers(environment: Environment) -> None:
    """The attributes of `Environment` are there, and of the right kind."""
    kinds: dict[str, Any] = {
        "state_space": Discrete | Box | MultiDiscrete | MultiBinary,
        "n_actions": int,
        "n_envs_": int,
        "reward_threshold": float | int | None,
        "has_time_limit": bool,
        "is_vectorized": bool,
    }
    with closing(clone(environment)) as copied:
        for name, kind in kinds.items():
            value = getattr(copied, name)
            expect(isinstance(value, kind), name, expected=kind, got=describe(value))
        for name in ("n_actions", "n_envs_"):
            value = getattr(copied, name)
            expect(value >= 1, name, expected="at least 1", got=value)
        start = getattr(copied.state_space, "start", 0)
        expect(not np.any(start), "the first number of the states", expected=0, got=start)


def check_reset(environment: Environment) -> None:
    """`reset` gives the first states, and `states` holds the same."""
    with closing(clone(environment)) as copied:
        for seed in (0, None):
            states = copied.reset(seed=seed)
            expect_states(copied, states, copied.n_envs_, "the first states")
            expect_same(copied.states, states, "the attribute states after reset")


def check_step(environment: Environment) -> None:
    """`step` gives transitions of the right shapes, types and ranges."""
    with closing(clone(environment)) as copied:
        for step in walk(copied, N_STEPS):
            t, rows = step.transitions, step.rows()
            m = len(rows)
            expect(isinstance(t, Transitions), "a step", expected="Transitions", got=repr(t))
            is_number = bool(((rows >= 0) & (rows < copied.n_envs_)).all())
            is_right = is_number and len(set(rows.tolist())) == m
            expect(is_right, "env_ids", expected="numbers of environments, each once", got=rows)
            expect_states(copied, t.states, m, "the states of a step")
            expect_states(copied, t.next_states, m, "the next_states of a step")
            expect_floats(t.rewards, (m,), "the rewards of a step")
            expect_floats(t.discounts, (m,), "the discounts of a step")
            for name in ("terminated", "truncated"):
                flags = getattr(t, name)
                is_bool = isinstance(flags, np.ndarray) and flags.dtype == bool
                is_bool = is_bool and flags.shape == (m,)
                expect(is_bool, name, expected=f"bool, shape ({m},)", got=describe(flags))
            for name in ("weights", "is_greedy", "next_probabilities"):
                value = getattr(t, name)
                expect(value is None, f"the {name} of a step", expected=None, got=value)


def check_actions_and_states_of_steps(environment: Environment) -> None:
    """A transition has the state that the environment was in, and the action it was given."""
    with closing(clone(environment)) as copied:
        for step in walk(copied, N_STEPS):
            t, rows = step.transitions, step.rows()
            expect_same(t.states, step.before[rows], "the states of a step")
            expect_same(t.actions, step.actions[rows], "the actions of a step")


def check_discounts(environment: Environment) -> None:
    """The discount is 0 where the episode terminated and 1 elsewhere; the caller may change it."""
    with closing(clone(environment)) as copied:
        for step in walk(copied, N_STEPS):
            t = step.transitions
            expect_same(t.discounts, np.where(t.terminated, 0, 1), "the discounts of a step")
            t.discounts *= 0.5  # as a runner does; it must not show in later steps


def check_action_masks(environment: Environment) -> None:
    """`action_masks` and `next_action_masks` allow an action in every row, and agree."""
    with closing(clone(environment)) as copied:
        for step in walk(copied, N_STEPS):
            t, rows, ended = step.transitions, step.rows(), step.ended()
            if step.masks is None:
                got = t.next_action_masks
                expect(got is None, "next_action_masks without masks", expected=None, got=got)
                continue
            _expect_masks(copied, step.masks, copied.n_envs_, "action_masks")
            _expect_masks(copied, t.next_action_masks, len(rows), "next_action_masks")
            assert t.next_action_masks is not None
            going_on, after = t.next_action_masks[~ended], step.masks[rows][~ended]
            expect_same(going_on, after, "the next_action_masks within an episode")


def _expect_masks(environment: Environment, masks: Any, m: int, what: str) -> None:
    shape = (m, environment.n_actions)
    is_bool = isinstance(masks, np.ndarray) and masks.dtype == bool and masks.shape == shape
    expect(is_bool, what, expected=f"bool, shape {shape}", got=describe(masks))
    expect(masks.any(axis=1).all(), what, expected="True somewhere in each row", got=masks)


def check_next_states(environment: Environment) -> None:
    """`next_states` is the true successor, never the state after an automatic reset."""
    n_ends, n_suspicious = 0, 0
    seen: set[bytes] = set()
    suspects: set[int] = set()
    with closing(clone(environment)) as copied:
        for step in walk(copied, MOST_STEPS):
            t, rows, ended = step.transitions, step.rows(), step.ended()
            seen.update(state.tobytes() for state in t.states)
            after = step.after[rows]
            expect_same(t.next_states[~ended], after[~ended], "the states after a step")
            # (An environment without a row is reset in this step: it stayed there rightly.)
            n_suspicious += len(suspects.intersection(rows.tolist()))
            same = [np.array_equal(*pair) for pair in zip(t.next_states, after, strict=True)]
            suspects = set(rows[ended & np.array(same, dtype=bool)].tolist())
            n_ends += int(ended.sum())
            if n_ends >= N_ENDS:
                break
    is_wrong = n_ends >= N_ENDS and n_suspicious + len(suspects) == n_ends and len(seen) > 1
    expect(
        not is_wrong,
        f"the next_states at the ends of {n_ends} episodes",
        expected="the last states of these episodes",
        got="the first states of the next episodes every time",
    )


def check_steps_do_not_change_later(environment: Environment) -> None:
    """The arrays of a step do not change later, so they can be kept."""
    with closing(clone(environment)) as copied:
        steps = [
            (step.transitions, copy.deepcopy(step.transitions)) for step in walk(copied, N_STEPS)
        ]
    for later, at_first in steps:
        for field in fields(Transitions):
            got, expected = getattr(later, field.name), getattr(at_first, field.name)
            is_same = got is expected or np.array_equal(got, expected)
            expect(is_same, f"{field.name} of an earlier step", expected=expected, got=got)


def check_seeds_reproduce(environment: Environment) -> None:
    """The same seed and actions give the same steps, again and in a clone."""

    def walk_twice() -> list[Step]:
        with closing(clone(environment)) as copied:
            return [*walk(copied, N_STEPS), *walk(copied, N_STEPS)]

    first, second = twice(walk_twice)
    expected = first[:N_STEPS] * 3
    for one, other in zip([*first[N_STEPS:], *second], expected, strict=True):
        for name in ("states", "rewards", "next_states", "terminated", "truncated"):
            got = getattr(one.transitions, name)
            expect_same(got, getattr(other.transitions, name), f"the {name} with the same seed")
        expect_same(one.after, other.after, "the attribute states with the same seed")


def check_state(environment: Environment) -> None:
    """If it says where it stands, another one that is put there goes on like it."""
    with closing(clone(environment)) as one, closing(clone(environment)) as other:
        list(walk(one, N_STEPS))
        state = copy.deepcopy(one.state())
        if state is None:
            return
        list(walk(other, 3, seed=1))
        other.set_state(state)
        expect_same(other.states, one.states, "the attribute states after set_state")
        for step, same in zip(walk_on(other, N_STEPS), walk_on(one, N_STEPS), strict=True):
            for name in ("states", "rewards", "next_states", "terminated", "truncated"):
                got, expected = (getattr(s.transitions, name) for s in (step, same))
                expect_same(got, expected, f"the {name} after set_state")
            expect_same(step.after, same.after, "the attribute states after set_state")


def check_seeds_matter(environment: Environment) -> None:
    """If the first states are random, different seeds give different ones."""
    with closing(clone(environment)) as copied:
        copied.reset(seed=0)
        unseeded = {copied.reset().tobytes() for _ in range(N_RESETS)}
        if len(unseeded) == 1:
            return  # they are not random
        seeded = {copied.reset(seed=seed).tobytes() for seed in range(N_RESETS)}
    is_random = len(seeded) > 1
    expect(is_random, f"the first states of {N_RESETS} seeds", expected="different", got="the same")


def check_replicate(environment: Environment) -> None:
    """`replicate` gives the number asked for, and using the replica leaves the original alone."""
    with closing(clone(environment)) as copied:
        undisturbed = list(walk(copied, 10))
        for i, step in enumerate(walk(copied, 10)):
            expect_same(step.after, undisturbed[i].after, "the states beside a replica")
            with closing(copied.replicate(3)) as replica:
                expect(
                    replica.n_envs_ == 3, "n_envs_ of a replica", expected=3, got=replica.n_envs_
                )
                for name in ("state_space", "observation_space", "action_space", "n_actions"):
                    got, expected = getattr(replica, name), getattr(copied, name)
                    expect(got == expected, f"{name} of a replica", expected=expected, got=got)
                list(walk(replica, 2, seed=1))


def check_bad_actions(environment: Environment) -> None:
    """Actions that do not exist, or that have the wrong shape, raise an error."""
    with closing(clone(environment)) as copied:
        copied.reset(seed=0)
        n = copied.n_envs_
        for actions in (np.full(n, copied.n_actions), np.full(n, -1), np.zeros(n + 1, np.int64)):
            call = _step(copied, actions)
            expect_error((ValueError, TypeError), call, f"step({actions})")


def _step(environment: Environment, actions: Int64[np.ndarray, " n"]) -> Any:
    return lambda: environment.step(actions)


def check_is_not_an_array(environment: Environment) -> None:
    """NumPy cannot convert it to an array, so model selection does not take it for data."""
    expect_error(TypeError, lambda: np.asarray(environment), "numpy.asarray(environment)")


ENVIRONMENT_CHECKS: tuple[Check, ...] = (
    check_spaces_and_numbers,
    check_reset,
    check_step,
    check_actions_and_states_of_steps,
    check_discounts,
    check_action_masks,
    check_next_states,
    check_steps_do_not_change_later,
    check_seeds_reproduce,
    check_state,
    check_seeds_matter,
    check_replicate,
    check_bad_actions,
    check_is_not_an_array,
)
