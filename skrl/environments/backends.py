"""A backend is what `GymEnvironment` holds once it is open: `SingleBackend` or `VectorBackend`.

After `reset` it can be stepped indefinitely, and its transitions are true. The end of an episode
needs care, because there are two observations: the last one of the old episode is the successor
s' of the last transition, and the first one of the new episode is where the next action is
chosen.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium.wrappers import TimeLimit
from jaxtyping import Bool

from skrl.arrays import describe
from skrl.base import ActionMasks, Actions, State, States, Transitions
from skrl.environments.action_masks import KEY, read_masks
from skrl.environments.actions import ActionTranslator
from skrl.environments.capture import capture, restore
from skrl.environments.spaces import StateTranslator

INT64 = np.dtype(np.int64)
# Copying a small array is several times faster than making one from a Python number.
ZERO, ONE = np.array([0.0]), np.array([1.0])
FALSE, TRUE = np.array([False]), np.array([True])
FALSE.flags.writeable = TRUE.flags.writeable = False


class Backend(ABC):
    """Open environments side by side, whose transitions are true.

    Parameters
    ----------
    env : gymnasium.Env or gymnasium.vector.VectorEnv
        What is run.
    n_envs : int
        Number of environments.
    observation_space, action_space : gymnasium.Space
        The spaces of one environment.
    made : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        What `close` closes.

    Attributes
    ----------
    state_space, observation_space, action_space : gymnasium.Space
        The space of one state, and the environment's own spaces of one observation and action.
    n_actions : int
        Number of actions.
    is_vectorized : bool
        Whether all environments are computed at once.
    is_asynchronous : bool
        Whether the environments run in separate processes.
    action_masks : ndarray of shape (n_envs, n_actions), bool, or None
        Which actions are allowed in `states`. None if the first infos had no masks.
    """

    is_vectorized = is_asynchronous = False

    def __init__(
        self,
        env: Any,
        n_envs: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        made: Sequence[Any],
    ) -> None:
        self.env = env
        self.n_envs = n_envs
        self.actions_shape = (n_envs,)
        self.made = made
        self.observations = StateTranslator(observation_space, n_envs)
        self.actions = ActionTranslator(action_space)
        self.state_space = self.observations.state_space
        self.observation_space = observation_space
        self.action_space = action_space
        self.n_actions = self.actions.n_actions
        self.action_masks: ActionMasks | None = None
        self._states: np.ndarray | None = None

    @property
    def states(self) -> States:
        """Where each environment is now."""
        if self._states is None:
            raise ValueError("The environment has not been started yet: call reset() first.")
        return self._states

    @abstractmethod
    def reset(self, seed: int | None) -> States:
        """Begin a new episode in every environment (see `skrl.base.Environment.reset`)."""

    @abstractmethod
    def step(self, actions: Actions) -> Transitions:
        """Take one action in every environment (see `skrl.base.Environment.step`)."""

    @abstractmethod
    def parts(self) -> list[Any]:
        """List the single environments, or the vector environment if they are out of reach."""

    def state(self) -> State | None:
        """Copy where the environments stand; None if they cannot be captured."""
        captured = self.capture()
        if captured is None:
            return None
        masks = None if self.action_masks is None else self.action_masks.copy()
        return {"env": captured, "states": self.states.copy(), "action_masks": masks}

    def set_state(self, state: State) -> None:
        """Continue from a `state`. The environments must have been reset."""
        self.restore(state["env"])
        masks = state["action_masks"]
        self._states = state["states"].copy()
        self.action_masks = None if masks is None else masks.copy()

    def capture(self) -> Any:
        """Copy where each environment stands; None if one cannot be captured."""
        return capture(self.captured_parts())

    def restore(self, captured: Any) -> None:
        """Put each environment where `capture` found it."""
        restore(self.captured_parts(), captured)

    def captured_parts(self) -> list[Any]:
        """List what is captured: the single environments, unless the whole has its own state."""
        return [self.env]

    def reward_threshold(self) -> float | None:
        """Give the registered mean return that counts as solved, if all environments agree."""
        thresholds = {getattr(env.spec, "reward_threshold", None) for env in self.parts()}
        return thresholds.pop() if len(thresholds) == 1 else None

    def has_time_limit(self) -> bool:
        """Whether every episode is known to be cut off."""
        return all(has_time_limit(env) for env in self.parts())

    def render(self) -> Any:
        """Draw the environments, and give the frame of the first one."""
        self.states  # noqa: B018 (raises unless the environment has been reset)
        if self.env.render_mode is None:
            raise ValueError(
                "The environment was made without a render mode: make it with one, for instance "
                'GymEnvironment("CartPole-v1", render_mode="rgb_array").'
            )
        return self.env.render()

    def close(self) -> None:
        """Close what was made for this backend."""
        for env in self.made:
            env.close()

    def check_form(self, actions: Any) -> None:
        """Raise an error unless `actions` is an int64 array of shape (n_envs,)."""
        is_int64 = isinstance(actions, np.ndarray) and actions.dtype == INT64
        if not is_int64 or actions.shape != self.actions_shape:
            kind = ValueError if is_int64 else TypeError
            raise kind(
                f"actions must be an int64 array of shape {self.actions_shape}, one action index "
                f"per environment, got {describe(actions)}."
            )

    def check_range(self, actions: Actions) -> None:
        """Raise a ValueError unless all `actions` are between 0 and n_actions - 1."""
        # Seen as unsigned, a negative number is a very large one: one comparison does for both.
        if np.count_nonzero(actions.view(np.uint64) >= self.n_actions):
            raise ValueError(
                f"actions must be indices from 0 to {self.n_actions - 1}, got {actions}. (The "
                "index counts from 0, even if the environment's own numbering does not.)"
            )


class SingleBackend(Backend):
    """One environment. Its numbers stay plain Python numbers, which is faster than NumPy.

    Parameters
    ----------
    env : gymnasium.Env
        The environment.
    made : sequence of gymnasium.Env
        What `close` closes.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], made: Sequence[Any] = ()) -> None:
        super().__init__(env, 1, env.observation_space, env.action_space, made)

    def reset(self, seed: int | None) -> States:
        """Begin a new episode."""
        if seed is None:
            observation, info = unpack_reset(self.env.reset())
        else:
            env_seed, action_seed = derive_seeds(seed, 2)
            observation, info = unpack_reset(self.env.reset(seed=env_seed))
            self.action_space.seed(action_seed)
        self._states = self.observations.translate(observation)
        self.action_masks = self._read_mask(info, FALSE) if KEY in info else None
        return self._states

    def step(self, actions: Actions) -> Transitions:
        """Take one action; when that ends the episode, begin the next one."""
        if type(actions) is not np.ndarray or actions.dtype != INT64 or actions.shape != (1,):
            self.check_form(actions)
        index = actions.item()
        if not 0 <= index < self.n_actions:
            self.check_range(actions)
        states = self.states if self._states is None else self._states
        action = self.actions.translate_one(index)
        observation, reward, terminated, truncated, info = unpack_step(self.env.step(action))
        if type(terminated) is not bool or type(truncated) is not bool:
            terminated, truncated = to_flags([terminated, truncated], 2)
        try:
            is_finite = math.isfinite(reward)
        except (TypeError, OverflowError):
            is_finite = False
        if not is_finite:
            raise_bad_reward(reward)
        rewards = np.empty(1)
        rewards[0] = reward
        next_states = self._states = self.observations.translate(observation)
        transitions = Transitions(
            states,
            actions,
            rewards,
            next_states,
            (ZERO if terminated else ONE).copy(),
            TRUE if terminated else FALSE,
            TRUE if truncated else FALSE,
        )
        has_masks = self.action_masks is not None
        if has_masks:
            self.action_masks = self._read_mask(info, transitions.terminated)
            transitions.next_action_masks = self.action_masks
        if terminated or truncated:
            observation, info = unpack_reset(self.env.reset())
            self._states = self.observations.translate(observation)
            if has_masks:
                self.action_masks = self._read_mask(info, FALSE)
        return transitions

    def _read_mask(
        self, info: dict[str, Any], may_be_missing: Bool[np.ndarray, " n"]
    ) -> ActionMasks:
        mask = info.get(KEY)
        if (
            isinstance(mask, np.ndarray)
            and mask.shape == (self.n_actions,)
            and np.count_nonzero(mask)
        ):
            return np.array(mask, dtype=bool, ndmin=2)  # faster than `read_masks`
        return read_masks({KEY: [mask]}, may_be_missing, self.n_actions)

    def parts(self) -> list[Any]:
        """List the environment."""
        return [self.env]


