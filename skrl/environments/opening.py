"""Open what a user passes as an environment, and find out how to make more of the same.

A *recipe* (an id, a spec or a factory) makes any number of fresh environments, which the backend
closes. A *live* environment exists already; the user closes it.
"""

import contextlib
import copy
import dataclasses
import itertools
import numbers
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from skrl.arrays import describe
from skrl.environments.backends import Backend, SingleBackend
from skrl.environments.items import to_score
from skrl.environments.processes import ProcessVectorEnv
from skrl.environments.spaces import check_equal_spaces
from skrl.environments.step_cost import pays_in_processes
from skrl.environments.vector_backend import VectorBackend

# Arguments in the spec of a vector environment that the spec of one environment does not have.
VECTOR_KEYS = ("num_envs", "vectorization_mode", "vector_kwargs")


def is_live(env: Any) -> bool:
    """Whether `env`, or an item of the list `env`, exists already and belongs to the user."""
    if isinstance(env, list | tuple):
        return any(is_live(item) for item in env)
    return isinstance(env, gymnasium.Env | VectorEnv)


def open_backend(
    env: Any, n_envs: Any, render_mode: str | None, asynchronous: bool | None = False
) -> Backend:
    """Open `env`; the parameters are those of `GymEnvironment`.

    Raises
    ------
    TypeError
        If `env`, or what a factory returns, cannot be opened.
    ValueError
        If `env` cannot be made, not that often, not with that render mode, or not in processes.
    """
    check_n_envs(n_envs)
    if asynchronous and is_live(env):
        raise ValueError(
            "asynchronous=True makes environments in separate processes, but the environment "
            f"exists already: {describe(env)}. Pass an id or a function that makes it."
        )
    made: list[Any] = []
    try:
        return _open(env, n_envs, render_mode, asynchronous, made)
    except BaseException:
        for one in made:
            one.close()
        raise


def _open(
    env: Any, n_envs: int, render_mode: str | None, asynchronous: bool | None, made: list[Any]
) -> Backend:
    """Open `env`, and append each environment to `made` as soon as it is made."""
    if isinstance(env, VectorEnv):
        check_size(n_envs, env.num_envs, "a vector environment")
        check_live_render_mode(env, render_mode)
        return VectorBackend(env)
    if isinstance(env, str | EnvSpec):
        opened = make_registered(env, n_envs, render_mode, asynchronous)
        made.append(opened)
        backend = VectorBackend if isinstance(opened, VectorEnv) else SingleBackend
        return backend(opened, made)
    if isinstance(env, list | tuple):
        check_size(n_envs, len(env), "a list")
        check_not_split(env)
    elif isinstance(env, gymnasium.Env) and n_envs > 1:
        raise ValueError(
            f"One live environment cannot be run {n_envs} times side by side: pass its id or "
            "a function that makes it, for instance "
            f"GymEnvironment(lambda: MyEnv(), n_envs={n_envs})."
        )
    items = list(env) if isinstance(env, list | tuple) else [env] * n_envs
    if not is_live(items):
        functions = [partial(make_one, item, render_mode) for item in items]
        if is_asynchronous(functions, render_mode, asynchronous):
            made.append(ProcessVectorEnv(functions))
            return VectorBackend(made[0], made)
    envs = []
    for item in items:
        envs.append(make_one(item, render_mode))
        if not is_live(item):
            made.append(envs[-1])
    return put_side_by_side(envs, made)


def is_asynchronous(
    functions: Sequence[Callable[[], Any]], render_mode: str | None, asynchronous: bool | None
) -> bool:
    """Decide whether environments run in separate processes, see `GymEnvironment`."""
    if len(functions) < 2:
        return False
    if asynchronous is None:
        # A window is not opened for a measurement.
        return render_mode != "human" and pays_in_processes(functions[0], len(functions))
    return asynchronous


def put_side_by_side(envs: list[gymnasium.Env[Any, Any]], made: list[Any]) -> Backend:
    """Run environments, which must be alike, side by side; `made` are those to close."""
    if len(envs) == 1:
        return SingleBackend(envs[0], made)
    if len({id(env) for env in envs}) < len(envs):
        raise ValueError(
            "The same environment object came twice; each environment side by side must be its "
            "own object. (Does the factory always return the same one?)"
        )
    check_equal_spaces(envs, names=envs)
    # DISABLED loses no step, and no last observation either. (In SAME_STEP mode, an environment
    # that always returns the same array overwrites it.)
    functions = [partial(give, env) for env in envs]
    vector_env = SyncVectorEnv(functions, autoreset_mode=AutoresetMode.DISABLED)
    return VectorBackend(vector_env, made)


