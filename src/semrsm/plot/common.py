"""What the figures share: sizes, words, new figures, scales."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

SHARES = ("figure", "layer")
BOUNDED = (
    "cosine",
    "rbf",
    "laplacian",
    "rational-quadratic",
)  # kernels whose values compare across layers
TICKS = 24  # more names than this cannot be read
SMALL = 8.0  # points
MEDIUM = 9.5

#: Concept vectors of the layer that is drawn patch by patch, about.
_MIDDLE = 196


def matcher_words(matcher: str) -> str:
    """Return what an RSM of a matcher is called.

    Examples
    --------
    >>> matcher_words("none"), matcher_words("optimal")
    ('spatio-semantic', 'semantic (optimal)')
    """
    return "spatio-semantic" if matcher == "none" else f"semantic ({matcher})"


def middle_layer(sizes: Mapping[str, int | tuple[int, int]]) -> str | None:
    """Choose the layer to draw patch by patch: patches that are small, and not too many to see.

    Parameters
    ----------
    sizes : mapping of str to int or (int, int)
        The number of concept vectors of each layer, or height and width of its grid.

    Returns
    -------
    str or None
        The layer whose number is nearest to 14 x 14, in ratio; None where there is no layer.

    Examples
    --------
    >>> middle_layer({"early": (56, 56), "middle": (14, 14), "late": (7, 7)})
    'middle'
    """
    return min(
        sizes, key=lambda layer: abs(float(np.log(np.prod(sizes[layer]) / _MIDDLE))), default=None
    )


def check_pair(texts: Any, name: str) -> None:
    """Refuse what is not a pair of texts, before anything is drawn."""
    if isinstance(texts, str) or len(texts) != 2:
        raise InputError(f"{name}: expected two texts; got {texts!r}")


def numbers(values: Any, name: str, dtype: Any = None) -> NDArray[Any]:
    """Return `values` as an array, refusing what is none by name."""
    try:
        return np.asarray(values, dtype=dtype)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: expected an array of numbers; {error}") from error


def new_figure(width: float, height: float) -> Figure:
    """Return a new figure of a size in inches."""
    # pyplot, so that a notebook displays it; it is the reader's to close.
    pyplot = require("matplotlib.pyplot", extra="plot", purpose="Plotting")
    figure: Figure = pyplot.figure(figsize=(width, height), layout="constrained")
    return figure


def panel_grid(figure: Figure, rows: int, columns: int) -> NDArray[Any]:
    """Return the axes of a grid of panels, shape (rows, columns)."""
    if figure.get_layout_engine() is None and hasattr(figure, "set_layout_engine"):
        figure.set_layout_engine("constrained")  # a figure has one, a part of a figure has not
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


def resolve_share(share: str | None, kernel: str) -> str:
    """Return which panels have one scale; by default all, where the kernel is bounded."""
    if share is None:
        return "figure" if kernel in BOUNDED else "layer"
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
