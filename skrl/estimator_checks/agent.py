"""Checks of an agent: the contracts of `skrl.agent.QLearningAgent`, and of agents like it."""

import copy
import pickle
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import numpy as np
from gymnasium.vector.utils import batch_space, iterate
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_html_repr

from skrl.environments import as_environment
from skrl.environments.worlds import CircularWorld
from skrl.estimator_checks.expectations import (
    expect,
    expect_close,
    expect_error,
    expect_floats,
    expect_same,
    twice,
)
from skrl.estimator_checks.running import Check, run_checks

N_STEPS = 2_000
N_EVALUATIONS, N_EVALUATION_EPISODES = 2, 5
N_OBSERVATIONS = 8


def check_agent(
    agent: BaseEstimator,
    env: Any = "skrl/MaximizationBias-v0",
    *,
    expected_failed_checks: Mapping[str, str] | None = None,
) -> None:
    """Check that an agent keeps the contracts of `QLearningAgent`.

    Run it on your own agents, in a test. The agent is trained about twenty times, for 2,000 steps
    unless it has a budget, with few evaluations.

    Parameters
    ----------
    agent : QLearningAgent, or an estimator with the same parameters and methods
        It is left as it is: clones are trained.
    env : str, callable, gymnasium.Env or Environment
        Where it is trained. The default's episodes take one or two steps.
    expected_failed_checks : dict of str to str, or None
        Names of checks that it fails on purpose, each with the reason.

    Raises
    ------
    TypeError
        If it is not a scikit-learn estimator.
    AssertionError
        If it breaks a contract: the message says which one, what came and what was expected.

    Examples
    --------
    >>> from skrl import QLearningAgent
    >>> from skrl.estimator_checks import check_agent
    >>> check_agent(QLearningAgent(n_steps=300))
    """
    run_checks(
        agent, BaseEstimator, AGENT_CHECKS, [env], expected_failed_checks=expected_failed_checks
    )


def prepare(agent: Any, **parameters: Any) -> Any:
    """A clone that learns the same thing every time, and soon."""
    prepared = clone(agent).set_params(random_state=0)
    if prepared.n_steps is None and prepared.n_episodes is None:
        prepared.set_params(n_steps=N_STEPS)
    return prepared.set_params(
        n_evaluations=min(prepared.n_evaluations, N_EVALUATIONS),
        n_evaluation_episodes=min(prepared.n_evaluation_episodes, N_EVALUATION_EPISODES),
        **parameters,
    )


def observe(env: Any) -> tuple[Any, list[Any]]:
    """Observations that are always the same: a batch, and the same ones in a list."""
    with closing(clone(as_environment(env))) as environment:
        space = batch_space(copy.deepcopy(environment.observation_space), N_OBSERVATIONS)
    space.seed(0)
    batch = space.sample()
    return batch, list(iterate(space, batch))


def results(agent: Any, env: Any) -> list[np.ndarray]:
    """What an agent has learned, and what it has done."""
    batch, _ = observe(env)
    history = agent.history_
    columns = [history[:, name] for name in ("n_steps", "length", "return")]
    return [agent.decision_function(batch).copy(), *columns]


def expect_same_results(first: list[np.ndarray], second: list[np.ndarray], when: str) -> None:
    """Raise an AssertionError unless all of it is equal, bit by bit."""
    names = "the values", "n_steps", "the lengths", "the returns"
    for name, one, other in zip(names, first, second, strict=True):
        expect_same(other, one, f"{name} {when}")


def check_not_fitted(agent: Any, env: Any) -> None:
    """An agent that is not fitted says so."""
    blank, (batch, _) = prepare(agent), observe(env)
    calls: dict[str, Callable[[], Any]] = {
        "predict": lambda: blank.predict(batch),
        "decision_function": lambda: blank.decision_function(batch),
        "predict_proba": lambda: blank.predict_proba(batch),
        "score": lambda: blank.score(env),
    }
    for name, call in calls.items():
        expect_error(NotFittedError, call, f"{name} before fit")


