r"""Read this first: the data and the five interfaces of the learning loop.

Reinforcement learning is a loop of three lines, written once, in `Runner.run`::

    actions = policy.decide(states, qfunction, progress, rng)   # act
    transitions = environment.step(actions)                     # observe
    runner.learn(transitions, qfunction, discount_factor, rng)  # learn

Everything that flows between the lines is a NumPy array with the batch first. `n` environments
run side by side (n = 1 is no special case), and `m` is the size of any batch:

============ ===================== ============= ==============================================
name         shape                 dtype         meaning
============ ===================== ============= ==============================================
States       (m, \*state_shape)    the space's   observations s; a Discrete space has state_shape
                                                 () and counts from 0; Dict and Tuple spaces
                                                 are flattened to float32
Actions      (m,)                  int64         index of the action a, 0 <= a < n_actions
Values       (m, n_actions)        float         action values Q(s, .)
Rewards      (m,)                  float         rewards r
Discounts    (m,)                  float         what multiplies the value of s': 0 where the
                                                 episode terminated, gamma^k otherwise
============ ===================== ============= ==============================================

To write a part of your own, subclass one of the interfaces and fill in its abstract methods:

- `Environment` takes actions and gives transitions (s, a, r, s');
- `QFunction` knows the action values Q(s, a) and learns them;
- `Policy` chooses actions, given the values: exploration lives here and nowhere else;
- `Runner` runs the loop and decides which transitions are learned from, and when;
- `Callback` watches a run.

All are scikit-learn estimators: the constructor stores its arguments and does nothing else, so
that ``get_params``, ``set_params`` and ``sklearn.base.clone`` work, nested as well.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import gymnasium
import numpy as np
from jaxtyping import Float, Shaped
from numpy.random import Generator
from sklearn.base import BaseEstimator

from skrl.history import Budget, History
from skrl.transitions import Actions, Probabilities, States, Transitions, Values

__all__ = [
    "Actions",
    "Callback",
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


class Environment(BaseEstimator, ABC):
    """A world, or n of them side by side: takes actions, gives transitions.

    Call `reset` once; after that, `step` for ever: an environment whose episode ended starts
    the next one by itself, and `states` says where each one is now.

    Attributes
    ----------
    state_space : gymnasium.Space
        The space of *one* state, as `reset` and `step` deliver it: Discrete counted from 0, Box,
        MultiDiscrete or MultiBinary. (What is none of these has been converted.)
    observation_space, action_space : gymnasium.Space
        The environment's own spaces of one observation and one action, before translation into
        states and action indices.
    n_actions : int
        Number of actions.
    n_envs_ : int
        Number n of environments side by side.
    reward_threshold : float or None
        Mean return at which the environment counts as solved, if that is known.
    max_episode_steps : int or None
        Time limit of an episode, if it is known.
    is_vectorized : bool
        Whether all n environments are computed at once, so that more of them take hardly longer.
    states : ndarray of shape (n_envs_, *state_shape)
        Where each environment is now, after automatic resets.
    """

    state_space: gymnasium.Space[Any]
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    n_actions: int
    n_envs_: int
    reward_threshold: float | None
    max_episode_steps: int | None
    is_vectorized: bool = False
    states: Shaped[np.ndarray, "..."]

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        """Refuse: NumPy would make data without samples of it."""
        raise TypeError(
            "An environment is no array, and alone it is no list of samples. Give model selection "
            "a list, such as ['CartPole-v1'] * 6 or skrl.make_envs('CartPole-v1', n=6)."
        )

    @abstractmethod
    def reset(self, seed: int | None = None) -> States:
        """Begin a new episode in every environment.

        Parameters
        ----------
        seed : int or None
            Seeds the environments' random numbers and those of their action spaces. None goes
            on with the numbers where they are.

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
            One row per environment (see `Transitions.env_ids` for the exception). The discounts
            are 0 where the episode terminated and 1 elsewhere. They belong to the caller, who
            may multiply them in place; the other arrays are not to be written to, but they will
            not change later, so they can be kept.
        """

    @abstractmethod
    def replicate(self, n_envs: int, render_mode: str | None = None) -> "Environment":
        """Give a fresh environment like this one, `n_envs` side by side.

        Evaluation and recording use it, so that they never disturb a training run.

        Parameters
        ----------
        n_envs : int
            How many to run side by side.
        render_mode : str or None
            Gymnasium's render mode for the new environments.
        """

    def render(self) -> Any:
        """Show the environment as its render mode says, and return the frame, if there is one."""
        return None

    def close(self) -> None:
        """Free what the environment holds: windows, processes, files."""


class QFunction(BaseEstimator, ABC):
    """Action values Q(s, a): what return to expect when doing a in s.

    Attributes
    ----------
    state_space_ : gymnasium.Space
        Space of one state, known after `build`.
    n_actions_ : int
        Number of actions, known after `build`.
    """

    state_space_: gymnasium.Space[Any]
    n_actions_: int

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
            One value per action. The array may be reused by the next call: copy it to keep it.
        """

    def encode(self, states: States) -> Float[np.ndarray, "m n_features"]:
        """Features of a batch of states: what a linear function or a network can digest.

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
            ``rewards + discounts * bootstrap - Q(states, actions)``, before each update.
        """

    def start_update(self, transitions: Transitions) -> Callable[[], Float[np.ndarray, "*batch"]]:
        """Begin an `update` that may go on in the background while the agent acts.

        Parameters
        ----------
        transitions : Transitions
            As for `update`. They must not change before the update has been finished.

        Returns
        -------
        callable
            Without arguments: finishes the update and returns its TD errors. Until it is called,
            `values` stay as they are: how fast the machine is makes no difference.
        """
        return lambda: self.update(transitions)

    @abstractmethod
    def snapshot(self) -> Any:
        """Copy what has been learned, for `restore`."""

    @abstractmethod
    def restore(self, snapshot: Any) -> None:
        """Go back to what had been learned when `snapshot` was taken."""


