"""The overlay of one match: the partner and the contribution of each patch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import whole_number
from ..errors import InputError, did_you_mean, require
from .common import MEDIUM, TICKS, check_pair, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ..matching.pair import Match

BACKGROUNDS = ("faded", "photo", "none")

#: The colour of patches that a mask leaves out: grey, and nearly opaque.
LEFT_OUT = (0.5, 0.5, 0.5, 0.8)


def plot_match(
    image_a: Any,
    image_b: Any,
    match: Match,
    grid_a: tuple[int, int],
    grid_b: tuple[int, int],
    *,
    kept: tuple[Any, Any] = (None, None),
    ax: Axes | None = None,
    top: int = 12,
    background: str = "faded",
    names: tuple[str, str] = ("A", "B"),
    title: str | None = None,
) -> Axes:
    """Draw two images side by side, with the partner of each patch.

    A patch of A has a colour by its place, and its partner in B has the same colour, which is
    stronger for a larger share of the similarity. Lines join the strongest pairs. Patches without a
    partner or a positive contribution are not painted.

    Parameters
    ----------
    image_a, image_b : PIL.Image.Image or array-like of uint8, shape (H, W, 3)
        The images as the network saw them: after resizing and cropping.
    match : Match
        The S concept vectors of A matched with the T of B.
    grid_a, grid_b : (int, int)
        Rows and columns of the grids of concept vectors; their products are S and T.
    kept : (array of bool or None, array of bool or None), each of the shape of its grid
        The patches of A and of B that were matched, S and T of them, where a mask has left out
        others; these are grey.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    top : int
        The largest number of lines. They join the strongest pairs, without neighbours of stronger
        ones, so that they spread over the image.
    background : {"faded", "photo", "none"}
        The background of the colours: the image in pale grey, the image as it is, or nothing.
    names : (str, str)
        Titles of the two images.
    title : str, optional
        By default the share of the similarity that the lines carry.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the grids do not fit the match, or an image or an option cannot be used.
    MissingDependencyError
        If matplotlib is not installed.
    """
    pictures = [picture_of(image_a, "image_a"), picture_of(image_b, "image_b")]
    target = np.asarray(match.permutation)
    for name, grid in (("grid_a", grid_a), ("grid_b", grid_b)):
        if len(grid) != 2 or min(grid) < 1:
            raise InputError(f"{name}: expected (rows, columns), both >= 1; got {grid!r}")
    _check_kept(kept, (grid_a, grid_b), len(target))
    target, contributions = on_grid(match, kept)
    if grid_a[0] * grid_a[1] != len(target):
        raise InputError(
            f"grid_a: expected rows x columns = {len(target)} concept vectors, as in match; got "
            f"{grid_a[0]} x {grid_a[1]} = {grid_a[0] * grid_a[1]}"
        )
    if target.max(initial=-1) >= grid_b[0] * grid_b[1]:
        raise InputError(
            f"grid_b: expected rows x columns > {target.max()}, the last vector that match names; "
            f"got {grid_b[0]} x {grid_b[1]} = {grid_b[0] * grid_b[1]}"
        )
    check_pair(names, "names")
    if background not in BACKGROUNDS:
        raise InputError(
            f"background: expected one of {', '.join(BACKGROUNDS)}; got {background!r}."
            f"{did_you_mean(str(background), BACKGROUNDS)}"
        )
    top = whole_number(top, "top", 0)
    # Both images have height 1; B begins one gap to the right of A.
    widths = [picture.shape[1] / picture.shape[0] for picture in pictures]
    starts = (0.0, widths[0] + 0.12)
    if ax is None:
        ax = new_figure(9.2, 9.0 / (starts[1] + widths[1]) + 1.0).add_subplot()

    gained = np.where(target >= 0, np.maximum(contributions, 0.0), 0.0)
    colours = place_colours(*grid_a)
    paint_a = np.zeros((len(target), 4))
    paint_b = np.zeros((grid_b[0] * grid_b[1], 4))
    paint_a[:, :3] = colours
    # The square root, since a few patches often give far more than the rest.
    paint_a[:, 3] = 0.85 * np.sqrt(gained / (gained.max() or 1.0))
    paint_b[target[target >= 0]] = paint_a[target >= 0]
    for paint, part in ((paint_a, kept[0]), (paint_b, kept[1])):
        if part is not None:
            paint[~np.ravel(part)] = LEFT_OUT

    centres = []
    for picture, paint, grid, width, start in zip(
        pictures, (paint_a, paint_b), (grid_a, grid_b), widths, starts, strict=True
    ):
        extent = (start, start + width, 1.0, 0.0)
        if background != "none":
            shown = faded(picture) if background == "faded" else picture
            ax.imshow(shown, extent=extent, interpolation="antialiased")
        ax.imshow(paint.reshape(*grid, 4), extent=extent, interpolation="nearest")
        row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
        x = start + (column + 0.5) * width / grid[1]
        centres.append(np.stack([x, (row + 0.5) / grid[0]], axis=1))

    linked = strongest_apart(gained, grid_a, int(top))
    if len(linked):
        _draw_links(ax, centres[0][linked], centres[1][target[linked]], colours[linked])
    ax.set_xlim(0.0, starts[1] + widths[1])
    ax.set_ylim(1.0, 0.0)
    ax.set_aspect("equal", anchor="N")
    middles = [start + width / 2 for start, width in zip(starts, widths, strict=True)]
    words: dict[str, Any] = {"fontsize": MEDIUM, "parse_math": False}
    ax.xaxis.tick_top()
    ax.set_xticks(middles, [shortened(name, 40) for name in names], **words)
    ax.set_yticks([])
    ax.tick_params(length=0, pad=6)
    ax.spines[:].set_visible(False)
    if title is None:
        title = "Matched patches share a colour: the stronger, the larger their share of similarity"
        if len(linked) and match.value > 0:
            part = gained[linked].sum() / match.value
            title += f"\nLines: {len(linked)} of the strongest pairs, {part:.0%} of the similarity"
    ax.set_xlabel(title, labelpad=10, linespacing=1.5, **words)
    return ax


def _check_kept(
    kept: tuple[Any, Any], grids: tuple[tuple[int, int], tuple[int, int]], count: int
) -> None:
    for part, grid in zip(kept, grids, strict=True):
        if part is not None and np.shape(part) != tuple(grid):
            raise InputError(f"kept: expected shape {tuple(grid)}, a grid's; got {np.shape(part)}")
    if kept[0] is not None and np.count_nonzero(kept[0]) != count:
        raise InputError(
            f"kept: expected the {count} patches of A that were matched; got "
            f"{np.count_nonzero(kept[0])}"
        )


def on_grid(match: Match, kept: tuple[Any, Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return partner and contribution of every patch of A's grid, as patches of B's grid.

    Parameters
    ----------
    match : Match
        Of the patches that are kept.
    kept : (array of bool or None, array of bool or None)
        The patches that are kept, of A and of B; None for all.

    Returns
    -------
    (ndarray of int64, ndarray of float64)
        −1 and 0 for patches without a partner, and for those that are left out.
    """
    partner = np.asarray(match.permutation, dtype=np.int64)
    if kept[1] is not None:
        places = np.flatnonzero(kept[1])
        partner = np.where(partner >= 0, places[np.maximum(partner, 0)], -1)
    contributions = np.asarray(match.contributions, dtype=np.float64)
    if kept[0] is None:
        return partner, contributions
    target = np.full(np.size(kept[0]), -1, dtype=np.int64)
    given = np.zeros(len(target))
    target[np.ravel(kept[0])], given[np.ravel(kept[0])] = partner, contributions
    return target, given


