"""Every class that we ship keeps its contracts, and who breaks one is told which."""

import importlib
import inspect
import pkgutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import SGDRegressor

import skrl
from skrl import (
    C51,
    DQN,
    IQN,
    QRDQN,
    ConstantSchedule,
    EpsilonGreedy,
    ExponentialSchedule,
    GymEnvironment,
    LinearSchedule,
    MemoizationQFunction,
    QLearningAgent,
    RandomQFunction,
    SimpleRunner,
)
from skrl.base import Decision, Environment, MaskedQFunction, Policy, QFunction, Runner
from skrl.callbacks import Checkpoint, CSVLogger, Evaluation, TensorBoard
from skrl.callbacks.sklearn_callbacks import SklearnTasks
from skrl.environments.worlds import IntervalWorld
from skrl.estimator_checks import (
    QFUNCTION_CHECKS,
    check_agent,
    check_buffer,
    check_environment,
    check_policy,
    check_qfunction,
    check_runner,
)
from skrl.estimator_checks.expectations import expect_error, expect_floats, expect_same
from skrl.estimator_checks.running import run_checks
from skrl.parameters import check_parameters
from skrl.qfunctions.regressors.regressor import RegressorQFunction
from skrl.runners import Buffer, ExperienceReplay, ParallelQ, PrioritizedBuffer, ReplayBuffer

RING, LINE = "skrl/CircularWorld-v0", "skrl/IntervalWorld-v0"

REPLAY = {"batch_size": 8, "train_freq": 32, "gradient_steps": 2, "learning_starts": 64}
DEEP_AGENT = QLearningAgent(
    DQN((8,)),
    runner=ExperienceReplay(**REPLAY),
    n_steps=200,
    n_evaluations=1,
)

# Instances to check of the classes whose constructors need arguments, or where others than those
# are worth a look. Of all other classes the instance without arguments is checked.
INSTANCES = {
    ConstantSchedule: [ConstantSchedule(0.1)],
    DQN: [DQN((8,)), DQN((8,), noisy=True)],
    EpsilonGreedy: [EpsilonGreedy(), EpsilonGreedy(0.3), EpsilonGreedy(LinearSchedule(0.8, 0.0))],
    Checkpoint: [Checkpoint("run.checkpoint")],
    CSVLogger: [CSVLogger("runs")],
    Evaluation: [Evaluation(GymEnvironment(RING), interval=100)],
    TensorBoard: [TensorBoard("runs")],
    ExperienceReplay: [
        ExperienceReplay(**REPLAY),
        ExperienceReplay(ReplayBuffer(n_step_return=1), **REPLAY),
        ExperienceReplay(PrioritizedBuffer(), **REPLAY),
    ],
    ExponentialSchedule: [ExponentialSchedule(1.0, 0.1)],
    GymEnvironment: [
        *[GymEnvironment(f"skrl/{world}-v0") for world in skrl.environments.worlds.__all__],
        GymEnvironment(LINE, n_envs=3),  # sequentially
        GymEnvironment("CartPole-v1", n_envs=3),  # all at once
        GymEnvironment(IntervalWorld()),  # a live one
    ],
    LinearSchedule: [LinearSchedule(1.0, 0.1)],
    MemoizationQFunction: [MemoizationQFunction(), MemoizationQFunction(0.5, 0.0, 0.0)],
    ParallelQ: [ParallelQ(train_freq=40, batch_size=8)],
    PrioritizedBuffer: [PrioritizedBuffer()],
    ReplayBuffer: [ReplayBuffer()],
    QLearningAgent: [QLearningAgent(n_steps=100, n_evaluations=1), DEEP_AGENT],
    C51: [C51(31, -3.0, 3.0, hidden_layer_sizes=(16,), learning_rate=0.01)],
    QRDQN: [QRDQN(4, hidden_layer_sizes=(8,))],
    IQN: [IQN(4, hidden_layer_sizes=(8,))],
    RegressorQFunction: [RegressorQFunction(SGDRegressor())],
}

