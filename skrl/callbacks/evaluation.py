"""Evaluate during training, keep the best, stop when the task is solved."""

from typing import Any

import numpy as np
from gymnasium.spaces import Discrete
from jaxtyping import Float64

from skrl.base import Actions, Callback, Environment, Run, States
from skrl.evaluation import greedy_actions, play_episodes

Returns = Float64[np.ndarray, " n_episodes"]

# A close call is given up as not solved after so many times the episodes of an evaluation.
MOST_EVALUATIONS = 20


class Evaluation(Callback):
    """Plays greedy episodes at intervals, and keeps the best Q function seen.

    What the agent earns while it explores says little about what it has learned, and a deep
    network may forget what it knew. So at intervals the greedy policy plays whole episodes in an
    environment of its own. At the end of the run the Q function goes back to the best that was
    seen.

    Every evaluation plays from the same seed, and two are compared episode by episode, so that
    luck with the starting states does not count. What chance is left is known by the standard
    error of these differences. Within half of it two Q functions count as equally good, and the
    later one is kept: it has learned longer.

    Where states are countable and the policy does, wherever the last evaluation went, what it did
    then, the episodes would be the same again, step by step: they are not played.

    Parameters
    ----------
    environment : Environment
        Where to play, apart from the training environment.
    interval : int
        Steps between two evaluations.
    n_episodes : int
        Episodes per evaluation.
    reward_threshold : float or None
        Mean return at which the environment counts as solved.
    early_stopping : bool
        Whether to stop the run once learning does not get any further and the environment is
        solved: the mean return in fresh episodes, from other seeds, is two standard errors above
        the threshold. In a close call more of them are played.
    n_iter_no_change : int
        Learning does not get any further after so many evaluations in a row that brought nothing:
        all episodes the same as in the best evaluation or the one before, or worse than in the
        best, by two standard errors.
    max_episode_steps : int or None
        Cuts off episodes of environments that have no time limit.
    random_state : int
        Seeds the environment, in the same way for each evaluation.

    Attributes
    ----------
    best_score_ : float
        Highest mean return of an evaluation; -inf before the first.

    Examples
    --------
    `QLearningAgent` makes one by itself; a runner alone can do with one as well:

    >>> from skrl import EpsilonGreedy, GymEnvironment, MemoizationQFunction, SimpleRunner
    >>> from skrl.callbacks import Evaluation
    >>> environment = GymEnvironment("skrl/CircularWorld-v0")
    >>> qfunction = MemoizationQFunction().build(environment.state_space, environment.n_actions, 0)
    >>> evaluation = Evaluation(environment.replicate(5), interval=500, n_episodes=5)
    >>> history = SimpleRunner().run(
    ...     environment, qfunction, EpsilonGreedy(), n_steps=1_000, rng=0, callbacks=[evaluation])
    >>> history.evaluations[:, "n_steps"]
    array([ 512, 1000])
    """

    def __init__(
        self,
        environment: Environment,
        interval: int,
        n_episodes: int = 100,
        reward_threshold: float | None = None,
        early_stopping: bool = True,
        n_iter_no_change: int = 3,
        max_episode_steps: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.environment = environment
        self.interval = interval
        self.n_episodes = n_episodes
        self.reward_threshold = reward_threshold
        self.early_stopping = early_stopping
        self.n_iter_no_change = n_iter_no_change
        self.max_episode_steps = max_episode_steps
        self.random_state = random_state

    def on_run_begin(self, run: Run) -> None:
        """Start without a best."""
        self.best_score_ = -np.inf
        self._best: Any = None
        self._best_returns = self._last_returns = np.empty(0)
        self._visited = self._actions_there = np.empty(0, dtype=np.int64)
        self._n_no_change = 0
        self._rng = np.random.default_rng(self.random_state)
        self._last_step = run.history.n_steps

    def on_stretch_end(self, run: Run) -> None:
        """Evaluate, when it is time."""
        due = run.history.n_steps - self._last_step >= self.interval
        if due or run.stop_reason is not None:
            self._evaluate(run)

    def on_run_end(self, run: Run) -> None:
        """Go back to the best Q function."""
        if self._best is not None:
            run.qfunction.restore(self._best)

    def _evaluate(self, run: Run) -> None:
        returns = self._play_or_recall(run)
        self._last_step = run.history.n_steps
        run.history.evaluations.append(
            n_steps=self._last_step,
            score=float(returns.mean()),
            std=float(returns.std()),
            n_episodes=self.n_episodes,
            seconds=run.history.seconds(),
        )
        gain, error = self._gain(returns)
        self._count(gain, error, returns)
        if gain > 0:
            self._best_returns, self.best_score_ = returns, float(returns.mean())
        if gain >= -error / 2:
            self._best = run.qfunction.snapshot()
        is_stuck = self._n_no_change >= self.n_iter_no_change
        may_stop = self.early_stopping and run.stop_reason is None and gain >= -error
        if may_stop and is_stuck and returns.mean() >= self._threshold:
            self._stop_if_solved(run)

    def _play_or_recall(self, run: Run) -> Returns:
        """Play the evaluation's episodes, unless they would be those of the last one again."""
        if not isinstance(self.environment.state_space, Discrete):
            return self._play(run, self.n_episodes, self.random_state)
        if len(self._visited):
            actions = greedy_actions(run.qfunction, self._visited)
            if np.array_equal(actions, self._actions_there):
                return self._last_returns
        visited: set[int] = set()
        returns = self._play(run, self.n_episodes, self.random_state, visited)
        self._visited = np.array(sorted(visited), dtype=self.environment.state_space.dtype)
        self._actions_there = greedy_actions(run.qfunction, self._visited)
        return returns

    def _gain(self, returns: Returns) -> tuple[float, float]:
        """By how much these episodes are better than the best so far, and the standard error."""
        if self._best is None:
            return np.inf, 0.0
        gains = returns - self._best_returns
        return float(gains.mean()), _standard_error(gains)

    def _count(self, gain: float, error: float, returns: Returns) -> None:
        """Count the evaluations in a row that bring nothing: worse ones, and the same again."""
        earlier = self._best_returns, self._last_returns
        is_same = any(np.array_equal(returns, others) for others in earlier)
        self._n_no_change = self._n_no_change + 1 if is_same or gain < -2 * error else 0
        self._last_returns = returns

    def _stop_if_solved(self, run: Run) -> None:
        """Play fresh episodes until the threshold is surely reached, or surely not."""
        returns = self._play_fresh(run, 2 * self.n_episodes)
        most = MOST_EVALUATIONS * self.n_episodes
        while abs(returns.mean() - self._threshold) < _margin(returns) and len(returns) < most:
            returns = np.concatenate([returns, self._play_fresh(run, len(returns))])
        if returns.mean() - _margin(returns) >= self._threshold:
            self._best = run.qfunction.snapshot()
            run.stop(f"solved, the mean return reaches the threshold {self.reward_threshold:.4g}")
        self._n_no_change = 0  # before that costs so much again, learn some more

    def _play_fresh(self, run: Run, n_episodes: int) -> Returns:
        return self._play(run, n_episodes, seed=int(self._rng.integers(2**31)))

    def _play(
        self, run: Run, n_episodes: int, seed: int, visited: set[int] | None = None
    ) -> Returns:
        def choose(states: States) -> Actions:
            if visited is not None:
                visited.update(states.tolist())
            return greedy_actions(run.qfunction, states)

        return play_episodes(self.environment, choose, n_episodes, seed, self.max_episode_steps)

    @property
    def _threshold(self) -> float:
        return np.inf if self.reward_threshold is None else self.reward_threshold


def _standard_error(values: Returns) -> float:
    return float(values.std() / np.sqrt(len(values)))


def _margin(returns: Returns) -> float:
    """Two standard errors of the mean."""
    return 2 * _standard_error(returns)