def strongest_apart(
    gained: NDArray[np.float64], grid: tuple[int, int], top: int
) -> NDArray[np.int64]:
    """Return up to `top` patches of the largest gains, none of which touches another.

    Neighbours would show the same match twice.
    """
    free = gained.reshape(grid) > 0
    chosen: list[int] = []
    for s in np.argsort(-gained, kind="stable"):
        row, column = divmod(int(s), grid[1])
        if len(chosen) < top and free[row, column]:
            chosen.append(int(s))
            free[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = False
    return np.array(chosen, dtype=np.int64)


def _draw_links(
    ax: Axes, left: NDArray[Any], right: NDArray[Any], colours: NDArray[np.float64]
) -> None:
    """Join points by arcs, numbered by rank at both ends."""
    lines = require("matplotlib.collections", extra="plot", purpose="Plotting").LineCollection
    dark = 0.72 * colours
    # A second line along the same row of patches would cover the first: it bends inwards, the next
    # one more.
    t = np.linspace(0.0, 1.0, 33)[:, None]
    arcs = []
    rows: dict[tuple[float, float], int] = {}
    for start, stop in zip(left, right, strict=True):
        row = (float(start[1]), float(stop[1]))
        bend = np.array([0.0, 0.035 * rows.get(row, 0) * (1 if sum(row) < 1 else -1)])
        rows[row] = rows.get(row, 0) + 1
        arcs.append((1 - t) * start + t * stop + 4 * t * (1 - t) * bend)
    # The white edge keeps lines and numbers visible on any photograph.
    ax.add_collection(lines(arcs, colors="white", linewidths=2.8, alpha=0.75, zorder=3))
    ax.add_collection(lines(arcs, colors=dark, linewidths=1.4, zorder=4))
    numbered = len(left) <= TICKS
    for points in (left, right):
        size = 105 if numbered else 30
        discs = ax.scatter(points[:, 0], points[:, 1], s=size, c=dark, zorder=5)
        discs.set(edgecolor="white", linewidth=1.0)
        for k, (x, y) in enumerate(points if numbered else ()):
            number = ax.text(x, y, f"{k + 1}", ha="center", va="center_baseline", zorder=6)
            number.set(color="white", fontsize=6.5, fontweight="bold")


def place_colours(rows: int, columns: int) -> NDArray[np.float64]:
    """Return an RGB colour for each place of a grid, shape (rows * columns, 3), in row order.

    Hue and strength follow the place at one lightness of the OKLab space, so that no part of the
    image stands out and neighbours look alike.
    """
    y, x = np.mgrid[0:rows, 0:columns].astype(float)
    x = 2 * (x + 0.5) / columns - 1
    y = 2 * (y + 0.5) / rows - 1
    chroma = 0.17 * np.sqrt(np.hypot(x, y) / np.sqrt(2.0))  # grey in the very centre only
    angle = np.arctan2(y, x)
    lab = np.stack([np.full_like(x, 0.70), chroma * np.cos(angle), chroma * np.sin(angle)], -1)
    lab = lab.reshape(-1, 3)
    to_lms = np.array(
        [
            [1.0, 0.3963377774, 0.2158037573],
            [1.0, -0.1055613458, -0.0638541728],
            [1.0, -0.0894841775, -1.2914855480],
        ]
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear: NDArray[np.float64] = np.clip((lab @ to_lms.T) ** 3 @ to_rgb.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def picture_of(image: Any, name: str) -> NDArray[np.uint8]:
    """Return an image as RGB of 8 bits, shape (H, W, 3), or refuse it by name."""
    picture = np.asarray(image)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        raise InputError(
            f"{name}: expected an RGB image, uint8 of shape (H, W, 3); got {picture.dtype} of "
            f"shape {picture.shape}"
        )
    return picture


def faded(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the picture in pale grey, on which all colours are visible."""
    grey = picture @ np.array([0.299, 0.587, 0.114]) / 255.0
    return np.repeat((0.45 + 0.55 * grey)[..., None], 3, axis=2)
