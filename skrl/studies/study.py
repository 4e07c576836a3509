"""Studies: train agents in environments with many seeds, and compare their scores."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from jaxtyping import Float64

from skrl.studies import statistics
from skrl.studies.report import report
from skrl.studies.runs import (
    Job,
    Result,
    lines_to,
    make_jobs,
    portable,
    progress_bar,
    read_finished,
)
from skrl.studies.statistics import Estimate

__all__ = ["Result", "Study", "compare"]


def compare(
    agents: Any,
    envs: Any,
    *,
    n_seeds: int = 10,
    n_jobs: int | None = None,
    n_episodes: int = 100,
    resume: str | Path | None = None,
    random_state: Any = 0,
    verbose: int = 0,
) -> "Study":
    """Train and score every agent in every environment with many seeds.

    A run is one agent, one environment and one seed. A clone of the agent gets the seed as its
    `random_state`, is fitted in the environment, and is scored in fresh episodes of it. The seeds
    are ``random_state, random_state + 1, ...``, the same for all agents. So any run can be
    repeated by hand, and a study with more seeds contains the study with fewer.

    Parameters
    ----------
    agents : dict of str to estimator
        The agents by name: `QLearningAgent`, or any scikit-learn estimator that has the parameter
        `random_state` and the methods ``fit(env)`` and ``score(env, n_episodes=...)``.
    envs : list of str, or dict of str to environment
        Registered ids; or environments by name: ids, specs, functions, `GymEnvironment`, or lists
        of those to train on side by side. Live environments are refused, because each run needs a
        fresh one.
    n_seeds : int, default=10
        Number of seeds.
    n_jobs : int or None, default=None
        Number of runs at a time, each in a separate process (joblib); -1 uses all processors. The
        scores do not depend on it, the seconds do.
    n_episodes : int, default=100
        Number of episodes that a score is the mean of.
    resume : str, Path or None, default=None
        File of finished runs, one line of JSON each. Runs in the file are not repeated: after an
        error or Ctrl-C, the same call continues, and a call with more seeds or agents makes only
        the missing runs. A run is identified by the agent's class and parameters, the environment
        as passed, the seed and `n_episodes`. Changes of the code are not noticed.
    random_state : int, default=0
        The first seed, at least 0.
    verbose : int, default=0
        0 is silent, 1 shows a progress bar.

    Returns
    -------
    Study
        The results, ordered by agent, environment and seed. Print it to read a report.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.
    Exception
        Any error of a run, with a note that names the run.

    Examples
    --------
    >>> from skrl import EpsilonGreedy, QLearningAgent
    >>> from skrl import compare
    >>> agent = QLearningAgent(n_steps=300, n_evaluations=0)
    >>> study = compare({
    ...     "careful": agent,
    ...     "wild": QLearningAgent(policy=EpsilonGreedy(1.0), n_steps=300, n_evaluations=0),
    ... }, ["skrl/CircularWorld-v0"], n_seeds=3, n_episodes=10)
    >>> study.scores("wild").shape
    (3, 1)
    >>> 0 <= study.probability_of_improvement("wild", "careful").value <= 1
    True
    """
    jobs = make_jobs(agents, envs, n_seeds, n_episodes, random_state)
    digests = {} if resume is None else {job.key: job.digest() for job in jobs}
    finished = {} if resume is None else read_finished(Path(resume))
    results = {
        key: replace(finished[digest], agent=key[0], env=key[1])
        for key, digest in digests.items()
        if digest in finished
    }
    # Seed by seed: after an interruption, all agents have finished about the same seeds.
    missing = sorted((job for job in jobs if job.key not in results), key=lambda job: job.seed)
    runs = (joblib.delayed(Job.run)(job, portable(job.env)) for job in missing)
    with lines_to(resume) as file, progress_bar(len(jobs), len(results), verbose) as bar:
        for result in joblib.Parallel(n_jobs, return_as="generator_unordered")(runs):
            results[result.key] = result
            if file is not None:
                row = {"digest": digests[result.key], **asdict(result)}
                print(json.dumps(row), file=file, flush=True)
            bar.update()
    return Study([results[job.key] for job in jobs])


@dataclass(frozen=True, repr=False)
class Study:
    """The results of many runs, and the statistics that compare them.

    ``print(study)`` shows a report. Scores of several environments are put on one scale: in each
    environment, the lowest score of this study becomes 0 and the highest 1. Scaled scores compare
    the agents of one study only. The scores of a single environment are not scaled.
    `skrl.studies.statistics` describes the methods.

    Parameters
    ----------
    results : sequence of Result
        Exactly one for every agent, environment and seed.

    Raises
    ------
    ValueError
        If there are no results, or if a result is missing or occurs twice.

    Examples
    --------
    >>> from skrl.studies.study import Result, Study
    >>> scores = {"old": [12.0, 13.5, 16.0], "new": [19.0, 15.0, 18.0]}
    >>> study = Study([
    ...     Result(agent, "Taxi-v4", seed, score, n_steps=1_000, seconds=0.5)
    ...     for agent in scores for seed, score in enumerate(scores[agent])])
    >>> print(study.probability_of_improvement("new", "old"))
    0.8889 [0.5556, 1]
    >>> study.n_seeds_needed("new", "old")
    9.0
    """

    results: Sequence[Result]

    def __post_init__(self) -> None:
        keys = [result.key for result in self.results]
        wanted = list(itertools.product(self.agents, self.envs, self.seeds))
        if not keys or sorted(keys) != sorted(wanted):
            raise ValueError(
                "A study needs exactly one result for every agent, environment and seed; got "
                f"{len(keys)} results for {self.agents}, {self.envs} and {self.seeds}. Missing: "
                f"{sorted(set(wanted) - set(keys))[:5]}."
            )

    @property
    def agents(self) -> list[str]:
        """Names of the agents."""
        return list(dict.fromkeys(result.agent for result in self.results))

    @property
    def envs(self) -> list[str]:
        """Names of the environments."""
        return list(dict.fromkeys(result.env for result in self.results))

    @property
    def seeds(self) -> list[int]:
        """The seeds."""
        return sorted({result.seed for result in self.results})

    def table(self) -> list[dict[str, Any]]:
        """All results but the evaluations as rows; ``pandas.DataFrame(study.table())`` works."""
        rows = [asdict(result) for result in self.results]
        return [{name: row[name] for name in row if name != "evaluations"} for row in rows]

    def scores(self, agent: str, env: str | None = None) -> Float64[np.ndarray, "n_seeds n_envs"]:
        """Scores of an agent, not scaled.

        Parameters
        ----------
        agent : str
            Name of the agent.
        env : str or None, default=None
            Name of an environment; None gives all.

        Returns
        -------
        ndarray of shape (n_seeds, n_envs)
            Rows in the order of `seeds`, columns in the order of `envs`.
        """
        for name, known in ((agent, self.agents), (env, [None, *self.envs])):
            if name not in known:
                raise ValueError(f"This study does not contain {name!r}, only {known}.")
        score_of = {result.key: result.score for result in self.results}
        envs = self.envs if env is None else [env]
        return np.array([[score_of[agent, name, seed] for name in envs] for seed in self.seeds])

    def interquartile_mean(self, agent: str, env: str | None = None) -> Estimate:
        """Interquartile mean of an agent's scores, with a 95% stratified bootstrap interval.

        Parameters
        ----------
        agent : str
            Name of the agent.
        env : str or None, default=None
            Name of an environment; None pools all, on one scale.

        Returns
        -------
        Estimate
        """
        return self._estimate(self._on_one_scale(agent, env))

    def probability_of_improvement(self, a: str, b: str, env: str | None = None) -> Estimate:
        """Probability that a run of `a` scores higher than a run of `b`, with a 95% interval.

        Parameters
        ----------
        a, b : str
            Names of two agents.
        env : str or None, default=None
            Name of an environment; None gives the mean over all.

        Returns
        -------
        Estimate
        """
        return statistics.probability_of_improvement(self.scores(a, env), self.scores(b, env))

    def performance_profile(
        self, thresholds: Any, env: str | None = None
    ) -> dict[str, Float64[np.ndarray, " n_thresholds"]]:
        """Share of each agent's runs that score higher than each threshold.

        Parameters
        ----------
        thresholds : array-like of shape (n_thresholds,)
            Scores.
        env : str or None, default=None
            Name of an environment; None pools all, on one scale.

        Returns
        -------
        dict of str to ndarray of shape (n_thresholds,)
            The shares of every agent.
        """
        return {
            agent: statistics.performance_profile(self._on_one_scale(agent, env), thresholds)
            for agent in self.agents
        }

    def scores_at(
        self, agent: str, n_steps: int, env: str | None = None
    ) -> Float64[np.ndarray, "n_seeds n_envs"]:
        """Scores of an agent in the middle of training, not scaled.

        Parameters
        ----------
        agent : str
            Name of the agent.
        n_steps : int
            Steps of training. A run that stopped earlier keeps its last score.
        env : str or None, default=None
            Name of an environment; None gives all.

        Returns
        -------
        ndarray of shape (n_seeds, n_envs)
            Score of each run's last evaluation by then.

        Raises
        ------
        ValueError
            If a run was not evaluated by then.
        """
        curve_of = {result.key: result.evaluations or [] for result in self.results}
        scores = self.scores(agent, env)
        for i, seed in enumerate(self.seeds):
            for j, name in enumerate(self.envs if env is None else [env]):
                known = [score for n, score in curve_of[agent, name, seed] if n <= n_steps]
                if not known:
                    raise ValueError(
                        f"The run of {agent!r} in {name!r} with seed {seed} has no evaluation "
                        f"within its first {n_steps:,} steps. Ask for more steps, or train with "
                        "n_evaluations > 0."
                    )
                scores[i, j] = known[-1]
        return scores

    def sample_efficiency(self, agent: str, n_steps: int, env: str | None = None) -> Estimate:
        """Interquartile mean of an agent's scores in the middle of training, with a 95% interval.

        Parameters
        ----------
        agent : str
            Name of the agent.
        n_steps : int
            Steps of training, see `scores_at`.
        env : str or None, default=None
            Name of an environment; None pools all, on the scale of the final scores.

        Returns
        -------
        Estimate
        """
        return self._estimate(self._scaled(self.scores_at(agent, n_steps, env)))

    def n_seeds_needed(self, a: str, b: str, *, error: float = 0.05, power: float = 0.8) -> float:
        """Number of seeds that show that `a` is better than `b`, at this study's probability.

        Parameters
        ----------
        a, b : str
            Names of two agents.
        error : float in (0, 1), default=0.05
            Probability of finding a difference that does not exist.
        power : float in [0.5, 1), default=0.8
            Probability of finding the difference if it exists.

        Returns
        -------
        float
            See `skrl.studies.statistics.n_seeds_needed`.
        """
        probability = self.probability_of_improvement(a, b).value
        return statistics.n_seeds_needed(probability, len(self.envs), error=error, power=power)

    def _on_one_scale(self, agent: str, env: str | None) -> Float64[np.ndarray, "n_seeds n_envs"]:
        return self._scaled(self.scores(agent, env))

    def _scaled(
        self, scores: Float64[np.ndarray, "n_seeds n_envs"]
    ) -> Float64[np.ndarray, "n_seeds n_envs"]:
        """Scale scores of several environments to those that runs of this study ended with."""
        if scores.shape[1] == 1:
            return scores
        everything = np.concatenate([self.scores(name) for name in self.agents])
        low, high = everything.min(axis=0), everything.max(axis=0)
        # (score - low) / (high - low)
        scaled: np.ndarray = (scores - low) / np.where(high > low, high - low, 1.0)
        return scaled

    @staticmethod
    def _estimate(scores: Float64[np.ndarray, "n_seeds n_envs"]) -> Estimate:
        interval = statistics.stratified_bootstrap(scores)
        return Estimate(float(statistics.interquartile_mean(scores)), *interval)

    def __repr__(self) -> str:
        return f"<Study of {', '.join(self.agents)} in {', '.join(self.envs)}: print it>"

    def __str__(self) -> str:
        return report(self)
