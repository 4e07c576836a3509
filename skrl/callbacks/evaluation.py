"""Evaluate during training, keep the best, stop when the task is solved."""

from dataclasses import dataclass, field
from math import ceil, inf, sqrt
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float64, Shaped
from numpy.random import SeedSequence

from skrl.base import ActionMasks, Actions, Callback, Environment, Run, State, States
from skrl.callbacks.solved import MIN_EPISODES, SolvedTest
from skrl.evaluation import greedy_actions, play_episodes, side_by_side

Returns = Float64[np.ndarray, "_"]

# Episodes after which a candidate is compared with the best so far.
HEAT = 5


@dataclass
class Memory:
    """What is known from earlier evaluations: of the best, of the last, and what was spent."""

    best: State | None = None
    best_returns: Returns = field(default_factory=lambda: np.empty(0))
    # What learning goes on from, once a run ended and the Q function was set to the best.
    latest: State | None = None
    last_returns: Returns = field(default_factory=lambda: np.empty(0))
    # Where the last evaluation went, if states are countable, and what it did there.
    visited: Shaped[np.ndarray, " n"] = field(default_factory=lambda: np.empty(0, np.int64))
    actions_there: Actions = field(default_factory=lambda: np.empty(0, np.int64))
    n_due: int = 0
    n_no_change: int = 0
    n_attempts: int = 0
    n_steps: int = 0
    # Steps that the next heat is expected to take.
    heat_steps: int = 0


