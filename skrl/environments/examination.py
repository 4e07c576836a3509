"""Play simple policies in an environment, and record what `skrl.diagnose` judges.

Everything is recorded as the environment gave it, before `GymEnvironment` translates or checks it:
a fault is written down here, where it would stop a training run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Bool, Float64
from numpy.random import Generator

from skrl.environments.action_masks import KEY, read_masks
from skrl.environments.backends import Backend
from skrl.environments.observation_layout import ObservationLayout

# The random policy's share of the steps; the constant policies share the rest.
RANDOM_SHARE = 0.75
# Only so many constant policies are played, where there are more actions.
MAX_CONSTANT_POLICIES = 20
# Length of the sequence of actions that is played twice with the same seed.
N_REPEATED_STEPS = 100
# The first random episodes are kept as a whole, if their observations are small.
MAX_TRAILS, MAX_TRAIL_SIZE = 10, 64
# Observations are added to the statistics in batches of this size.
BATCH_SIZE = 64
# Examples that are kept of each kind of fault.
MAX_EXAMPLES = 3


@dataclass
class Episodes:
    """The finished episodes of one policy.

    Parameters
    ----------
    returns : list of float
        Undiscounted returns.
    lengths : list of int
        Numbers of steps.
    terminated : list of bool
        Whether the episode terminated; otherwise it was truncated.
    n_steps : int
        Steps taken, also those of the last episode, if the budget broke it off.
    """

    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    terminated: list[bool] = field(default_factory=list)
    n_steps: int = 0


@dataclass
class Fault:
    """How often the observations had one kind of fault.

    Parameters
    ----------
    count : int
        Number of observations, or of parts of them.
    examples : dict of str to str
        What was wrong with the first few parts or components, by name.
    """

    count: int = 0
    examples: dict[str, str] = field(default_factory=dict)


class Examination:
    """Plays a random policy and constant policies, and records what happens.

    Parameters
    ----------
    backend : Backend
        Fresh environments, which are played in turns. They must be single ones.
    n_steps : int
        Budget of steps, over all policies.
    n_episodes : int or None
        Budget of episodes of each policy.
    rng : numpy.random.Generator
        Draws the seeds and the random actions.

    Attributes
    ----------
    random : Episodes
        Those of the random policy.
    constant : dict of int to Episodes
        Those of the policies that always choose the same action, by action index. Where a mask
        forbids the action, a random one is chosen.
    rewards : list of float
        All rewards.
    layout : ObservationLayout
        The components of an observation.
    n_observations, n_finite, n_outside : int
        Number of observations seen; of those with finite components in the right shape; and of
        those of them that are outside the bounds of their space.
    lowest, highest, means, deviations : ndarray of shape (size,), dtype float64
        Of each component, over the `n_finite` observations.
    faults : dict of str to Fault
        What else was wrong with observations, by code.
    n_overwritten : int
        How many observations changed after they had been returned.
    has_masks : bool or None
        Whether the first info had an action mask.
    mask_fault : str or None
        The first thing that was wrong with a mask.
    seed_fault : (str, str) or None
        Code and text of the first difference between two runs with one seed.
    errors : dict of str to str
        What the environment raised, and the first call that raised it.
    n_taken, n_effects : ndarray of shape (n_actions,), dtype int64
        How often the random policy chose each action, and how often that changed the observation
        or terminated the episode.
    trails : list of ndarray of shape (length + 1, size)
        The observations of the first finished random episodes.
    """

    def __init__(
        self, backend: Backend, n_steps: int, n_episodes: int | None, rng: Generator
    ) -> None:
        self.envs = backend.parts()
        self.actions, self.n_actions = backend.actions, backend.n_actions
        self.n_steps, self.n_episodes, self.rng = n_steps, n_episodes, rng
        self.seed = int(rng.integers(2**30))
        self.layout = ObservationLayout(backend.observation_space)
        self.random = Episodes()
        self.constant: dict[int, Episodes] = {}
        self.rewards: list[float] = []
        self.faults: dict[str, Fault] = {}
        self.errors: dict[str, str] = {}
        self.has_masks: bool | None = None
        self.mask_fault: str | None = None
        self.seed_fault: tuple[str, str] | None = None
        self.n_taken, self.n_effects = np.zeros((2, self.n_actions), dtype=np.int64)
        self.trails: list[np.ndarray] = []
        self.n_observations = self.n_finite = self.n_outside = self.n_overwritten = 0
        size = self.layout.size
        self.lowest, self.highest = np.full((2, size), np.nan)
        # Sums of the distances from the first observation, and of their squares: those of the
        # observations themselves would lose all digits if they were far from 0.
        self._first, self._sums, self._squares = np.zeros((3, size))
        self._batch: list[np.ndarray] = []
        self._newest: tuple[Any, np.ndarray] | None = None
        self._last_call = "reset"

    @property
    def means(self) -> Float64[np.ndarray, " size"]:
        """Mean of each component."""
        return self._first + self._sums / (self.n_finite or np.nan)

    @property
    def deviations(self) -> Float64[np.ndarray, " size"]:
        """Standard deviation of each component."""
        n = self.n_finite or np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            variances = self._squares / n - (self._sums / n) ** 2
        deviations: np.ndarray = np.sqrt(np.maximum(variances, 0))
        return deviations

    def run(self) -> None:
        """Play everything."""
        for env in self.envs:
            self._check_seed(env)
        n_random = max(1, int(self.n_steps * RANDOM_SHARE))
        self._play(None, self.random, n_random)
        # Of many actions, some that are evenly spread.
        k = min(self.n_actions, MAX_CONSTANT_POLICIES)
        for action in np.linspace(0, self.n_actions - 1, k).astype(int).tolist():
            self.constant[action] = Episodes()
            self._play(action, self.constant[action], (self.n_steps - n_random) // k)
        self._add_batch()

    def _play(self, action: int | None, episodes: Episodes, n_steps: int) -> None:
        """Play one policy until its budget is used up or the environment raises an error."""
        n_envs, i = len(self.envs), 0
        try:
            while episodes.n_steps < n_steps and i != self.n_episodes:
                # Later episodes continue the sequence of random numbers, as in training.
                seed = self.seed + i if i < n_envs else None
                self._play_episode(self.envs[i % n_envs], action, episodes, n_steps, seed)
                i += 1
        except Exception as error:  # a user's environment may raise anything
            self._note(error)

    def _play_episode(
        self,
        env: gymnasium.Env[Any, Any],
        action: int | None,
        episodes: Episodes,
        n_steps: int,
        seed: int | None,
    ) -> None:
        self._last_call = "reset"
        observation, info = env.reset(seed=seed)
        numbers = self._see(observation)
        mask = self._mask(info, is_terminal=False)
        is_random, first = action is None, episodes.n_steps
        keeps_trail = is_random and len(self.trails) < MAX_TRAILS
        keeps_trail = keeps_trail and self.layout.size <= MAX_TRAIL_SIZE
        trail = [numbers]
        rewards = []
        while episodes.n_steps < n_steps:
            index = _choose(self.rng, action, mask, self.n_actions)
            observation, reward, terminated, truncated, info = self._step(env, index)
            episodes.n_steps += 1
            rewards.append(reward)
            self.rewards.append(reward)
            before, numbers = numbers, self._see(observation)
            mask = self._mask(info, terminated)
            if is_random:
                self.n_taken[index] += 1
                self.n_effects[index] += terminated or _differ(before, numbers)
            if keeps_trail:
                trail.append(numbers)
            if terminated or truncated:
                episodes.returns.append(sum(rewards))
                episodes.lengths.append(episodes.n_steps - first)
                episodes.terminated.append(terminated)
                if keeps_trail and all(each is not None for each in trail):
                    self.trails.append(np.array(trail))
                return

    def _step(
        self, env: gymnasium.Env[Any, Any], index: int
    ) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        action = self.actions.translate_one(index)
        self._last_call = f"step({action})"
        observation, reward, terminated, truncated, info = env.step(action)
        return observation, float(reward), bool(terminated), bool(truncated), info

    def _see(self, observation: Any) -> np.ndarray | None:
        """Check an observation, and read its components if it has them."""
        self.n_observations += 1
        if self._newest is not None:
            old, then = self._newest
            self.n_overwritten += _differ(self.layout.read(old)[0], then)
        numbers, problems = self.layout.read(observation)
        for code, name, text in problems:
            self._blame(code, {name: text})
        self._newest = None
        if numbers is not None:
            self._newest = observation, numbers
            self._batch.append(numbers)
            if len(self._batch) == BATCH_SIZE:
                self._add_batch()
        return numbers

    def _add_batch(self) -> None:
        """Check the values of the newest observations, and add them to the statistics."""
        if not self._batch:
            return
        batch, layout = np.array(self._batch), self.layout
        self._batch = []
        is_finite = np.isfinite(batch)
        for row in np.flatnonzero(~is_finite.all(axis=1)):
            bad = np.flatnonzero(~is_finite[row])[:MAX_EXAMPLES].tolist()
            examples = {layout.name(i): f"is {batch[row, i]}" for i in bad}
            self._blame("observation-not-finite", examples)
        batch = batch[is_finite.all(axis=1)]
        if not len(batch):
            return
        is_outside = ((batch < layout.low) | (batch > layout.high)).any(axis=1)
        self.n_outside += int(np.count_nonzero(is_outside))
        if not self.n_finite:
            self._first = batch[0]
        self.n_finite += len(batch)
        self.lowest = np.fmin(self.lowest, batch.min(axis=0))
        self.highest = np.fmax(self.highest, batch.max(axis=0))
        with np.errstate(over="ignore", invalid="ignore"):
            distances = batch - self._first
            self._sums += distances.sum(axis=0)
            self._squares += np.square(distances).sum(axis=0)

    def _blame(self, code: str, examples: dict[str, str]) -> None:
        """Count an observation that has a fault."""
        fault = self.faults.setdefault(code, Fault())
        fault.count += 1
        for name, text in examples.items():
            if len(fault.examples) < MAX_EXAMPLES:
                fault.examples.setdefault(name, text)

    def _mask(self, info: dict[str, Any], is_terminal: bool) -> Bool[np.ndarray, " n"] | None:
        """Read the action mask of a state; None if there is none, or not a valid one."""
        if self.has_masks is None:
            self.has_masks = KEY in info
        try:
            if self.has_masks:
                rows = {KEY: [info.get(KEY)]}
                masks = read_masks(rows, np.array([is_terminal]), self.n_actions)
                mask: np.ndarray = masks[0]
                return mask
            if KEY in info:
                raise ValueError(
                    f'info["{KEY}"] came after {self._last_call}, but the first reset gave none.'
                )
        except ValueError as error:
            self.mask_fault = self.mask_fault or str(error)
        return None

    def _note(self, error: Exception) -> None:
        self.errors.setdefault(f"{type(error).__name__}: {error}", self._last_call)

    def _check_seed(self, env: gymnasium.Env[Any, Any]) -> None:
        """Play the same actions twice after the same seed, and compare."""
        if self.seed_fault is not None or (env.spec is not None and env.spec.nondeterministic):
            return
        try:
            first, second = list(self._trace(env)), list(self._trace(env))
        except Exception as error:  # a user's environment may raise anything
            self._note(error)
            return
        for i, (one, other) in enumerate(zip(first, second, strict=False)):
            if one != other:
                when = f"step {i} differs" if i else "the first observations differ"
                text = f"After reset(seed={self.seed}) twice, with the same actions, {when}."
                self.seed_fault = ("not-deterministic" if i else "seed-ignored"), text
                return

    def _trace(self, env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
        """Give fingerprints of all that follows a seed."""
        rng = np.random.default_rng(self.seed)
        self._last_call = "reset"
        observation, info = env.reset(seed=self.seed)
        yield _fingerprint(observation)
        for _ in range(N_REPEATED_STEPS):
            index = _choose(rng, None, self._mask(info, is_terminal=False), self.n_actions)
            observation, reward, terminated, truncated, info = self._step(env, index)
            step = _fingerprint(observation), repr(reward), terminated, truncated
            if terminated or truncated:
                self._last_call = "reset"
                observation, info = env.reset()
            yield step, _fingerprint(observation)


def _choose(rng: Generator, action: int | None, mask: np.ndarray | None, n_actions: int) -> int:
    """Choose the constant policy's action if there is one and it is allowed, else a random one."""
    if action is not None and (mask is None or mask[action]):
        return action
    if mask is None:
        return int(rng.integers(n_actions))
    return int(rng.choice(np.flatnonzero(mask)))


def _differ(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    """Whether two observations differ. NaN equals NaN; what could not be read counts as equal."""
    return one is not None and other is not None and one.tobytes() != other.tobytes()


def _fingerprint(observation: Any) -> Any:
    """Copy an observation into something that can be compared, NaN included."""
    if isinstance(observation, dict):
        return {key: _fingerprint(part) for key, part in observation.items()}
    if isinstance(observation, tuple):
        return [_fingerprint(part) for part in observation]
    if isinstance(observation, np.ndarray):
        return observation.shape, observation.tobytes()
    return repr(observation)
