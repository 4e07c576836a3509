r"""Read this first: the data and the interfaces of the learning loop.

Reinforcement learning is a loop of three lines, written once, in `Runner.loop`::

    decision = policy.decide(states, qfunction, progress, rng, action_masks)   # act
    transitions = environment.step(decision.actions)                           # observe
    runner.learn(run, transitions)                                             # learn

Everything that flows between the lines is a NumPy array with the batch first. `n` environments
run side by side (n = 1 is not a special case), and `m` is the size of any batch:

============ ===================== ============= ==============================================
name         shape                 dtype         meaning
============ ===================== ============= ==============================================
States       (m, \*state_shape)    the space's   observations s; a Discrete space has state_shape
                                                 () and counts from 0; Dict and Tuple spaces
                                                 are flattened to float32
Actions      (m,)                  int64         index of the action a, 0 <= a < n_actions
ActionMasks  (m, n_actions)        bool          which actions are allowed in s
Values       (m, n_actions)        float         action values Q(s, .)
Rewards      (m,)                  float         rewards r
Discounts    (m,)                  float         the factor of the value of s': 0 where the
                                                 episode terminated, gamma^k otherwise
============ ===================== ============= ==============================================

To write your own part, subclass one of the interfaces and implement its abstract methods:

- `Environment` takes actions and gives transitions (s, a, r, s');
- `QFunction` estimates the action values Q(s, a) and learns them;
- `Policy` chooses actions, given the values: exploration lives here, unless the values that it is
  given have noise (`QFunction.for_exploration`);
- `Runner` runs the loop and decides which transitions are learned from, and when;
- `Callback` watches a run.

A `Run` owns everything that a training run consists of, and all state is explicit: what a part
has learned or remembers is what its `state` gives and its `set_state` takes.

All parts are scikit-learn estimators: the constructor stores its arguments and does nothing else,
so that ``get_params``, ``set_params`` and ``sklearn.base.clone`` work, nested as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import gymnasium
import numpy as np
from jaxtyping import Float, Shaped
from numpy.random import Generator
from sklearn.base import BaseEstimator

from skrl.history import Budget, History
from skrl.interruptions import Interrupts, handled_interrupts
from skrl.transitions import (
    ActionMasks,
    Actions,
    Decision,
    Probabilities,
    States,
    Transitions,
    Values,
)

__all__ = [
    "ActionMasks",
    "Actions",
    "Callback",
    "Decision",
    "Defaults",
    "Environment",
    "Policy",
    "Probabilities",
    "QFunction",
    "Run",
    "Runner",
    "States",
    "Transitions",
    "Values",
]

# The metrics of a rollout are those of its first updates and states, at most so many.
N_UPDATES_FOR_METRICS, N_STATES_FOR_METRICS = 32, 128

# What `state` gives: arrays, and values that JSON can hold, in dicts and lists.
State = dict[str, Any]


class Environment(BaseEstimator, ABC):
    """A world, or n of them side by side: takes actions, gives transitions.

    Call `reset` once, then `step` indefinitely: an environment whose episode ended starts the
    next one by itself, and `states` says where each one is now.

    Attributes
    ----------
    state_space : gymnasium.Space
        The space of *one* state, as `reset` and `step` deliver it: Discrete counted from 0, Box,
        MultiDiscrete or MultiBinary.
    observation_space, action_space : gymnasium.Space
        The environment's own spaces of one observation and one action, before translation into
        states and action indices.
    n_actions : int
        Number of actions.
    n_envs_ : int
        Number n of environments side by side.
    reward_threshold : float or None
        Mean return at which the environment counts as solved, if that is known.
    has_time_limit : bool
        Whether every episode is known to be cut off after some number of steps.
    is_vectorized : bool
        Whether all n environments are computed at once, so that more of them take hardly longer.
    states : ndarray of shape (n_envs_, *state_shape)
        Where each environment is now, after automatic resets.
    action_masks : ndarray of shape (n_envs_, n_actions), bool, or None
        Which actions are allowed in `states`. None means that all are.
    """

    state_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    n_actions: int
    n_envs_: int
    reward_threshold: float | None
    has_time_limit: bool = False
    is_vectorized: bool = False
    states: Shaped[np.ndarray, "..."]
    action_masks: ActionMasks | None = None

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Refuse: NumPy would make an array without samples."""
        raise TypeError(
            "An environment cannot be converted to an array. Pass a list of environments, such as "
            "['CartPole-v1'] * 6 or skrl.make_envs('CartPole-v1', n=6)."
        )

    @abstractmethod
    def reset(self, seed: int | None = None) -> States:
        """Begin a new episode in every environment.

        Parameters
        ----------
        seed : int or None
            Seeds the environments' random numbers and those of their action spaces. None
            continues the sequences of random numbers.

        Returns
        -------
        ndarray of shape (n_envs_, *state_shape)
            The first states.
        """

    @abstractmethod
    def step(self, actions: Actions) -> Transitions:
        """Take one action in every environment.

        Parameters
        ----------
        actions : ndarray of shape (n_envs_,), dtype int64
            One action index per environment.

        Returns
        -------
        Transitions
            One row per environment (`Transitions.env_ids` explains the exception). The discounts
            are 0 where the episode terminated and 1 elsewhere. They belong to the caller, who
            may multiply them in place. The other arrays must not be written to, but they do not
            change later, so they can be kept.
        """

    @abstractmethod
    def replicate(self, n_envs: int, render_mode: str | None = None) -> "Environment":
        """Make a fresh environment like this one, `n_envs` side by side.

        Evaluation and recording use it, so that they never disturb a training run.

        Parameters
        ----------
        n_envs : int
            How many to run side by side.
        render_mode : str or None
            Gymnasium's render mode for the new environments.
        """

    def state(self) -> State | None:
        """Copy where the environment stands, random numbers included; see `QFunction.state`.

        Returns
        -------
        dict or None
            None if it cannot be copied, which is the default. A `skrl.callbacks.Checkpoint` then
            begins new episodes.
        """
        return None

    def set_state(self, state: State) -> None:
        """Continue from a `state`, of an environment like this one. It must have been reset."""
        raise ValueError(f"A {type(self).__name__} cannot be put where another one stood.")

    def render(self) -> Any:
        """Show the environment as its render mode says, and return the frame, if there is one."""
        return None

    def close(self) -> None:
        """Free what the environment holds: windows, processes, files."""


