"""Evaluate during training, keep the best, stop when the task is solved."""

from typing import Any

import numpy as np
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

    The best of many evaluations is good by luck as well. So a Q function that looks like the best
    plays fresh episodes, twice as many, and these alone are its score.

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
        Whether to stop the run once the environment is solved, and learning does not get any
        further. Solved means that the mean return in fresh episodes, of which there are more in a
        close call, is two standard errors above the threshold.
    n_iter_no_change : int
        Learning does not get any further when so many evaluations in a row bring no better score.
    max_episode_steps : int or None
        Cuts off episodes of environments that have no time limit.
    random_state : int
        Seeds the environment, anew for each evaluation.

    Attributes
    ----------
    best_score_ : float
        Mean return of the best Q function in its fresh episodes; -inf before the first evaluation.
    """

    def __init__(
        self,
        environment: Environment,
        interval: int,
        n_episodes: int = 50,
        reward_threshold: float | None = None,
        early_stopping: bool = True,
        n_iter_no_change: int = 5,
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
        self._is_solved = False
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

    def _play(self, run: Run, n_episodes: int) -> Returns:
        def choose(states: States) -> Actions:
            return greedy_actions(run.qfunction, states)

        seed = int(self._rng.integers(2**31))
        return play_episodes(self.environment, choose, n_episodes, seed, self.max_episode_steps)

    def _evaluate(self, run: Run) -> None:
        returns = self._play(run, self.n_episodes)
        self._last_step = run.history.n_steps
        run.history.evaluations.append(
            n_steps=self._last_step,
            score=float(returns.mean()),
            std=float(returns.std()),
            n_episodes=self.n_episodes,
            seconds=run.history.seconds(),
        )
        best_before = self.best_score_
        if returns.mean() > self.best_score_:
            self._challenge(run)
        elif returns.mean() == self.best_score_:
            self._best = run.qfunction.snapshot()  # of equals the latest: it has learned longest
        self._n_no_change = 0 if self.best_score_ > best_before else self._n_no_change + 1
        is_stuck = self._n_no_change >= self.n_iter_no_change
        if self.early_stopping and self._is_solved and is_stuck and run.stop_reason is None:
            run.stop(f"solved, the mean return reaches the threshold {self.reward_threshold:.4g}")

    def _challenge(self, run: Run) -> None:
        """Let what looks like the best Q function show in fresh episodes that it is."""
        returns = self._play_until_sure(run)
        score = float(returns.mean())
        if score >= self.best_score_:
            self.best_score_, self._best = score, run.qfunction.snapshot()
            self._is_solved = score - _margin(returns) >= self._threshold

    def _play_until_sure(self, run: Run) -> Returns:
        """Play fresh episodes until the threshold is surely reached, or surely not."""
        returns = self._play(run, 2 * self.n_episodes)
        most = MOST_EVALUATIONS * self.n_episodes
        while abs(returns.mean() - self._threshold) < _margin(returns) and len(returns) < most:
            returns = np.concatenate([returns, self._play(run, len(returns))])
        return returns

    @property
    def _threshold(self) -> float:
        return np.inf if self.reward_threshold is None else self.reward_threshold


def _margin(returns: Returns) -> float:
    """Two standard errors of the mean."""
    return float(2 * returns.std() / np.sqrt(len(returns)))
