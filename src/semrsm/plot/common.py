"""Shared by all figures: sizes, words, new figures, scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require
from ..kernels import resolve_kernel
from ..matching.registry import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHARES = ("figure", "layer")
TICKS = 24  # more names than this cannot be read
SMALL = 8.0  # points
MEDIUM = 9.5


def matcher_words(matcher: str) -> str:
    """Return the words for the RSM of a matcher.

    Examples
    --------
    >>> matcher_words("none"), matcher_words("optimal")
    ('spatio-semantic', 'semantic (optimal)')
    """
    return "spatio-semantic" if matcher == BASELINE else f"semantic ({matcher})"


def check_pair(texts: Any, name: str) -> None:
    """Refuse anything but a pair of texts, before drawing."""
    if isinstance(texts, str) or len(texts) != 2:
        raise InputError(f"{name}: expected two texts; got {texts!r}")


def numbers(values: Any, name: str, dtype: Any = None) -> NDArray[Any]:
    """Return `values` as an array of numbers, or refuse them by name."""
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected an array of numbers; {error}") from error


def new_figure(width: float, height: float) -> Figure:
    """Return a new figure of a size in inches."""
    # pyplot, so that a notebook displays it; the user closes it.
    pyplot = require("matplotlib.pyplot", extra="plot", purpose="Plotting")
    figure: Figure = pyplot.figure(figsize=(width, height), layout="constrained")
    return figure


def panel_grid(figure: Figure, rows: int, columns: int) -> NDArray[Any]:
    """Return the axes of a grid of panels, shape (rows, columns)."""
    if figure.get_layout_engine() is None and hasattr(figure, "set_layout_engine"):
        figure.set_layout_engine("constrained")  # not for a part of a figure
    axes: NDArray[Any] = figure.subplots(rows, columns, squeeze=False)
    return axes


def row_name(ax: Axes, name: str) -> None:
    """Write the name of a row of panels at its left."""
    look: dict[str, Any] = {"fontsize": MEDIUM, "fontweight": "bold", "labelpad": 9}
    ax.set_ylabel(shortened(name, 32), parse_math=False, **look)


def add_scale(figure: Any, image: Any, axes: Any, text: str, **options: Any) -> None:
    """Add the colour scale of `image` beside `axes`."""
    bar = figure.colorbar(image, ax=axes, aspect=22, pad=0.02, **options)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=SMALL, length=2)
    bar.ax.yaxis.get_offset_text().set_fontsize(SMALL)
    bar.set_label(text, fontsize=SMALL)


def is_bounded(kernel: str) -> bool:
    """Return whether the values of a kernel are bounded, by its label; False if it is unknown.

    Examples
    --------
    >>> is_bounded("rbf:sigma=2.0"), is_bounded("linear")
    (True, False)
    """
    try:
        return resolve_kernel(kernel).is_bounded
    except InputError:  # a user's kernel of which only the label is known
        return False


def resolve_share(share: str | None, kernel: str | None) -> str:
    """Return which panels share a scale; by default all, if the kernel is bounded."""
    if share is None:
        return "figure" if not kernel or is_bounded(kernel) else "layer"
    if share not in SHARES:
        raise InputError(
            f"share: expected one of {', '.join(SHARES)}; got {share!r}."
            f"{did_you_mean(str(share), SHARES)}"
        )
    return share


def widened(low: float, high: float) -> tuple[float, float]:
    """Return limits with room between them, also for constant values of any size."""
    return (
        (low, high) if low < high else (low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1))
    )


def shortened(name: str, limit: int = 24) -> str:
    """Return `name` with its middle left out where it is long: file names differ at their ends."""
    if len(name) <= limit:
        return name
    half = (limit - 1) // 2
    return f"{name[: limit - 1 - half]}…{name[-half:]}"
