"""Watch an agent: record its episodes to a video file, or play them on the screen.

Both use a fresh Gymnasium environment. They do not disturb a training run, and no automatic reset
hides the last frame of an episode.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.wrappers import HumanRendering
from jaxtyping import UInt8

from skrl.arrays import describe

Frame = UInt8[np.ndarray, "height width 3"]

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
        How many episodes to record.
    max_steps : int or None
        Cut every episode off after this many steps. None plays until it ends.
    fps : float or None
        Frames per second. None stands for the environment's ``metadata["render_fps"]``, or 30.
    seed : int or None
        Seeds the environment and the random actions.

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
    check_arguments(agent, n_episodes, max_steps, fps)
    if not has_screen():
        # pygame looks for a screen even if it only draws to memory, and may fail without one.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

    part = path.with_name(f"{path.stem}.part{path.suffix}")
    try:
        with readable_errors(), make_drawing(environment, fps) as env:
            moments = play(env, agent, n_episodes, max_steps, seed)
            write = WRITERS[path.suffix.lower()]
            write(part, frames(env, moments), float(env.metadata["render_fps"]))
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
) -> None:
    """Play episodes of an agent: as a video in a notebook, in a window elsewhere.

    Parameters
    ----------
    environment : Environment
        Where the agent acts. It is not changed: a fresh environment like it is shown.
    agent : object with a method ``predict(observation) -> action``, or None
        Chooses the actions, such as a `QLearningAgent`. None acts at random.
    n_episodes : int
        How many episodes to play.
    max_steps : int or None
        Cut every episode off after this many steps. None plays until it ends.
    fps : float or None
        Frames per second. None stands for the environment's ``metadata["render_fps"]``, or 30.
    seed : int or None
        Seeds the environment and the random actions.

    Raises
    ------
    ValueError
        If there is neither a notebook nor a screen, a number is out of range, or the environment
        cannot render.
    TypeError
        If the agent has no method `predict`.
    """
    check_arguments(agent, n_episodes, max_steps, fps)
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
            )
            video = path.read_bytes()
        player = ipython.Video(
            video, embed=True, mimetype="video/mp4", html_attributes="controls autoplay loop muted"
        )
        ipython.display(player)
    elif has_screen():
        with (
            readable_errors(),
            make_drawing(environment, fps) as env,
            HumanRendering(env) as window,  # shows every frame after each step
        ):
            for _ in play(window, agent, n_episodes, max_steps, seed):
                pass
            # Show the last frame as long as the others before the window closes.
            time.sleep(1 / window.metadata["render_fps"])
    else:
        raise ValueError(
            "There is neither a notebook nor a screen to show an animation on. Write it to a "
            "file instead: record_video(agent, 'episode.mp4')."
        )


def check_arguments(agent: Any, n_episodes: int, max_steps: int | None, fps: float | None) -> None:
    """Raise an error if an argument is invalid."""
    if agent is not None and not hasattr(agent, "predict"):
        raise TypeError(
            "agent must have a method predict(observation) that returns an action, or be None for "
            f"random actions, got {agent!r}."
        )
    if n_episodes < 1:
        raise ValueError(f"n_episodes must be at least 1, got {n_episodes}.")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps must be at least 1 or None, got {max_steps}.")
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


def make_drawing(environment: Recordable, fps: float | None) -> gymnasium.Env[Any, Any]:
    """Make a fresh environment that renders arrays, with ``metadata["render_fps"]``."""
    env = environment.make_single("rgb_array")
    fps = fps or env.metadata.get("render_fps", DEFAULT_FPS)
    env.metadata = {**env.metadata, "render_fps": fps}
    return env


def play(
    env: gymnasium.Env[Any, Any],
    agent: Actor | None,
    n_episodes: int,
    max_steps: int | None,
    seed: int | None,
) -> Iterator[None]:
    """Play episodes in `env`, and yield after each reset and step."""
    env.action_space.seed(seed)
    for episode in range(n_episodes):
        observation, _ = env.reset(seed=seed if episode == 0 else None)
        yield
        for _ in count() if max_steps is None else range(max_steps):
            action = env.action_space.sample() if agent is None else agent.predict(observation)
            observation, _, terminated, truncated, _ = env.step(action)
            yield
            if terminated or truncated:
                break


def frames(env: gymnasium.Env[Any, Any], moments: Iterator[None]) -> Iterator[Frame]:
    """Render `env` at each of the moments."""
    shape = None
    for _ in moments:
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
        yield np.ascontiguousarray(frame)


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


WRITERS = {".mp4": write_mp4, ".gif": write_gif}
