"""Pictures of small worlds: numbered cells, the links between them, and the agent."""

import math
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

Point = tuple[float, float]


class Colors(NamedTuple):
    """The colors of a disc."""

    fill: str
    edge: str
    label: str


BACKGROUND, TRACK = "#ffffff", "#c3cad3"
CELL = Colors(fill="#eef1f5", edge="#9aa5b1", label="#3e4c59")
GOAL = Colors(fill="#d3f2df", edge="#2f9e5b", label="#3e4c59")
END = Colors(fill="#52606d", edge="#323f4b", label="#ffffff")
AGENT = Colors(fill="#f26a1b", edge="#b8480b", label="#ffffff")

MAX_RADIUS, CAPTION_HEIGHT = 32.0, 15  # in pixels

# Everything is drawn this many times larger and then reduced, to smooth the edges.
OVERSAMPLING = 4


def draw_world(
    size: tuple[int, int],
    positions: Mapping[int, Point],
    links: Collection[tuple[int, int]],
    ends: Collection[int],
    agent: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw numbered cells, with the goal at 0, and the agent as a filled disc.

    Parameters
    ----------
    size : (int, int)
        Width and height of the picture, in pixels.
    positions : mapping of int to (float, float)
        The centre of each number's cell, in pixels from the left and from the top.
    links : collection of (int, int)
        Pairs of numbers to connect by a line.
    ends : collection of int
        Terminal states.
    agent : int
        The agent's state.

    Returns
    -------
    ndarray of shape (height, width, 3) and dtype uint8
        The picture.
    """
    canvas = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    centres = {s: (x * OVERSAMPLING, y * OVERSAMPLING) for s, (x, y) in positions.items()}
    radius = min(0.4 * math.dist(centres[0], centres[1]), MAX_RADIUS * OVERSAMPLING)
    label_font = ImageFont.load_default(0.8 * radius)
    caption_font = ImageFont.load_default(CAPTION_HEIGHT * OVERSAMPLING)

    def disc(centre: Point, radius: float, colors: Colors) -> None:
        draw.circle(centre, radius, colors.fill, colors.edge, width=round(0.08 * radius))

    for a, b in links:
        draw.line((centres[a], centres[b]), TRACK, width=round(0.14 * radius))
    for number, (x, y) in centres.items():
        colors, caption = CELL, ""
        if number == 0:
            colors, caption = GOAL, "goal"
        elif number in ends:
            colors, caption = END, "end"
        disc((x, y), radius, colors)
        draw.text((x, y + 1.25 * radius), caption, colors.edge, caption_font, anchor="mt")
        if number == agent:
            colors = AGENT
            disc((x, y), 0.76 * radius, colors)
        draw.text((x, y), f"{number}", colors.label, label_font, anchor="mm")
    return np.array(canvas.reduce(OVERSAMPLING))
