"""The runs of a study: list them, make them, and remember them in a file."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from time import perf_counter
from typing import Any, TextIO

import gymnasium
from sklearn.base import clone

from skrl.checkpoints.identity import digest, recipe
from skrl.environments.opening import is_live


@dataclass(frozen=True)
class Result:
    """The result of one run.

    Parameters
    ----------
    agent, env : str
        Names of the agent and of the environment.
    seed : int
        The agent's `random_state`.
    score : float
        Mean return of the episodes after training.
    n_steps : int or None
        Steps of training; None if the agent has no attribute `n_steps_`.
    seconds : float
        Duration of `fit`.
    evaluations : list of [int, float], or None
        Steps and score of each evaluation during training; None if the agent has no `history_`
        with evaluations.
    """

    agent: str
    env: str
    seed: int
    score: float
    n_steps: int | None
    seconds: float
    evaluations: list[list[float]] | None = None

    @property
    def key(self) -> tuple[str, str, int]:
        """Agent, environment and seed: what tells the runs of a study apart."""
        return self.agent, self.env, self.seed


@dataclass(frozen=True)
class Job:
    """A run to be made."""

    agent_name: str
    agent: Any
    env_name: str
    env: Any
    seed: int
    n_episodes: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of its result."""
        return self.agent_name, self.env_name, self.seed

    def run(self, env: Any) -> Result:
        """Train and score in `env`, the job's environment in a form that another process knows."""
        agent, env = self._seeded_agent(), clone(env, safe=False)
        began = perf_counter()
        try:
            agent.fit(env)
            seconds = perf_counter() - began
            score = float(agent.score(env, n_episodes=self.n_episodes))
        except Exception as error:
            error.add_note(
                f"This was the run of agent {self.agent_name!r} in environment "
                f"{self.env_name!r} with seed {self.seed}."
            )
            raise
        n_steps = int(agent.n_steps_) if hasattr(agent, "n_steps_") else None
        evaluations = getattr(getattr(agent, "history_", None), "evaluations", None)
        curve = [[e["n_steps"], e["score"]] for e in evaluations[:]] if evaluations else None
        return Result(*self.key, score, n_steps, seconds, curve)

    def digest(self) -> str:
        """Identify the run by everything but the names, the same in every process."""
        try:
            return digest(recipe([self._seeded_agent(), self.env, self.n_episodes]))
        except ValueError as error:
            raise ValueError(
                f"Agent {self.agent_name!r} or environment {self.env_name!r} cannot be recognised "
                f"in a file, because {error}, or omit `resume`."
            ) from error

    def _seeded_agent(self) -> Any:
        return clone(self.agent).set_params(random_state=self.seed)


def make_jobs(
    agents: Any, envs: Any, n_seeds: int, n_episodes: int, random_state: Any
) -> list[Job]:
    """Check the arguments of `compare`, and list all runs in the order of the results."""
    for name, count in (("n_seeds", n_seeds), ("n_episodes", n_episodes)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1, got {count!r}.")
    if not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(
            f"random_state must be an integer of at least 0, the first seed; got {random_state!r}."
        )
    _check_agents(agents)
    seeds = range(int(random_state), int(random_state) + n_seeds)
    return [
        Job(agent_name, agent, env_name, env, seed, n_episodes)
        for agent_name, agent in agents.items()
        for env_name, env in _named_envs(envs).items()
        for seed in seeds
    ]


def _check_agents(agents: Any) -> None:
    if not isinstance(agents, Mapping) or not agents:
        raise TypeError(
            "agents must be a dict of names and agents, such as "
            f"{{'table': QLearningAgent()}}; got {agents!r}."
        )
    for name, agent in agents.items():
        needed = ("fit", "score", "get_params", "set_params")
        if isinstance(agent, type) or not all(hasattr(agent, method) for method in needed):
            raise TypeError(f"Agent {name!r} must have the methods {needed}, got {agent!r}.")
        if "random_state" not in agent.get_params():
            raise TypeError(
                f"Agent {name!r} must have the parameter random_state, which is set to the seed; "
                f"it has {sorted(agent.get_params())}."
            )


def _named_envs(envs: Any) -> Mapping[str, Any]:
    """Name every environment; an id is its own name."""
    is_list = isinstance(envs, list | tuple)
    if is_list and all(isinstance(env, str) for env in envs):
        envs = {env: env for env in envs}
    if not isinstance(envs, Mapping) or not envs:
        raise TypeError(
            "envs must be a list of ids, such as ['CartPole-v1'], or a dict of names and "
            f"environments; got {envs!r}."
        )
    for name, env in envs.items():
        if is_live(env) or is_live(getattr(env, "env", None)):
            raise TypeError(
                f"Environment {name!r} is live, but every run needs a fresh one. Pass an id or a "
                "function that makes it."
            )
    return envs


def portable(env: Any) -> Any:
    """Replace ids by their specs: a worker process may not know ids registered in this one."""
    if isinstance(env, list | tuple):
        return [portable(item) for item in env]
    return gymnasium.registry.get(env, env) if isinstance(env, str) else env


# ---- the file of finished runs -----------------------------------------------------------------


def read_finished(path: Path) -> dict[str, Result]:
    """Read the results of finished runs, by their digests."""
    finished: dict[str, Result] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    # A killed process may leave an incomplete line, which begins like all others.
    if lines and not '{"digest": '.startswith(lines[0][:11]):
        raise ValueError(
            f"{path} is not a file of finished runs: it begins with {lines[0][:50]!r}. Pass the "
            "name of a new file, or of a file that an earlier study wrote."
        )
    for line in lines:
        with suppress(json.JSONDecodeError):  # an incomplete line
            row = json.loads(line)
            digest = row.pop("digest")
            finished[digest] = Result(**row)
    return finished


@contextmanager
def lines_to(path: str | Path | None) -> Iterator[TextIO | None]:
    """Open a file to append lines to it; without a path, give None."""
    if path is None:
        yield None
        return
    with Path(path).open("a+", encoding="utf-8") as file:
        file.seek(0)
        if file.read()[-1:] not in ("", "\n"):
            print(file=file)  # ends an incomplete line
        yield file


def progress_bar(n_jobs: int, n_finished: int, verbose: int) -> Any:
    """Make a progress bar that counts runs."""
    from tqdm.auto import tqdm  # here, because it looks for a notebook

    return tqdm(total=n_jobs, initial=n_finished, unit="run", disable=not verbose)