class Policy(BaseEstimator, ABC):
    """Chooses actions, given action values. It holds no state of its own."""

    @abstractmethod
    def probabilities(self, states: States, qfunction: QFunction, progress: float) -> Probabilities:
        """Probability of every action.

        Parameters
        ----------
        states : ndarray of shape (m, *state_shape)
            The states to act in.
        qfunction : QFunction
            Gives the action values, and the number of actions.
        progress : float in [0, 1]
            How much of the training budget is used: schedules depend on it.

        Returns
        -------
        ndarray of shape (m, n_actions)
            Each row sums to 1.
        """

    def decide(
        self, states: States, qfunction: QFunction, progress: float, rng: Generator
    ) -> Actions:
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

        Returns
        -------
        ndarray of shape (m,), dtype int64
            Action indices.
        """
        # The action whose slice of the cumulated probabilities a uniform number falls into.
        cumulated = self.probabilities(states, qfunction, progress).cumsum(axis=1)
        draws = rng.random((len(states), 1)) * cumulated[:, -1:]
        actions: Actions = (cumulated <= draws).sum(axis=1)
        return actions


@dataclass
class Run:
    """A training run under way: what a `Callback` sees.

    Parameters
    ----------
    environment, qfunction, policy
        The parts that take part in the run.
    history : History
        One row per finished episode; ``history.n_steps`` counts the steps.
    progress : float in [0, 1]
        How much of the training budget is used.
    stop_reason : str or None
        Why the run ends, once it has been told to `stop`.
    """

    environment: Environment
    qfunction: QFunction
    policy: "Policy"
    history: History
    progress: float = 0.0
    stop_reason: str | None = field(default=None)

    def stop(self, reason: str) -> None:
        """End the run as soon as the current step is done, for the `reason` given."""
        self.stop_reason = reason


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

    def on_stretch_end(self, run: Run) -> None:
        """Called after each stretch of `Runner.stretch` steps."""

    def on_run_end(self, run: Run) -> None:
        """Called once at the end, also when the run is ended by an exception."""


class Runner(BaseEstimator, ABC):
    """Runs the loop: act, observe, learn. A subclass says what to learn from, and when."""

    # Steps of the loop between two calls of `Callback.on_stretch_end`.
    stretch = 64

    def begin(self, environment: Environment, budget: Budget) -> None:
        """Get ready for a run, for instance check its budget. Does nothing by default."""

    def end(self) -> None:
        """Finish a run that came to its planned end. Does nothing by default."""

    @abstractmethod
    def learn(
        self,
        transitions: Transitions,
        qfunction: QFunction,
        discount_factor: float,
        rng: Generator,
    ) -> None:
        """Do with the newest transitions whatever this runner does with them.

        Parameters
        ----------
        transitions : Transitions
            What happened in the step just taken, with the discounts as the environment gave
            them: multiply them by gamma before an update.
        qfunction : QFunction
            What learns.
        discount_factor : float in [0, 1]
            gamma.
        rng : numpy.random.Generator
            The only source of randomness.
        """

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
        schedule: tuple[float, float] = (0.0, 1.0),
    ) -> History:
        """Run the learning loop until a budget is used up or a callback stops it.

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
            An earlier run's history, which this one goes on writing.
        schedule : (float, float)
            The policy's progress at the beginning and at the end of this run's budget.

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
        rng = np.random.default_rng(rng)
        environment.reset(seed=int(rng.integers(2**31)))
        history = History() if history is None else history
        history.begin(environment.n_envs_)
        budget = Budget(history, n_steps, n_episodes)
        start, span = schedule[0], schedule[1] - schedule[0]
        run = Run(environment, qfunction, policy, history, progress=start)
        self.begin(environment, budget)
        try:
            for callback in callbacks:
                callback.on_run_begin(run)
            while run.stop_reason is None:
                for _ in range(self.stretch):
                    actions = policy.decide(environment.states, qfunction, run.progress, rng)
                    transitions = environment.step(actions)
                    n_ended = history.record(transitions)
                    self.learn(transitions, qfunction, discount_factor, rng)

                    used = budget.used()
                    run.progress = start + used * span
                    if n_ended:
                        for callback in callbacks:
                            callback.on_episode_end(run)
                    if used >= 1:
                        run.stop("the budget is used up")
                    if run.stop_reason is not None:
                        break
                for callback in callbacks:
                    callback.on_stretch_end(run)
            self.end()
        finally:
            for callback in callbacks:
                callback.on_run_end(run)
        return history
