"""Environments whose states are images: stacked frames, small and grey."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import (
    AddRenderObservation,
    AtariPreprocessing,
    ClipReward,
    FrameStackObservation,
    GrayscaleObservation,
    ResizeObservation,
    TransformObservation,
)
from jaxtyping import UInt8

from skrl.environments.items import EnvironmentPair
from skrl.environments.opening import make_one

Env = gymnasium.Env[Any, Any]


def image_env(
    env: Any,
    *,
    size: tuple[int, int] | None = (84, 84),
    grayscale: bool = True,
    n_stack: int = 4,
    clip_rewards: bool = False,
) -> EnvironmentPair:
    """Prepare an environment for an agent that sees: its states are stacks of small grey images.

    A single image does not show what moves, and in which direction. So a state is the last
    `n_stack` images, the newest last (Mnih et al., 2015, "Human-level control through deep
    reinforcement learning"). Gymnasium's wrappers do the work; they are applied in the order of the
    parameters.

    Parameters
    ----------
    env : str, EnvSpec or callable
        An id, a spec, or a function that returns a `gymnasium.Env`. If the observations are not
        images of dtype uint8, the environment is rendered, and its pictures are the observations.
        A function must then take the argument `render_mode`.
    size : tuple of int or None, default=(84, 84)
        Height and width of the images. None keeps their size. Any other size needs OpenCV:
        ``pip install 'skrl-toolkit[images]'``.
    grayscale : bool, default=True
        Whether colors are turned into shades of grey.
    n_stack : int, default=4
        How many images a state consists of. An episode begins with copies of its first image.
    clip_rewards : bool, default=False
        Whether rewards are clipped to [-1, 1] in training. Scores are those of the unclipped ones.

    Returns
    -------
    EnvironmentPair
        What `QLearningAgent.fit`, `GymEnvironment` and `make_envs` take; it can be pickled. The
        states have the shape (height, width, n_stack), or (height, width, 3 * n_stack) in color,
        and the dtype uint8. Those of a single grey image have the shape (height, width).

    Raises
    ------
    TypeError, ValueError
        If a parameter is invalid. When it is called: if the environment cannot be made, has
        neither images nor the render mode "rgb_array", or OpenCV is missing.

    Examples
    --------
    >>> from skrl import GymEnvironment, image_env
    >>> environment = GymEnvironment(image_env("CartPole-v1", size=(40, 60)), n_envs=2)
    >>> environment.reset(seed=0).shape
    (2, 40, 60, 4)
    >>> environment.state_space.dtype
    dtype('uint8')
    >>> environment.close()
    """
    check_size(size)
    check_n_stack(n_stack)
    if not (isinstance(env, str | gymnasium.envs.registration.EnvSpec) or callable(env)):
        raise TypeError(
            "image_env needs an id, a spec, or a function that returns a gymnasium.Env, got "
            f"{env!r:.80}. For instance image_env('CartPole-v1')."
        )
    make = partial(make_image_env, env, size, grayscale, n_stack)
    return EnvironmentPair(partial(make, clip_rewards), partial(make, False))


def atari_env(
    env_id: str,
    *,
    size: tuple[int, int] = (84, 84),
    n_stack: int = 4,
    frame_skip: int = 4,
    noop_max: int = 30,
    clip_rewards: bool = True,
    end_at_lost_life: bool = True,
    **kwargs: Any,
) -> EnvironmentPair:
    """Prepare an Atari game as Mnih et al. (2015) did, by `gymnasium.wrappers.AtariPreprocessing`.

    Training clips the rewards and ends an episode when a life is lost. Scores are those of the
    game: rewards as they are, and episodes that last until the game is over.

    Parameters
    ----------
    env_id : str
        The game, such as ``"ALE/Pong-v5"``. It needs ale-py, which brings the games:
        ``pip install 'skrl-toolkit[atari]'``.
    size : tuple of int, default=(84, 84)
        Height and width of the images.
    n_stack : int, default=4
        How many images a state consists of.
    frame_skip : int, default=4
        How many frames of the game a step takes. The action is repeated, the rewards are added
        up, and the image is the brighter of the last two frames, pixel by pixel.
    noop_max : int, default=30
        An episode begins after a random number of steps without an action, at most so many.
    clip_rewards : bool, default=True
        Whether rewards are clipped to [-1, 1] in training.
    end_at_lost_life : bool, default=True
        Whether an episode of training terminates when a life is lost. The next one is a new game.
    **kwargs : object
        Arguments of `gymnasium.make`. By default, the game repeats the last action with the
        probability 0.25 in every frame (``repeat_action_probability``; Machado et al., 2018,
        "Revisiting the Arcade Learning Environment"), and a game ends after 108,000 frames.

    Returns
    -------
    EnvironmentPair
        What `QLearningAgent.fit`, `GymEnvironment` and `make_envs` take; it can be pickled. The
        states have the shape (height, width, n_stack) and the dtype uint8.

    Raises
    ------
    TypeError, ValueError
        If a parameter is invalid. When it is called: if ale-py or OpenCV is missing, or the game
        does not exist.

    Examples
    --------
    >>> from skrl import atari_env
    >>> pair = atari_env("ALE/Pong-v5")
    >>> pair.training().observation_space.shape  # doctest: +SKIP
    (84, 84, 4)
    """
    check_size(size)
    check_n_stack(n_stack)
    kwargs = {"max_episode_steps": 108_000, **kwargs}
    make = partial(make_atari_env, env_id, size, n_stack, frame_skip, noop_max, kwargs)
    return EnvironmentPair(
        partial(make, clip_rewards, end_at_lost_life), partial(make, False, False)
    )


def make_image_env(
    env: Any,
    size: tuple[int, int] | None,
    grayscale: bool,
    n_stack: int,
    clip_rewards: bool,
    render_mode: str | None = None,
) -> Env:
    """Make what `image_env` describes."""
    made = make_one(env, render_mode)
    if not is_image(made.observation_space):
        made.close()
        made = AddRenderObservation(make_one(env, render_mode or "rgb_array"))
    try:
        if size is not None and made.observation_space.shape[:2] != tuple(size):  # type: ignore[index]
            made = ResizeObservation(made, (size[0], size[1]))
        if grayscale and made.observation_space.shape[2:] == (3,):  # type: ignore[index]
            made = GrayscaleObservation(made)
    except gymnasium.error.DependencyNotInstalled as error:
        raise missing("image_env needs OpenCV to resize images", "images") from error
    return clip_and_stack(made, n_stack, clip_rewards)


def make_atari_env(
    env_id: str,
    size: tuple[int, int],
    n_stack: int,
    frame_skip: int,
    noop_max: int,
    kwargs: dict[str, Any],
    clip_rewards: bool,
    end_at_lost_life: bool,
    render_mode: str | None = None,
) -> Env:
    """Make what `atari_env` describes."""
    try:
        import ale_py  # registers the games
    except ImportError as error:
        raise missing("atari_env needs ale-py, which brings the games", "atari") from error
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # no banner
    try:
        game = gymnasium.make(
            env_id, frameskip=1, render_mode=render_mode, disable_env_checker=True, **kwargs
        )
    except gymnasium.error.Error as error:
        raise ValueError(
            f"Cannot make the game {env_id!r}: {error} An id is, for instance, 'ALE/Pong-v5'."
        ) from error
    try:
        made: Env = AtariPreprocessing(
            game,
            noop_max=noop_max,
            frame_skip=frame_skip,
            screen_size=(size[1], size[0]),
            terminal_on_life_loss=end_at_lost_life,
        )
    except gymnasium.error.DependencyNotInstalled as error:
        raise missing("atari_env needs OpenCV to resize images", "atari") from error
    return clip_and_stack(made, n_stack, clip_rewards)


def clip_and_stack(env: Env, n_stack: int, clip_rewards: bool) -> Env:
    """Clip rewards to [-1, 1], and stack images along the last axis."""
    if clip_rewards:
        env = ClipReward(env, -1.0, 1.0)
    if n_stack > 1:
        env = FrameStackObservation(env, n_stack)
        shape = to_last_axis(np.empty(env.observation_space.shape or (), np.uint8)).shape
        space = spaces.Box(0, 255, shape, np.uint8)
        env = TransformObservation(env, to_last_axis, space)
    return env


def to_last_axis(
    stack: UInt8[np.ndarray, "n_stack height width *color"],
) -> UInt8[np.ndarray, "height width channels"]:
    """Move the images of a stack to the last axis; each keeps its colors together."""
    moved = np.moveaxis(stack, 0, 2)
    return moved.reshape(*moved.shape[:2], -1)


def is_image(space: gymnasium.Space[Any]) -> bool:
    """Whether observations are grey or color images of bytes."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    return len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[2] in (1, 3))


def missing(what: str, extra: str) -> ValueError:
    """Make the error for a package that is not installed."""
    return ValueError(f"{what}: pip install 'skrl-toolkit[{extra}]'.")


def check_size(size: Any) -> None:
    """Raise a ValueError unless `size` is a height and a width, or None."""
    is_pair = isinstance(size, tuple | list) and len(size) == 2
    if size is None or (is_pair and all(isinstance(n, int | np.integer) and n > 0 for n in size)):
        return
    raise ValueError(f"size must be (height, width), such as (84, 84), got {size!r}.")


def check_n_stack(n_stack: Any) -> None:
    """Raise a ValueError unless `n_stack` is a number of images."""
    if not isinstance(n_stack, int | np.integer) or n_stack < 1:
        raise ValueError(f"n_stack must be an integer of at least 1, got {n_stack!r}.")
