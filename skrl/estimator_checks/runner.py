"""Checks of a runner: the contracts of `skrl.base.Runner`."""

import math
import pickle
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from sklearn.base import clone

from skrl.base import Callback, Decision, Policy, QFunction, Run, Runner, Transitions
from skrl.environments import GymEnvironment
from skrl.estimator_checks.expectations import (
    expect,
    expect_close,
    expect_error,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks
from skrl.history import History
from skrl.policies import RandomPolicy
from skrl.qfunctions import MemoizationQFunction

# In the ring an episode always takes this many steps; on the line it may terminate earlier.
EPISODE = 20
DISCOUNT_FACTOR = 0.9


def check_runner(
    runner: Runner,
    n_steps: int = 1_600,
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
) -> None:
    """Check that a runner keeps the contracts of `Runner`.

    Run it on your own runners, in a test.

    Parameters
    ----------
    runner : Runner
        It is left as it is: clones are run, about twenty times, in small worlds.
    n_steps : int, default=1600
        Steps of each run, a multiple of 20, and enough for the runner to learn.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is not a runner.
    AssertionError
        If it breaks a contract: the message says which one, what came and what was expected.

    Examples
    --------
    >>> from skrl import SimpleRunner
    >>> from skrl.estimator_checks import check_runner
    >>> check_runner(SimpleRunner(), n_steps=200)
    """
    run_checks(
        runner, Runner, RUNNER_CHECKS, [n_steps], expected_failed_checks=expected_failed_checks
    )


def ring() -> Any:
    """A world where an episode takes `EPISODE` steps."""
    return gymnasium.make("skrl/CircularWorld-v0", max_episode_steps=EPISODE)


def line() -> Any:
    """A world where it may also terminate before."""
    return gymnasium.make("skrl/IntervalWorld-v0", max_episode_steps=EPISODE)


class _Watched(MemoizationQFunction):
    """A table that keeps what it learns from: discounts, which rows were terminated, rewards."""

    def build(self, *args: Any, **kwargs: Any) -> "_Watched":
        super().build(*args, **kwargs)
        self.learned_from: list[tuple[np.ndarray, ...]] = []
        return self

    def update(self, transitions: Transitions) -> Any:
        columns = transitions.discounts, transitions.terminated, transitions.rewards
        self.learned_from.append(tuple(column.ravel().copy() for column in columns))
        return super().update(transitions)


class _Recorded(GymEnvironment):
    """An environment that keeps the rewards and the ends that it gives."""

    def reset(self, seed: int | None = None) -> Any:
        self.given: list[Transitions] = []
        return super().reset(seed)

    def step(self, actions: Any) -> Transitions:
        self.given.append(super().step(actions))
        return self.given[-1]


class _Watch(Callback):
    """Notes what it sees of a run, and may stop or break it after some episodes."""

    def __init__(self, stop_after: int | None = None, break_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.break_after = break_after

    def on_run_begin(self, run: Run) -> None:
        self.calls, self.progresses = ["begin"], [run.progress]

    def on_episode_end(self, run: Run) -> None:
        if len(run.history) == self.stop_after:
            run.stop("seen enough")
        if len(run.history) == self.break_after:
            raise KeyboardInterrupt

    def on_rollout_end(self, run: Run) -> None:
        self.progresses.append(run.progress)

    def on_run_end(self, run: Run) -> None:
        self.calls.append("end")


class _WatchedPolicy(RandomPolicy):
    """Acts at random, and notes the progress that it is told."""

    def decide(
        self,
        states: Any,
        qfunction: QFunction,
        progress: float,
        rng: Any,
        action_masks: Any = None,
    ) -> Decision:
        self.__dict__.setdefault("seen", []).append(progress)
        return super().decide(states, qfunction, progress, rng, action_masks)


def train(
    runner: Runner,
    n_steps: int | None,
    world: Callable[[], Any] = line,
    n_envs: int = 1,
    policy: Policy | None = None,
    **arguments: Any,
) -> tuple[History, _Watched, list[Transitions]]:
    """Run a runner in a small world; what it wrote, what has learned, and what happened."""
    policy = RandomPolicy() if policy is None else policy
    arguments = {"rng": 0, "discount_factor": DISCOUNT_FACTOR, "n_steps": n_steps} | arguments
    with closing(_Recorded(world, n_envs=n_envs)) as environment:
        qfunction = _Watched().build(environment.state_space, environment.n_actions, 0)
        history = runner.run(environment, qfunction, policy, **arguments)
        return history, qfunction, environment.given


def check_budget_of_steps(runner: Runner, n_steps: int) -> None:
    """A budget of steps, counted over all environments, is used up exactly."""
    for n_envs in (1, 4):
        history, _, given = train(clone(runner), n_steps, n_envs=n_envs)
        expect(history.n_steps == n_steps, "n_steps", expected=n_steps, got=history.n_steps)
        n_taken = sum(len(step) for step in given)
        expect(n_taken == n_steps, "the steps taken", expected=n_steps, got=n_taken)


def check_budget_of_episodes(runner: Runner, n_steps: int) -> None:
    """A budget of episodes is used up exactly, and of two budgets the one that ends first."""
    n_episodes = n_steps // EPISODE
    for longer in (None, 2 * n_steps):
        history, *_ = train(clone(runner), n_steps=longer, world=ring, n_episodes=n_episodes)
        got, expected = (history.n_steps, len(history)), (n_steps, n_episodes)
        expect(got == expected, "the numbers of steps and episodes", expected=expected, got=got)


def check_history(runner: Runner, n_steps: int) -> None:
    """The history has one true row for every finished episode."""
    history, _, given = train(clone(runner), n_steps)
    rewards = np.concatenate([step.rewards for step in given])
    ended = np.concatenate([step.terminated | step.truncated for step in given])
    ends = np.flatnonzero(ended) + 1
    lengths = np.diff(ends, prepend=0)
    returns = [part.sum() for part in np.split(rewards, ends)[:-1]]
    columns: dict[str, Any] = {
        "episode": np.arange(len(ends)),
        "env_id": np.zeros(len(ends)),
        "n_steps": ends,
        "length": lengths,
        "return": returns,
    }
    for name, expected in columns.items():
        expect_close(history[:, name], expected, f"the column {name} of the history")


def check_goes_on_with_history(runner: Runner, n_steps: int) -> None:
    """A second run of the same runner goes on with the history that it is given."""
    used = clone(runner)
    history, *_ = train(used, n_steps)
    n_episodes = len(history)
    again, *_ = train(used, n_steps, history=history)
    expect(again is history, "the history", expected="the one given", got=repr(again))
    expect(again.n_steps == 2 * n_steps, "n_steps", expected=2 * n_steps, got=again.n_steps)
    is_longer = len(again) > n_episodes
    expect(is_longer, "its length", expected=f"more than {n_episodes}", got=len(again))


def check_learns_with_gamma(runner: Runner, n_steps: int) -> None:
    """What is learned from has discounts of gamma^k, and 0 where and only where it terminated.

    A runner may instead learn from complete returns, with discounts of 0 everywhere. Its returns
    are then the rewards if gamma is 0.
    """
    _, qfunction, _ = train(clone(runner), n_steps)
    expect(qfunction.learned_from, "the updates in a run", expected="some", got="none")
    discounts, terminated, _ = map(np.concatenate, zip(*qfunction.learned_from, strict=True))
    if not discounts.any():
        _, qfunction, given = train(clone(runner), n_steps, discount_factor=0.0)
        returns = np.concatenate([rewards for *_, rewards in qfunction.learned_from])
        rewards = np.concatenate([step.rewards for step in given])
        expect_close(np.unique(returns), np.unique(rewards), "the returns, if gamma is 0,")
        return
    expect_same(discounts == 0, terminated, "where the discounts are 0")
    # discount = gamma^k  <=>  k = log(discount) / log(gamma)
    k = np.log(discounts[~terminated]) / math.log(DISCOUNT_FACTOR)
    is_power = len(k) > 0 and np.allclose(k, np.round(k), atol=1e-3) and k.min() > 0.5
    expected = f"powers of gamma = {DISCOUNT_FACTOR}"
    expect(is_power, "the other discounts", expected=expected, got=np.unique(discounts))


def check_progress(runner: Runner, n_steps: int) -> None:
    """The progress grows evenly from 0 to 1."""
    policy, watch = _WatchedPolicy(), _Watch()
    train(clone(runner), n_steps, policy=policy, callbacks=[watch])
    expected = np.arange(n_steps) / n_steps
    expect_close(vars(policy)["seen"], expected, "the progress that the policy is told")
    last = watch.progresses[-1]
    expect(last == 1.0, "the progress that callbacks see at the end", expected=1.0, got=last)


def check_callbacks(runner: Runner, n_steps: int) -> None:
    """Callbacks see the run begin and end once each, also one that breaks, and can stop it."""
    n_episodes = n_steps // EPISODE - 1
    for watch in (_Watch(), _Watch(stop_after=n_episodes), _Watch(break_after=1)):
        history = History()
        with suppress(KeyboardInterrupt):
            train(clone(runner), n_steps, ring, callbacks=[watch], history=history)
        expect(watch.calls == ["begin", "end"], "the calls", expected="begin, end", got=watch.calls)
        if watch.stop_after is not None:
            got, expected = len(history), n_episodes
            expect(got == expected, "the episodes of a stopped run", expected=expected, got=got)


def check_runner_is_reproducible(runner: Runner, n_steps: int) -> None:
    """The same `rng` gives the same history and the same values, another one others."""

    def learn(rng: int) -> list[np.ndarray]:
        history, qfunction, _ = train(clone(runner), n_steps, rng=rng)
        return [history[:, "n_steps"], history[:, "return"], qfunction.table_.copy()]

    for one, other in zip(*twice(lambda: learn(3)), strict=True):
        expect_same(other, one, "what is left of a run with the same rng")
    is_different = not np.array_equal(learn(4)[0], learn(3)[0])
    expect(is_different, "the episodes with another rng", expected="others", got="the same")


def check_bad_budgets(runner: Runner, n_steps: int) -> None:
    """A run without a budget, or with one that is out of range, is refused with a ValueError."""
    for bad in (
        {"n_steps": None},
        {"n_steps": 0},
        {"n_steps": None, "n_episodes": -1},
        {"n_steps": n_steps, "discount_factor": 1.5},
    ):
        expect_error(ValueError, partial(train, clone(runner), **bad), f"a run with {bad}")


def check_pickled_runner(runner: Runner, n_steps: int) -> None:
    """A runner that was used, saved and loaded can run again."""
    used = clone(runner)
    train(used, n_steps)
    loaded: Any = pickle.loads(pickle.dumps(used))
    history, *_ = train(loaded, n_steps)
    got = history.n_steps
    expect(got == n_steps, "n_steps of a loaded runner's run", expected=n_steps, got=got)


RUNNER_CHECKS: tuple[Check, ...] = (
    check_budget_of_steps,
    check_budget_of_episodes,
    check_history,
    check_goes_on_with_history,
    check_learns_with_gamma,
    check_progress,
    check_callbacks,
    check_runner_is_reproducible,
    check_bad_budgets,
    check_pickled_runner,
)
