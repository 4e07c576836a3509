import re
import subprocess
import sys
import types
from itertools import pairwise

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest
from gymnasium.error import DependencyNotInstalled
from PIL import Image

from skrl import GymEnvironment
from skrl.environments.pictures import add_caption, tile
from skrl.environments.recording import animate, film, record_video
from skrl.environments.worlds import CircularWorld, IntervalWorld

LEFT, STAY, RIGHT = 0, 1, 2


class Recordable:
    """A stand-in for GymEnvironment that remembers which environments it made."""

    def __init__(self, make):
        self.make = make
        self.made = []

    def make_single(self, render_mode):
        self.made.append(self.make(render_mode))
        return self.made[-1]


class Always:
    """Always takes the same action, and remembers the observations it has been asked about."""

    def __init__(self, action):
        self.action = action
        self.observations = []

    def predict(self, observation):
        self.observations.append(observation)
        return self.action


class Pixels(gymnasium.Env):
    """Its observation and its picture are the number of steps taken; an episode is 3 steps."""

    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)
    shape = (20, 30)
    error_at = None
    closed = False

    def __init__(self, render_mode="rgb_array"):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_steps = 0
        return 0, {}

    def step(self, action):
        self.n_steps += 1
        return self.n_steps, 0.0, self.n_steps == 3, False, {}

    def render(self):
        if self.n_steps == self.error_at:
            raise ZeroDivisionError
        return np.full((*self.shape, 3), 60 * self.n_steps, np.uint8)

    def close(self):
        self.closed = True


def pixels(**attributes):
    return Recordable(type("Pixels", (Pixels,), attributes))


@pytest.fixture(autouse=True)
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.setenv(name, "")  # so that it gets back its old value after the test
        monkeypatch.delenv(name)
    monkeypatch.setattr("sys.platform", "linux")


@pytest.fixture
def no_window(monkeypatch):
    pygame = pytest.importorskip("pygame")

    def set_mode(*args, **kwargs):
        raise AssertionError("a window was opened")

    monkeypatch.setattr(pygame.display, "set_mode", set_mode)


def decode(path):
    """All frames of a video, and how many seconds they take."""
    if path.suffix == ".gif":
        with Image.open(path) as image:
            frames, milliseconds = [], 0
            for i in range(image.n_frames):
                image.seek(i)
                frames.append(np.array(image.convert("RGB")))
                milliseconds += image.info["duration"]
        return np.array(frames), milliseconds / 1000
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    run = subprocess.run(
        [ffmpeg, "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    )
    # Such as: Video: h264 (High) (avc1 / 0x31637661), yuv420p(progressive), 400x400, ..., 4 fps
    stream = re.search(r"Video: h264 .*yuv420p.* (\d+)x(\d+),.* ([\d.]+) fps", run.stderr.decode())
    width, height, fps = int(stream[1]), int(stream[2]), float(stream[3])
    frames = np.frombuffer(run.stdout, np.uint8).reshape(-1, height, width, 3)
    return frames, len(frames) / fps


def where_is_the_agent(frame, world):
    """The integer at which most of the agent's color is: much red, little blue."""
    pixels = frame.astype(int)
    rows, columns = np.nonzero(pixels[:, :, 0] - pixels[:, :, 2] > 120)
    centre = np.array([columns.mean(), rows.mean()])
    distances = {s: np.linalg.norm(centre - world.position(s)) for s in world.states}
    return min(distances, key=distances.get)


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".MP4"])
def test_a_video_shows_every_state_of_the_episode(tmp_path, suffix):
    """Also the last one, at the end of the line, which an automatic reset would hide."""
    environment = Recordable(lambda mode: IntervalWorld(n=6, render_mode=mode))
    agent = Always(RIGHT)
    path = record_video(environment, agent, tmp_path / f"episode{suffix}", seed=3)

    assert path == tmp_path / f"episode{suffix}"
    frames, seconds = decode(path)
    assert frames.shape[1:] == (120, 640, 3)
    shown = [where_is_the_agent(f, IntervalWorld(n=6)) for f in frames]
    assert shown == list(range(shown[0], 7))
    assert len(shown) > 2
    # The agent was asked about each state but the last.
    assert agent.observations == shown[:-1]
    assert seconds == pytest.approx(len(frames) / 4, abs=0.02)  # 4 is the world's render_fps
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_episodes_follow_each_other_and_max_steps_cuts_each(tmp_path):
    environment = pixels()
    record_video(environment, None, tmp_path / "a.mp4", n_episodes=2)
    record_video(environment, None, tmp_path / "b.mp4", n_episodes=2, max_steps=2)
    for name, brightness in (
        ("a.mp4", [0, 60, 120, 180, 0, 60, 120, 180]),
        ("b.mp4", [0, 60, 120, 0, 60, 120]),
    ):
        frames, _ = decode(tmp_path / name)
        assert frames.mean(axis=(1, 2, 3)) == pytest.approx(brightness, abs=4)