def check_fit(agent: Any, env: Any) -> None:
    """`fit` returns self and keeps all parameters as they are; what is fitted ends in _."""
    fitted = prepare(agent)
    parameters = fitted.get_params(deep=False)
    before = {name: vars(part).copy() for name, part in _parts(parameters)}
    result = fitted.fit(env)
    expect(result is fitted, "what fit returns", expected="self", got=repr(result))
    for name, parameter in fitted.get_params(deep=False).items():
        is_kept = parameter is parameters[name]
        expect(is_kept, f"{name} after fit", expected=parameters[name], got=parameter)
    for name, part in _parts(parameters):
        is_kept = vars(part).keys() == before[name].keys()
        expect(is_kept, f"{name} after fit", expected="as it was: a clone learns", got=vars(part))
    names = vars(fitted).keys() - parameters.keys()
    wrong = [name for name in names if not name.endswith("_") and not name.startswith("_")]
    expect(not wrong, "the new attributes", expected="to end in an underscore", got=wrong)


def check_budget(agent: Any, env: Any) -> None:
    """A budget of steps is used up exactly, unless learning stops early; the numbers say so."""
    n_steps = agent.n_steps or N_STEPS
    fitted = prepare(agent, n_steps=n_steps, n_episodes=None, early_stopping=False).fit(env)
    expect(fitted.n_steps_ == n_steps, "n_steps_", expected=n_steps, got=fitted.n_steps_)
    n_episodes = len(fitted.history_)
    got = fitted.n_episodes_
    expect(got == n_episodes, "n_episodes_", expected=f"{n_episodes} as in history_", got=got)


def check_predict(agent: Any, env: Any) -> None:
    """`predict` gives the best action, one per observation and one for a single observation."""
    fitted, (batch, singles) = prepare(agent).fit(env), observe(env)
    actions = fitted.predict(batch)
    # argmax_a Q(s, a)
    expected = fitted.classes_[fitted.decision_function(batch).argmax(axis=1)]
    expect_same(actions, expected, "the predictions")
    expect_same([fitted.predict(one) for one in singles], actions, "predictions one by one")
    for action in actions:
        is_action = fitted.action_space_.contains(action)
        expect(is_action, "a prediction", expected=fitted.action_space_, got=action)


def check_values_and_probabilities(agent: Any, env: Any) -> None:
    """`decision_function` and `predict_proba` give one number per action."""
    fitted, (batch, singles) = prepare(agent).fit(env), observe(env)
    shape = N_OBSERVATIONS, len(fitted.classes_)
    for name in ("decision_function", "predict_proba"):
        numbers = getattr(fitted, name)(batch)
        expect_floats(numbers, shape, f"what {name} gives")
        one_by_one = [getattr(fitted, name)(one) for one in singles]
        expect_close(one_by_one, numbers, f"what {name} gives one by one")
    sums = fitted.predict_proba(batch).sum(axis=1)
    expect_close(sums, np.ones(N_OBSERVATIONS), "the sums of the probabilities")


def check_score(agent: Any, env: Any) -> None:
    """`score` gives a number, the same one every time, and changes nothing."""
    fitted = prepare(agent).fit(env)
    before = results(fitted, env)
    first, second = twice(lambda: fitted.score(env))
    expect(isinstance(first, float), "a score", expected="a float", got=repr(first))
    expect(np.isfinite(first), "a score", expected="finite", got=first)
    expect(first == second, "a second score", expected=first, got=second)
    expect_same_results(before, results(fitted, env), "after a score")


def check_agent_is_reproducible(agent: Any, env: Any) -> None:
    """The same `random_state` gives the same bits, and another one others."""

    def learn(seed: int) -> list[np.ndarray]:
        return results(prepare(agent).set_params(random_state=seed).fit(env), env)

    expect_same_results(*twice(lambda: learn(3)), when="with the same random_state")
    one, other = learn(4), learn(3)
    is_different = any(not np.array_equal(*pair) for pair in zip(one, other, strict=True))
    expect(is_different, "what another random_state gives", expected="different", got="the same")


def check_fit_starts_afresh(agent: Any, env: Any) -> None:
    """A second `fit` forgets the first one."""
    fitted = prepare(agent).fit(env)
    first = results(fitted, env)
    expect_same_results(first, results(fitted.fit(env), env), "after a second fit")


