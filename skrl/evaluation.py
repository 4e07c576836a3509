"""How good is a policy? Greedy episodes, played side by side."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64

from skrl.base import Actions, Environment, QFunction, States

# At most so many environments side by side: more gain no speed.
MAX_SIDE_BY_SIDE = 128
# The same for environments that are computed one after the other: the fewer there are, the less
# they have to wait for the last one to end its episodes.
MAX_ONE_BY_ONE = 10


def side_by_side(environment: Environment, n_episodes: int) -> Environment:
    """Make as many fresh environments as play `n_episodes` episodes fastest.

    Of a list of environments every one is there equally often, as far as possible.

    Parameters
    ----------
    environment : Environment
        What they are to be like.
    n_episodes : int
        How many episodes are to be played.

    Returns
    -------
    Environment
        Close it after use.
    """
    few = _multiple(environment.n_envs_, MAX_ONE_BY_ONE, n_episodes)
    many = _multiple(environment.n_envs_, MAX_SIDE_BY_SIDE, n_episodes)
    replica = environment.replicate(few)
    if few < many and replica.is_vectorized:
        replica.close()
        replica = environment.replicate(many)
    return replica


def _multiple(n: int, most: int, n_episodes: int) -> int:
    """The multiple of n that is at most `most`, but at least n; n_episodes, if that is less."""
    return min(max(1, most // n) * n, n_episodes)


def play_episodes(
    environment: Environment,
    choose: Callable[[States], Actions],
    n_episodes: int,
    seed: int,
    max_episode_steps: int | None = None,
) -> Float64[np.ndarray, " n_episodes"]:
    """Play whole episodes and return what each one earned.

    Every environment plays its share of the episodes, decided beforehand: to take whichever
    episodes end first would favour short ones.

    Parameters
    ----------
    environment : Environment
        Where to play; it is reset.
    choose : callable
        Gives action indices for states of shape (n_envs_, *state_shape).
    n_episodes : int
        How many episodes.
    seed : int
        Seeds the environment.
    max_episode_steps : int or None
        Episodes that are still going on after so many steps count as they are then: for worlds
        without a time limit, where a policy may walk in circles. None plays to the end.

    Returns
    -------
    ndarray of shape (n_episodes,)
        Undiscounted returns, environment by environment, in the order of its episodes: the same
        seed gives the same order, whichever episodes end first.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl import GymEnvironment
    >>> left = lambda states: np.zeros(len(states), np.int64)
    >>> returns = play_episodes(GymEnvironment("CartPole-v1", n_envs=2), left, 4, seed=0)
    >>> returns.shape, bool((returns < 20).all())
    ((4,), True)
    """
    n = environment.n_envs_
    if max_episode_steps is not None and n_episodes > n:
        # Nothing but a reset ends such an episode: play in rounds, one episode each.
        sizes = [min(n, n_episodes - first) for first in range(0, n_episodes, n)]
        seeds = np.random.SeedSequence(seed).generate_state(len(sizes))
        rounds = zip(sizes, seeds.tolist(), strict=True)
        return np.concatenate(
            [play_episodes(environment, choose, k, s, max_episode_steps) for k, s in rounds]
        )
    states = environment.reset(seed)
    shares = np.full(n, n_episodes // n) + (np.arange(n) < n_episodes % n)
    ends = shares.cumsum()
    played = ends - shares  # where in `returns` the next episode of each environment stands
    returns, n_left = np.empty(n_episodes), n_episodes
    running, lengths = np.zeros(n), np.zeros(n, dtype=np.int64)
    while n_left > 0:
        transitions = environment.step(choose(states))
        states = environment.states
        rows = np.arange(n) if transitions.env_ids is None else transitions.env_ids
        running[rows] += transitions.rewards
        lengths[rows] += 1
        ended = transitions.terminated | transitions.truncated
        if max_episode_steps is not None:
            ended |= lengths[rows] >= max_episode_steps
        for i in rows[ended]:
            if played[i] < ends[i]:
                returns[played[i]] = running[i]
                played[i] += 1
                n_left -= 1
            running[i] = lengths[i] = 0
    return returns


def greedy_actions(qfunction: QFunction, states: States) -> Actions:
    """Actions of highest value; the first of them where several are equal."""
    # argmax_a Q(s, a)
    actions: Actions = qfunction.values(states).argmax(axis=1)
    return actions
