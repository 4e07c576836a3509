"""Watch an agent: record its episodes to a video file, or play them on the screen.

Both use a fresh Gymnasium environment. They do not disturb a training run, and no automatic reset
hides the last frame of an episode.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import HumanRendering

from skrl.arrays import describe
from skrl.environments.pictures import Frame, add_caption, tile

# Frames per second of an environment without metadata["render_fps"].
DEFAULT_FPS = 30


@runtime_checkable
class Recordable(Protocol):
    """An environment that can be watched."""

    def make_single(self, render_mode: str) -> gymnasium.Env[Any, Any]:
        """Make one fresh Gymnasium environment with this render mode."""


@runtime_checkable
class Actor(Protocol):
    """Anything that chooses actions."""

    def predict(self, observation: Any) -> Any:
        """Choose an action for an observation, both in the environment's own spaces."""


def record_video(
    environment: Recordable,
    agent: Actor | None,
    path: str | os.PathLike[str],
    *,
    n_episodes: int = 1,
    max_steps: int | None = None,
    fps: float | None = None,
    seed: int | None = None,
    caption: bool = False,
    n_columns: int | None = None,
) -> Path:
    """Record episodes of an agent to a video file.

    The video shows the first state of each episode and the state after every step, including the
    last one. It needs neither a screen nor a window.

    Parameters
    ----------
    environment : Environment
        Where the agent acts. It is not changed: a fresh environment like it is recorded.
    agent : object with a method ``predict(observation) -> action``, or None
        Chooses the actions, such as a `QLearningAgent`. None acts at random.
    path : str or path-like
        The file to write: ``.mp4`` (H.264) or ``.gif`` (loops indefinitely; at most 50 frames
        per second, because viewers slow down faster ones).
    n_episodes : int
        How many episodes to record, in sequence or in a grid: see `n_columns`.
    max_steps : int or None
        Cut every episode off after this many steps. None plays until it ends.
    fps : float or None
        Frames per second. None stands for the environment's ``metadata["render_fps"]``, or 30.
    seed : int or None
        Seeds the environment and the random actions. In a grid, episode i has the seed
        ``seed + i``.
    caption : bool
        Whether to write the number of the episode, the step and the return so far above each
        frame.
    n_columns : int or None
        Show all episodes at once, in a grid with so many columns; each one keeps its last frame
        until all have ended. None shows one episode after the other.

    Returns
    -------
    pathlib.Path
        The file written. If an error is raised, no file is left behind, and an earlier file of
        that name is not changed.

    Raises
    ------
    ValueError
        If the file name has another suffix or its folder does not exist, a number is out of
        range, or the environment cannot render.
    TypeError
        If the agent has no method `predict`.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise ValueError(f"A video's file name must end in .mp4 or .gif, got {str(path)!r}.")
    if not path.parent.is_dir():
        raise ValueError(f"There is no folder {str(path.parent)!r} to write {path.name!r} to.")
    check_arguments(agent, n_episodes, max_steps, fps, n_columns)
    if not has_screen():
        # pygame looks for a screen even if it only draws to memory, and may fail without one.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        filming = film(environment, agent, n_episodes, max_steps, fps, seed, caption, n_columns)
        with filming as (pictures, fps):
            WRITERS[path.suffix.lower()](part, pictures, fps)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def animate(
    environment: Recordable,
    agent: Actor | None,
    *,
    n_episodes: int = 1,
    max_steps: int | None = None,
    fps: float | None = None,
    seed: int | None = None,
    caption: bool = False,
    n_columns: int | None = None,
) -> None:
    """Play episodes of an agent: as a video in a notebook, in a window elsewhere.

    Parameters
    ----------
    environment : Environment
        Where the agent acts. It is not changed: a fresh environment like it is shown.
    agent : object with a method ``predict(observation) -> action``, or None
        Chooses the actions, such as a `QLearningAgent`. None acts at random.
    n_episodes : int
        How many episodes to play, in sequence or in a grid: see `n_columns`.
    max_steps : int or None
        Cut every episode off after this many steps. None plays until it ends.
    fps : float or None
        Frames per second. None stands for the environment's ``metadata["render_fps"]``, or 30.
    seed : int or None
        Seeds the environment and the random actions. In a grid, episode i has the seed
        ``seed + i``.
    caption : bool
        Whether to write the number of the episode, the step and the return so far above each
        frame.
    n_columns : int or None
        Show all episodes at once, in a grid with so many columns; each one keeps its last frame
        until all have ended. None shows one episode after the other.

    Raises
    ------
    ValueError
        If there is neither a notebook nor a screen, a number is out of range, or the environment
        cannot render.
    TypeError
        If the agent has no method `predict`.
    """
    check_arguments(agent, n_episodes, max_steps, fps, n_columns)
    if in_notebook():
        ipython = import_module("IPython.display")  # installed with the notebook, not with skrl
        with tempfile.TemporaryDirectory() as folder:
            path = record_video(
                environment,
                agent,
                Path(folder, "animation.mp4"),
                n_episodes=n_episodes,
                max_steps=max_steps,
                fps=fps,
                seed=seed,
                caption=caption,
                n_columns=n_columns,
            )
            video = path.read_bytes()
        player = ipython.Video(
            video, embed=True, mimetype="video/mp4", html_attributes="controls autoplay loop muted"
        )
        ipython.display(player)
    elif has_screen():
        filming = film(environment, agent, n_episodes, max_steps, fps, seed, caption, n_columns)
        with filming as (pictures, fps):
            show_in_window(pictures, fps)
    else:
        raise ValueError(
            "There is neither a notebook nor a screen to show an animation on. Write it to a "
            "file instead: record_video(agent, 'episode.mp4')."
        )


def check_arguments(
    agent: Any,
    n_episodes: int,
    max_steps: int | None,
    fps: float | None,
    n_columns: int | None,
) -> None:
    """Raise an error if an argument is invalid."""
    if agent is not None and not hasattr(agent, "predict"):
        raise TypeError(
            "agent must have a method predict(observation) that returns an action, or be None for "
            f"random actions, got {agent!r}."
        )
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be at least 1, got {n_episodes}.")
    for name, number in (("max_steps", max_steps), ("n_columns", n_columns)):
        if number is not None and number < 1:
            raise ValueError(f"{name} must be at least 1 or None, got {number}.")
    if fps is not None and fps <= 0:
        raise ValueError(f"fps must be greater than 0 or None, got {fps}.")


def in_notebook() -> bool:
    """Whether this code runs in a Jupyter notebook or something like it."""
    # A notebook has already imported IPython.
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def has_screen() -> bool:
    """Whether there is a screen to open a window on."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn Gymnasium's error about a missing package into a ValueError."""
    try:
        yield
    except DependencyNotInstalled as error:
        raise ValueError(f"The environment cannot be drawn: {error}.") from error