def has_time_limit(env: Any) -> bool:
    """Whether the episodes of an environment, or of a vector of them, are surely cut off."""
    if env.spec is not None:
        # The spec of a vector environment has its own limit among the arguments.
        limit = env.spec.kwargs.get("max_episode_steps", env.spec.max_episode_steps)
        if limit is not None and limit > 0:
            return True
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return False


def derive_seeds(seed: int, n: int) -> list[int]:
    """Derive n independent seeds, independent also of those of ``seed + 1``."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n)]


def unpack_reset(result: Any) -> tuple[Any, dict[str, Any]]:
    """Check what an environment's reset method returned."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict):
        return result
    raise ValueError(
        "The environment's reset method must return (observation, info), where info is a dict, "
        f"got {result!r:.200}."
    )


def unpack_step(result: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """Check what an environment's step method returned."""
    if isinstance(result, tuple) and len(result) == 5:
        return result
    raise ValueError(
        "The environment's step method must return (observation, reward, terminated, truncated, "
        f"info), got {result!r:.200}."
    )


def to_flags(values: Any, n: int) -> Bool[np.ndarray, " n"]:
    """Copy `terminated` or `truncated` of n environments, and refuse what is not a bool."""
    with suppress(ValueError):  # for arrays of different shapes
        flags = np.array(values)
        is_right = flags.dtype == bool or (
            flags.dtype.kind in "iu" and np.isin(flags, (0, 1)).all()
        )
        if is_right and flags.shape == (n,):
            return flags.astype(bool, copy=False)
    raise ValueError(
        "The environment's step method must return bools for terminated and truncated, got "
        f"{values!r:.200}."
    )


def raise_bad_reward(reward: Any) -> None:
    """Raise the error for a reward that is not finite."""
    raise ValueError(
        f"The environment gave the reward {reward!r:.80}; rewards must be finite numbers. See how "
        "its step method computes the reward (a division by zero, a logarithm of zero?)."
    )
