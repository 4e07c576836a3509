"""The two ways to run Gymnasium environments: a single one, and many side by side.

A backend is what `GymEnvironment` holds once it is open. Both kinds promise the same: after a
`reset` they can be stepped for ever, and the transitions they give are true. That takes care in
one place only, the end of an episode. Everyone who watches an episode end sees *two*
observations: the last one of the old episode, which is the successor s' of the last transition,
and the first one of the new episode, in which the next action is chosen. The three ways in which
vector environments present the two are explained in `VectorBackend`.
"""

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from jaxtyping import Bool, Float, Shaped

from skrl.base import Actions, States, Transitions
from skrl.environments.spaces import ActionTranslator, StateTranslator

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
        How many environments that are.
    observation_space, action_space : gymnasium.Space
        The spaces of one environment.
    made : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        What is to be closed with the backend, because nobody else knows of it.

    Attributes
    ----------
    state_space, observation_space, action_space : gymnasium.Space
        The space of one state, and the environment's own spaces of one observation and action.
    n_actions : int
        Number of actions.
    is_vectorized : bool
        Whether all environments are computed at once.
    """

    is_vectorized = False

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
    def render(self) -> Any:
        """Draw the first environment."""

    @abstractmethod
    def specs(self) -> list[EnvSpec | None]:
        """List what is registered about the environments."""

    def published(self, name: str) -> Any:
        """Give a registered number, such as "reward_threshold", if all environments agree on it."""
        values = {getattr(spec, name, None) for spec in self.specs()}
        return values.pop() if len(values) == 1 else None

    def close(self) -> None:
        """Close what was made for this backend; what the user passed in stays open."""
        for env in self.made:
            env.close()

    def check_form(self, actions: Any) -> None:
        """Raise an error unless `actions` is an array of the right form."""
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
                "index counts from 0 also where the environment's own numbering does not.)"
            )


class SingleBackend(Backend):
    """One environment. All about it is plain numbers, which saves most of NumPy's overhead.

    Parameters
    ----------
    env : gymnasium.Env
        The environment.
    made : sequence of gymnasium.Env
        What is to be closed with the backend.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], made: Sequence[Any] = ()) -> None:
        super().__init__(env, 1, env.observation_space, env.action_space, made)

    def reset(self, seed: int | None) -> States:
        """Begin a new episode."""
        if seed is None:
            observation, _ = self.env.reset()
        else:
            env_seed, action_seed = derive_seeds(seed, 2)
            observation, _ = self.env.reset(seed=env_seed)
            self.action_space.seed(action_seed)
        self._states = self.observations.translate(observation)
        return self._states

    def step(self, actions: Actions) -> Transitions:
        """Take one action; when that ends the episode, begin the next one."""
        self.check_form(actions)
        index = actions.item()
        if not 0 <= index < self.n_actions:
            self.check_range(actions)
        states, action = self.states, self.actions.translate_one(index)
        observation, reward, terminated, truncated, _ = self.env.step(action)
        if not math.isfinite(reward):
            raise_bad_reward(reward)
        rewards = np.empty(1)
        rewards[0] = reward
        next_states = self.observations.translate(observation)
        if terminated or truncated:
            self._states = self.observations.translate(self.env.reset()[0])
        else:
            self._states = next_states
        return Transitions(
            states,
            actions,
            rewards,
            next_states,
            (ZERO if terminated else ONE).copy(),
            TRUE if terminated else FALSE,
            TRUE if truncated else FALSE,
        )

    def render(self) -> Any:
        """Draw the environment."""
        check_can_render(self)
        return self.env.render()

    def specs(self) -> list[EnvSpec | None]:
        """Give what is registered about the environment."""
        return [self.env.spec]


