"""A doctor for environments: plays simple policies, and says what looks wrong."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env
from jaxtyping import Float64

from skrl.arrays import describe
from skrl.environments.backends import Backend
from skrl.environments.examination import Episodes, Examination
from skrl.environments.gym_environment import GymEnvironment, as_environment
from skrl.environments.observation_layout import ObservationLayout
from skrl.environments.opening import open_backend, replicate
from skrl.environments.symptoms import Finding, find_all
from skrl.seeds import seed_sequence

# Components of an observation, and constant policies, that a report shows.
MAX_SHOWN = 8


class ObservationFacts(NamedTuple):
    """The scale of the observations, by component.

    Parameters
    ----------
    min, max, mean, std : ndarray of shape (size,), dtype float64
        Over all observations that are finite and have the right shape; NaN if there are none.
        Dict and Tuple observations have the components of all their parts.
    """

    min: Float64[np.ndarray, " size"]
    max: Float64[np.ndarray, " size"]
    mean: Float64[np.ndarray, " size"]
    std: Float64[np.ndarray, " size"]


class RewardFacts(NamedTuple):
    """The scale of the rewards; NaN if no step could be taken.

    Parameters
    ----------
    min, max : float
        The smallest and the largest reward.
    share_nonzero : float
        The share of steps with a reward other than 0.
    """

    min: float
    max: float
    share_nonzero: float


@dataclass(frozen=True)
class Diagnosis:
    """What `skrl.diagnose` learned about an environment; print it to read a report.

    Parameters
    ----------
    name : str
        The id of the environment, or the name of its class.
    observation_space, action_space : gymnasium.Space
        The environment's own spaces.
    n_actions : int
        Number of actions.
    n_steps : int
        Steps taken, over all policies.
    random : Episodes
        The finished episodes of the random policy: lists of their `returns`, `lengths`, and
        whether they `terminated`.
    constant : dict of int to Episodes
        The finished episodes of the policies that always choose the same action, by action index.
    observations : ObservationFacts
        `min`, `max`, `mean` and `std` of each component of the observations.
    rewards : RewardFacts
        `min`, `max` and `share_nonzero` of the rewards.
    findings : tuple of Finding
        What was noticed, warnings first.

    Examples
    --------
    >>> from skrl import diagnose
    >>> diagnosis = diagnose("FrozenLake-v1", n_steps=2_000)
    >>> diagnosis.n_actions, diagnosis.rewards.max, min(diagnosis.random.lengths)
    (4, 1.0, 2)
    >>> diagnosis.warnings
    ()
    """

    name: str
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]
    n_actions: int
    n_steps: int
    random: Episodes
    constant: dict[int, Episodes]
    observations: ObservationFacts
    rewards: RewardFacts
    findings: tuple[Finding, ...]

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are faults, or make learning difficult."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are only good to know."""
        return tuple(finding for finding in self.findings if finding.level == "note")

    def __str__(self) -> str:
        """Write a report: the facts, and one line per finding."""
        counts = f"warnings: {len(self.warnings)}, notes: {len(self.notes)}"
        rewards = self.rewards
        lines = [
            f"{self.name}, {self.n_steps:,} steps; {counts}",
            f"  observations     {_describe_space(self.observation_space)}",
            f"  actions          {_describe_space(self.action_space)}; {self.n_actions} actions",
            f"  random policy    {_describe_episodes(self.random)}",
            *self._constant_policies(),
            f"  rewards          {rewards.min:.4g} to {rewards.max:.4g}, "
            f"{rewards.share_nonzero:.2%} are not 0",
            *self._components(),
            *map(str, self.findings),
        ]
        return "\n".join(lines)

    def _constant_policies(self) -> Iterator[str]:
        for action, episodes in list(self.constant.items())[:MAX_SHOWN]:
            yield f"  {f'always {action}':16} {_describe_episodes(episodes)}"
        if self.n_actions > MAX_SHOWN:
            yield f"  ...              ({len(self.constant)} of {self.n_actions} were played)"

    def _components(self) -> Iterator[str]:
        layout = ObservationLayout(self.observation_space)
        names = [layout.name(i) for i in range(min(layout.size, MAX_SHOWN))]
        width = max(map(len, ["component", *names]))
        yield f"  {'component':{width}} {'min':>10} {'max':>10} {'mean':>10} {'std':>10}"
        for name, *numbers in zip(names, *self.observations, strict=False):
            yield f"  {name:{width}} " + " ".join(f"{number:10.4g}" for number in numbers)
        if layout.size > MAX_SHOWN:
            yield f"  ... ({layout.size:,} components)"