class Defaults(NamedTuple):
    """What suits a Q function, where the user chooses nothing.

    Parameters
    ----------
    policy : Policy or str
        A policy, or the name of one in `skrl`.
    runner : Runner or str
        A runner, or the name of one in `skrl`.
    n_steps : int
        Budget of a training run, in steps.
    """

    policy: "Policy | str" = "EpsilonGreedy"
    runner: "Runner | str" = "SimpleRunner"
    n_steps: int = 50_000


class QFunction(BaseEstimator, ABC):
    """Action values Q(s, a): the return to expect when doing a in s.

    Attributes
    ----------
    state_space_ : gymnasium.Space
        Space of one state, known after `build`.
    n_actions_ : int
        Number of actions, known after `build`.
    defaults : Defaults
        The policy, the runner and the budget that suit this Q function.
    """

    state_space_: gymnasium.Space[Any]
    n_actions_: int
    defaults = Defaults()

    @abstractmethod
    def build(
        self,
        state_space: gymnasium.Space[Any],
        n_actions: int,
        random_state: int | Generator | None,
    ) -> Self:
        """Get ready for an environment: forget everything and start anew.

        Parameters
        ----------
        state_space : gymnasium.Space
            Space of one state, as `Environment.state_space`.
        n_actions : int
            Number of actions.
        random_state : int, Generator or None
            Source of all random numbers, such as a network's first weights.

        Returns
        -------
        self
        """

    @abstractmethod
    def values(self, states: States) -> Values:
        """Estimate Q(s, .) for a batch of states.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states.

        Returns
        -------
        ndarray of shape (m, n_actions)
            One value per action. The next call may reuse the array: copy it to keep it.
        """

    def for_exploration(self, rng: Generator) -> "QFunction":
        """Give the action values that a policy looks at in a training run: by default, these.

        A Q function that explores by noise on what it has learned gives a view of itself, whose
        values have new noise at every look. The view follows all updates. Which actions are greedy
        is then decided by the values without noise.

        Parameters
        ----------
        rng : numpy.random.Generator
            The only source of randomness: the run's.

        Returns
        -------
        QFunction
        """
        return self

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """Features of a batch of states, as input of a linear function or a network.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states.

        Returns
        -------
        ndarray of shape (m, n_features)
            By default the numbers of each state, in one row.
        """
        return states.reshape(len(states), -1).astype(np.float32)

    @abstractmethod
    def update(self, transitions: Transitions) -> Float[np.ndarray, "*batch"]:
        """Learn from transitions.

        Parameters
        ----------
        transitions : Transitions
            Of batch shape (B,) for one update, or (K, B) for K successive updates of B
            transitions each, in one call.

        Returns
        -------
        ndarray of shape (B,) or (K, B)
            The temporal-difference errors
            ``rewards + discounts * bootstrap - Q(states, actions)``, before each update. The
            bootstrap value is ``max_a Q(s', a)`` over the actions allowed by
            `next_action_masks`, or ``sum_a p(a|s') Q(s', a)`` where the transitions have
            `next_probabilities`.
        """

    def start_update(self, transitions: Transitions) -> Callable[[], Float[np.ndarray, "*batch"]]:
        """Begin an `update` that may run in the background while the agent acts.

        Parameters
        ----------
        transitions : Transitions
            As for `update`. They must not change before the update has been finished.

        Returns
        -------
        callable
            Takes no arguments, finishes the update and returns its TD errors. Until it is
            called, `values` and `state` stay as they are, so the result does not depend on the
            speed of the machine. It is that of an `update` at the time of the call, also if
            `set_state` came in between.
        """
        return lambda: self.update(transitions)

    @abstractmethod
    def state(self) -> State:
        """Copy everything that has been learned, and that learning goes on from.

        Returns
        -------
        dict
            Arrays, and values that JSON can hold, in dicts and lists.
        """

    @abstractmethod
    def set_state(self, state: State) -> None:
        """Continue from a `state`, of this Q function or of one with the same parameters.

        Parameters
        ----------
        state : dict
            It is not changed by later updates.

        Raises
        ------
        ValueError
            If it does not fit this Q function.
        """

    def metrics(self) -> dict[str, float]:
        """Report on the last update: ``loss`` and ``learning_rate``, where they are known."""
        return {}


