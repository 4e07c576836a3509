"""What all displays share: colours, axes to draw on, and the import of matplotlib on use."""

from typing import Any

# The palette of Okabe and Ito, which people with any kind of colour blindness can tell apart
# (https://jfly.uni-koeln.de/color/). Its black and its yellow are left out: they vanish on a dark
# and on a white background. The others are visible on both, the first four with a contrast of at
# least 3. So displays can follow the user's matplotlib style, and draw on axes of any colour. A
# new figure has the background of the style. By default it is opaque and white, with dark text,
# which is readable in a dark notebook as well.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")

# For reference lines, such as thresholds.
GREY = "#888888"


def pyplot() -> Any:
    """Import `matplotlib.pyplot`.

    Returns
    -------
    module

    Raises
    ------
    ValueError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ValueError("Displays need matplotlib: pip install 'skrl-toolkit[plot]'.") from error
    return plt


def axes_or_new(ax: Any = None) -> Any:
    """Give the axes to draw on: `ax`, or those of a new figure if it is None.

    Parameters
    ----------
    ax : matplotlib.axes.Axes or None
        What the user gave.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    _, ax = pyplot().subplots(layout="constrained")
    return ax


def next_color(ax: Any) -> str:
    """Give the first color of `COLORS` that no line on the axes has, so that curves can overlay.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Where a line will be drawn.

    Returns
    -------
    str
        The first color if all are taken.
    """
    taken = {line.get_color() for line in ax.lines}
    return next((color for color in COLORS if color not in taken), COLORS[0])


def label_steps(ax: Any) -> None:
    """Label an x axis that counts environment steps.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Its x axis is labelled.
    """
    ax.set_xlabel("environment steps")
    ax.xaxis.set_major_formatter("{x:,.0f}")