class Evaluation(Callback):
    """Plays greedy episodes at intervals, and keeps the best Q function seen.

    What the agent earns while it explores says little about what it has learned, and a deep
    network may forget what it knew. So at intervals the greedy policy plays whole episodes in
    its own copy of the environment. At the end of the run the Q function is set to the best that
    was seen; a run that continues it continues from the latest.

    Parameters
    ----------
    environment : Environment
        The training environment, or another one to evaluate in. Episodes are played in a
        replica.
    interval : int
        Evaluation k is due after k times `interval` steps, counted over all runs that continue
        each other. There is one more at the end of the schedule.
    n_episodes : int, default=100
        Episodes per evaluation, at most.
    reward_threshold : float or None, default=None
        Mean return at which the environment counts as solved.
    early_stopping : bool, default=True
        Whether to stop the run when evaluations bring nothing new and the environment is solved,
        see Notes.
    n_iter_no_change : int, default=3
        A run may stop after this many consecutive evaluations that bring nothing new: their
        episodes are the same as in the best evaluation or the one before, or clearly worse.
    max_ratio : float or None, default=1.0
        Evaluation takes at most `max_ratio` times as many steps as training has taken so far.
        None stands for no limit. Environments that are computed at once never have one.
    random_state : int, default=0
        Seeds the episodes, in the same way for each evaluation.

    Attributes
    ----------
    best_score_ : float
        Mean return of the best evaluation; -inf before the first.

    Notes
    -----
    Evaluations are a race. All play the same episodes, in heats of five (of all, in environments
    that are computed at once). After each heat the candidate is compared with the best so far
    episode by episode, and dropped if it is behind by two standard errors of the differences.
    In the end it becomes the best unless it is behind by more than half a standard error: of
    equals the later one has learned longer. A heat that exceeds the budget of steps does not
    count. The next one begins when twice its steps are left, or at the end of the run.

    Where states are countable, episodes are not played again if the policy does the same as in
    the last evaluation, in all states that were visited there.

    The environment is solved if the mean return is above the threshold in fresh episodes, from
    other seeds (`skrl.callbacks.solved.SolvedTest`). If the true mean is at or below the
    threshold, a run stops with a probability of at most 5 %, over all its attempts.

    Examples
    --------
    `QLearningAgent` makes one by itself. A runner can use one without an agent:

    >>> from skrl import EpsilonGreedy, GymEnvironment, MemoizationQFunction, SimpleRunner
    >>> from skrl.callbacks import Evaluation
    >>> environment = GymEnvironment("skrl/CircularWorld-v0")
    >>> qfunction = MemoizationQFunction().build(environment.state_space, environment.n_actions, 0)
    >>> evaluation = Evaluation(environment, interval=500, n_episodes=5)
    >>> history = SimpleRunner().run(
    ...     environment, qfunction, EpsilonGreedy(), n_steps=1_000, rng=0, callbacks=[evaluation])
    >>> history.evaluations[:, "n_steps"]
    array([ 512, 1000])
    """

    _memory: Memory | None = None
    # Opened at the first evaluation of a run.
    _replica: Environment | None = None

    def __init__(
        self,
        environment: Environment,
        interval: int,
        n_episodes: int = 100,
        reward_threshold: float | None = None,
        early_stopping: bool = True,
        n_iter_no_change: int = 3,
        max_ratio: float | None = 1.0,
        random_state: int = 0,
    ) -> None:
        self.environment = environment
        self.interval = interval
        self.n_episodes = n_episodes
        self.reward_threshold = reward_threshold
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.max_ratio = max_ratio
        self.random_state = random_state

    @property
    def best_score_(self) -> float:
        """Mean return of the best evaluation; -inf before the first."""
        if self._memory is None or self._memory.best is None:
            return -inf
        return float(self._memory.best_returns.mean())

    def state(self) -> State:
        """Copy what is known from earlier evaluations; see `QFunction.state`."""
        return {} if self._memory is None else dict(vars(self._memory))

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self._memory = Memory(**state) if state else None

    def on_run_begin(self, run: Run) -> None:
        """Begin anew, or continue from the latest Q function if the run continues another."""
        for name in ("interval", "n_episodes", "n_iter_no_change"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        if self._memory is None or run.history.n_steps == 0:
            self._memory = Memory(n_due=run.history.n_steps // self.interval)
        if self._memory.latest is not None:
            run.qfunction.set_state(self._memory.latest)
            self._memory.latest = None

    def on_rollout_end(self, run: Run) -> None:
        """Evaluate, when it is due, and at the end."""
        memory = self._known
        n_due = run.history.n_steps // self.interval
        # The end of a chunk is not the end of the schedule.
        is_end = run.stop_reason is not None and (
            run.progress == 1.0 or not run.budget.is_used_up()
        )
        if n_due > memory.n_due or is_end:
            memory.n_due = n_due
            self._evaluate(run)

    def on_run_end(self, run: Run) -> None:
        """Set the Q function to the best, and close the replica."""
        memory = self._memory
        # The latest is there already if the run could not begin.
        if memory is not None and memory.best is not None and memory.latest is None:
            memory.latest = run.qfunction.state()
            run.qfunction.set_state(memory.best)
        if self._replica is not None:
            self._replica.close()
            self._replica = None

    @property
    def _known(self) -> Memory:
        assert self._memory is not None
        return self._memory

    def _open(self) -> Environment:
        """Open the replica, unless it is open already."""
        if self._replica is None:
            self._replica = side_by_side(self.environment, self.n_episodes)
        return self._replica

    @property
    def _heat_size(self) -> int:
        """Episodes of a heat: all environments play equally many, at least `HEAT` in all."""
        n_envs = self._open().n_envs_
        return ceil(HEAT / n_envs) * n_envs

    def _evaluate(self, run: Run) -> None:
        memory = self._known
        returns = self._race(run)
        earlier = memory.best_returns, memory.last_returns
        is_same = any(_is_same(returns, others) for others in earlier)
        memory.last_returns = returns
        if not len(returns):
            return
        run.history.evaluations.append(
            n_steps=run.history.n_steps,
            score=float(returns.mean()),
            std=float(returns.std()),
            n_episodes=len(returns),
            evaluation_steps=memory.n_steps,
            seconds=run.history.seconds(),
        )
        gain, error = _gain(returns, memory.best_returns)
        brings_nothing = is_same or gain < -2 * error
        memory.n_no_change = memory.n_no_change + 1 if brings_nothing else 0
        if gain >= -error / 2:
            memory.best = run.qfunction.state()
            # Otherwise the next candidates compete with the earlier returns. If they competed with
            # slightly worse ones each time, the best would become worse in small steps.
            if gain > 0 or len(returns) > len(memory.best_returns):
                memory.best_returns = returns
        is_stuck = memory.n_no_change >= self.n_iter_no_change
        may_stop = self.early_stopping and run.stop_reason is None and gain >= -error
        if may_stop and is_stuck and returns.mean() >= self._threshold:
            self._stop_if_solved(run)

    def _race(self, run: Run) -> Returns:
        """Play heats until the candidate cannot win, all is played, or steps run out."""
        memory = self._known
        returns, visited = self._recall(run), set(memory.visited.tolist())
        while len(returns) < self.n_episodes and self._may_win(returns):
            n_episodes = min(self._heat_size, self.n_episodes - len(returns))
            heat = self._play(run, n_episodes, (0, len(returns)), visited)
            if heat is None:
                break
            returns = np.concatenate([returns, heat])
        memory.visited = np.array(sorted(visited), dtype=memory.visited.dtype)
        memory.actions_there = np.empty(0, np.int64)
        if len(visited):
            memory.actions_there = greedy_actions(run.qfunction, memory.visited)
        return returns

    def _recall(self, run: Run) -> Returns:
        """The last evaluation's returns, if the same episodes would be played again; else none."""
        memory = self._known
        if len(memory.visited):
            actions = greedy_actions(run.qfunction, memory.visited)
            if np.array_equal(actions, memory.actions_there):
                return memory.last_returns
        memory.visited = np.empty(0, self._open().state_space.dtype)
        return np.empty(0)

    def _may_win(self, returns: Returns) -> bool:
        """Whether the candidate may become the best, given its first returns."""
        best_returns = self._known.best_returns
        gain, error = _gain(returns, best_returns)
        is_open = len(returns) < len(best_returns)
        return gain >= (-2 if is_open else -1 / 2) * error

    def _stop_if_solved(self, run: Run) -> None:
        """Play fresh episodes until the threshold is surely reached, or probably not."""
        memory = self._known
        if not self._can_afford(run, ceil(MIN_EPISODES / self._heat_size)):
            return
        memory.n_attempts += 1
        memory.n_no_change = 0  # learn some more, before the next attempt costs so much again
        test = SolvedTest(self._threshold, memory.n_attempts, self.n_episodes)
        returns, is_solved = np.empty(0), None
        while is_solved is None:
            heat = self._play(run, self._heat_size, (memory.n_attempts, len(returns)))
            if heat is not None:
                returns = np.concatenate([returns, heat])
            is_solved = test.look(returns, is_last=heat is None)
        if is_solved:
            memory.best = run.qfunction.state()
            run.stop(f"solved, the mean return reaches the threshold {self.reward_threshold:.4g}")

    def _play(
        self, run: Run, n_episodes: int, heat: tuple[int, int], visited: set[Any] | None = None
    ) -> Returns | None:
        """Play a heat; None if the steps that are left are not enough."""
        memory, environment = self._known, self._open()
        if run.stop_reason is None and not self._can_afford(run, 1):
            return None
        is_countable = isinstance(environment.state_space, Discrete)

        def choose(states: States, action_masks: ActionMasks | None) -> Actions:
            if visited is not None and is_countable and action_masks is None:
                visited.update(states.tolist())
            return greedy_actions(run.qfunction, states, action_masks)

        seed = int(SeedSequence(self.random_state, spawn_key=heat).generate_state(1)[0])
        played = play_episodes(environment, choose, n_episodes, seed, self._n_steps_left(run))
        memory.n_steps += played.n_steps
        if len(played.returns) < n_episodes:
            memory.heat_steps = max(memory.heat_steps, 2 * played.n_steps)
            return None
        memory.heat_steps = played.n_steps
        return played.returns

    def _can_afford(self, run: Run, n_heats: int) -> bool:
        n_left = self._n_steps_left(run)
        return n_left is None or n_left >= n_heats * self._known.heat_steps

    def _n_steps_left(self, run: Run) -> int | None:
        """Steps that evaluation may still take; None stands for no limit."""
        if self.max_ratio is None or self._open().is_vectorized:
            return None
        return int(self.max_ratio * run.history.n_steps) - self._known.n_steps

    @property
    def _threshold(self) -> float:
        return inf if self.reward_threshold is None else self.reward_threshold


def _is_same(returns: Returns, others: Returns) -> bool:
    """Whether the episodes that both played are the same, if there are any."""
    k = min(len(returns), len(others))
    return k > 0 and np.array_equal(returns[:k], others[:k])


def _gain(returns: Returns, others: Returns) -> tuple[float, float]:
    """By how much `returns` are better in the episodes that both played, and its standard error."""
    k = min(len(returns), len(others))
    if k == 0:
        return inf, 0.0
    gains = returns[:k] - others[:k]
    return float(gains.mean()), float(gains.std(ddof=1) / sqrt(k)) if k > 1 else 0.0