class Policy(BaseEstimator, ABC):
    """Chooses actions, given action values."""

    @abstractmethod
    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Give the probability of every action.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states to act in.
        qfunction : QFunction
            Gives the action values, and the number of actions. The value of an action that is
            not allowed is ``-inf``; `decide` sets its probability to 0.
        progress : float in [0, 1]
            How much of the training budget is used: schedules depend on it.

        Returns
        -------
        ndarray of shape (m, n_actions)
            Each row sums to 1.
        """

    def decide(
        self,
        states: States,
        qfunction: QFunction,
        progress: float,
        rng: Generator,
        action_masks: ActionMasks | None = None,
    ) -> Decision:
        """Choose one action per state, by default a draw from `probabilities`.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states to act in.
        qfunction : QFunction
            Gives the action values, and the number of actions.
        progress : float in [0, 1]
            How much of the training budget is used.
        rng : numpy.random.Generator
            The only source of randomness.
        action_masks : ndarray of shape (m, n_actions), bool, or None
            Which actions are allowed. The probabilities of the others are set to 0, and the
            rest is scaled to sum to 1.

        Returns
        -------
        Decision
            Action indices, and which of them are greedy.
        """
        view = MaskedQFunction(qfunction, action_masks)
        probabilities = self.probabilities(states, view, progress)
        if action_masks is not None:
            probabilities = mask_probabilities(probabilities, action_masks)
        # The action whose slice of the cumulated probabilities a uniform number falls into.
        cumulated = probabilities.cumsum(axis=1)
        draws = rng.random((len(states), 1)) * cumulated[:, -1:]
        actions: Actions = (cumulated <= draws).sum(axis=1)
        values = view.values(states)
        return Decision(actions, values[np.arange(len(values)), actions] >= values.max(axis=1))

    def begin(self, run: "Run") -> None:
        """Get ready for a run. A policy that remembers something prepares its memory here."""

    def end_episodes(self, env_ids: Shaped[np.ndarray, " k"]) -> None:
        """Learn that the episodes of these environments ended. Does nothing by default."""

    def state(self) -> State:
        """Copy what the policy remembers between calls; see `QFunction.state`."""
        return {}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""

    def metrics(self, progress: float) -> dict[str, float]:
        """Report on the exploration: ``epsilon``, where there is one."""
        return {}


class View(QFunction):
    """A Q function as a policy sees it: something to look at, not to change.

    A subclass says how its `values` differ from those of the Q function.

    Parameters
    ----------
    qfunction : QFunction
        What is viewed.
    """

    def __init__(self, qfunction: QFunction) -> None:
        self.qfunction = qfunction
        self.state_space_, self.n_actions_ = qfunction.state_space_, qfunction.n_actions_

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """Features of shape (m, n_features); see `QFunction.encode`."""
        return self.qfunction.encode(states)

    def build(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a policy may look at action values, but not change what is learned."""
        raise TypeError("A policy may look at action values, but not change what is learned.")

    update = start_update = state = set_state = build


