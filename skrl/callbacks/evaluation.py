"""Evaluate during training, keep the best, stop when the task is solved."""

from typing import Any

import numpy as np

from skrl.base import Actions, Callback, Environment, Run, States
from skrl.evaluation import greedy_actions, play_episodes


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
        Whether to stop the run once the environment is solved, and not by luck: when the mean
        return less two standard errors reaches the threshold.
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

    def _evaluate(self, run: Run) -> None:
        def choose(states: States) -> Actions:
            return greedy_actions(run.qfunction, states)

        seed = int(self._rng.integers(2**31))
        returns = play_episodes(
            self.environment, choose, self.n_episodes, seed, self.max_episode_steps
        )
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
        if self.early_stopping and self.reward_threshold is not None and run.stop_reason is None:
            surely_at_least = score - 2 * std / np.sqrt(self.n_episodes)
            if surely_at_least >= self.reward_threshold:
                run.stop(f"solved, {score:.4g} reaches the threshold {self.reward_threshold:.4g}")
