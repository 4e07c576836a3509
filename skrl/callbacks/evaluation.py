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
    environment of its own. At the end of the run the Q function goes back to the best evaluation.

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
        Whether to stop the run once the environment is solved. A good evaluation alone is no proof:
        the best of many is good by luck as well. So when one reaches the threshold, the same Q
        function plays fresh episodes, twice as many and more, until their mean return is two
        standard errors above the threshold, or below it.
    max_episode_steps : int or None
        Cuts off episodes of environments that have no time limit.
    random_state : int
        Seeds the environment, anew for each evaluation.

    Attributes
    ----------
    best_score_ : float
        Best mean return seen; -inf before the first evaluation.
    """

    def __init__(
        self,
        environment: Environment,
        interval: int,
        n_episodes: int = 50,
        reward_threshold: float | None = None,
        early_stopping: bool = True,
        max_episode_steps: int | None = None,
        random_state: int = 0,
    ) -> None:
        self.environment = environment
        self.interval = interval
        self.n_episodes = n_episodes
        self.reward_threshold = reward_threshold
        self.early_stopping = early_stopping
        self.max_episode_steps = max_episode_steps
        self.random_state = random_state

    def on_run_begin(self, run: Run) -> None:
        """Start without a best."""
        self.best_score_ = -np.inf
        self._best: Any = None
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
        score, std = float(returns.mean()), float(returns.std())
        self._last_step = run.history.n_steps
        run.history.evaluations.append(
            n_steps=self._last_step,
            score=score,
            std=std,
            n_episodes=self.n_episodes,
            seconds=run.history.seconds(),
        )
        # Of equals the latest: it has learned longest.
        if score >= self.best_score_:
            self.best_score_, self._best = score, run.qfunction.snapshot()
        if self.early_stopping and run.stop_reason is None and self._is_solved(run, score):
            self.best_score_, self._best = score, run.qfunction.snapshot()  # for sure
            run.stop(f"solved, the mean return reaches the threshold {self.reward_threshold:.4g}")

    def _is_solved(self, run: Run, score: float) -> bool:
        """Whether the Q function surely reaches the threshold, judged by fresh episodes."""
        if self.reward_threshold is None or score < self.reward_threshold:
            return False
        returns = np.empty(0)
        while len(returns) < MOST_EVALUATIONS * self.n_episodes:
            n_more = max(2 * self.n_episodes, len(returns))
            returns = np.concatenate([returns, self._play(run, n_more)])
            margin = 2 * returns.std() / np.sqrt(len(returns))
            if abs(returns.mean() - self.reward_threshold) >= margin:
                break
        return bool(returns.mean() - margin >= self.reward_threshold)
