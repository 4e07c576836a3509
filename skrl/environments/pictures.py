"""Captions for the frames of a video, and several videos side by side."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Frame = UInt8[np.ndarray, "height width 3"]

# Sizes of letters in pixels; smaller ones cannot be read.
SMALLEST, LARGEST = 9, 24
# Pixels between the cells of a grid.
GAP = 4
INK, PAPER, LINES = (20, 20, 20), (255, 255, 255), (150, 150, 150)


def add_caption(
    frame: Frame, words: Sequence[str], widest: Sequence[str]
) -> UInt8[np.ndarray, "taller width 3"]:
    """Write a caption on a white strip above a frame.

    Parameters
    ----------
    frame : ndarray of shape (height, width, 3), dtype uint8
        The picture. It is not changed.
    words : sequence of str
        The parts of the caption: in one line if that is readable, else in one line each.
    widest : sequence of str
        The widest parts that are expected in the video. Only they and the size of the frame
        decide where each part begins, so that the caption does not jump.

    Returns
    -------
    ndarray of shape (height + height of the strip, width, 3), dtype uint8
    """
    height, width, _ = frame.shape
    layout = _choose_layout(width, height, tuple(widest))
    strip = Image.new("RGB", (width, layout.height), PAPER)
    draw = ImageDraw.Draw(strip)
    for word, position in zip(words, layout.positions, strict=True):
        draw.text(position, word, fill=INK, font=layout.font, anchor="lm")
    return np.concatenate([np.asarray(strip), frame])


def tile(videos: Sequence[Iterator[Frame]], n_columns: int) -> Iterator[Frame]:
    """Show several videos at once, in a grid that is filled row by row.

    Parameters
    ----------
    videos : sequence of iterators of ndarray of shape (height, width, 3), dtype uint8
        The frames of each video. One that has ended keeps its last frame until all have ended.
    n_columns : int
        The number of columns.

    Yields
    ------
    ndarray of shape (height of the grid, width of the grid, 3), dtype uint8
        Cells without a video, and the lines between cells, are grey.
    """
    running = dict(enumerate(videos))
    latest = [next(video) for video in videos]
    while running:
        yield _join(latest, min(n_columns, len(latest)))
        for i, video in list(running.items()):
            frame = next(video, None)
            if frame is None:
                del running[i]
            else:
                latest[i] = frame


def _join(frames: Sequence[Frame], n_columns: int) -> UInt8[np.ndarray, "taller wider 3"]:
    height, width, _ = frames[0].shape
    n_rows = -(-len(frames) // n_columns)
    shape = n_rows * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 3
    grid = np.empty(shape, np.uint8)
    grid[:] = LINES
    for i, frame in enumerate(frames):
        top, left = (height + GAP) * (i // n_columns), (width + GAP) * (i % n_columns)
        grid[top : top + height, left : left + width] = frame
    return grid


class _Layout(NamedTuple):
    """Where each part of a caption begins, in pixels; its middle is meant vertically."""

    font: Any
    positions: list[tuple[float, float]]
    height: int


@lru_cache
def _choose_layout(width: int, height: int, widest: tuple[str, ...]) -> _Layout:
    """Choose one line, unless its letters would have to be much smaller than usual."""
    usual = min(max(height // 20, width // 32, SMALLEST + 3), LARGEST)
    for is_one_line, smallest in ((True, max(usual * 2 // 3, SMALLEST)), (False, SMALLEST)):
        for size in range(usual, smallest - 1, -1):
            font = ImageFont.load_default(size)
            lengths = [font.getlength(word) for word in widest]
            total = sum(lengths) + size * (len(widest) - 1) if is_one_line else max(lengths)
            if total + size <= width:
                return _place(font, size, lengths, (width - total) / 2, is_one_line)
    return _place(font, size, lengths, 0, is_one_line=False)


def _place(font: Any, size: int, lengths: list[float], left: float, is_one_line: bool) -> _Layout:
    line_height = round(1.5 * size)
    if is_one_line:
        begins = np.cumsum([left, *(length + size for length in lengths[:-1])])
        return _Layout(font, [(x, line_height / 2) for x in begins.tolist()], line_height)
    middles = [(i + 0.5) * line_height for i in range(len(lengths))]
    return _Layout(font, [(left, y) for y in middles], line_height * len(lengths))