class MaskedQFunction(View):
    """A view of a Q function, whose values are ``-inf`` where an action is not allowed.

    It computes the values of the same array of states once.

    Parameters
    ----------
    qfunction : QFunction
        What is viewed.
    action_masks : ndarray of shape (m, n_actions), bool, or None
        Which actions are allowed in the m states that `values` is asked for. None allows all.
    """

    def __init__(self, qfunction: QFunction, action_masks: ActionMasks | None = None) -> None:
        super().__init__(qfunction)
        self.action_masks = action_masks
        self._states = self._values = np.empty(0)

    def values(self, states: States) -> Values:
        """Values of shape (m, n_actions); see `QFunction.values`."""
        if states is not self._states:
            values = self.qfunction.values(states)
            if self.action_masks is not None:
                values = np.where(self.action_masks, values, -np.inf)
            self._states, self._values = states, values
        return self._values


def mask_probabilities(probabilities: Probabilities, action_masks: ActionMasks) -> Probabilities:
    """Set the probabilities of actions that are not allowed to 0, and scale the rest to sum to 1.

    Where all allowed actions have the probability 0, they become equally likely.

    Parameters
    ----------
    probabilities : ndarray of shape (m, n_actions)
        Each row sums to 1.
    action_masks : ndarray of shape (m, n_actions), bool
        At least one action is allowed in each row.

    Returns
    -------
    ndarray of shape (m, n_actions)
        Each row sums to 1.
    """
    allowed = np.where(action_masks, probabilities, 0.0)
    sums = allowed.sum(axis=1, keepdims=True)
    masked = np.where(sums > 0, allowed, action_masks)
    scaled: Probabilities = masked / masked.sum(axis=1, keepdims=True)
    return scaled


