"""Contributions of locations drawn over photographs, and the distances of partners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require
from .common import (
    MEDIUM,
    SMALL,
    add_scale,
    matcher_words,
    new_figure,
    numbers,
    panel_grid,
    row_name,
)
from .overlay import faded, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

#: Colours from no contribution to the largest one, and of negative contributions.
HEAT, COLD = ("#ffe08a", "#fb9a3c", "#dd3b2a", "#7d0a3a"), ("#a9cdf0", "#3f8fd2", "#173f7a")

#: Colours of the share of locations, the share of similarity, and chance.
LOCATIONS, SIMILARITY, RANDOM = "#8f9aa6", "#dd3b2a", "#3f8fd2"

#: A scale ends here: one or two locations that give far more would leave the others pale.
_CLIP = 0.99

#: The approximate number of bins of a histogram of displacements.
_BINS = 14


@dataclass(frozen=True, eq=False)
class ContributionPanel:
    """One panel of :func:`plot_contributions`.

    Attributes
    ----------
    values : ndarray, shape (H, W), optional
        The contributions of the locations; without them the image is shown as it is.
    heading : str
        The heading of the column; that of the first row counts.
    caption : str
        The text below the panel.
    image : PIL.Image.Image or array-like of uint8, shape (H', W', 3), optional
        The image as the network saw it: the grid covers all of it.
    """

    values: NDArray[np.float64] | None = None
    heading: str = ""
    caption: str = ""
    image: Any = None


@dataclass(frozen=True, eq=False)
class DisplacementPanel:
    """One panel of :func:`plot_displacements`: distances of partners from the same location.

    Attributes
    ----------
    distances : ndarray, shape (M,)
        Of M matched locations, in cells.
    similarity : ndarray, shape (M,)
        Their contributions; negative ones do not count.
    random : (ndarray, ndarray), shapes (R,)
        The distances, in cells, that a random permutation has, and their probabilities.
    width : int
        Columns of the grid.
    """

    distances: NDArray[np.float64]
    similarity: NDArray[np.float64]
    random: tuple[NDArray[np.float64], NDArray[np.float64]]
    width: int


def plot_contribution(
    values: ArrayLike,
    *,
    image: Any = None,
    ax: Axes | None = None,
    limits: tuple[float, float] | None = None,
    colorbar: bool = True,
    title: str | None = None,
) -> Axes:
    """Draw the contribution of each location to a similarity, over the image if there is one.

    Parameters
    ----------
    values : array-like, shape (H, W)
        The contributions; they sum to the similarity.
    image : PIL.Image.Image or array-like of uint8, shape (H', W', 3), optional
        The image as the network saw it, drawn in pale grey: the grid covers all of it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    limits : (float, float), optional
        The ends of the colour scale, the first one <= 0 and the second one >= 0; by default around
        all but the one per cent of the values that lie furthest from 0.
    colorbar : bool
        Whether to add the scale.
    title : str, optional
        The title; none by default.

    Returns
    -------
    matplotlib.axes.Axes
        Larger contributions are painted more strongly; negative ones are blue.

    Raises
    ------
    InputError
        If the values are not finite or not a grid, or the image or the limits cannot be used.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> ax = plot_contribution(np.full((4, 4), 1 / 16), ax=Figure().subplots(), title="even")
    >>> ax.get_title()
    'even'
    """
    grid = _grid(values, "values")
    picture = None if image is None else picture_of(image, "image")
    low, high = _limits([grid]) if limits is None else _checked_limits(limits)
    if ax is None:
        ax = new_figure(4.2, 3.6).add_subplot()
    drawn = _draw(ax, grid, picture, low, high)
    if title:
        ax.set_title(title, fontsize=MEDIUM, parse_math=False)
    if colorbar:
        add_scale(ax.figure, drawn, ax, _WORDS, extend=_beyond([grid], low, high), shrink=0.9)
    return ax


def plot_contributions(
    rows: Sequence[tuple[str, Sequence[ContributionPanel]]],
    *,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw :func:`plot_contribution` for several pairs of images, or several layers of one pair.

    Parameters
    ----------
    rows : sequence of (str, sequence of ContributionPanel)
        A name for each row, which may be empty, and its panels, which share one scale. All rows
        have the same number of panels.
    title : str, optional
        The title of the figure; none by default.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw, rows differ in their number of panels, or a panel cannot be
        drawn.
    MissingDependencyError
        If matplotlib is not installed.
    """
    counts = sorted({len(panels) for _, panels in rows})
    if not counts or counts[0] == 0:
        raise InputError("rows: expected at least one row, and in each at least one panel")
    if len(counts) > 1:
        raise InputError(f"rows: expected one number of panels in all rows; got {counts}")
    checked = [
        [_checked_panel(panel, f"rows[{r}][{p}]") for p, panel in enumerate(panels)]
        for r, (_, panels) in enumerate(rows)
    ]
    for r, row in enumerate(checked):
        if all(grid is None for grid, _ in row):
            raise InputError(f"rows[{r}]: expected at least one panel with values; got none")
    if figure is None:
        figure = new_figure(2.1 * counts[0] + 1.3, 2.35 * len(rows) + 0.4)
        figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.05)
    axes = panel_grid(figure, len(rows), counts[0])
    for r, (name, panels) in enumerate(rows):
        grids = [grid for grid, _ in checked[r] if grid is not None]
        low, high = _limits(grids)
        scaled: Any = None
        for ax, panel, (grid, picture) in zip(axes[r], panels, checked[r], strict=True):
            scaled = _draw(ax, grid, picture, low, high) or scaled
            ax.set_xlabel(panel.caption, fontsize=SMALL, labelpad=4, parse_math=False)
            if r == 0:
                ax.set_title(panel.heading, fontsize=MEDIUM, parse_math=False)
        row_name(axes[r, 0], name)
        beyond = _beyond(grids, low, high)
        add_scale(figure, scaled, list(axes[r]), _WORDS, extend=beyond, shrink=0.85)
    if title:
        figure.suptitle(title, fontsize=MEDIUM, parse_math=False)
    return figure