class VectorBackend(Backend):
    """A vector environment, whichever way it has of resetting what has ended.

    Gymnasium knows three ways, ``metadata["autoreset_mode"]`` says which:

    - **next step**: a step that ends an episode gives the last observation. The step after it
      ignores the action of that environment and gives the first observation of the new episode
      with reward 0. That is no transition: its row is dropped. In the meantime `states` holds
      the last observation.
    - **same step**: a step that ends an episode gives the first observation of the new episode
      at once, and the last one in ``infos["final_obs"]``.
    - **disabled**: a step that ends an episode gives the last observation, and whoever runs the
      environment resets it.

    Parameters
    ----------
    env : gymnasium.vector.VectorEnv
        The vector environment.
    made : sequence of gymnasium.Env or gymnasium.vector.VectorEnv
        What is to be closed with the backend.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any], made: Sequence[Any] = ()) -> None:
        spaces = env.single_observation_space, env.single_action_space
        super().__init__(env, env.num_envs, *spaces, made)
        self.mode = autoreset_mode(env)
        self.is_vectorized = not isinstance(env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        self.single_observation = StateTranslator(env.single_observation_space, 1)
        # Whose next step is spent on resetting. Stays all False unless mode is NEXT_STEP.
        self.waiting = np.zeros(self.n_envs, dtype=bool)

    def reset(self, seed: int | None) -> States:
        """Begin a new episode in every environment."""
        if seed is None:
            observations, _ = self.env.reset()
        else:
            *env_seeds, action_seed = derive_seeds(seed, self.n_envs + 1)
            # Only these two are known to take a seed per environment.
            takes_list = isinstance(self.env.unwrapped, SyncVectorEnv | AsyncVectorEnv)
            observations, _ = self.env.reset(seed=env_seeds if takes_list else env_seeds[0])
            self.env.action_space.seed(action_seed)
            self.action_space.seed(action_seed)
        self.waiting = np.zeros(self.n_envs, dtype=bool)
        self._states = self.observations.translate(observations)
        return self._states

    def step(self, actions: Actions) -> Transitions:
        """Take one action in every environment; where that ends an episode, begin the next."""
        self.check_form(actions)
        self.check_range(actions)
        states = self.states
        observations, rewards, terminated, truncated, infos = self.env.step(
            self.actions.translate(actions)
        )
        rewards = to_floats(rewards, self.n_envs)
        terminated, truncated = np.array(terminated, dtype=bool), np.array(truncated, dtype=bool)
        discounts = (~terminated).astype(rewards.dtype)
        next_states = self.observations.translate(observations)
        self._states = next_states
        ended = terminated | truncated
        if self.mode is not AutoresetMode.NEXT_STEP and np.count_nonzero(ended):
            self._states = next_states.copy()  # the two part here
            if self.mode is AutoresetMode.SAME_STEP:
                self._put_last_observations(next_states, ended, infos)
            else:
                self._reset_ended(ended)
        arrays = states, actions, rewards, next_states, discounts, terminated, truncated
        if self.mode is AutoresetMode.NEXT_STEP:
            return self._without_resets(arrays, ended)
        return Transitions(*arrays)

    def _without_resets(
        self, arrays: tuple[np.ndarray, ...], ended: Bool[np.ndarray, " n"]
    ) -> Transitions:
        """NEXT_STEP: drop the rows that were spent on resetting, and note who is to reset next."""
        rows = None
        if np.count_nonzero(self.waiting):
            rows = (~self.waiting).nonzero()[0]
            arrays = tuple([array.take(rows, axis=0) for array in arrays])
        self.waiting = ended
        if np.count_nonzero(ended) == self.n_envs:
            # Nothing but resets would happen in the next step, so it can as well be done now,
            # before anyone chooses actions for it. They are ignored: any will do.
            ignored = np.zeros(self.n_envs, dtype=INT64)
            observations, *_ = self.env.step(self.actions.translate(ignored))
            self._states = self.observations.translate(observations)
            self.waiting = np.zeros(self.n_envs, dtype=bool)
        transitions = Transitions(*arrays)
        transitions.env_ids = rows
        return transitions

    def _put_last_observations(
        self,
        next_states: Shaped[np.ndarray, "n *state_shape"],
        ended: Bool[np.ndarray, " n"],
        infos: dict[str, Any],
    ) -> None:
        """SAME_STEP: the successor is not the first state of the next episode, but this."""
        if "final_obs" not in infos:
            raise ValueError(
                f"The vector environment {self.env} says that it resets in the same step, but "
                'gives no infos["final_obs"]: the last observations of the episodes are lost.'
            )
        for i in np.flatnonzero(ended):
            next_states[i] = self.single_observation.translate(infos["final_obs"][i])[0]

    def _reset_ended(self, ended: Bool[np.ndarray, " n"]) -> None:
        """DISABLED: begin the next episodes ourselves."""
        observations, _ = self.env.reset(options={"reset_mask": ended.copy()})
        self.states[ended] = self.observations.translate(observations)[ended]

    def render(self) -> Any:
        """Draw all environments, for that is how it works, and give the first one's frame."""
        check_can_render(self)
        frames = self.env.render()
        return frames[0] if isinstance(frames, tuple | list) else frames

    def specs(self) -> list[EnvSpec | None]:
        """List what is registered about the environments, or about all of them together."""
        plain = self.env.unwrapped
        return [env.spec for env in (plain.envs if isinstance(plain, SyncVectorEnv) else [plain])]


def derive_seeds(seed: int, n: int) -> list[int]:
    """Derive n seeds that have nothing to do with each other, nor with those of ``seed + 1``."""
    return [int(word) for word in np.random.SeedSequence(seed).generate_state(n)]


def autoreset_mode(env: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """Find out how a vector environment resets what has ended."""
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
    """Copy rewards to a float array, and raise a ValueError if they are no finite numbers."""
    rewards = np.asarray(rewards)
    if rewards.shape != (n,):
        raise ValueError(
            f"The environment gave rewards of shape {rewards.shape}, expected one number per "
            f"environment, which is shape ({n},)."
        )
    floats: np.ndarray = rewards.astype(rewards.dtype if rewards.dtype.kind == "f" else float)
    if not math.isfinite(floats.sum()):
        raise_bad_reward(rewards)
    return floats


def raise_bad_reward(reward: Any) -> None:
    """Refuse a reward from which nothing can be learned."""
    raise ValueError(
        f"The environment gave the reward {reward}; rewards must be finite numbers. Look into how "
        "its step method computes the reward (a division by zero, a logarithm of zero?)."
    )


def check_can_render(backend: Backend) -> None:
    """Raise a ValueError if there is nothing to draw, or no way to draw it."""
    backend.states  # noqa: B018 (raises unless the environment has been reset)
    if backend.env.render_mode is None:
        raise ValueError(
            "The environment was made without a render mode: make it with one, for instance "
            'GymEnvironment("CartPole-v1", render_mode="rgb_array").'
        )


def describe(value: Any) -> str:
    """Say in a few words what `value` is."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"{value!r} of type {type(value).__name__}"