@contextmanager
def film(
    environment: Recordable,
    agent: Actor | None,
    n_episodes: int,
    max_steps: int | None,
    fps: float | None,
    seed: int | None,
    caption: bool,
    n_columns: int | None,
) -> Iterator[tuple[Iterator[Frame], float]]:
    """Play episodes in fresh environments; give the frames, and how many there are per second."""
    n_at_once = 1 if n_columns is None else n_episodes
    with readable_errors(), ExitStack() as stack:
        streams = []
        for first in range(n_at_once):
            env = stack.enter_context(make_drawing(environment, fps))
            own_seed = None if seed is None else seed + first
            moments = play(env, agent, range(first, n_episodes, n_at_once), max_steps, own_seed)
            streams.append(frames(env, moments, n_episodes if caption else None))
        pictures = streams[0] if n_columns is None else tile(streams, n_columns)
        yield pictures, float(env.metadata["render_fps"])


def make_drawing(environment: Recordable, fps: float | None) -> gymnasium.Env[Any, Any]:
    """Make a fresh environment that renders arrays, with ``metadata["render_fps"]``."""
    env = environment.make_single("rgb_array")
    fps = fps or env.metadata.get("render_fps", DEFAULT_FPS)
    env.metadata = {**env.metadata, "render_fps": fps}
    return env


