"""Many environments side by side."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from jaxtyping import Bool, Float

from skrl.base import ActionMasks, Actions, State, States, Transitions
from skrl.environments.action_masks import KEY, read_masks
from skrl.environments.backends import (
    INT64,
    Backend,
    derive_seeds,
    raise_bad_reward,
    to_flags,
)
from skrl.environments.processes import ProcessVectorEnv
from skrl.environments.spaces import StateTranslator


class VectorBackend(Backend):
    """A vector environment, in any of Gymnasium's three ways to begin the next episode.

    ``metadata["autoreset_mode"]`` says which one:

    - **next step**: a step that ends an episode gives the last observation. The step after it
      ignores the action of that environment and gives the first observation of the new episode
      with reward 0. That is not a transition: its row is dropped. In the meantime `states` holds
      the last observation.
    - **same step**: a step that ends an episode gives the first observation of the new episode
      at once, and the last one in ``infos["final_obs"]``.
    - **disabled**: a step that ends an episode gives the last observation, and the backend resets
      the environment.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        The vector environment.
    made : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        What `close` closes.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], made: Sequence[Any] = ()) -> None:
        spaces = env.single_observation_space, env.single_action_space
        super().__init__(env, env.num_envs, *spaces, made)
        self.mode = autoreset_mode(env)
        self.is_asynchronous = isinstance(env.unwrapped, AsyncVectorEnv | ProcessVectorEnv)
        is_sequential = isinstance(env.unwrapped, SyncVectorEnv)
        self.is_vectorized = not (is_sequential or self.is_asynchronous)
        self.single_observation = StateTranslator(env.single_observation_space, 1)
        self.nowhere = np.zeros(self.n_envs, dtype=bool)
        # Whose next step is spent on resetting. Stays all False unless mode is NEXT_STEP.
        self.waiting = self.nowhere

    def reset(self, seed: int | None) -> States:
        """Begin a new episode in every environment."""
        if seed is None:
            observations, infos = self._call(self.env.reset)
        else:
            *env_seeds, action_seed = derive_seeds(seed, self.n_envs + 1)
            # Others are not known to take a seed per environment.
            env_seed: Any = env_seeds[0] if self.is_vectorized else env_seeds
            observations, infos = self._call(self.env.reset, seed=env_seed)
            self.env.action_space.seed(action_seed)
            self.action_space.seed(action_seed)
        self.waiting = self.nowhere
        self._states = self.observations.translate(observations)
        self.action_masks = self._read_masks(infos, self.nowhere) if KEY in infos else None
        return self._states

    def step(self, actions: Actions) -> Transitions:
        """Take one action in every environment; where that ends an episode, begin the next."""
        self.check_form(actions)
        self.check_range(actions)
        states = self.states
        observations, rewards, terminated, truncated, infos = self._call(
            self.env.step, self.actions.translate(actions)
        )
        rewards = to_floats(rewards, self.n_envs)
        terminated, truncated = (to_flags(flags, self.n_envs) for flags in (terminated, truncated))
        discounts = (~terminated).astype(rewards.dtype)
        next_states = self._states = self.observations.translate(observations)
        transitions = Transitions(
            states, actions, rewards, next_states, discounts, terminated, truncated
        )
        ended = terminated | truncated
        if self.action_masks is not None:
            # In SAME_STEP mode, these are the masks of the new episode.
            is_terminal = self.nowhere if self.mode is AutoresetMode.SAME_STEP else terminated
            self.action_masks = self._read_masks(infos, is_terminal)
            transitions.next_action_masks = self.action_masks
        if self.mode is AutoresetMode.NEXT_STEP:
            return self._without_resets(transitions, ended)
        if np.count_nonzero(ended):
            # Here the states before and after the automatic resets part.
            self._states = next_states.copy()
            if self.action_masks is not None:
                self.action_masks = self.action_masks.copy()
            if self.mode is AutoresetMode.SAME_STEP:
                self._put_last_observations(transitions, ended, infos)
            else:
                self._reset_ended(ended)
        return transitions

    def _without_resets(
        self, transitions: Transitions, ended: Bool[np.ndarray, " n"]
    ) -> Transitions:
        """NEXT_STEP: drop the rows that were spent on resetting, and note who is reset next."""
        if np.count_nonzero(self.waiting):
            rows = (~self.waiting).nonzero()[0]
            transitions = transitions.take(rows)
            transitions.env_ids = rows
        self.waiting = ended
        if np.count_nonzero(ended) == self.n_envs:
            # The next step would only reset. Do it now: its actions are ignored.
            ignored = np.zeros(self.n_envs, dtype=INT64)
            observations, *_, infos = self._call(self.env.step, self.actions.translate(ignored))
            self._states = self.observations.translate(observations)
            if self.action_masks is not None:
                self.action_masks = self._read_masks(infos, self.nowhere)
            self.waiting = self.nowhere
        return transitions

    def _put_last_observations(
        self, transitions: Transitions, ended: Bool[np.ndarray, " n"], infos: dict[str, Any]
    ) -> None:
        """SAME_STEP: the successor is the last observation, not the new episode's first one."""
        if "final_obs" not in infos:
            raise ValueError(
                f"The vector environment {self.env} says that it resets in the same step, but "
                'gives no infos["final_obs"]: the last observations of the episodes are lost.'
            )
        for i in np.flatnonzero(ended):
            observation = infos["final_obs"][i]
            transitions.next_states[i] = self.single_observation.translate(observation)[0]
        if transitions.next_action_masks is not None:
            final_infos = infos.get("final_info", {})
            masks = self._read_masks(final_infos, transitions.terminated | ~ended)
            transitions.next_action_masks[ended] = masks[ended]

    def _reset_ended(self, ended: Bool[np.ndarray, " n"]) -> None:
        """DISABLED: begin the next episodes."""
        observations, infos = self._call(self.env.reset, options={"reset_mask": ended.copy()})
        self.states[ended] = self.observations.translate(observations)[ended]
        if self.action_masks is not None:
            self.action_masks[ended] = self._read_masks(infos, ~ended)[ended]

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Reset or step the environments; say how to find out why that failed."""
        try:
            return method(*args, **kwargs)
        except Exception as error:
            error.add_note(
                "The error was raised by environments side by side. skrl.diagnose(env) checks a "
                "single one of them."
            )
            raise

    def _read_masks(
        self, infos: dict[str, Any], may_be_missing: Bool[np.ndarray, " n"]
    ) -> ActionMasks:
        return read_masks(infos, may_be_missing, self.n_actions)

    def render(self) -> Any:
        """Draw all environments, and give the frame of the first one."""
        frames = super().render()
        return frames[0] if isinstance(frames, tuple | list) else frames

    def state(self) -> State | None:
        """Copy where the environments stand; None if they cannot be captured."""
        state = super().state()
        return state and {**state, "waiting": self.waiting.copy()}

    def set_state(self, state: State) -> None:
        """Continue from a `state`. The environments must have been reset."""
        super().set_state(state)
        self.waiting = state["waiting"].copy()

    def capture(self) -> Any:
        """Copy where each environment stands; None if one cannot be captured."""
        return self.env.capture() if self._is_in_processes else super().capture()

    def restore(self, captured: Any) -> None:
        """Put each environment where `capture` found it."""
        if self._is_in_processes:
            self.env.restore(captured)
        else:
            super().restore(captured)

    def captured_parts(self) -> list[Any]:
        """List what is captured, in the same way in processes and in this one."""
        has_own_state = self.mode is not AutoresetMode.DISABLED
        if type(self.env) is not SyncVectorEnv or has_own_state:
            return [self.env]
        return list(self.env.envs)

    @property
    def _is_in_processes(self) -> bool:
        return isinstance(self.env, ProcessVectorEnv)

    def reward_threshold(self) -> float | None:
        """Give the registered mean return that counts as solved, if all environments agree."""
        if not self._is_in_processes:
            return super().reward_threshold()
        thresholds = {facts.reward_threshold for facts in self.env.facts}
        return thresholds.pop() if len(thresholds) == 1 else None

    def has_time_limit(self) -> bool:
        """Whether every episode is known to be cut off."""
        if not self._is_in_processes:
            return super().has_time_limit()
        return all(facts.has_time_limit for facts in self.env.facts)

    def parts(self) -> list[Any]:
        """List the single environments of a SyncVectorEnv; all others know only their spec."""
        plain = self.env.unwrapped
        return list(plain.envs) if isinstance(plain, SyncVectorEnv) else [plain]


def autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Find out when a vector environment resets an environment whose episode ended."""
    if "autoreset_mode" not in env.metadata:
        # Gymnasium's own wrappers make the same assumption, with the same warning.
        warnings.warn(
            f'The vector environment {env} has no metadata["autoreset_mode"]; assuming that it '
            "resets in the next step (AutoresetMode.NEXT_STEP).",
            stacklevel=2,
        )
        return AutoresetMode.NEXT_STEP
    return AutoresetMode(env.metadata["autoreset_mode"])


def to_floats(rewards: Any, n: int) -> Float[np.ndarray, " n"]:
    """Copy rewards to a float array, and raise a ValueError unless they are finite numbers."""
    rewards = np.asarray(rewards)
    if rewards.shape != (n,):
        raise ValueError(
            f"Expected rewards of shape ({n},), one number per environment, got the shape "
            f"{rewards.shape}. Correct the environment's step method."
        )
    if rewards.dtype.kind not in "biuf":
        raise_bad_reward(rewards)
    floats: np.ndarray = rewards.astype(rewards.dtype if rewards.dtype.kind == "f" else float)
    if not math.isfinite(floats.sum()):
        raise_bad_reward(rewards)
    return floats