def diagnose(
    env: Any, *, n_steps: int = 20_000, n_episodes: int | None = None, random_state: Any = 0
) -> Diagnosis:
    """Examine an environment before an agent is trained in it.

    A random policy and the constant policies, each of which always chooses the same action, are
    played in a replica. The report has facts, such as the scale of observations and rewards, and
    findings: what is wrong or makes learning difficult, and what to do.

    Parameters
    ----------
    env : str, EnvSpec, callable, gymnasium.Env, GymEnvironment or list
        The environment, as `QLearningAgent.fit` takes it. A live environment is not touched. The
        environments of a list are played in turns, and described together.
    n_steps : int, default=20_000
        Budget of steps. The random policy takes three quarters of them, and the constant policies
        share the rest. (Of more than 20 actions, 20 are tried.)
    n_episodes : int or None, default=None
        Number of episodes of each policy at most. None leaves it to `n_steps`.
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None, default=0
        Seeds the environment and the random actions.

    Returns
    -------
    Diagnosis
        The facts as plain data, and the findings. Print it to read a report.

    Raises
    ------
    TypeError
        If `env` is not an environment of Gymnasium.
    ValueError
        If the environment cannot be made or replicated, its spaces are not supported, or a budget
        is less than 1.

    Notes
    -----
    What the environment raises in `reset` and `step` is a finding. These are warnings:

    - ``error``: `reset` or `step` raises an exception;
    - ``action-mask``: a mask is missing, allows nothing, or has a wrong shape;
    - ``observation-shape``, ``observation-dtype``, ``observation-not-finite``,
      ``observation-outside``: an observation is not one of its space;
    - ``observation-scale``: components are very large, or differ by a factor of 1,000;
    - ``observation-overwritten``: an array changes after it has been returned;
    - ``observation-constant``: all observations are equal;
    - ``reward-not-finite``; ``reward-scale``: the largest reward is above 1,000 or below 0.001;
    - ``reward-never-seen``: all rewards are 0;
    - ``seed-ignored``, ``not-deterministic``: the same seed and actions give something else;
    - ``no-end``: no random episode ends, and no time limit is known;
    - ``time-limit-terminates``: the longest episodes terminate after exactly the same number of
      steps, and the observation does not tell the time (Pardo, Tavakoli, Levdik & Kormushev, 2018,
      "Time limits in reinforcement learning").

    And these are notes: ``constant-policy`` (one is far better than the random policy),
    ``constant-policy-never-ends``, ``action-without-effect``, ``episodes-alike`` (the reward is
    constant and all episodes are truncated), and ``gymnasium-check`` (what
    `gymnasium.utils.env_checker.check_env` says, if there are no warnings).

    Examples
    --------
    Here a clock runs out, and `step` calls that a terminal state:

    >>> import gymnasium, numpy as np
    >>> from gymnasium.spaces import Box, Discrete
    >>> from skrl import diagnose
    >>> class Guess(gymnasium.Env):
    ...     observation_space, action_space = Box(0, 1, (1,)), Discrete(2)
    ...     def reset(self, *, seed=None, options=None):
    ...         super().reset(seed=seed)
    ...         self.n_steps = 0
    ...         return self.np_random.random(1, dtype=np.float32), {}
    ...     def step(self, action):
    ...         self.n_steps += 1
    ...         observation = self.np_random.random(1, dtype=np.float32)
    ...         return observation, float(action), self.n_steps == 30, False, {}
    >>> diagnosis = diagnose(Guess, n_steps=2_000)
    >>> [finding.code for finding in diagnosis.warnings]
    ['time-limit-terminates']
    >>> diagnosis.warnings[0].message
    '50 of 50 random episodes terminated after exactly 30 steps, and none is longer.'
    """
    for name, budget in (("n_steps", n_steps), ("n_episodes", n_episodes)):
        if budget is not None and budget < 1:
            raise ValueError(f"{name} must be at least 1, got {budget}.")
    rng = np.random.default_rng(seed_sequence(random_state))
    backend = _open_replica(env)
    try:
        examination = Examination(backend, n_steps, n_episodes, rng)
        examination.run()
        findings = find_all(examination, backend.has_time_limit())
        if examination.has_masks is False and not any(f.level == "warning" for f in findings):
            findings += tuple(_ask_gymnasium(examination.envs[0]))
    finally:
        backend.close()
    return _summarize(examination, backend, findings)