check_short_runs = partial(check_runner, n_steps=120)

# What is checked of the subclasses of an interface; of all others, their parameters.
INTERFACES = {
    Buffer: check_buffer,
    Environment: check_environment,
    Policy: check_policy,
    QFunction: check_qfunction,
    QLearningAgent: check_agent,
    Runner: check_short_runs,
}

DRAWS_VALUES = "its values are drawn anew at each call"
EXPECTED_FAILED_CHECKS = {
    RandomQFunction: dict.fromkeys(
        [
            "check_values_do_not_depend_on_the_batch",
            "check_looking_changes_nothing",
            "check_td_errors_of_ended_episodes",
            "check_update_learns",
            "check_many_updates_equal_single_ones",
            "check_start_update",
        ],
        DRAWS_VALUES,
    ),
    IQN: {"check_next_action_masks": "after the first update, its levels are other ones"},
}
NOISY = dict.fromkeys(
    ["check_td_errors_of_ended_episodes", "check_next_action_masks"], "TD errors have noise"
)


def shipped_classes():
    """All classes in skrl that are estimators, and neither private nor abstract."""
    classes = []
    for info in pkgutil.walk_packages(skrl.__path__, "skrl."):
        module = importlib.import_module(info.name)
        for name, cls in vars(module).items():
            is_here = inspect.isclass(cls) and cls.__module__ == info.name
            if is_here and issubclass(cls, BaseEstimator) and not name.startswith("_"):
                classes.append(cls)
    # A view of another Q function learns nothing, and the tasks belong to one call of `fit`.
    others = MaskedQFunction, SklearnTasks
    return [cls for cls in classes if not inspect.isabstract(cls) and cls not in others]


def needs_arguments(cls):
    parameters = inspect.signature(cls).parameters.values()
    return any(parameter.default is parameter.empty for parameter in parameters)


CLASSES = shipped_classes()
PARTS = [
    part for cls in CLASSES if cls in INSTANCES or not needs_arguments(cls)
    for part in INSTANCES.get(cls) or [cls()]
]  # fmt: skip


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_there_is_something_to_check_of_every_class(cls):
    assert any(type(part) is cls for part in PARTS), f"Add an instance of {cls} to INSTANCES."


def test_the_classes_are_found():
    assert {DQN, EpsilonGreedy, GymEnvironment, SimpleRunner, QLearningAgent} <= set(CLASSES)


def is_slow(part):
    """Whether the checks of a part compile many functions: one network stands for all."""
    return (
        isinstance(part, C51 | IQN | QRDQN) or getattr(part, "noisy", False) or part is DEEP_AGENT
    )


@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=pytest.mark.slow) if is_slow(part) else part for part in PARTS],
    ids=lambda part: repr(part)[:60],
)
def test_what_we_ship_keeps_its_contracts(part):
    checks = [check for interface, check in INTERFACES.items() if isinstance(part, interface)]
    is_noisy = getattr(part, "noisy", False)
    expected = NOISY if is_noisy else EXPECTED_FAILED_CHECKS.get(type(part))
    for check in checks:
        check(part, expected_failed_checks=expected)
    if not checks:
        run_checks(part, BaseEstimator, [], expected_failed_checks=expected)


def test_tables_keep_their_contracts_on_tuples():
    check_qfunction(MemoizationQFunction(), "Blackjack-v1")


@pytest.mark.slow
def test_networks_keep_their_contracts_on_vectors():
    check_qfunction(DQN((8,)), "CartPole-v1")


# ---- who breaks a contract is told which -------------------------------------------------------


class Busy(EpsilonGreedy):
    """Its constructor does some work."""

    def __init__(self, epsilon=0.5):
        super().__init__(float(epsilon) + 0)
        self.square = epsilon**2


class Shared(EpsilonGreedy):
    def __init__(self, epsilon=0.5, levels=[0.5]):  # noqa: B006
        super().__init__(epsilon)
        self.levels = levels


