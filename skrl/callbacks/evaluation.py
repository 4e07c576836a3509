"""Evaluate during training, keep the best, stop when the task is solved."""

from dataclasses import dataclass, field
from math import ceil, inf
from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Shaped
from numpy.random import SeedSequence

from skrl.base import ActionMasks, Actions, Callback, Environment, Run, State, States
from skrl.callbacks.race import Contender, Race, Returns, compare
from skrl.callbacks.solved import MIN_EPISODES, SolvedTest
from skrl.evaluation import greedy_actions, play_episodes, side_by_side

# Episodes after which a candidate is compared with the best so far.
HEAT = 5
# The part of the steps that candidates may take before the play-off.
SHARE = 0.5


@dataclass
class Memory:
    """What is known from earlier evaluations: of the best, of the last, and what was spent."""

    race: Race = field(default_factory=Race)
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
    # Environments side by side, once that is known.
    n_envs: int = 0


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
    that are computed at once). After each heat the candidate is compared with the leader episode
    by episode, and dropped if it is behind by two standard errors of the differences. The best
    eight candidates are kept. They play on at the end of the schedule, the one with the fewest
    episodes first, with the half of the steps that is saved for this. The latest one becomes the
    best that is behind the leader by at most half a standard error: of equals the later one has
    learned longer. A heat that exceeds the budget of steps does not count. The next one begins
    when twice its steps are left.

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
        if self._memory is None or not self._memory.race.contenders:
            return -inf
        return float(self._memory.race.winner().returns.mean())

    def state(self) -> State:
        """Copy what is known from earlier evaluations; see `QFunction.state`."""
        memory = self._memory
        if memory is None:
            return {}
        return {**vars(memory), "race": [c._asdict() for c in memory.race.contenders]}

    def set_state(self, state: State) -> None:
        """Continue from a `state`."""
        self._memory = None
        if state:
            race = Race([Contender(**contender) for contender in state["race"]])
            self._memory = Memory(**{**state, "race": race})

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
            self._evaluate(run, is_end)

    def on_run_end(self, run: Run) -> None:
        """Set the Q function to the best, and close the replica."""
        memory = self._memory
        # The latest is there already if the run could not begin.
        if memory is not None and memory.race.contenders and memory.latest is None:
            memory.latest = run.qfunction.state()
            run.qfunction.set_state(memory.race.winner().state)
        if self._replica is not None:
            self._replica.close()
            self._replica = None

    @property
    def _known(self) -> Memory:
        assert self._memory is not None
        return self._memory

    def _open(self) -> Environment:
        """Open the replica, unless it is open already."""
        memory = self._known
        if self._replica is None and memory.n_envs:
            self._replica = self.environment.replicate(memory.n_envs)
        elif self._replica is None:
            self._replica = side_by_side(self.environment, self.n_episodes)
            memory.n_envs = self._replica.n_envs_
        return self._replica

    @property
    def _heat_size(self) -> int:
        """Episodes of a heat: all environments play equally many, at least `HEAT` in all."""
        n_envs = self._open().n_envs_
        return ceil(HEAT / n_envs) * n_envs

    def _evaluate(self, run: Run, is_end: bool) -> None:
        memory = self._known
        returns, leader_returns = self._play_heats(run), memory.race.leader_returns
        is_same = any(_is_same(returns, others) for others in (leader_returns, memory.last_returns))
        gain, error = compare(returns, leader_returns)
        memory.last_returns = returns
        if len(returns) and gain >= -2 * error:
            memory.race.enter(run.qfunction.state(), returns)
        if is_end:
            self._play_off(run)
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
        brings_nothing = is_same or gain < -2 * error
        memory.n_no_change = memory.n_no_change + 1 if brings_nothing else 0
        is_stuck = memory.n_no_change >= self.n_iter_no_change
        may_stop = self.early_stopping and run.stop_reason is None and gain >= -error
        if may_stop and is_stuck and returns.mean() >= self._threshold:
            self._stop_if_solved(run, returns)

    def _play_heats(self, run: Run) -> Returns:
        """Play heats until the candidate cannot win, all is played, or steps run out."""
        memory = self._known
        returns, visited = self._recall(run), set(memory.visited.tolist())
        is_end, n_episodes = run.stop_reason is not None, self.n_episodes
        if is_end and memory.race.contenders:
            # The play-off goes on from there.
            n_episodes = min(n_episodes, max(HEAT, len(memory.race.leader_returns)))
        while len(returns) < n_episodes and memory.race.may_win(returns):
            # At the end a candidate that nobody competes with may take all that is left.
            may_take_all = is_end and not memory.race.contenders
            if not may_take_all and not self._can_afford(run, 1, 1.0 if is_end else SHARE):
                break
            heat = self._play(run, (0, len(returns)), visited)
            if heat is None:
                break
            returns = np.concatenate([returns, heat])
        memory.visited = np.array(sorted(visited), dtype=memory.visited.dtype)
        memory.actions_there = np.empty(0, np.int64)
        if len(visited):
            memory.actions_there = greedy_actions(run.qfunction, memory.visited)
        return returns

    def _play_off(self, run: Run) -> None:
        """Let the contenders play on with the steps that are left."""
        race, latest = self._known.race, run.qfunction.state()
        try:
            while (i := race.next_to_play(self.n_episodes)) is not None and self._can_afford(
                run, 1
            ):
                state, returns = race.contenders[i]
                run.qfunction.set_state(state)
                heat = self._play(run, (0, len(returns)))
                if heat is None:
                    break
                race.extend(i, heat)
        finally:
            run.qfunction.set_state(latest)

    def _recall(self, run: Run) -> Returns:
        """The last evaluation's returns, if the same episodes would be played again; else none."""
        memory = self._known
        if len(memory.visited):
            actions = greedy_actions(run.qfunction, memory.visited)
            if np.array_equal(actions, memory.actions_there):
                return memory.last_returns
        memory.visited = np.empty(0, self._open().state_space.dtype)
        return np.empty(0)

    def _stop_if_solved(self, run: Run, returns: Returns) -> None:
        """Play fresh episodes until the threshold is surely reached, or probably not."""
        memory = self._known
        if not self._can_afford(run, ceil(MIN_EPISODES / self._heat_size)):
            return
        memory.n_attempts += 1
        memory.n_no_change = 0  # learn some more, before the next attempt costs so much again
        test = SolvedTest(self._threshold, memory.n_attempts, self.n_episodes)
        fresh, is_solved = np.empty(0), None
        while is_solved is None:
            heat = None
            if self._can_afford(run, 1):
                heat = self._play(run, (memory.n_attempts, len(fresh)))
            if heat is not None:
                fresh = np.concatenate([fresh, heat])
            is_solved = test.look(fresh, is_last=heat is None)
        if is_solved:
            memory.race = Race([Contender(run.qfunction.state(), returns)])
            run.stop(f"solved, the mean return reaches the threshold {self.reward_threshold:.4g}")

    def _play(
        self, run: Run, heat: tuple[int, int], visited: set[Any] | None = None
    ) -> Returns | None:
        """Play a heat; None if the steps that are left are not enough."""
        memory, environment = self._known, self._open()
        is_countable = isinstance(environment.state_space, Discrete)

        def choose(states: States, action_masks: ActionMasks | None) -> Actions:
            if visited is not None and is_countable and action_masks is None:
                visited.update(states.tolist())
            return greedy_actions(run.qfunction, states, action_masks)

        # A heat (0, k) begins with episode k of an evaluation, and has no more than are wanted.
        n_episodes = self._heat_size if heat[0] else min(self._heat_size, self.n_episodes - heat[1])
        seed = int(SeedSequence(self.random_state, spawn_key=heat).generate_state(1)[0])
        played = play_episodes(environment, choose, n_episodes, seed, self._n_steps_left(run))
        memory.n_steps += played.n_steps
        if len(played.returns) < n_episodes:
            memory.heat_steps = max(memory.heat_steps, 2 * played.n_steps)
            return None
        memory.heat_steps = played.n_steps
        return played.returns

    def _can_afford(self, run: Run, n_heats: int, share: float = 1.0) -> bool:
        n_left = self._n_steps_left(run, share)
        return n_left is None or n_left >= n_heats * self._known.heat_steps

    def _n_steps_left(self, run: Run, share: float = 1.0) -> int | None:
        """Steps that evaluation may still take; None stands for no limit."""
        if self.max_ratio is None or self._open().is_vectorized:
            return None
        return int(share * self.max_ratio * run.history.n_steps) - self._known.n_steps

    @property
    def _threshold(self) -> float:
        return inf if self.reward_threshold is None else self.reward_threshold


def _is_same(returns: Returns, others: Returns) -> bool:
    """Whether the episodes that both played are the same, if there are any."""
    k = min(len(returns), len(others))
    return k > 0 and np.array_equal(returns[:k], others[:k])