def _open_replica(env: Any) -> Backend:
    """Open fresh environments: one of each of a list, else one."""
    environment = as_environment(env)
    if not isinstance(environment, GymEnvironment):
        raise TypeError(
            "diagnose needs an environment of Gymnasium, such as an id or a gymnasium.Env, got "
            f"{describe(environment)}. skrl.estimator_checks.check_environment checks others."
        )
    given = environment.env
    n_envs = len(given) if isinstance(given, list | tuple) else 1
    recipe, n_envs = replicate(given, n_envs, None) if n_envs else (given, 1)
    backend = open_backend(recipe, n_envs, None)
    backend.made = [backend.env]  # also a copy of a live vector environment
    if not all(isinstance(part, gymnasium.Env) for part in backend.parts()):
        backend.close()
        raise ValueError(
            f"Cannot look into the vector environment {given}: pass an id, or a function that "
            "makes one of its environments."
        )
    return backend


def _ask_gymnasium(env: gymnasium.Env[Any, Any]) -> Iterator[Finding]:
    """Let Gymnasium's own checker look at an environment."""
    plain = env.unwrapped
    with suppress(AttributeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # The checker draws from the space, which may belong to the class.
        plain.action_space = copy.deepcopy(plain.action_space)
        try:
            check_env(plain, skip_render_check=True, skip_close_check=True)
        except Exception as error:  # a user's environment may raise anything
            yield Finding(
                "gymnasium-check",
                "note",
                f"gymnasium.utils.env_checker.check_env says: {error}",
                "Follow its advice if the environment is to be used elsewhere.",
            )


def _summarize(
    examination: Examination, backend: Backend, findings: tuple[Finding, ...]
) -> Diagnosis:
    first = examination.envs[0]
    rewards = np.array(examination.rewards)
    is_any = len(rewards) > 0
    return Diagnosis(
        name=type(first.unwrapped).__name__ if first.spec is None else first.spec.id,
        observation_space=backend.observation_space,
        action_space=backend.action_space,
        n_actions=backend.n_actions,
        n_steps=sum(e.n_steps for e in (examination.random, *examination.constant.values())),
        random=examination.random,
        constant=examination.constant,
        observations=ObservationFacts(
            examination.lowest, examination.highest, examination.means, examination.deviations
        ),
        rewards=RewardFacts(
            float(rewards.min()) if is_any else np.nan,
            float(rewards.max()) if is_any else np.nan,
            float(np.mean(rewards != 0)) if is_any else np.nan,
        ),
        findings=findings,
    )


def _describe_space(space: gymnasium.Space[Any]) -> str:
    if isinstance(space, gymnasium.spaces.Box):
        return f"Box, shape {space.shape}, {space.dtype}"
    return f"{space!s:.100}"


def _describe_episodes(episodes: Episodes) -> str:
    if not episodes.lengths:
        return f"no episode ended within {episodes.n_steps:,} steps"
    lengths = episodes.lengths
    with np.errstate(invalid="ignore"):  # returns may be infinite
        mean, deviation = np.mean(episodes.returns), np.std(episodes.returns)
    shortest, longest = min(lengths), max(lengths)
    steps = f"{longest:,}" if shortest == longest else f"{shortest:,} to {longest:,}"
    return f"return {mean:.4g} +- {deviation:.4g}, lengths {steps}, episodes {len(lengths):,}"