class Unnamed(EpsilonGreedy):
    def __init__(self, epsilon=0.5, **settings):
        super().__init__(epsilon)
        vars(self).update(settings)


class Leaky(Policy):
    """Probabilities that do not sum to 1."""

    def probabilities(self, states, qfunction, progress):
        return np.full((len(states), qfunction.n_actions_), 0.3)


class Biased(EpsilonGreedy):
    """Never explores, whatever it says."""

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        values = qfunction.values(states)
        if action_masks is not None:
            values = np.where(action_masks, values, -np.inf)
        return Decision(values.argmax(axis=1))


class Boastful(EpsilonGreedy):
    """Takes all actions for greedy."""

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        actions = super().decide(states, qfunction, progress, rng, action_masks).actions
        return Decision(actions, np.ones(len(actions), dtype=bool))


class Unmasked(EpsilonGreedy):
    """Does what is not allowed."""

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        return Decision(super().decide(states, qfunction, progress, rng).actions)


class Redistributing(EpsilonGreedy):
    """Gives the probability of what is not allowed to the best action."""

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        actions = super().decide(states, qfunction, progress, rng).actions
        if action_masks is not None:
            values = np.where(action_masks, qfunction.values(states), -np.inf)
            allowed = action_masks[np.arange(len(states)), actions]
            actions = np.where(allowed, actions, values.argmax(axis=1))
        return Decision(actions)


class Counting(EpsilonGreedy):
    """Remembers how often it decided, and does not tell."""

    def begin(self, run):
        self.n_decisions = 0

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        self.n_decisions += 1
        if self.n_decisions % 3 == 0:
            rng.random()
        return super().decide(states, qfunction, progress, rng, action_masks)


class Clinging(Counting):
    """Tells what it remembers, but does not forget it."""

    def begin(self, run):
        self.n_decisions = getattr(self, "n_decisions", 0)

    def state(self):
        return {"n_decisions": self.n_decisions}

    def set_state(self, state):
        self.n_decisions = state["n_decisions"]


class Careless(EpsilonGreedy):
    """Draws from NumPy's global generator."""

    def decide(self, states, qfunction, progress, rng, action_masks=None):
        np.random.rand()  # noqa: NPY002
        return super().decide(states, qfunction, progress, rng, action_masks)


class Narrow(EpsilonGreedy):
    def decide(self, states, qfunction, progress, rng, action_masks=None):
        decision = super().decide(states, qfunction, progress, rng, action_masks)
        return decision._replace(actions=decision.actions.astype(np.int32))


class Drifting(MemoizationQFunction):
    """Every look changes the values."""

    def values(self, states):
        values = super().values(states)
        self._table += 0.5
        return values


class Flat(MemoizationQFunction):
    """The wrong shape of TD errors."""

    def update(self, transitions):
        return super().update(transitions).ravel()


class OnlyFirst(MemoizationQFunction):
    """Learns only from the first of K batches."""

    def update(self, transitions):
        if transitions.actions.ndim == 1:
            return super().update(transitions)
        return np.tile(super().update(transitions[0]), (len(transitions), 1))


class Hasty(MemoizationQFunction):
    """Learns in `start_update`, instead of when that is finished."""

    def start_update(self, transitions):
        td_errors = self.update(transitions)
        return lambda: td_errors


class Viewing(MemoizationQFunction):
    """The state is not a copy."""

    def state(self):
        return {**super().state(), "table": self._table}


class Partial(MemoizationQFunction):
    """The state lacks the numbers of updates."""

    def state(self):
        return {**super().state(), "n_updates": np.zeros_like(self._n_updates)}


class Accepting(MemoizationQFunction):
    """Takes any state."""

    def set_state(self, state):
        self._table = state.get("table", self._table).copy()
        self._n_updates = state.get("n_updates", self._n_updates).copy()


class MaskBlind(MemoizationQFunction):
    """Bootstraps from actions that are not allowed."""

    def update(self, transitions):
        return super().update(replace(transitions, next_action_masks=None))


