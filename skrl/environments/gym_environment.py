"""GymEnvironment: any Gymnasium environment as an `Environment` of the learning loop."""

from typing import Any

import gymnasium

from skrl.base import Actions, Environment, States, Transitions
from skrl.environments.backends import Backend
from skrl.environments.opening import is_live, make_one, open_backend, replicate
from skrl.environments.recording import animate, record_video


class GymEnvironment(Environment):
    """One Gymnasium environment, or many side by side.

    The environment is opened when it is first used. Whatever it is, its transitions are true:
    `next_states` is the observation that followed the action, also at the end of an episode.

    Parameters
    ----------
    env : str, EnvSpec, callable, gymnasium.Env, gymnasium.vector.VectorEnv or list
        The environment, in one of these forms:

        - an id, such as ``"CartPole-v1"``, or a `gymnasium.envs.registration.EnvSpec`;
        - a function without arguments that returns a `gymnasium.Env`;
        - a live `gymnasium.Env` or `gymnasium.vector.VectorEnv`;
        - a list of those, except vector environments, which run side by side. Their spaces must
          be equal.
    n_envs : int, default=1
        How many to run side by side. A live environment can be run only once; for a list and a
        vector environment, whose numbers are known, leave it away.
    render_mode : str or None, default=None
        Gymnasium's render mode: ``"human"`` opens a window, ``"rgb_array"`` makes `render` return
        frames. A live environment must have been made with it.

    Attributes
    ----------
    state_space : gymnasium.Space
        The space of one state: Discrete counted from 0, Box, MultiDiscrete counted from 0, or
        MultiBinary. Dict and Tuple observations are flattened to a float32 Box.
    observation_space, action_space : gymnasium.Space
        The environment's own spaces of one observation and of one action. The latter is Discrete,
        MultiDiscrete or MultiBinary.
    n_actions : int
        Number of actions.
    n_envs_ : int
        Number of environments side by side.
    states : ndarray of shape (n_envs_, *state_shape)
        Where each environment is now, after automatic resets. (A vector environment that resets
        in the next step is an exception: after an episode's end that environment stays at the
        last observation until the next step, see `skrl.base.Transitions.env_ids`.)
    reward_threshold : float or None
        The mean return that counts as solved, if all environments publish the same one.
    max_episode_steps : int or None
        The time limit of an episode, if all environments publish the same one.

    Raises
    ------
    TypeError
        On first use, if `env` is none of the above.
    ValueError
        On first use, if the environment cannot be made, or its spaces are not supported.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import GymEnvironment
    >>> environment = GymEnvironment("CartPole-v1", n_envs=2)
    >>> environment.n_actions
    2
    >>> environment.reset(seed=0).shape
    (2, 4)
    >>> transitions = environment.step(np.array([0, 1]))
    >>> transitions.rewards
    array([1., 1.], dtype=float32)
    >>> transitions.terminated
    array([False, False])
    >>> environment.close()
    """

    # Set on first use, see `_open`.
    _backend: Backend | None = None

    def __init__(self, env: Any, n_envs: int = 1, render_mode: str | None = None) -> None:
        self.env = env
        self.n_envs = n_envs
        self.render_mode = render_mode

    def _open(self) -> Backend:
        """Open the environment, unless it is open already."""
        if self._backend is None:
            self._backend = open_backend(self.env, self.n_envs, self.render_mode)
        return self._backend

    @property
    def state_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """The space of one state."""
        return self._open().state_space

    @property
    def observation_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """The environment's own space of one observation."""
        return self._open().observation_space

    @property
    def action_space(self) -> gymnasium.Space[Any]:  # type: ignore[override]
        """The environment's own space of one action."""
        return self._open().action_space

    @property
    def n_actions(self) -> int:  # type: ignore[override]
        """Number of actions."""
        return self._open().n_actions

    @property
    def n_envs_(self) -> int:  # type: ignore[override]
        """Number of environments side by side."""
        return self._open().n_envs

    @property
    def states(self) -> States:  # type: ignore[override]
        """Where each environment is now, after automatic resets."""
        return (self._backend or self._open()).states

    @property
    def reward_threshold(self) -> float | None:  # type: ignore[override]
        """The mean return that counts as solved, if all environments publish the same one."""
        threshold: float | None = self._open().published("reward_threshold")
        return threshold

    @property
    def max_episode_steps(self) -> int | None:  # type: ignore[override]
        """The time limit of an episode, if all environments publish the same one."""
        limit: int | None = self._open().published("max_episode_steps")
        return limit

    @property
    def is_vectorized(self) -> bool:  # type: ignore[override]
        """Whether all environments are computed at once."""
        return self._open().is_vectorized

    def reset(self, seed: int | None = None) -> States:
        """Begin a new episode in every environment.

        Parameters
        ----------
        seed : int or None, default=None
            Seeds every environment and its action space, each with a number of its own derived
            by `numpy.random.SeedSequence`. None goes on with the random numbers where they are.

        Returns
        -------
        ndarray of shape (n_envs_, *state_shape), dtype of the state space
            The first states.
        """
        return self._open().reset(seed)

    def step(self, actions: Actions) -> Transitions:
        """Take one action in every environment; where that ends the episode, begin the next one.

        Parameters
        ----------
        actions : ndarray of shape (n_envs_,), dtype int64
            One action index per environment.

        Returns
        -------
        Transitions
            One row per environment (see `skrl.base.Transitions.env_ids` for the exception), in
            fresh arrays, except for `actions`, which is the array given. The discounts are 0
            where the episode terminated and 1 elsewhere.

        Raises
        ------
        TypeError
            If `actions` is no array of dtype int64.
        ValueError
            If `actions` has the wrong shape or is out of range, if `reset` has not been called,
            or if the environment gives a reward that is not finite.
        """
        return (self._backend or self._open()).step(actions)

    def replicate(self, n_envs: int, render_mode: str | None = None) -> "GymEnvironment":
        """Give a fresh environment like this one, `n_envs` side by side, already open.

        An id, a spec or a factory makes them anew; the items of a list are repeated until there
        are enough; a live environment is copied or, where that fails, made from its spec.

        Parameters
        ----------
        n_envs : int
            How many to run side by side.
        render_mode : str or None, default=None
            Gymnasium's render mode for the new environments.

        Returns
        -------
        GymEnvironment
            Close it after use.

        Raises
        ------
        ValueError
            If a live environment can be neither copied nor made from a spec, or if the
            environment does not know the render mode.
        """
        env, n_envs = replicate(self.env, n_envs, render_mode)
        replica = GymEnvironment(env, n_envs=n_envs, render_mode=render_mode)
        replica._open()
        return replica

    def render(self) -> Any:
        """Show the first environment as its render mode says.

        Returns
        -------
        ndarray of shape (height, width, 3), dtype uint8, or None
            The frame, for the render mode "rgb_array"; other modes are up to the environment.

        Raises
        ------
        ValueError
            If the environment was made without a render mode.
        """
        return self._open().render()

    def make_single(self, render_mode: str) -> gymnasium.Env[Any, Any]:
        """Make one fresh Gymnasium environment like (the first of) these.

        Parameters
        ----------
        render_mode : str
            Gymnasium's render mode.

        Returns
        -------
        gymnasium.Env
            Close it after use.

        Raises
        ------
        ValueError
            As `replicate`.
        """
        env, _ = replicate(self.env, 1, render_mode)
        return make_one(env[0] if isinstance(env, list) else env, render_mode)

    # Documented where they are defined.
    record_video = record_video
    animate = animate

    def close(self) -> None:
        """Close what was opened; a live environment that was passed in stays open."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def set_params(self, **params: Any) -> "GymEnvironment":
        """Set parameters, as in scikit-learn, and close what had been opened with the old ones."""
        if params:
            self.close()
        super().set_params(**params)
        return self

    def __enter__(self) -> "GymEnvironment":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be opened again: it may hold a window or a process."""
        state = dict(super().__getstate__())
        if not is_live(self.env):
            state.pop("_backend", None)
        return state


def as_environment(env: Any) -> Environment:
    """Wrap anything that stands for an environment; an `Environment` stays as it is.

    Parameters
    ----------
    env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
        What `QLearningAgent.fit` takes; see `GymEnvironment`.

    Returns
    -------
    Environment

    Examples
    --------
    >>> from skrl.environments import as_environment
    >>> environment = as_environment("CartPole-v1")
    >>> environment
    GymEnvironment(env='CartPole-v1')
    >>> as_environment(environment) is environment
    True
    """
    return env if isinstance(env, Environment) else GymEnvironment(env)
