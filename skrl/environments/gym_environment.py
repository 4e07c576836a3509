"""GymEnvironment: any Gymnasium environment as an `Environment` of the learning loop."""

from typing import Any

import gymnasium

from skrl.base import ActionMasks, Actions, Environment, State, States, Transitions
from skrl.environments.backends import Backend
from skrl.environments.copying import survives_copying
from skrl.environments.opening import is_live, make_one, open_backend, replicate
from skrl.environments.recording import animate, record_video


class GymEnvironment(Environment):
    """One Gymnasium environment, or many side by side.

    The environment is opened when it is first used. Its transitions are true: `next_states` is
    the observation that followed the action, also at the end of an episode. If the first infos
    have an ``"action_mask"``, as those of Taxi do, only the actions that the masks allow are
    chosen and learned from.

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
        How many to run side by side. A live environment can be run only once. Omit `n_envs` for
        a list and for a vector environment: their length is used.
    render_mode : str or None, default=None
        Gymnasium's render mode: ``"human"`` opens a window, ``"rgb_array"`` makes `render` return
        frames. A live environment must have been made with it.
    asynchronous : bool or None, default=None
        Whether several environments run in separate processes, at most one per core. None measures
        the steps of a scratch copy of the first one, and uses processes only where they are
        faster. The transitions are the same in both cases, bit for bit. True also holds where all
        environments could be computed at once. It is not for live environments.

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
        Where each environment is now, after automatic resets. (If a vector environment resets in
        the next step, `states` holds the last observation of an ended episode until then, see
        `skrl.base.Transitions.env_ids`.)
    action_masks : ndarray of shape (n_envs_, n_actions), bool, or None
        Which actions are allowed in `states`, by action index. None if the infos of the last
        `reset` had no ``"action_mask"``.
    reward_threshold : float or None
        The mean return that counts as solved, if all environments publish the same one.
    has_time_limit : bool
        Whether every environment is known to cut its episodes off: it was registered with
        ``max_episode_steps``, or has a `gymnasium.wrappers.TimeLimit` among its wrappers.
    is_vectorized : bool
        Whether all environments are computed at once, so that more of them take hardly longer.
    is_asynchronous : bool
        Whether the environments run in separate processes.

    Raises
    ------
    TypeError
        On first use, if `env` has none of these forms.
    ValueError
        On first use, if the environment cannot be made, or its spaces are not supported.
    RuntimeError
        If an environment fails in a separate process, or the process dies. All processes are then
        ended.

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
    # Whether `state` is exact, once that has been tried.
    _is_captured: bool | None = None

    def __init__(
        self,
        env: Any,
        n_envs: int = 1,
        render_mode: str | None = None,
        asynchronous: bool | None = None,
    ) -> None:
        self.env = env
        self.n_envs = n_envs
        self.render_mode = render_mode
        self.asynchronous = asynchronous

    def _open(self) -> Backend:
        """Open the environment, unless it is open already."""
        if self._backend is None:
            self._backend = open_backend(self.env, self.n_envs, self.render_mode, self.asynchronous)
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
    def action_masks(self) -> ActionMasks | None:  # type: ignore[override]
        """Which actions are allowed in `states`; None means that all are."""
        return (self._backend or self._open()).action_masks

    @property
    def reward_threshold(self) -> float | None:  # type: ignore[override]
        """The mean return that counts as solved, if all environments publish the same one."""
        return self._open().reward_threshold()

    @property
    def has_time_limit(self) -> bool:  # type: ignore[override]
        """Whether every environment is known to cut its episodes off."""
        return self._open().has_time_limit()

    @property
    def is_vectorized(self) -> bool:  # type: ignore[override]
        """Whether all environments are computed at once."""
        return self._open().is_vectorized

    @property
    def is_asynchronous(self) -> bool:
        """Whether the environments run in separate processes."""
        return self._open().is_asynchronous

    def reset(self, seed: int | None = None) -> States:
        """Begin a new episode in every environment.

        Parameters
        ----------
        seed : int or None, default=None
            Seeds every environment and the action space. Each gets its own seed, derived by
            `numpy.random.SeedSequence`. None continues the sequences of random numbers.

        Returns
        -------
        ndarray of shape (n_envs_, *state_shape), dtype of the state space
            The first states.

        Raises
        ------
        ValueError
            If the first infos have action masks of a wrong shape, or masks that allow nothing.
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
            One row per environment (see `skrl.base.Transitions.env_ids` for the exception), with
            `actions` as given. The discounts are 0 where the episode terminated and 1 elsewhere.
            `next_action_masks` is given if `action_masks` is.

        Raises
        ------
        TypeError
            If `actions` is not an array of dtype int64.
        ValueError
            If `actions` has the wrong shape or is out of range, if `reset` has not been called,
            or if the environment gives a reward that is not finite or a bad action mask.
        """
        return (self._backend or self._open()).step(actions)

    def state(self) -> State | None:
        """Copy where the environments stand, in the middle of their episodes.

        They are captured if all their attributes, and those of their wrappers, are numbers,
        texts, arrays, NumPy generators (PCG64), or tuples, lists, dicts and deques of those.
        Before that is relied on, it is tried with two fresh copies for 60 steps.

        Returns
        -------
        dict or None
            Plain values. None if the environments cannot be captured, and for a subclass that
            does not override this method: it may remember more.

        Raises
        ------
        ValueError
            If `reset` has not been called.
        """
        kind = type(self)
        may_know_more = kind is not GymEnvironment and kind.state is GymEnvironment.state
        if self._is_captured is False or may_know_more:
            return None
        state = self._open().state()
        if state is not None and self._is_captured is None:
            self._is_captured = survives_copying(self.env, self.n_envs)
        return state if self._is_captured else None

    def set_state(self, state: State) -> None:
        """Put the environments where others stood.

        Parameters
        ----------
        state : dict
            What `state` gave.

        Raises
        ------
        ValueError
            If the environments are not of the same kind, or `reset` has not been called.
        """
        backend = self._open()
        backend.states  # noqa: B018 (raises unless the environment has been reset)
        backend.set_state(state)

    def replicate(self, n_envs: int, render_mode: str | None = None) -> "GymEnvironment":
        """Make a fresh environment like this one, `n_envs` side by side, and open it.

        An id, a spec or a factory is made again; of an `EnvironmentPair` the one to be scored in.
        The items of a list are repeated until there are enough. A live environment is copied or,
        if that fails, made from its spec.

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
            environment does not have the render mode.
        """
        env, n_envs = replicate(self.env, n_envs, render_mode)
        asynchronous = self.asynchronous
        if asynchronous is None and self._backend is not None:
            # What has been measured is not measured again.
            asynchronous = self._backend.is_asynchronous and not is_live(self.env)
        replica = GymEnvironment(env, n_envs, render_mode, asynchronous)
        backend = replica._open()
        backend.made = [backend.env]  # also a copy of a live vector environment
        return replica

    def render(self) -> Any:
        """Show the first environment in its render mode.

        Returns
        -------
        ndarray of shape (height, width, 3), dtype uint8, or None
            The frame, for the render mode "rgb_array"; other modes depend on the environment.

        Raises
        ------
        ValueError
            If the environment was made without a render mode.
        """
        return self._open().render()

    def make_single(self, render_mode: str) -> gymnasium.Env[Any, Any]:
        """Make one fresh Gymnasium environment like this one, or like the first one of many.

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
        """Close all environments that were made; a live environment passed in stays open."""
        if self._backend is not None:
            self._backend.close()
            self._backend = None

    def set_params(self, **params: Any) -> "GymEnvironment":
        """Set parameters, as in scikit-learn, and close what was opened with the old ones."""
        if params:
            self.close()
        super().set_params(**params)
        return self

    def __enter__(self) -> "GymEnvironment":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """Omit what can be opened again: it may hold a window or a process."""
        state = dict(super().__getstate__())
        if not is_live(self.env):
            state.pop("_backend", None)
        return state


def as_environment(env: Any) -> Environment:
    """Wrap anything that describes an environment; an `Environment` is returned as it is.

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