@pytest.mark.parametrize(("fps", "expected"), [(None, 30), (5, 5), (12.5, 12.5)])
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_frames_per_second(tmp_path, fps, expected, suffix):
    path = record_video(pixels(), None, tmp_path / f"a{suffix}", fps=fps)
    frames, seconds = decode(path)
    # The moments of a GIF are multiples of 10 ms.
    assert seconds / len(frames) == pytest.approx(1 / expected, abs=0.006)


def test_odd_sizes_are_made_even_without_rescaling(tmp_path):
    """H.264 needs even sizes; a checkerboard would turn grey if it were rescaled."""
    board = (np.indices((21, 31)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = np.repeat(board[:, :, np.newaxis], 3, axis=2)
    environment = pixels(render=lambda self: picture)
    frames, _ = decode(record_video(environment, None, tmp_path / "a.mp4"))
    assert frames.shape == (4, 22, 32, 3)
    assert np.abs(frames[-1, :21, :31].astype(int) - picture).max() < 40


def test_the_seed_repeats_the_recording(tmp_path):
    environment = Recordable(lambda mode: CircularWorld(render_mode=mode))

    def recorded(seed):
        path = record_video(environment, None, tmp_path / "a.gif", max_steps=6, seed=seed)
        return path.read_bytes()

    assert recorded(1) == recorded(1)
    assert recorded(1) != recorded(2)


def test_only_the_first_episode_is_seeded(tmp_path):
    """Else all episodes would be the same."""
    environment = Recordable(lambda mode: CircularWorld(n=30, render_mode=mode))
    agent = Always(STAY)
    record_video(environment, agent, tmp_path / "a.mp4", n_episodes=4, max_steps=1, seed=0)
    assert len(set(agent.observations)) > 1


@pytest.mark.parametrize("name", ["CartPole-v1", "FrozenLake-v1"])
def test_gymnasium_environments_need_no_screen(tmp_path, name, no_window, capfd):
    environment = Recordable(lambda mode: gymnasium.make(name, render_mode=mode))
    path = record_video(environment, None, tmp_path / "a.mp4", max_steps=2, seed=0)
    frames, _ = decode(path)
    assert len(frames) == 3
    assert any((a != b).any() for a, b in pairwise(frames))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "env",
    [
        "CartPole-v1",
        gymnasium.spec("CartPole-v1"),
        lambda: gymnasium.make("CartPole-v1", render_mode="rgb_array"),
        lambda: gymnasium.make_vec("CartPole-v1", 3),
        ["CartPole-v1", "CartPole-v1"],
    ],
)
def test_whatever_a_gym_environment_holds_can_be_recorded(tmp_path, env):
    """Of many side by side the first; a live vector environment by its spec."""
    if callable(env) and isinstance(made := env(), gymnasium.vector.VectorEnv):
        env = made
    environment = GymEnvironment(env)
    path = environment.record_video(Always(0), tmp_path / "a.mp4", max_steps=3, seed=0)
    frames, _ = decode(path)
    assert frames.shape == (4, 400, 600, 3)
    assert (frames[0] != frames[-1]).any()


def test_unknown_kinds_of_file_and_missing_folders_are_refused(tmp_path):
    environment = pixels()
    for name in ("episode.avi", "episode"):
        with pytest.raises(ValueError, match=rf"\.mp4 or \.gif, got .*{name}"):
            record_video(environment, None, tmp_path / name)
    with pytest.raises(ValueError, match=r"no folder .*missing"):
        record_video(environment, None, tmp_path / "missing" / "episode.mp4")
    assert environment.made == []


@pytest.mark.parametrize(
    ("argument", "value"),
    [("n_episodes", 0), ("max_steps", 0), ("fps", 0), ("fps", -1.0), ("n_columns", 0)],
)
def test_numbers_out_of_range_are_refused(tmp_path, argument, value):
    with pytest.raises(ValueError, match=f"{argument} must be .* got {value}"):
        record_video(pixels(), None, tmp_path / "a.mp4", **{argument: value})
    with pytest.raises(ValueError, match=f"{argument} must be .* got {value}"):
        animate(pixels(), None, **{argument: value})


def test_what_cannot_predict_is_refused(tmp_path):
    with pytest.raises(TypeError, match="predict"):
        record_video(pixels(), lambda states: states, tmp_path / "a.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
@pytest.mark.parametrize("error_at", [0, 2])
def test_an_error_leaves_nothing_behind(tmp_path, suffix, error_at):
    environment = pixels(error_at=error_at)
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ZeroDivisionError):
        record_video(environment, None, path)
    assert list(tmp_path.iterdir()) == []
    assert environment.made[-1].closed

    path.write_text("an earlier video")
    with pytest.raises(ZeroDivisionError):
        record_video(environment, None, path)
    assert path.read_text() == "an earlier video"
    assert list(tmp_path.iterdir()) == [path]


def test_the_environment_is_closed_after_recording(tmp_path):
    environment = pixels()
    record_video(environment, None, tmp_path / "a.mp4")
    assert environment.made[-1].closed


@pytest.mark.parametrize(
    "picture", [None, "[0] 1", np.zeros((3, 3)), np.zeros((3, 3, 4), np.uint8)]
)
def test_what_is_no_picture_is_refused(tmp_path, picture):
    with pytest.raises(ValueError, match=r"\(height, width, 3\).*it gave") as caught:
        record_video(pixels(render=lambda self: picture), None, tmp_path / "a.mp4")
    assert ("shape (3, 3" in str(caught.value)) == isinstance(picture, np.ndarray)


def test_pictures_must_keep_their_size(tmp_path):
    def render(self):
        return np.zeros((4 + self.n_steps, 4, 3), np.uint8)

    with pytest.raises(ValueError, match=r"from \(4, 4, 3\) to \(5, 4, 3\)"):
        record_video(pixels(render=render), None, tmp_path / "a.mp4")


def test_a_missing_package_is_named(tmp_path):
    def render(self):
        raise DependencyNotInstalled('pygame is not installed, run `pip install "gymnasium[x]"`')

    with pytest.raises(ValueError, match=r"pip install \"gymnasium\[x\]\""):
        record_video(pixels(render=render), None, tmp_path / "a.mp4")


def test_animate_without_notebook_or_screen_says_what_to_do():
    with pytest.raises(ValueError, match="record_video"):
        animate(pixels(), None)


def test_animate_shows_a_video_in_a_notebook(monkeypatch, no_window):
    shown = []
    notebook = types.ModuleType("IPython")
    notebook.get_ipython = lambda: types.SimpleNamespace(kernel=None)
    notebook.display = types.ModuleType("IPython.display")
    notebook.display.Video = lambda data, **options: (data, options)
    notebook.display.display = shown.append
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", notebook.display)

    animate(pixels(), None)
    [(data, options)] = shown
    assert data[4:8] == b"ftyp"  # an MP4 file
    assert options["embed"]
    assert options["mimetype"] == "video/mp4"


def test_a_notebook_s_video_is_embedded_by_ipython(monkeypatch):
    ipython = pytest.importorskip("IPython")
    display = pytest.importorskip("IPython.display")
    shown = []
    monkeypatch.setattr(ipython, "get_ipython", lambda: types.SimpleNamespace(kernel=None))
    monkeypatch.setattr(display, "display", shown.append)
    animate(pixels(), None)
    assert 'src="data:video/mp4;base64,' in shown[0]._repr_html_()
    assert "autoplay" in shown[0]._repr_html_()


@pytest.mark.parametrize("fps", [None, 50])
def test_animate_plays_in_a_window_where_there_is_a_screen(monkeypatch, fps):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")  # pygame's screen for tests
    shown = []

    def flip():
        shown.append(pygame.surfarray.array3d(pygame.display.get_surface()).mean())

    monkeypatch.setattr(pygame.display, "flip", flip)
    environment = pixels()
    animate(environment, None, n_episodes=2, fps=fps)
    assert shown == [0, 60, 120, 180, 0, 60, 120, 180]
    assert environment.made[0].metadata["render_fps"] == (fps or 30)
    assert environment.made[0].closed
    assert not pygame.display.get_init()


def test_animate_shows_grids_with_captions_in_a_window(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    shown = []

    def flip():
        shown.append(pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1))

    monkeypatch.setattr(pygame.display, "flip", flip)
    environment = pixels(shape=(40, 200))
    options = {"n_episodes": 2, "seed": 0, "caption": True, "n_columns": 2}
    animate(environment, None, fps=50, **options)
    expected = filmed(environment, None, **options)
    np.testing.assert_array_equal(shown, expected)
    assert [made.closed for made in environment.made] == [True] * 4


def filmed(
    environment, agent, *, n_episodes=1, max_steps=None, seed=None, caption=False, n_columns=None
):
    """All frames, before they are compressed."""
    with film(environment, agent, n_episodes, max_steps, None, seed, caption, n_columns) as (
        frames,
        _,
    ):
        return np.array(list(frames))


class Seeded(Pixels):
    """An episode has as many steps as its seed says, and each earns -0.25."""

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.length = 2 if seed is None else seed
        return 0, {}

    def step(self, action):
        self.n_steps += 1
        return self.n_steps, -0.25, self.n_steps == self.length, False, {}


@pytest.mark.parametrize(
    ("n_columns", "shape"), [(1, (3, 1)), (2, (2, 2)), (3, (1, 3)), (9, (1, 3))]
)
def test_a_grid_shows_all_episodes_until_the_last_one_ends(n_columns, shape):
    environment = Recordable(Seeded)
    frames = filmed(environment, None, n_episodes=3, seed=1, n_columns=n_columns)
    rows, columns = shape
    assert frames.shape == (4, 24 * rows - 4, 34 * columns - 4, 3)
    # The seeds 1, 2, 3 are the lengths; the picture is the number of steps.
    for i, brightness in enumerate([[0, 60, 60, 60], [0, 60, 120, 120], [0, 60, 120, 180]]):
        top, left = 24 * (i // columns), 34 * (i % columns)
        cell = frames[:, top : top + 20, left : left + 30]
        assert (cell == np.array(brightness)[:, np.newaxis, np.newaxis, np.newaxis]).all()
    assert (frames[:, 20:24] == 150).all()  # the line below the first row, if there is one


def test_a_recorded_grid_is_the_filmed_one(tmp_path):
    environment = pixels()
    path = record_video(environment, None, tmp_path / "a.gif", n_episodes=4, n_columns=2)
    frames, _ = decode(path)
    np.testing.assert_array_equal(frames, filmed(environment, None, n_episodes=4, n_columns=2))
    assert [made.closed for made in environment.made] == [True] * 8


def test_the_first_episode_of_a_grid_is_the_one_recorded_alone():
    environment = Recordable(lambda mode: CircularWorld(render_mode=mode))
    alone = filmed(environment, None, max_steps=5, seed=3)
    grid = filmed(environment, None, max_steps=5, seed=3, n_episodes=2, n_columns=2)
    np.testing.assert_array_equal(grid[:, :, :400], alone)
    assert (grid[:, :, 404:] != alone).any()


def test_an_error_closes_all_environments_of_a_grid(tmp_path):
    environment = pixels(error_at=2)
    with pytest.raises(ZeroDivisionError):
        record_video(environment, None, tmp_path / "a.mp4", n_episodes=3, n_columns=2)
    assert [made.closed for made in environment.made] == [True] * 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_columns", [None, 2])
def test_captions_say_where_each_episode_is(n_columns):
    """A sequence has the seeds 3, None, a grid 3, 4; without a seed an episode is 2 steps."""
    shape = (60, 320)
    environment = Recordable(type("Seeded", (Seeded,), {"shape": shape}))
    frames = filmed(environment, None, n_episodes=2, seed=3, caption=True, n_columns=n_columns)

    def frame(episode, step):
        words = [f"episode {episode} of 2", f"step {step}", f"return {-step / 4:g}"]
        widest = ["episode 2 of 2", "step 1000", "return -1000.5"]
        return add_caption(np.full((*shape, 3), 60 * step, np.uint8), words, widest)

    if n_columns is None:
        expected = [frame(1, step) for step in range(4)] + [frame(2, step) for step in range(3)]
    else:
        episodes = [[frame(1, min(i, 3)) for i in range(5)], [frame(2, i) for i in range(5)]]
        expected = list(tile([iter(episode) for episode in episodes], 2))
    np.testing.assert_array_equal(frames, expected)


WORDS = ["episode 3 of 4", "step 12", "return 6.5"]
WIDEST = ["episode 4 of 4", "step 1000", "return -1000.5"]


def ink(strip):
    """Which columns of a strip have any ink."""
    return (strip.min(axis=(0, 2)) < 128).nonzero()[0]


@pytest.mark.parametrize(
    ("height", "width", "n_lines"),
    [(84, 84, 3), (160, 160, 3), (256, 256, 1), (400, 600, 1), (1080, 1920, 1), (60, 900, 1)],
)
def test_captions_fit_above_the_frame(height, width, n_lines):
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    captioned = add_caption(picture, WIDEST, WIDEST)
    strip, below = captioned[:-height], captioned[-height:]
    np.testing.assert_array_equal(below, picture)
    assert 0 < ink(strip).min() <= ink(strip).max() < width - 1
    # Lines of text are separated by rows of paper.
    has_ink = np.r_[False, strip.min(axis=(1, 2)) < 128]
    assert (np.diff(has_ink.astype(int)) == 1).sum() == n_lines
    # Letters are not smaller than 9 pixels, nor a strip larger than it has to be.
    assert 9 * 1.5 * n_lines <= len(strip) <= max(24 * 1.5, 0.6 * height)


def test_captions_do_not_jump():
    picture = np.zeros((200, 400, 3), np.uint8)
    few = add_caption(picture, ["episode 1 of 4", "step 1", "return 0"], WIDEST)
    many = add_caption(picture, ["episode 1 of 4", "step 1000", "return 0"], WIDEST)
    assert few.shape == many.shape
    different = (few != many).any(axis=(0, 2)).nonzero()[0]
    assert len(different)
    # Only between the first digit of the step and the return.
    assert different.max() - different.min() < 40


@pytest.mark.parametrize("size", [1, 10, 30])
def test_frames_too_small_for_words_keep_their_width(size):
    assert add_caption(np.zeros((size, size, 3), np.uint8), WORDS, WIDEST).shape[1] == size
