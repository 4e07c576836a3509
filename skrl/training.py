"""What a call of `fit` or `partial_fit` trains, and for how long."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.random import SeedSequence
from sklearn.base import BaseEstimator, clone

from skrl import policies, runners
from skrl.base import Callback, Environment, Policy, QFunction, Run, Runner
from skrl.callbacks import Checkpoint, Evaluation, ProgressBar
from skrl.history import Budget, History
from skrl.qfunctions import DQN, MemoizationQFunction
from skrl.seeds import seed_sequence

if TYPE_CHECKING:
    from skrl.agent import QLearningAgent

# Steps between two evaluations where the budget counts episodes only.
EVALUATION_INTERVAL = 1_250


@dataclass
class Parts:
    """What is trained together, until the agent takes it over."""

    qfunction: QFunction
    policy: Policy
    runner: Runner
    history: History
    callbacks: list[Callback]
    seeds: SeedSequence
    evaluation: Evaluation | None = None

    def state(self) -> dict[str, Any]:
        """Copy what a run changes."""
        return {"qfunction": self.qfunction.state(), "history": self.history.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Undo a run."""
        self.qfunction.set_state(state["qfunction"])
        self.history.set_state(state["history"])


def make_parts(agent: "QLearningAgent", environment: Environment) -> Parts:
    """Copy the parts that the agent's parameters ask for, and get them ready to begin anew."""
    seeds = seed_sequence(agent.random_state)
    state_space = environment.state_space
    qfunction, policy, runner = _choose_parts(agent, state_space)
    qfunction = clone(qfunction).build(state_space, environment.n_actions, next_seed(seeds))
    return Parts(qfunction, clone(policy), clone(runner), History(), _copy_callbacks(agent), seeds)


def copy_parts(agent: "QLearningAgent", parts: Parts) -> Parts:
    """Copy the parts with the agent's parameters of now, and what they have learned so far."""
    old = parts.qfunction
    wanted, wanted_policy, wanted_runner = _choose_parts(agent, old.state_space_)
    qfunction, policy, runner = old, clone(wanted_policy), clone(wanted_runner)
    if _differ(wanted, old):
        seed = next_seed(parts.seeds)
        qfunction = clone(wanted).build(old.state_space_, old.n_actions_, seed)
        qfunction.set_state(old.state())
    if type(policy) is type(parts.policy):
        policy.set_state(parts.policy.state())
    if type(runner) is type(parts.runner):
        # Its memory is not copied: it may be large.
        for name in vars(parts.runner).keys() - runner.get_params(deep=False).keys():
            setattr(runner, name, getattr(parts.runner, name))
    callbacks = parts.callbacks
    if len(callbacks) != len(agent.callbacks or []):
        callbacks = _copy_callbacks(agent)
    return Parts(qfunction, policy, runner, parts.history, callbacks, parts.seeds, parts.evaluation)


def plan_run(
    agent: "QLearningAgent",
    environment: Environment,
    parts: Parts,
    n_steps: int | None,
    n_episodes: int | None,
    is_whole: bool,
) -> Run:
    """Plan a run: its budget, and its place in the schedule of all runs.

    Parameters
    ----------
    agent : QLearningAgent
        Its parameters say what a whole `fit` consists of.
    environment : Environment
        Where to train.
    parts : Parts
        What is trained.
    n_steps, n_episodes : int or None
        The budget of this run. Both None stand for that of a whole `fit`.
    is_whole : bool
        Whether the run comes on top of what was trained before, as one more whole `fit`, or is a
        part of one.

    Returns
    -------
    Run
    """
    history = parts.history
    whole_steps, whole_episodes = agent.n_steps, agent.n_episodes
    if whole_steps is None and whole_episodes is None:
        whole_steps = parts.qfunction.defaults.n_steps
    if n_steps is None and n_episodes is None:
        n_steps = whole_steps
    budget = Budget(history, n_steps, n_episodes)
    interval = EVALUATION_INTERVAL
    if whole_steps is not None:
        interval = max(1, whole_steps // max(1, agent.n_evaluations))
    if is_whole:
        whole_steps = None if whole_steps is None else history.n_steps + whole_steps
        whole_episodes = None if whole_episodes is None else len(history) + whole_episodes
    schedule = Budget(history, whole_steps, whole_episodes, since=(0, 0))
    callbacks = [c for c in parts.callbacks if not isinstance(c, Checkpoint)]
    # Two seeds, also without evaluation: it does not change what is learned.
    run_seed, evaluation_seed = next_seed(parts.seeds), next_seed(parts.seeds)
    if agent.n_evaluations:
        evaluation = _make_evaluation(agent, environment, interval, evaluation_seed)
        if parts.evaluation is not None:
            evaluation.set_params(random_state=parts.evaluation.random_state)
            evaluation.set_state(parts.evaluation.state())
        parts.evaluation = evaluation
        callbacks.append(evaluation)
    if agent.verbose:
        callbacks.append(ProgressBar())
    # A checkpoint says what all others have come to.
    callbacks += [c for c in parts.callbacks if isinstance(c, Checkpoint)]
    return Run(
        environment,
        parts.qfunction,
        parts.policy,
        parts.runner,
        history,
        budget,
        schedule,
        agent.discount_factor,
        np.random.default_rng(run_seed),
        callbacks,
    )


def next_seed(seeds: SeedSequence) -> int:
    """Seed of the next independent stream of random numbers."""
    return int(seeds.spawn(1)[0].generate_state(1)[0])


def _choose_parts(
    agent: "QLearningAgent", state_space: spaces.Space[Any]
) -> tuple[QFunction, Policy, Runner]:
    """The parts that the parameters ask for; what is None, the Q function chooses."""
    qfunction = agent.qfunction
    if qfunction is None:
        is_countable = isinstance(state_space, spaces.Discrete)
        qfunction = MemoizationQFunction() if is_countable else DQN()
    policy = qfunction.defaults.policy if agent.policy is None else agent.policy
    runner = qfunction.defaults.runner if agent.runner is None else agent.runner
    if isinstance(policy, str):
        policy = getattr(policies, policy)()
    if isinstance(runner, str):
        runner = getattr(runners, runner)()
    return qfunction, policy, runner


def _make_evaluation(
    agent: "QLearningAgent", environment: Environment, interval: int, seed: int
) -> Evaluation:
    threshold = agent.reward_threshold
    return Evaluation(
        environment,
        interval=interval,
        n_episodes=agent.n_evaluation_episodes,
        reward_threshold=environment.reward_threshold if threshold is None else threshold,
        early_stopping=agent.early_stopping,
        n_iter_no_change=agent.n_iter_no_change,
        max_ratio=agent.evaluation_ratio,
        random_state=seed,
    )


def _copy_callbacks(agent: "QLearningAgent") -> list[Callback]:
    return [clone(callback, safe=False) for callback in agent.callbacks or []]


def _differ(wanted: BaseEstimator, current: BaseEstimator) -> bool:
    """Whether two parts have different classes or parameters."""
    if type(wanted) is not type(current):
        return True
    pairs = zip(wanted.get_params().items(), current.get_params().items(), strict=True)
    return any(one != other for one, other in pairs)