@dataclass
class Run:
    """A training run: everything it consists of, and what a `Callback` sees.

    Parameters
    ----------
    environment, qfunction, policy, runner
        The parts that take part in the run.
    history : History
        One row per finished episode, evaluation and rollout; ``history.n_steps`` counts steps.
    budget : Budget
        When the run ends.
    schedule : Budget
        What the progress is measured by: the budget of all runs that continue each other. For a
        single run it is the `budget`.
    discount_factor : float in [0, 1]
        gamma, how much a reward is worth one step later.
    rng : numpy.random.Generator
        The only source of randomness.
    callbacks : list of Callback
        What watches the run.

    Attributes
    ----------
    progress : float in [0, 1]
        How much of the schedule is used.
    stop_reason : str or None
        Why the run ends, once it has been told to `stop`.
    """

    environment: Environment
    qfunction: QFunction
    policy: Policy
    runner: "Runner"
    history: History
    budget: Budget
    schedule: Budget
    discount_factor: float
    rng: Generator
    callbacks: Sequence["Callback"] = ()
    stop_reason: str | None = field(default=None, init=False)
    progress: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self.progress = self.schedule.used()
        # The update that is being made in the background, and what finishes it.
        self._learning: Transitions | None = None
        self._finish: Callable[[], Float[np.ndarray, "*batch"]] | None = None
        # The first updates of a rollout: some of the states learned from, and the TD errors.
        self._learned: list[tuple[States, Float[np.ndarray, "*batch"]]] = []

    def stop(self, reason: str) -> None:
        """End the run as soon as the current step is done, for the `reason` given."""
        self.stop_reason = reason

    def update(self, transitions: Transitions) -> None:
        """Learn from transitions at once; see `QFunction.update`."""
        self._note_metrics(transitions, self.qfunction.update(transitions))

    def start_update(self, transitions: Transitions) -> None:
        """Begin to learn in the background, after finishing what has begun earlier."""
        self.finish_update()
        self._learning, self._finish = transitions, self.qfunction.start_update(transitions)

    def finish_update(self) -> Float[np.ndarray, "*batch"] | None:
        """Let the update that has begun take effect.

        Returns
        -------
        ndarray of shape (B,) or (K, B), or None
            Its TD errors; None if no update has begun.
        """
        if self._finish is None or self._learning is None:
            return None
        finish, transitions = self._finish, self._learning
        self._finish = self._learning = None
        td_errors = finish()
        self._note_metrics(transitions, td_errors)
        return td_errors

    def _note_metrics(
        self, transitions: Transitions, td_errors: Float[np.ndarray, "*batch"]
    ) -> None:
        """Remember an update until `record_metrics`, if it is one of the first."""
        if len(self._learned) < N_UPDATES_FOR_METRICS:
            # Of K batches the states of the last one. A buffer may use their memory again.
            states = transitions.states if td_errors.ndim == 1 else transitions.states[-1]
            self._learned.append((states[:N_STATES_FOR_METRICS].copy(), td_errors))

    def record_metrics(self) -> None:
        """Write the first updates since the last call as a row of ``history.metrics``."""
        if not self._learned:
            return
        td_errors = np.concatenate([errors for _, errors in self._learned], axis=None)
        states = np.concatenate([states for states, _ in self._learned])
        values = self.qfunction.values(states[:N_STATES_FOR_METRICS])
        self._learned.clear()
        known = {
            "loss": float(np.square(td_errors).mean()) / 2,
            **self.qfunction.metrics(),
            **self.policy.metrics(self.progress),
        }
        self.history.metrics.append(
            n_steps=self.history.n_steps,
            loss=known["loss"],
            td_error=float(np.abs(td_errors).mean()),
            q_mean=float(values.mean()),
            q_max=float(values.max()),
            epsilon=known.get("epsilon", np.nan),
            learning_rate=known.get("learning_rate", np.nan),
            seconds=self.history.seconds(),
        )

    def state(self) -> State:
        """Copy the whole run but its environment, at the end of a rollout.

        Returns
        -------
        dict
            Arrays, and values that JSON can hold. A run of the same parts that is given them by
            `set_state`, with an environment that stands where this one stands, continues bit for
            bit like this one.
        """
        return self._state(self.runner.state(), self.history.state())

    def live_state(self) -> State:
        """Give the same without copying what is large; see `Runner.live_state`."""
        return self._state(self.runner.live_state(), self.history.live_state())

    def _state(self, runner: State, history: State) -> State:
        return {
            "qfunction": self.qfunction.state(),
            "policy": self.policy.state(),
            "runner": runner,
            "callbacks": [[type(c).__name__, c.state()] for c in self.callbacks],
            "history": history,
            "budget": self.budget.state(),
            "schedule": self.schedule.state(),
            "stop_reason": self.stop_reason,
            "rng": self.rng.bit_generator.state,
            "learning": None if self._learning is None else _copies(self._learning.to_dict()),
        }

    def set_state(self, state: State) -> None:
        """Continue from a `state`, instead of the run's own beginning.

        Parameters
        ----------
        state : dict
            What `state` gave, of a run of the same parts. Callbacks that remember nothing may
            differ.

        Raises
        ------
        ValueError
            If a callback that remembers something is missing.
        """
        self.qfunction.set_state(state["qfunction"])
        self.policy.set_state(state["policy"])
        self.runner.set_state(state["runner"])
        watching = list(self.callbacks)
        for name, its_state in state["callbacks"]:
            callback = next((c for c in watching if type(c).__name__ == name), None)
            if callback is not None:
                watching.remove(callback)
                callback.set_state(its_state)
            elif its_state:
                raise ValueError(f"The run was watched by a {name}, which is missing now: add it.")
        self.history.set_state(state["history"])
        self.budget = Budget(self.history, **state["budget"])
        self.schedule = Budget(self.history, **state["schedule"])
        self.stop_reason = state["stop_reason"]
        self.rng.bit_generator.state = state["rng"]
        self.progress = self.schedule.used()
        if state["learning"] is not None:
            self.start_update(Transitions(**_copies(state["learning"])))


