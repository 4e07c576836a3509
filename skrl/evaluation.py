"""How good is a policy? Greedy episodes, played side by side."""

import warnings
from collections.abc import Callable
from math import inf
from typing import NamedTuple

import numpy as np
from gymnasium.vector import VectorEnv
from jaxtyping import Float64
from numpy.random import SeedSequence

from skrl.base import ActionMasks, Actions, Environment, QFunction, States

# Of environments that are computed at once: more of them are not faster per step.
MAX_SIDE_BY_SIDE = 128
# Length at which an episode is cut off where the environment has no time limit.
MAX_EPISODE_STEPS = 100_000


class Played(NamedTuple):
    """What `play_episodes` gives.

    Parameters
    ----------
    returns : ndarray of shape (k,), dtype float64
        The undiscounted return of each episode.
    n_steps : int
        Steps taken, counted over all environments.
    """

    returns: Float64[np.ndarray, " k"]
    n_steps: int


def side_by_side(environment: Environment, n_episodes: int) -> Environment:
    """Make fresh environments to play `n_episodes` episodes in.

    There are up to 128 side by side if they are computed at once. Otherwise there is one of each
    kind, because all of them wait for the longest episode of a heat.

    Parameters
    ----------
    environment : Environment
        The environment to replicate.
    n_episodes : int
        How many episodes are to be played.

    Returns
    -------
    Environment
        Close it after use.
    """
    # A list may hold different environments, and a vector environment may have no recipe but its
    # copy. All others repeat a single one.
    is_many = isinstance(getattr(environment, "env", None), list | tuple | VectorEnv)
    n_kinds = environment.n_envs_ if is_many else 1
    if _is_computed_at_once(environment):
        n_kinds *= max(1, MAX_SIDE_BY_SIDE // n_kinds)
    return environment.replicate(min(n_kinds, n_episodes))


def _is_computed_at_once(environment: Environment) -> bool:
    """Whether several environments like this one are; one alone does not tell."""
    if environment.n_envs_ > 1:
        return environment.is_vectorized
    pair = environment.replicate(2)
    try:
        return pair.is_vectorized
    finally:
        pair.close()


def play_episodes(
    environment: Environment,
    choose: Callable[[States, ActionMasks | None], Actions],
    n_episodes: int,
    seed: int,
    max_steps: int | None = None,
) -> Played:
    """Play whole episodes.

    They are played in heats. A heat resets all environments with its own seed, and then each of
    them plays one episode. So episode i begins in the same way whichever policy plays, and two
    policies can be compared episode by episode.

    Parameters
    ----------
    environment : Environment
        Where to play; it is reset.
    choose : callable
        Gives action indices for states of shape (n_envs_, *state_shape) and action masks of
        shape (n_envs_, n_actions), which are None where all actions are allowed.
    n_episodes : int
        How many episodes.
    seed : int
        The seeds of all heats are derived from it.
    max_steps : int or None
        Budget of steps, counted over all environments. A heat that does not end within it is
        broken off. None stands for no limit.

    Returns
    -------
    Played
        The returns of the episodes, heat by heat, and the number of steps. There are fewer than
        `n_episodes` if the budget is used up: those of the finished heats.

    Warns
    -----
    UserWarning
        If an environment without a time limit does not end an episode within 100,000 steps. The
        episode then counts as it is.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import GymEnvironment
    >>> left = lambda states, action_masks: np.zeros(len(states), np.int64)
    >>> returns, n_steps = play_episodes(GymEnvironment("CartPole-v1", n_envs=2), left, 4, seed=0)
    >>> returns.shape, bool((returns < 20).all())
    ((4,), True)
    """
    n_envs, n_left = environment.n_envs_, inf if max_steps is None else max_steps
    returns, n_steps = np.empty(n_episodes), 0
    heat_seeds = SeedSequence(seed).generate_state(-(-n_episodes // n_envs)).tolist()
    for first, heat_seed in zip(range(0, n_episodes, n_envs), heat_seeds, strict=True):
        k = min(n_envs, n_episodes - first)
        heat = _play_heat(environment, choose, k, heat_seed, n_left - n_steps)
        n_steps += heat.n_steps
        if len(heat.returns) < k:
            return Played(returns[:first], n_steps)
        returns[first : first + k] = heat.returns
    return Played(returns, n_steps)


def _play_heat(
    environment: Environment,
    choose: Callable[[States, ActionMasks | None], Actions],
    k: int,
    seed: int,
    max_steps: float,
) -> Played:
    """Play one episode in each of the first k environments; no returns if steps run out."""
    environment.reset(seed)
    n_envs = environment.n_envs_
    returns, is_playing = np.zeros(n_envs), np.arange(n_envs) < k
    longest = inf if environment.has_time_limit else MAX_EPISODE_STEPS
    length = n_steps = 0
    while is_playing.any():
        if n_steps + n_envs > max_steps:
            return Played(np.empty(0), n_steps)
        if length == longest:
            warnings.warn(
                f"An episode was cut off after {length:,} steps, because the environment has no "
                "time limit. Wrap it in gymnasium.wrappers.TimeLimit to choose one.",
                stacklevel=3,
            )
            break
        transitions = environment.step(choose(environment.states, environment.action_masks))
        rows = slice(None) if transitions.env_ids is None else transitions.env_ids
        # What an environment does after its episode does not count.
        returns[rows] += is_playing[rows] * transitions.rewards
        is_playing[rows] &= ~(transitions.terminated | transitions.truncated)
        n_steps += len(transitions.rewards)
        length += 1
    return Played(returns[:k], n_steps)


def greedy_actions(
    qfunction: QFunction, states: States, action_masks: ActionMasks | None = None
) -> Actions:
    """Choose the allowed action of highest value; the first of them where several are equal.

    Parameters
    ----------
    qfunction : QFunction
        Gives the action values.
    states : ndarray of shape (m, *state_shape)
        Where to act.
    action_masks : ndarray of shape (m, n_actions), bool, or None
        Which actions are allowed. None means that all are.

    Returns
    -------
    ndarray of shape (m,), dtype int64
        Action indices.
    """
    values = qfunction.values(states)
    if action_masks is not None:
        values = np.where(action_masks, values, -inf)
    # argmax_a Q(s, a)
    actions: Actions = values.argmax(axis=1)
    return actions
