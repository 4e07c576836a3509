"""Environments as data: many recipes, each with its own seed, as scikit-learn's X."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium
import numpy as np
from numpy.random import SeedSequence


@dataclass(frozen=True)
class EnvironmentPair:
    """Two recipes for an environment: one to train in, and one to be scored in.

    Training may clip rewards, or end episodes early. Scores must not depend on that. Training uses
    the first recipe; `QLearningAgent.score`, the evaluations during training, and videos use the
    second one.

    Parameters
    ----------
    training, scoring : callable
        Functions that return a `gymnasium.Env`. Their spaces must be equal. If they take an
        argument `render_mode`, the environment can be recorded.

    Examples
    --------
    >>> from functools import partial
    >>> import gymnasium
    >>> from skrl import GymEnvironment
    >>> from skrl.environments import EnvironmentPair
    >>> make = partial(gymnasium.make, "CartPole-v1")
    >>> pair = EnvironmentPair(partial(make, max_episode_steps=50), make)
    >>> GymEnvironment(pair).make_single("rgb_array").spec.max_episode_steps
    500
    """

    training: Callable[..., gymnasium.Env[Any, Any]]
    scoring: Callable[..., gymnasium.Env[Any, Any]]

    def __call__(self, **kwargs: Any) -> gymnasium.Env[Any, Any]:
        """Make the environment to train in."""
        return self.training(**kwargs)


@dataclass(frozen=True)
class EnvironmentItem:
    """A recipe for an environment with its own episodes: one sample of a data set.

    Calling it makes the environment. The item's own seed is mixed into every seed that the
    environment is reset with: two items never play the same episodes, and an item always plays
    the same ones for the same seed.

    Parameters
    ----------
    env : str or callable
        A registered id, such as ``"CartPole-v1"``, or a function that returns a `gymnasium.Env`.
    seed : int
        The item's own seed.
    kwargs : dict
        Arguments of `gymnasium.make`, or of the function.

    Examples
    --------
    >>> from skrl.environments import EnvironmentItem
    >>> first, second = EnvironmentItem("CartPole-v1", 1), EnvironmentItem("CartPole-v1", 2)
    >>> states = [item().reset(seed=0)[0] for item in (first, first, second)]
    >>> bool((states[0] == states[1]).all()), bool((states[0] == states[2]).any())
    (True, False)
    """

    env: str | Callable[..., gymnasium.Env[Any, Any]]
    seed: int
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __call__(self, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
        """Make the environment."""
        kwargs = self.kwargs | ({} if render_mode is None else {"render_mode": render_mode})
        if callable(self.env):
            return OwnSeed(self.env(**kwargs), self.seed)
        return OwnSeed(gymnasium.make(self.env, disable_env_checker=True, **kwargs), self.seed)


def to_score(recipe: Any) -> Any:
    """Find the recipe of the environment to be scored in; most have only one."""
    if isinstance(recipe, EnvironmentPair):
        return recipe.scoring
    if isinstance(recipe, EnvironmentItem):
        return replace(recipe, env=to_score(recipe.env))
    return recipe


class OwnSeed(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Mixes its own number into the seed of every reset.

    Parameters
    ----------
    env : gymnasium.Env
        What is wrapped.
    own_seed : int
        The number, at least 0.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], own_seed: int) -> None:
        super().__init__(env)
        self.own_seed = own_seed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; without a seed, continue the sequence of random numbers."""
        if seed is not None:
            seed = int(SeedSequence([self.own_seed, seed]).generate_state(1)[0])
        return self.env.reset(seed=seed, options=options)


def make_envs(
    env: str | Callable[..., gymnasium.Env[Any, Any]], n: int, *, seed: int = 0, **kwargs: Any
) -> list[EnvironmentItem]:
    """Make a data set of environments: what scikit-learn calls X.

    Folds of model selection are then folds over environments: an agent is trained in some of
    them, and scored in the others.

    Parameters
    ----------
    env : str or callable
        A registered id, such as ``"CartPole-v1"``, or a function that returns a `gymnasium.Env`,
        such as ``image_env("CartPole-v1")``.
    n : int
        How many items.
    seed : int, default=0
        The items' own seeds are drawn from it.
    **kwargs : object
        Arguments of `gymnasium.make`, or of the function `env`, such as ``is_slippery=False``. An
        argument that is a function is called for every item, with the item's own
        `numpy.random.Generator`, and returns the item's value.

    Returns
    -------
    list of EnvironmentItem
        Picklable recipes. `QLearningAgent.fit` trains on all of them side by side, and `score`
        averages over them.

    Raises
    ------
    ValueError
        If `n` is less than 1, or the first item cannot be made.

    Examples
    --------
    Six rings, in three folds: trained on four and scored on two.

    >>> from sklearn.model_selection import cross_val_score
    >>> from skrl import QLearningAgent, make_envs
    >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=0, random_state=0)
    >>> cross_val_score(agent, make_envs("skrl/CircularWorld-v0", n=6), cv=3).shape
    (3,)

    Three lakes with different holes:

    >>> from gymnasium.envs.toy_text.frozen_lake import generate_random_map
    >>> lakes = make_envs(
    ...     "FrozenLake-v1", n=3,
    ...     desc=lambda rng: generate_random_map(4, seed=int(rng.integers(2**31))))
    >>> lakes[0].kwargs["desc"] == lakes[1].kwargs["desc"]
    False
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n!r}.")
    items = []
    for child in SeedSequence(seed).spawn(n):
        rng = np.random.default_rng(child)
        values = {name: _value(given, rng) for name, given in kwargs.items()}
        items.append(EnvironmentItem(env, int(child.generate_state(1)[0]), values))
    try:
        items[0]().close()
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise ValueError(f"Cannot make the environment {env!r} with {kwargs}: {error}") from error
    return items


def _value(given: Any | Callable[[np.random.Generator], Any], rng: np.random.Generator) -> Any:
    return given(rng) if callable(given) else given