def plot_displacements(
    panels: Mapping[tuple[str, str], DisplacementPanel], *, figure: Figure | None = None
) -> Figure:
    """Draw the distances of partners from the same location, against a random permutation.

    Parameters
    ----------
    panels : mapping of (str, str) to DisplacementPanel
        By layer and matcher: a row for each layer and a column for each matcher.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure
        Bars: the share of locations; solid line: their share of the positive similarity; dashed
        line: the share of locations under a uniformly random permutation. A bar is a cell wide, or
        several cells on fine grids.

    Raises
    ------
    InputError
        If there is nothing to draw, a layer lacks a matcher, or arrays of a panel do not fit each
        other.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if not panels:
        raise InputError("panels: expected at least one layer and matcher; got none")
    layers = list(dict.fromkeys(layer for layer, _ in panels))
    matchers = list(dict.fromkeys(matcher for _, matcher in panels))
    for layer in layers:
        for matcher in matchers:
            if (layer, matcher) not in panels:
                raise InputError(
                    f"panels: expected every matcher at every layer; {(layer, matcher)} is missing"
                )
    for key, panel in panels.items():
        shapes = [np.shape(panel.distances), np.shape(panel.similarity)]
        if shapes[0] != shapes[1] or len(shapes[0]) != 1 or not np.size(panel.distances):
            raise InputError(
                f"panels[{key!r}]: expected distances and similarity of one shape (M,); got "
                f"{shapes[0]} and {shapes[1]}"
            )
    if figure is None:
        figure = new_figure(4.8 * len(matchers) + 1.2, 1.45 * len(layers) + 0.95)
        figure.set_layout_engine("constrained", wspace=0.07)
    axes = panel_grid(figure, len(layers), len(matchers))
    ends = []
    for i, layer in enumerate(layers):
        for j, matcher in enumerate(matchers):
            ends.append(_draw_displacements(axes[i, j], panels[layer, matcher]))
            if i == 0:
                axes[i, j].set_title(matcher_words(matcher), fontsize=MEDIUM, loc="left")
            if i == len(layers) - 1:
                words = "distance from the same location, in widths of the grid"
                axes[i, j].set_xlabel(words, fontsize=MEDIUM)
            else:
                axes[i, j].tick_params(labelbottom=False)
        top = max(ax.get_ylim()[1] for ax in axes[i])
        for ax in axes[i]:
            ax.set_ylim(0.0, top)
        row_name(axes[i, 0], layer)
    for ax in axes.flat:
        ax.set_xlim(min(first for first, _ in ends), max(last for _, last in ends))
    handles, names = axes[0, 0].get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "outside upper center", "ncols": 3, "frameon": False}
    figure.legend(handles, names, fontsize=MEDIUM, **place)
    return figure


_WORDS = "contribution to the cosine"


def _draw(
    ax: Axes,
    grid: NDArray[np.float64] | None,
    picture: NDArray[np.uint8] | None,
    low: float,
    high: float,
) -> Any:
    """Draw a grid, a picture or both, and return the artist that carries the scale, if any."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(visible=picture is None, edgecolor=LOCATIONS, linewidth=0.8)
    if grid is None:
        if picture is not None:
            ax.imshow(picture, interpolation="antialiased")
        return None
    # One unit is a pixel of the picture, or a cell of the grid where there is none.
    height, width = grid.shape if picture is None else picture.shape[:2]
    extent = (0.0, float(width), float(height), 0.0)
    if picture is not None:
        ax.imshow(faded(picture), extent=extent, interpolation="antialiased")
    return ax.imshow(
        grid, cmap=_colours(low, high), vmin=low, vmax=high, extent=extent, interpolation="nearest"
    )