def check_clone_of_fitted(agent: Any, env: Any) -> None:
    """A clone of a fitted agent is not fitted, and learns the same."""
    fitted = prepare(agent).fit(env)
    copied, (batch, _) = clone(fitted), observe(env)
    expect_error(NotFittedError, lambda: copied.predict(batch), "predict of a clone")
    expect_same_results(results(fitted, env), results(copied.fit(env), env), "of a clone")


def check_warm_start(agent: Any, env: Any) -> None:
    """With `warm_start`, a second `fit` goes on with what was learned."""
    fitted = prepare(agent, warm_start=True).fit(env)
    n_steps, n_episodes = fitted.n_steps_, fitted.n_episodes_
    fitted.fit(env)
    more = fitted.n_steps_ > n_steps and len(fitted.history_) > n_episodes
    got = fitted.n_steps_
    expect(more, "n_steps_ after a second fit", expected=f"more than {n_steps}", got=got)


def check_partial_fit(agent: Any, env: Any) -> None:
    """`partial_fit` can begin, and goes on with what was learned."""
    n_steps = agent.n_steps or N_STEPS
    fitted = prepare(agent, n_steps=n_steps, n_episodes=None, early_stopping=False)
    for expected in (n_steps, 2 * n_steps):
        result = fitted.partial_fit(env, n_steps=n_steps)
        expect(result is fitted, "what partial_fit returns", expected="self", got=repr(result))
        got = fitted.n_steps_
        expect(got == expected, "n_steps_ after partial_fit", expected=expected, got=got)


def check_pickled_agent(agent: Any, env: Any) -> None:
    """An agent that was saved and loaded knows the same, scores the same, and learns on."""
    fitted = prepare(agent).fit(env)
    loaded: Any = pickle.loads(pickle.dumps(fitted))
    expect_same_results(results(fitted, env), results(loaded, env), "of a loaded agent")
    score, expected = loaded.score(env), fitted.score(env)
    expect(score == expected, "the score of a loaded agent", expected=expected, got=score)
    loaded.fit(env)
    expect_same_results(results(fitted, env), results(loaded, env), "of a loaded agent after fit")


def check_lists(agent: Any, env: Any) -> None:
    """X is a list of environments: `fit` and `score` take one, and refuse what is not data."""
    if not (isinstance(env, str) or callable(env)):
        return  # there is only one of it
    fitted = prepare(agent).fit([env, env])
    score = fitted.score([env, env])
    expect(np.isfinite(score), "the score in a list of environments", expected="finite", got=score)
    letters = list("CartPole-v1")
    expect_error(ValueError, lambda: prepare(agent).fit(letters), f"fit({letters})")


def check_other_environment(agent: Any, env: Any) -> None:
    """An environment of other spaces than in training is refused."""
    fitted = prepare(agent).fit(env)
    expect_error(ValueError, lambda: fitted.score(_other_world), "score in another world")


def _other_world() -> Any:
    """A ring of a size that nobody else has."""
    return CircularWorld(n=97)


def check_fitted_representation(agent: Any, env: Any) -> None:
    """The HTML that shows the agent says whether it is fitted."""
    blank = prepare(agent)
    for expected in ("Not fitted", "Fitted"):
        shown = estimator_html_repr(blank)
        expect(f"<span>{expected}</span>" in shown, "its HTML", expected=expected, got=shown[:200])
        blank.fit(env)


def _parts(parameters: Mapping[str, Any]) -> list[tuple[str, BaseEstimator]]:
    """Those parameters that are estimators themselves."""
    return [(n, value) for n, value in parameters.items() if isinstance(value, BaseEstimator)]


AGENT_CHECKS: tuple[Check, ...] = (
    check_not_fitted,
    check_fit,
    check_budget,
    check_predict,
    check_values_and_probabilities,
    check_score,
    check_agent_is_reproducible,
    check_fit_starts_afresh,
    check_clone_of_fitted,
    check_warm_start,
    check_partial_fit,
    check_pickled_agent,
    check_lists,
    check_other_environment,
    check_fitted_representation,
)
