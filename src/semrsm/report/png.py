"""Figures as PNG files, in the colours of a page."""

from __future__ import annotations

import io
import struct
from typing import Any

from ..errors import InputError, require

#: The largest number of pixels along the longer side of a figure.
MAX_SIDE = 3200

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CSS_PIXELS = 96  # an inch, in the units of a web page

# The colours of the page, for figures that are drawn for it. Their background is left transparent.
_INK = {"light": "#1f2328", "dark": "#e3e6ea"}


def whole_figure(drawn: Any) -> Any:
    """Return the figure of axes, and a figure itself."""
    return getattr(drawn, "figure", drawn)


def figure_to_png(figure: Any, dpi: float = 192.0, *, max_side: int = MAX_SIDE) -> bytes:
    """Render a figure as a PNG file with a transparent margin.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or matplotlib.axes.Axes
        The figure, or axes in it; it is left as it was, and open.
    dpi : float
        Pixels per inch; 192 is sharp on dense screens too.
    max_side : int
        Pixels along the longer side, at most: larger figures are rendered with fewer per inch.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If `dpi` or `max_side` is not positive, or `figure` is not a figure.
    """
    figure = whole_figure(figure)
    if not hasattr(figure, "savefig"):
        raise InputError(f"figure: expected a matplotlib figure; got {type(figure).__name__}")
    if not (dpi > 0 and max_side > 0):
        raise InputError(f"dpi, max_side: expected numbers > 0; got {dpi} and {max_side}")
    longest = max(figure.get_size_inches())
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=min(dpi, max_side / longest),
        facecolor="none",
        metadata={"Software": None},
    )
    return buffer.getvalue()


def drawn_png(draw: Any, scheme: str) -> bytes:
    """Draw a figure in the colours of the page, and leave the user's settings unchanged."""
    matplotlib = require("matplotlib", extra="plot", purpose="A report with figures")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    colours = dict.fromkeys(inks, _INK[scheme])
    with matplotlib.rc_context({**colours, "axes.facecolor": "none"}):
        figure = whole_figure(draw())
        png = figure_to_png(figure)
    require("matplotlib.pyplot", extra="plot", purpose="A report").close(figure)
    return png


def pixels_per_inch(png: bytes) -> float:
    """Return the resolution that a PNG file declares, 96 where it does not."""
    place = png.find(b"pHYs", 0, 4096)
    if place < 0:
        return CSS_PIXELS
    per_metre, _, unit = struct.unpack(">IIB", png[place + 4 : place + 13])
    return per_metre * 0.0254 if unit == 1 and per_metre > 0 else CSS_PIXELS