class FirstPossible(MemoizationQFunction):
    """Bootstraps from the best action that is possible, however unlikely it is."""

    def update(self, transitions):
        if transitions.next_probabilities is not None:
            masks = transitions.next_probabilities > 0
            transitions = replace(transitions, next_action_masks=masks, next_probabilities=None)
        return super().update(transitions)


class Keeping(MemoizationQFunction):
    """A second build does not forget."""

    def build(self, state_space, n_actions, random_state):
        table = getattr(self, "_table", None)
        super().build(state_space, n_actions, random_state)
        if table is not None:
            self._table = table
        return self


class Forgetful(MemoizationQFunction):
    """Saves nothing that it has learned."""

    def __getstate__(self):
        return {**super().__getstate__(), "_table": np.zeros_like(self._table)}


class OneStart(MemoizationQFunction):
    """Takes any seed for the same."""

    def build(self, state_space, n_actions, random_state):
        super().build(state_space, n_actions, random_state)
        rng = np.random.default_rng(None if random_state is None else 0)
        self._table = rng.random(self._table.shape)
        return self


class Unready(MemoizationQFunction):
    """Says nothing sensible before `build`."""

    def values(self, states):
        return self._table[states]


class AfterReset(GymEnvironment):
    """The worst of mistakes: the successor is the first state of the next episode."""

    def step(self, actions):
        transitions = super().step(actions)
        transitions.next_states = self.states.copy()
        return transitions


class NoBootstrap(GymEnvironment):
    """Takes a time limit for an end."""

    def step(self, actions):
        transitions = super().step(actions)
        transitions.discounts[transitions.truncated] = 0
        return transitions


class OwnSeed(GymEnvironment):
    """Takes no seed."""

    def reset(self, seed=None):
        return super().reset(None)


class Unplaced(GymEnvironment):
    """Says where it stands, but does not go there."""

    def state(self):
        return super().state()

    def set_state(self, state):
        pass


class OneSeed(GymEnvironment):
    """Takes any seed for the same."""

    def reset(self, seed=None):
        return super().reset(None if seed is None else 0)


class Reusing(GymEnvironment):
    """Writes into the array that it gave before."""

    def step(self, actions):
        transitions = super().step(actions)
        self.rewards = vars(self).get("rewards", transitions.rewards)
        self.rewards[:] = transitions.rewards
        transitions.rewards = self.rewards
        return transitions


class Multiplied(GymEnvironment):
    """Gives the same discounts again, which by then the caller has multiplied."""

    def step(self, actions):
        transitions = super().step(actions)
        self.discounts = vars(self).get("discounts", transitions.discounts)
        transitions.discounts = self.discounts
        return transitions


class Undiscounted(SimpleRunner):
    def learn(self, run, transitions):
        run.update(transitions)


class Wasteful(SimpleRunner):
    """Does every second step twice, outside of the budget."""

    def run(self, environment, *args, **kwargs):
        history = super().run(environment, *args, **kwargs)
        environment.step(np.zeros(environment.n_envs_, dtype=np.int64))
        return history


class Idle(SimpleRunner):
    def learn(self, run, transitions):
        """Learn nothing."""


class Noisy(SimpleRunner):
    """Draws its own random numbers."""

    def learn(self, run, transitions):
        noisy = transitions.rewards + np.random.default_rng().random()
        super().learn(run, replace(transitions, rewards=noisy))


class Doubling(ReplayBuffer):
    """Counts every reward twice."""

    def add(self, transitions):
        super().add(replace(transitions, rewards=2 * transitions.rewards))


class Amnesiac(ReplayBuffer):
    """Its state says nothing."""

    def set_state(self, state):
        pass


class Overwriting(ReplayBuffer):
    """Reuses the memory of the last sample."""

    def sample(self, *args):
        self._sampled = self._sampled[::-1]
        return super().sample(*args)


