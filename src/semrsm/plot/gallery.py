"""The gallery: queries, with the results of each matcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import MEDIUM, SMALL, matcher_words, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: A photograph, the objects that it shares with the query, and how many objects it shows.
Result = tuple[Any, Sequence[str], int]

SHARED, NOTHING = "#2a9d5c", "#9a9a9a"
_SIDE = 256  # pixels of a photograph on the page
_LINE, _LINES = 24, 3  # characters and lines of the text below it


def plot_gallery(
    entries: Sequence[tuple[Any, Sequence[str], Mapping[str, Sequence[Result]]]],
    *,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw queries with the images that each matcher found most similar.

    Parameters
    ----------
    entries : sequence
        A row for each query: its photograph, the names of its objects, and, by matcher, the results
        in their order: photograph, names of the objects shared with the query, number of objects.
        All rows have the same matchers and numbers of results. Photographs are PIL images.
    title : str, optional
        The title of the figure; none by default.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure
        Results that share an object have a green frame and name the shared objects.

    Raises
    ------
    InputError
        If there is nothing to draw, or rows differ in matchers or numbers of results.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if not entries:
        raise InputError("entries: expected at least one query; got none")
    shape = {matcher: len(found) for matcher, found in entries[0][2].items()}
    for n, (_, _, results) in enumerate(entries):
        if {matcher: len(found) for matcher, found in results.items()} != shape:
            raise InputError(
                f"entries: expected matchers and numbers of results as in the first row, {shape}; "
                f"row {n} differs"
            )
    widths = [1.0]
    for count in shape.values():
        widths += [0.12] + [1.0] * count  # a gap before each matcher
    figure, grid = _grid(figure, len(entries), widths)
    for row, (photo, objects, results) in enumerate(entries):
        ax = figure.add_subplot(grid[row, 0])
        _photograph(ax, photo, ", ".join(objects), None)
        if row == 0:
            ax.set_title("query", fontsize=MEDIUM, loc="left", fontweight="bold")
        column = 1
        for matcher, found in results.items():
            column += 1
            for rank, (image, shared, total) in enumerate(found):
                ax = figure.add_subplot(grid[row, column])
                text = ", ".join(shared) if shared else "nothing shared"
                f1 = 2 * len(shared) / (len(objects) + total) if len(objects) + total else 0.0
                corner = f"F1 {f1:.2f}" if f1 else ""
                frame = SHARED if shared else NOTHING
                _photograph(ax, image, text, frame, corner, faint=not shared)
                if row == 0 and rank == 0:
                    words = matcher_words(matcher)
                    ax.set_title(words, fontsize=MEDIUM, loc="left", fontweight="bold")
                column += 1
    if title:
        figure.suptitle(title, fontsize=MEDIUM, parse_math=False)
    return figure


def plot_neighbours(
    entries: Sequence[tuple[Any, str, Sequence[tuple[Any, str, float]]]],
    *,
    title: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw queries with their nearest neighbours and the similarity of each.

    Parameters
    ----------
    entries : sequence
        A row for each query: its photograph, its name, and its neighbours in their order, each with
        photograph, name and similarity; as many in each row. Photographs are PIL images.
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
        If there is nothing to draw, or rows differ in length.
    MissingDependencyError
        If matplotlib is not installed.
    """
    lengths = {len(found) for _, _, found in entries}
    if len(lengths) != 1 or 0 in lengths:
        raise InputError(
            "entries: expected at least one query, and as many neighbours for each; got "
            f"{sorted(lengths)}"
        )
    widths = [1.0, 0.12] + [1.0] * lengths.pop()
    figure, grid = _grid(figure, len(entries), widths)
    for row, (photo, name, found) in enumerate(entries):
        heads = ["query", "nearest"] if row == 0 else ["", ""]
        shown = [(0, photo, name, None), *((n, *one) for n, one in enumerate(found, start=2))]
        for column, image, text, value in shown:
            ax = figure.add_subplot(grid[row, column])
            corner = "" if value is None else f"{value:#.4g}"
            _photograph(ax, image, text, None if value is None else NOTHING, corner)
            if heads and column in (0, 2):
                ax.set_title(heads.pop(0), fontsize=MEDIUM, loc="left", fontweight="bold")
    if title:
        figure.suptitle(title, fontsize=MEDIUM, parse_math=False)
    return figure


def _grid(figure: Figure | None, rows: int, widths: Sequence[float]) -> tuple[Figure, Any]:
    """Return the figure, or a new one of the size that it needs, and its grid of photographs."""
    if figure is None:
        figure = new_figure(1.55 * sum(widths) + 0.2, 2.05 * rows + 0.5)
        figure.set_layout_engine("constrained", wspace=0.01, w_pad=0.02, h_pad=0.03)
    return figure, figure.add_gridspec(rows, len(widths), width_ratios=widths)


def _photograph(
    ax: Any, photo: Any, text: str, frame: str | None, corner: str = "", *, faint: bool = False
) -> None:
    """Draw the central square of a photograph, as networks see it, with text below and in it."""
    width, height = photo.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    small = photo.crop((left, top, left + side, top + side)).resize((_SIDE, _SIDE))
    ax.imshow(small)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_visible(frame is not None)
        if frame is not None:
            spine.set(edgecolor=frame, linewidth=2.2 if frame == SHARED else 1.0)
    # File names have no spaces, but underscores.
    lines = [line.replace("_ ", "_") for line in wrap(text.replace("_", "_ "), _LINE)] or [""]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES - 1], lines[_LINES - 1][: _LINE - 2] + " …"]
    look: dict[str, Any] = {"fontsize": SMALL - 1.5, "parse_math": False, "va": "top"}
    ax.set_xlabel("\n".join(lines), **look)
    if faint:
        ax.xaxis.label.set_color(NOTHING)
    if corner:
        box = {"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0}
        ax.text(
            0.03,
            0.04,
            corner,
            transform=ax.transAxes,
            fontsize=SMALL - 1.5,
            color="white",
            bbox=box,
        )