def _colours(low: float, high: float) -> Any:
    """Return colours for a scale, transparent at 0, so that equal amounts are equally strong."""
    colors = require("matplotlib.colors", extra="plot", purpose="Plotting")
    values = np.linspace(low, high, 512)
    strength = np.abs(values) / max(-low, high)
    ramps = [colors.LinearSegmentedColormap.from_list("ramp", r)(strength) for r in (COLD, HEAT)]
    found = np.where((values >= 0)[:, None], ramps[1], ramps[0])
    found[:, 3] = 0.85 * strength**0.7
    return colors.ListedColormap(found)


def _limits(grids: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    values = np.concatenate([grid.ravel() for grid in grids])
    end = float(np.quantile(np.abs(values), _CLIP)) or float(np.abs(values).max()) or 1.0
    return max(-end, min(0.0, float(values.min()))), min(end, max(0.0, float(values.max()))) or end


def _checked_limits(limits: tuple[float, float]) -> tuple[float, float]:
    if len(limits) != 2 or not (-np.inf < limits[0] <= 0 <= limits[1] < np.inf):
        raise InputError(f"limits: expected two finite numbers around 0; got {limits!r}")
    if limits[0] == limits[1]:
        raise InputError(f"limits: expected two different numbers; got {limits!r}")
    return float(limits[0]), float(limits[1])


def _beyond(grids: Sequence[NDArray[np.float64]], low: float, high: float) -> str:
    """Return the ends of the scale that values exceed."""
    below = any(grid.min() < low for grid in grids)
    above = any(grid.max() > high for grid in grids)
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get(
        (below, above), "neither"
    )


def _checked_panel(
    panel: ContributionPanel, name: str
) -> tuple[NDArray[np.float64] | None, NDArray[np.uint8] | None]:
    if panel.values is None and panel.image is None:
        raise InputError(f"{name}: expected values, an image, or both; got neither")
    return (
        None if panel.values is None else _grid(panel.values, f"{name}.values"),
        None if panel.image is None else picture_of(panel.image, f"{name}.image"),
    )


def _grid(values: ArrayLike, name: str) -> NDArray[np.float64]:
    grid: NDArray[np.float64] = numbers(values, name, np.float64)
    if grid.ndim != 2 or grid.size == 0:
        raise InputError(f"{name}: expected a grid, shape (H, W); got shape {grid.shape}")
    bad = int(np.count_nonzero(~np.isfinite(grid)))
    if bad:
        raise InputError(f"{name}: expected finite values; {bad} of {grid.size} are not")
    return grid


def _draw_displacements(ax: Axes, panel: DisplacementPanel) -> tuple[float, float]:
    """Draw one panel and return where its bars begin and end."""
    step = max(1, round(panel.width / _BINS))
    longest = max(float(panel.random[0].max()), float(panel.distances.max()))
    # Bins are centred on whole numbers of cells, at which most distances lie.
    edges = np.arange(-0.5, longest + step + 0.5, step)
    weights = np.maximum(panel.similarity, 0.0)

    def shares(distances: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights.sum() or 1.0
        found: NDArray[np.float64] = np.histogram(distances, edges, weights=weights)[0] / total
        return found

    even = np.ones(len(panel.distances))
    places = edges / panel.width
    bars = ax.stairs(shares(panel.distances, even), places, fill=True, label="share of locations")
    bars.set(facecolor=f"{LOCATIONS}66", edgecolor="none")
    lines: dict[str, Any] = {"baseline": None}
    ax.stairs(
        shares(panel.distances, weights),
        places,
        color=SIMILARITY,
        linewidth=1.5,
        label="share of similarity",
        **lines,
    )
    ax.stairs(
        shares(*panel.random),
        places,
        color=RANDOM,
        linewidth=1.4,
        linestyle=(0, (4, 2)),
        label="random permutation",
        **lines,
    )
    ax.set_ylim(bottom=0.0)
    ticker = require("matplotlib.ticker", extra="plot", purpose="Plotting")
    ax.yaxis.set_major_formatter(ticker.PercentFormatter(1.0, decimals=0))
    ax.yaxis.set_major_locator(ticker.MaxNLocator(3))
    ax.spines[["right", "top"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=3)
    return float(places[0]), float(places[-1])