def give(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return `env`. Unlike a lambda, a `partial` of this function can be pickled."""
    return env


def make_one(env: Any, render_mode: str | None) -> gymnasium.Env[Any, Any]:
    """Make a single environment from a recipe, or return the live one."""
    if isinstance(env, gymnasium.Env):
        check_live_render_mode(env, render_mode)
        return env
    if isinstance(env, str | EnvSpec):
        made: gymnasium.Env[Any, Any] = make_registered(env, 1, render_mode)
        return made
    if callable(env):
        return call_factory(env, render_mode)
    raise TypeError(
        "An environment must be given as an id such as 'CartPole-v1', a gymnasium EnvSpec, a "
        "function that returns a gymnasium.Env, a gymnasium.Env, a gymnasium.vector.VectorEnv, or "
        f"a list of those except vector environments; got {describe(env)}."
    )


def make_registered(
    env: str | EnvSpec, n_envs: int, render_mode: str | None, asynchronous: bool | None = False
) -> Any:
    """Make an environment, or a vector of n, from Gymnasium's registry."""
    name = env if isinstance(env, str) else env.id
    kwargs: dict[str, Any] = {} if render_mode is None else {"render_mode": render_mode}
    if isinstance(env, EnvSpec):
        env = without(env, *VECTOR_KEYS)
    try:
        if render_mode is not None:
            check_registered_render_mode(env, render_mode)
        if n_envs == 1:
            return make_single(env, kwargs)
        return make_vector(env, n_envs, kwargs, asynchronous)
    except (gymnasium.error.Error, ImportError) as error:
        hint = ""
        if isinstance(error, gymnasium.error.UnregisteredEnv):
            hint = " gymnasium.pprint_registry() lists all ids."
        raise ValueError(f"Cannot make the environment {name!r}: {error}{hint}") from error


def make_single(env: str | EnvSpec, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """Make one environment from Gymnasium's registry."""
    wrappers = []
    if isinstance(env, EnvSpec):
        # The spec of a vector environment may have these among the environment's own arguments.
        wrappers = env.kwargs.get("wrappers", [])
        if "max_episode_steps" in env.kwargs:
            kwargs = {"max_episode_steps": env.kwargs["max_episode_steps"], **kwargs}
        env = without(env, "wrappers", "max_episode_steps")
    # What Gymnasium's checker would warn of raises an error here, or makes no difference.
    made = gymnasium.make(env, disable_env_checker=True, **kwargs)
    for wrapper in wrappers:
        made = wrapper(made)
    return made


def make_vector(
    env: str | EnvSpec, n_envs: int, kwargs: dict[str, Any], asynchronous: bool | None
) -> VectorEnv[Any, Any, Any]:
    """Make n environments from Gymnasium's registry, in the fastest way available."""
    if not asynchronous:
        # Some environments, such as CartPole, compute all n at once.
        with contextlib.suppress(gymnasium.error.Error):
            return gymnasium.make_vec(env, n_envs, "vector_entry_point", **kwargs)
    functions = [partial(make_single, env, kwargs)] * n_envs
    if is_asynchronous(functions, kwargs.get("render_mode"), asynchronous):
        return ProcessVectorEnv(functions)
    vector_kwargs = {"autoreset_mode": AutoresetMode.DISABLED}  # see put_side_by_side
    kwargs = {"disable_env_checker": True, **kwargs}
    return gymnasium.make_vec(env, n_envs, "sync", vector_kwargs, **kwargs)


def call_factory(factory: Callable[..., Any], render_mode: str | None) -> gymnasium.Env[Any, Any]:
    """Make an environment with a user's function, with a render mode if it takes one."""
    env = factory()
    if not isinstance(env, gymnasium.Env):
        raise TypeError(
            f"The function {factory!r} should return a gymnasium.Env, but it returned "
            f"{describe(env)}."
        )
    modes = env.metadata.get("render_modes", [])
    made: gymnasium.Env[Any, Any] = env
    if render_mode != env.render_mode and render_mode in modes:
        env.close()
        with contextlib.suppress(TypeError):  # the function may take no render mode
            made = factory(render_mode=render_mode)
    if render_mode in (None, made.render_mode):
        return made
    made.close()
    raise ValueError(
        f"Expected render_mode={render_mode!r}, but the function {factory!r} returned an "
        f"environment with render_mode={made.render_mode!r}. Make the environment with "
        f"render_mode={render_mode!r} there, or take render_mode as an argument. Possible for "
        f"this environment are: {modes}."
    )


def check_n_envs(n_envs: Any) -> None:
    """Raise an error unless `n_envs` is a number of environments."""
    if not isinstance(n_envs, numbers.Integral) or isinstance(n_envs, bool):
        raise TypeError(f"n_envs must be an integer, got {describe(n_envs)}.")
    if n_envs < 1:
        raise ValueError(f"n_envs must be at least 1, got {n_envs}.")


def check_size(n_envs: int, size: int, kind: str) -> None:
    """Raise a ValueError if `n_envs` contradicts the number of environments given."""
    if size < 1:
        raise ValueError("The list of environments is empty; give at least one.")
    if n_envs not in (1, size):
        raise ValueError(f"n_envs={n_envs} contradicts {kind} of {size} environments: omit n_envs.")


def check_not_split(env: Any) -> None:
    """Raise a ValueError if a list consists of the characters of an id."""
    if all(isinstance(item, str) and len(item) == 1 for item in env):
        raise ValueError(
            f"Got single characters as environments: {list(env)}. Model selection splits a "
            "string, as it does with every sequence: pass a list of environments, such as "
            "['CartPole-v1'] * 6 or skrl.make_envs('CartPole-v1', n=6)."
        )


def check_live_render_mode(env: Any, render_mode: str | None) -> None:
    """Raise a ValueError unless a live environment has the render mode."""
    if render_mode not in (None, env.render_mode):
        raise ValueError(
            f"Expected render_mode={render_mode!r}, but the environment {env} was made with "
            f"render_mode={env.render_mode!r}: make it with render_mode={render_mode!r}. Possible "
            f"for this environment are: {env.metadata.get('render_modes', [])}."
        )


def check_registered_render_mode(env: str | EnvSpec, render_mode: str) -> None:
    """Raise a ValueError if Gymnasium cannot make the environment with the render mode."""
    with make_single(env, {}) as probe:
        modes = list(probe.metadata.get("render_modes", []))
    # Gymnasium itself shows frames in a window and collects them in a list.
    shown = ["human"] if "rgb_array" in modes else []
    if render_mode not in [*modes, *shown] and render_mode.removesuffix("_list") not in modes:
        name = env if isinstance(env, str) else env.id
        raise ValueError(
            f"The environment {name!r} has no render_mode={render_mode!r}. Possible are: {modes}."
        )


def replicate(env: Any, n_envs: int, render_mode: str | None) -> tuple[Any, int]:
    """Find what to open for `n_envs` fresh environments like `env`.

    Parameters
    ----------
    env : object
        What a `GymEnvironment` was given.
    n_envs : int
        How many to run side by side.
    render_mode : str or None
        The render mode of the new environments.

    Returns
    -------
    (object, int)
        The first two parameters of the new `GymEnvironment`.

    Raises
    ------
    ValueError
        If `env` is live and can be neither copied nor made again.
    """
    check_n_envs(n_envs)
    if isinstance(env, list | tuple):
        items = itertools.islice(itertools.cycle(env), n_envs)
        return [recipe_for(item, render_mode) for item in items], 1
    if not isinstance(env, VectorEnv):
        return recipe_for(env, render_mode), n_envs
    # The spec of a wrapped vector environment does not record the wrapper.
    if env.spec is not None and not isinstance(env, VectorWrapper):
        return without(env.spec, "render_mode"), n_envs
    problem = f"it has {env.num_envs} environments and render_mode={env.render_mode!r}"
    if n_envs == env.num_envs and render_mode in (None, env.render_mode):
        try:
            return copy.deepcopy(env), 1
        except Exception as error:  # a user's object may raise anything
            problem = f"copying it failed: {error}"
    raise ValueError(
        f"Cannot make {n_envs} environments with render_mode={render_mode!r} from the vector "
        f"environment {env}: it has no complete spec, and {problem}. Pass an id, a function that "
        "makes one environment, or a list of these."
    )


def recipe_for(env: Any, render_mode: str | None) -> Any:
    """Find a recipe for fresh environments like the single environment `env`."""
    if isinstance(env, EnvSpec):
        return without(env, "render_mode")
    if not isinstance(env, gymnasium.Env):
        return to_score(env)
    problem = f"it was made with render_mode={env.render_mode!r}"
    # A copy opens a window only on request.
    if render_mode == env.render_mode or (render_mode is None and env.render_mode != "human"):
        try:
            return partial(copy_of, copy.deepcopy(env))
        except Exception as error:  # a user's object may raise anything
            problem = f"copying it failed: {error}"
    if env.spec is not None:
        return without(env.spec, "render_mode")
    raise ValueError(
        f"Cannot make another environment like {env} with render_mode={render_mode!r}: it has no "
        f"spec, and {problem}. Pass an id or a function that makes the environment."
    )


def copy_of(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Copy an environment, but not its random numbers: copies side by side should differ."""
    fresh = copy.deepcopy(env)
    fresh.unwrapped.np_random = np.random.default_rng()
    return fresh


def without(spec: EnvSpec, *keys: str) -> EnvSpec:
    """Copy a spec without some of the arguments that it passes on."""
    kwargs = {key: value for key, value in spec.kwargs.items() if key not in keys}
    return dataclasses.replace(spec, kwargs=kwargs)