class Moment(NamedTuple):
    """Where an episode is: its number, the steps taken, and the return so far."""

    episode: int
    step: int
    total: float


def play(
    env: gymnasium.Env[Any, Any],
    agent: Actor | None,
    episodes: Iterable[int],
    max_steps: int | None,
    seed: int | None,
) -> Iterator[Moment]:
    """Play episodes in `env`, and yield after each reset and step. The first one is seeded."""
    env.action_space.seed(seed)
    for episode in episodes:
        observation, _ = env.reset(seed=seed)
        seed, total = None, 0.0
        yield Moment(episode, 0, total)
        for step in count(1) if max_steps is None else range(1, max_steps + 1):
            action = env.action_space.sample() if agent is None else agent.predict(observation)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            yield Moment(episode, step, total)
            if terminated or truncated:
                break


def frames(
    env: gymnasium.Env[Any, Any], moments: Iterator[Moment], n_episodes: int | None
) -> Iterator[Frame]:
    """Render `env` at each of the moments, with a caption if the number of episodes is given."""
    shape = None
    for moment in moments:
        frame = env.render()
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape[2:] != (3,):
            raise ValueError(
                f"{env} cannot be recorded: with render_mode='rgb_array', its render() must "
                "return an array of shape (height, width, 3) and dtype uint8; it gave "
                f"{describe(frame)}."
            )
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(
                f"{env} cannot be recorded: its frames change their shape from {shape} to "
                f"{frame.shape}."
            )
        if n_episodes is not None:
            words = describe_moment(moment, n_episodes)
            widest = describe_moment(Moment(n_episodes - 1, 1000, -1000.5), n_episodes)
            frame = add_caption(frame, words, widest)
        yield np.ascontiguousarray(frame)


def describe_moment(moment: Moment, n_episodes: int) -> list[str]:
    """Say in words where an episode is."""
    episode, step, total = moment
    return [f"episode {episode + 1} of {n_episodes}", f"step {step}", f"return {total:.5g}"]


def write_mp4(path: Path, frames: Iterator[Frame], fps: float) -> None:
    """Write frames to an MP4 file."""
    from imageio_ffmpeg import write_frames

    # H.264 stores colors for blocks of 2x2 pixels: repeat the last row or column of an odd size.
    even = (np.pad(f, ((0, len(f) % 2), (0, f.shape[1] % 2), (0, 0)), "edge") for f in frames)
    first = next(even)
    height, width, _ = first.shape
    with closing(
        write_frames(path, (width, height), fps=fps, quality=8, macro_block_size=1)
    ) as encoder:
        encoder.send(None)  # start it
        for frame in chain([first], even):
            encoder.send(frame)


def write_gif(path: Path, frames: Iterator[Frame], fps: float) -> None:
    """Write frames to a GIF file that loops indefinitely."""
    from PIL import Image

    images = (Image.fromarray(frame) for frame in frames)
    next(images).save(
        path,
        save_all=True,
        append_images=images,
        duration=max(20, round(1000 / fps)),  # milliseconds
        loop=0,
    )


class Picture(gymnasium.Env[Any, Any]):
    """Stands for an environment in `HumanRendering`, and renders the frame given."""

    render_mode = "rgb_array"
    frame: Frame

    def __init__(self, fps: float) -> None:
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Do nothing."""
        return None, {}

    def render(self) -> Any:
        """Give the frame."""
        return self.frame


def show_in_window(pictures: Iterator[Frame], fps: float) -> None:
    """Show frames in a window."""
    picture = Picture(fps)
    with HumanRendering(picture) as window:
        for picture.frame in pictures:
            window.reset()  # draws it, and waits until the next one is due
        # Show the last frame as long as the others before the window closes.
        time.sleep(1 / fps)


WRITERS = {".mp4": write_mp4, ".gif": write_gif}