def _copies(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in arrays.items()}


class Callback(BaseEstimator):
    """Watches a run. Every method does nothing unless a subclass says otherwise.

    Examples
    --------
    >>> from skrl import Callback, QLearningAgent
    >>> class StopAfterTen(Callback):
    ...     def on_episode_end(self, run):
    ...         if len(run.history) == 10:
    ...             run.stop("ten episodes are enough")
    >>> agent = QLearningAgent(n_evaluations=0, callbacks=[StopAfterTen()])
    >>> agent.fit("skrl/CircularWorld-v0").n_episodes_
    10
    """

    def on_run_begin(self, run: Run) -> None:
        """Called once, before the first step."""

    def on_episode_end(self, run: Run) -> None:
        """Called after each step in which one or more episodes ended."""

    def on_rollout_end(self, run: Run) -> None:
        """Called after each rollout of `Runner.rollout_length` steps, and after the last step."""

    def on_run_end(self, run: Run) -> None:
        """Called once at the end, also when the run is ended by an exception."""

    def state(self) -> State:
        """Copy what the callback remembers during a run; see `QFunction.state`."""
        return {}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""


class Runner(BaseEstimator, ABC):
    """Runs the loop: act, observe, learn. A subclass says what to learn from, and when."""

    @property
    def rollout_length(self) -> int:
        """Steps, counted over all environments, between two calls of `on_rollout_end`."""
        return 256

    def begin(self, run: Run) -> None:
        """Get ready for a run, and raise a ValueError if it cannot work."""

    @abstractmethod
    def learn(self, run: Run, transitions: Transitions) -> None:
        """Learn from the newest transitions, or remember them.

        Parameters
        ----------
        run : Run
            Its `update`, or `start_update` and `finish_update`, let the Q function learn.
        transitions : Transitions
            What happened in the step just taken, with the discounts as the environment gave
            them: multiply them by ``run.discount_factor`` before an update.
        """

    def end(self, run: Run) -> None:
        """Finish a run that came to its planned end."""
        run.finish_update()

    def forget(self) -> None:
        """Forget what is remembered of earlier steps, because something was wrong with them."""

    def state(self) -> State:
        """Copy what the runner remembers between steps; see `QFunction.state`."""
        return {}

    def live_state(self) -> State:
        """Give what `state` copies, with what is large as it is, for a checkpoint.

        Returns
        -------
        dict
            As `state`, but it may contain a `skrl.rings.Ring` in the place of an array: the
            checkpoint then writes only what is new. It is valid until the next step.
        """
        return self.state()

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""

    def run(
        self,
        environment: Environment,
        qfunction: QFunction,
        policy: Policy,
        *,
        discount_factor: float = 0.99,
        n_steps: int | None = None,
        n_episodes: int | None = None,
        rng: Generator | int | None = None,
        callbacks: Sequence[Callback] = (),
        history: History | None = None,
    ) -> History:
        """Train in an environment until a budget is used up or a callback stops the run.

        Parameters
        ----------
        environment : Environment
            The world; it is reset first.
        qfunction : QFunction
            What learns; it must have been built for the environment.
        policy : Policy
            Chooses the actions.
        discount_factor : float in [0, 1]
            gamma, how much a reward is worth one step later.
        n_steps, n_episodes : int or None
            The budget: steps, counted over all environments, and finished episodes. The run ends
            with whichever is used up first; at least one must be given.
        rng : numpy.random.Generator, int or None
            The only source of randomness.
        callbacks : sequence of Callback
            Watch the run, and may stop it.
        history : History or None
            An earlier run's history, which this one continues.

        Returns
        -------
        History
            One row per finished episode.

        Raises
        ------
        ValueError
            If neither budget is given, or the budget or the discount factor is out of range.

        Examples
        --------
        >>> from skrl import EpsilonGreedy, GymEnvironment, MemoizationQFunction, SimpleRunner
        >>> environment = GymEnvironment("FrozenLake-v1")
        >>> qfunction = MemoizationQFunction().build(
        ...     environment.state_space, environment.n_actions, random_state=0)
        >>> history = SimpleRunner().run(
        ...     environment, qfunction, EpsilonGreedy(), n_episodes=5, rng=0)
        >>> len(history)
        5
        """
        if not 0 <= discount_factor <= 1:
            raise ValueError(f"discount_factor must be in [0, 1], got {discount_factor}.")
        history = History() if history is None else history
        budget = Budget(history, n_steps, n_episodes)
        run = Run(
            environment,
            qfunction,
            policy,
            self,
            history,
            budget,
            schedule=budget,
            discount_factor=discount_factor,
            rng=np.random.default_rng(rng),
            callbacks=callbacks,
        )
        self.start(run)
        self.loop(run)
        return history

    def start(self, run: Run) -> None:
        """Reset the environment of a new run, and get the parts ready.

        Parameters
        ----------
        run : Run
            A run that has not taken a step.
        """
        self.begin(run)
        run.environment.reset(seed=int(run.rng.integers(2**31)))
        run.history.begin(run.environment.n_envs_)
        run.policy.begin(run)

    def loop(self, run: Run) -> None:
        """Run the learning loop: act, observe, learn, until the run is over.

        Parameters
        ----------
        run : Run
            A run that has been started, or restored by `Run.set_state`.
        """
        acting = run.qfunction.for_exploration(run.rng)
        begun: list[Callback] = []
        with handled_interrupts() as interrupts:
            try:
                for callback in run.callbacks:
                    begun.append(callback)
                    callback.on_run_begin(run)
                while run.stop_reason is None:
                    with interrupts.delayed():
                        self._roll_out(run, acting, interrupts)
                    if run.budget.is_used_up() and run.stop_reason is None:
                        run.stop("the budget is used up")
                    run.record_metrics()
                    for callback in run.callbacks:
                        callback.on_rollout_end(run)
                with interrupts.delayed():
                    self.end(run)
            finally:
                _end(begun, run)

    def _roll_out(self, run: Run, acting: QFunction, interrupts: Interrupts) -> None:
        """Act, observe and learn for `rollout_length` steps, or until the run is over."""
        environment, qfunction, policy, rng = run.environment, run.qfunction, run.policy, run.rng
        history, budget, schedule = run.history, run.budget, run.schedule
        rollout_end = min(history.n_steps + self.rollout_length, budget.last_step)
        while history.n_steps < rollout_end and run.stop_reason is None:
            states, masks = environment.states, environment.action_masks
            decision = policy.decide(states, acting, run.progress, rng, masks)
            if acting is not qfunction:
                decision = _judge(decision, MaskedQFunction(qfunction, masks), states)
            transitions = environment.step(decision.actions)
            transitions.is_greedy = decision.is_greedy
            if transitions.env_ids is not None and decision.is_greedy is not None:
                transitions.is_greedy = decision.is_greedy[transitions.env_ids]
            ended = history.record(transitions)
            self.learn(run, transitions)

            run.progress = schedule.used()
            if ended is not None:
                policy.end_episodes(ended)
                for callback in run.callbacks:
                    callback.on_episode_end(run)
                if budget.is_used_up():
                    break
            if interrupts.is_pending:
                break


def _judge(decision: Decision, qfunction: QFunction, states: States) -> Decision:
    """Say which actions are greedy by the Q function, whatever the policy looked at."""
    values = qfunction.values(states)
    chosen = values[np.arange(len(states)), decision.actions]
    return Decision(decision.actions, chosen == values.max(axis=1))


def _end(callbacks: Sequence[Callback], run: Run) -> None:
    """Call `on_run_end` of all callbacks, also after one that raises; then raise its error."""
    if not callbacks:
        return
    try:
        callbacks[0].on_run_end(run)
    finally:
        _end(callbacks[1:], run)