class Deaf(SimpleRunner):
    """Ignores callbacks."""

    def run(self, *args, callbacks=(), **kwargs):
        return super().run(*args, **kwargs)


class Returning(QLearningAgent):
    def fit(self, env, y=None):
        super().fit(env)


class Settling(QLearningAgent):
    """Overwrites a parameter."""

    def fit(self, env, y=None):
        self.policy = self.policy or EpsilonGreedy()
        return super().fit(env)


class Exploring(QLearningAgent):
    """Explores when it should show what it knows."""

    def predict(self, states):
        greedy = super().predict(states)
        return np.random.default_rng(0).integers(2, size=np.shape(greedy))


class Lucky(QLearningAgent):
    """Scores as it likes."""

    def score(self, env, y=None):
        return super().score(env, n_episodes=2) + np.random.default_rng().random()


class Continuing(QLearningAgent):
    """Never starts afresh."""

    def fit(self, env, y=None):
        check_parameters(self)
        return self.partial_fit(env)


TABLE = {"n_steps": 200, "n_evaluations": 0}


@pytest.mark.parametrize(
    ("check", "part", "broken"),
    [
        (check_policy, Busy(), "check_constructor_only_stores"),
        (check_policy, Shared(), "check_defaults_cannot_change"),
        (check_policy, Unnamed(), "check_parameters_are_named"),
        (check_policy, Leaky(), "check_probabilities"),
        (check_policy, Biased(), "check_decisions_agree_with_probabilities"),
        (check_policy, Boastful(), "check_is_greedy"),
        (check_policy, Unmasked(0.5), "check_masks"),
        (check_policy, Redistributing(0.5), "check_masks"),
        (check_policy, Clinging(0.5), "check_begin_forgets"),
        (check_policy, Counting(0.5), "check_state"),
        (check_policy, Careless(), "check_decisions_are_reproducible"),
        (check_policy, Narrow(), "check_decisions"),
        (check_qfunction, Drifting(), "check_values_do_not_depend_on_the_batch"),
        (check_qfunction, Flat(), "check_update"),
        (check_qfunction, OnlyFirst(), "check_many_updates_equal_single_ones"),
        (check_qfunction, Hasty(), "check_start_update"),
        (check_qfunction, MaskBlind(), "check_next_action_masks"),
        (check_qfunction, FirstPossible(), "check_next_probabilities"),
        (check_qfunction, Viewing(), "check_state"),
        (check_qfunction, Partial(), "check_state"),
        (check_qfunction, Accepting(), "check_refuses_other_states"),
        (check_qfunction, Keeping(), "check_build_forgets"),
        (check_qfunction, Forgetful(), "check_pickled_qfunction"),
        (check_qfunction, OneStart(), "check_random_state_matters"),
        (check_qfunction, Unready(), "check_refuses_before_build"),
        (check_environment, AfterReset(LINE), "check_next_states"),
        (check_environment, NoBootstrap(RING), "check_discounts"),
        (check_environment, OwnSeed(LINE), "check_seeds_reproduce"),
        (check_environment, OneSeed(LINE), "check_seeds_matter"),
        (check_environment, Unplaced(LINE), "check_state"),
        (check_environment, Reusing(LINE), "check_steps_do_not_change_later"),
        (check_environment, Multiplied(RING), "check_discounts"),
        (check_buffer, Doubling(), "check_discounts"),
        (check_buffer, Amnesiac(), "check_state"),
        (check_buffer, Overwriting(), "check_samples_last"),
        (check_short_runs, Undiscounted(), "check_learns_with_gamma"),
        (check_short_runs, Wasteful(), "check_budget_of_steps"),
        (check_short_runs, Idle(), "check_learns_with_gamma"),
        (check_short_runs, Noisy(), "check_runner_is_reproducible"),
        (check_short_runs, Deaf(), "check_progress"),
        (check_agent, Returning(**TABLE), "check_fit"),
        (check_agent, Settling(**TABLE), "check_fit"),
        (check_agent, Exploring(**TABLE), "check_predict"),
        (check_agent, Lucky(**TABLE), "check_score"),
        (check_agent, Continuing(**TABLE), "check_fit_starts_afresh"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseEstimator) else "",
)
def test_who_breaks_a_contract_is_told_which(check, part, broken):
    with pytest.raises(AssertionError, match=f"^{type(part).__name__} breaks .* see {broken}"):
        check(part)


def test_the_message_says_what_came_and_what_was_expected():
    message = (
        "Flat breaks a contract of QFunction, see check_update: `update` gives one TD error per "
        "transition, for K batches of B and for one batch. Expected the TD errors of (K, B) "
        "transitions to be an array of floats of shape (3, 16), got an array of dtype float64 "
        "and shape (48,)."
    )
    with pytest.raises(AssertionError) as raised:
        check_qfunction(Flat())
    assert str(raised.value) == message


def test_an_error_of_the_part_is_reported_with_its_cause():
    class Failing(MemoizationQFunction):
        def values(self, states):
            return super().values(states) / self.no_such_thing

    with pytest.raises(
        AssertionError, match=r"check_values: .*AttributeError: .*no_such_thing"
    ) as e:
        check_qfunction(Failing())
    assert e.value.__cause__ is not None


@pytest.mark.parametrize("wrong", [SimpleRunner(), EpsilonGreedy, "EpsilonGreedy"])
def test_another_kind_of_part_is_refused(wrong):
    with pytest.raises(TypeError, match="Expected an instance of Policy, got "):
        run_checks(wrong, Policy, [], expected_failed_checks=None)


def test_a_part_is_left_as_it_is():
    qfunction, environment = MemoizationQFunction(), GymEnvironment(LINE)
    check_qfunction(qfunction)
    check_environment(environment)
    assert vars(qfunction) == vars(clone(qfunction))
    assert vars(environment) == {
        "env": LINE,
        "n_envs": 1,
        "render_mode": None,
        "asynchronous": None,
    }


def test_failures_can_be_expected_but_not_in_vain():
    check_qfunction(Partial(), expected_failed_checks={"check_state": "it lacks the counts"})
    with pytest.raises(AssertionError, match=r"passes check_values, .* fail \(no reason\)"):
        check_qfunction(Partial(), expected_failed_checks={"check_values": "no reason"})
    with pytest.raises(ValueError, match="no check of the name 'check_all'"):
        check_qfunction(Partial(), expected_failed_checks={"check_all": "?"})


def test_every_check_states_its_contract():
    for check in QFUNCTION_CHECKS:
        assert check.__doc__.splitlines()[0].endswith("."), check


# ---- expectations ------------------------------------------------------------------------------


def test_different_arrays_are_told_by_their_first_difference():
    expect_same(np.arange(3), [0, 1, 2], "the numbers")
    with pytest.raises(AssertionError, match=r"the numbers, at \(1,\) and 1 other places, to be 5"):
        expect_same(np.array([0, 1, 2]), [0, 5, 6], "the numbers")
    with pytest.raises(AssertionError, match=r"the numbers to be an array of shape \(2,\)"):
        expect_same(np.arange(3), [0, 1], "the numbers")


@pytest.mark.parametrize("wrong", [np.arange(2), np.zeros(3), [0.0, 1.0], np.array([0.0, np.nan])])
def test_floats_are_finite_and_of_the_shape(wrong):
    with pytest.raises(AssertionError, match="Expected the values to be"):
        expect_floats(wrong, (2,), "the values")


def test_an_expected_error_must_come():
    expect_error((ValueError, KeyError), lambda: {}["a"], "a look")
    with pytest.raises(AssertionError, match="a look to raise ValueError, got KeyError: 'a'"):
        expect_error(ValueError, lambda: {}["a"], "a look")
    with pytest.raises(AssertionError, match="a look to raise ValueError, got no error"):
        expect_error(ValueError, lambda: 0, "a look")
