"""CKA between the RSMs of layers: all with all as heat maps, and against the layers' extent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require
from ..matching.registry import BASELINE
from .common import (
    MEDIUM,
    SMALL,
    TICKS,
    add_scale,
    matcher_words,
    new_figure,
    panel_grid,
    shortened,
    widened,
)
from .curves import check_columns, plain_axes, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Row = Mapping[str, Any]

#: The columns that may be drawn, with their names.
SCORES = {"cka": "CKA", "debiased_cka": "debiased CKA"}

#: More layers than this leave no room for numbers in the cells.
_WRITTEN = 8

_COLUMNS = ("model_a", "layer_a", "matcher_a", "model_b", "layer_b", "matcher_b", "kernel")
_UNDEFINED = "#c8c8c8"


def plot_layers(
    rows: Sequence[Row],
    *,
    kernel: str | None = None,
    score: str = "cka",
    figure: Figure | None = None,
) -> Figure:
    """Draw the table of :func:`semrsm.studies.layers` as heat maps over the layers.

    Parameters
    ----------
    rows : sequence of mapping
        The table.
    kernel : str, optional
        The kernel; by default the cosine, or the first one if there is no cosine.
    score : {"cka", "debiased_cka"}, default "cka"
        The estimate.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each pair of matchers, on one colour scale; the first layer is at the top left.
        For one network the panels with the same matcher on both sides come first; for two, rows of
        panels are matchers of the first and columns matchers of the second. Values are written
        where there are at most eight layers; undefined values are grey.

    Raises
    ------
    InputError
        If the rows are not such a table, or lack the kernel or score.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_score(score)
    check_columns(rows, (*_COLUMNS, score))
    chosen = _of_kernel(rows, kernel)
    below, across = (list(dict.fromkeys(row[f"layer_{side}"] for row in chosen)) for side in "ab")
    found: dict[tuple[str, str], NDArray[np.float64]] = {}
    for row in chosen:
        key = (row["matcher_a"], row["matcher_b"])
        matrix = found.setdefault(key, np.full((len(below), len(across)), np.nan))
        matrix[below.index(row["layer_a"]), across.index(row["layer_b"])] = row[score]
    panels, in_grid = _panels(found)
    columns = len({b for _, b in panels}) if in_grid else min(3, len(panels))
    values = np.concatenate([found[key].reshape(-1) for key in panels])
    values = values[~np.isnan(values)]
    low, high = widened(
        *((float(values.min()), float(values.max())) if values.size else (0.0, 1.0))
    )

    lines = -(-len(panels) // columns)
    written = max(len(below), len(across)) <= _WRITTEN
    if figure is None:
        cell = 0.48 if written else max(0.13, 2.6 / max(len(below), len(across)))
        margin = 0.075 * max(len(shortened(name)) for name in (*below, *across))
        width, height = (max(cell * len(names), 1.5) for names in (across, below))
        figure = new_figure(
            (width + 0.3) * columns + margin + 1.2,
            (height + (0.1 if in_grid else 0.3)) * lines + margin + 0.3,
        )
        figure.set_layout_engine("compressed")  # cells are square: no gaps between panels
    axes = panel_grid(figure, lines, columns)
    colormap = require("matplotlib", extra="plot", purpose="Plotting").colormaps["viridis"]
    colormap = colormap.with_extremes(bad=_UNDEFINED)
    models = (chosen[0]["model_a"], chosen[0]["model_b"])
    for n, (key, ax) in enumerate(zip(panels, axes.flat, strict=False)):
        image = ax.imshow(found[key], vmin=low, vmax=high, cmap=colormap, interpolation="nearest")
        bottom, left = n + columns >= len(panels), n % columns == 0
        for axis, names, shown in ((ax.xaxis, across, bottom), (ax.yaxis, below, left)):
            few = shown and len(names) <= TICKS
            axis.set_ticks(
                range(len(names)) if few else [],
                [shortened(name) for name in names] if few else [],
                fontsize=SMALL,
                parse_math=False,
            )
        ax.tick_params(length=0, pad=3)
        ax.tick_params(axis="x", rotation=90)
        ax.spines[:].set_visible(False)
        labels = (left or not in_grid, ax.set_ylabel), (bottom or not in_grid, ax.set_xlabel)
        for model, matcher, (shown, label) in zip(models, key, labels, strict=True):
            words = matcher_words(matcher)
            if models[0] != models[1]:
                words = f"{shortened(model)}\n{words}"
            label(words if shown else "", fontsize=SMALL, parse_math=False)
        if written:
            _write_values(ax, found[key], low, high)
    for ax in list(axes.flat)[len(panels) :]:
        ax.set_visible(False)
    add_scale(figure, image, axes, f"{SCORES[score]} of RSMs ({chosen[0]['kernel']})")
    return figure


def plot_extents(
    rows: Sequence[Row],
    *,
    kernel: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the alignment of a layer's two RSMs against its number of concept vectors.

    Parameters
    ----------
    rows : sequence of mapping
        ``diagonal`` of the result of :func:`semrsm.studies.layers`, or its table, of which the rows
        of one layer's RSMs without and with matching are taken.
    kernel : str, optional
        The kernel; by default the cosine, or the first one if there is no cosine.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        Each layer is a point of the biased and one of the debiased CKA, with their intervals where
        the rows have them. Lines join the means of the layers of one size.

    Raises
    ------
    InputError
        If the rows are not such a table, or no row compares the two RSMs of one layer.
    MissingDependencyError
        If matplotlib is not installed.
    """
    check_columns(rows, (*_COLUMNS, "vectors_a", *SCORES))
    chosen = [
        row
        for row in _of_kernel(rows, kernel)
        if (row["model_a"], row["layer_a"]) == (row["model_b"], row["layer_b"])
        and row["matcher_a"] == BASELINE != row["matcher_b"]
    ]
    if not chosen:
        raise InputError(
            "rows: expected some of the RSMs of one layer without and with matching; got none"
        )
    if ax is None:
        ax = new_figure(6.4, 4.0).add_subplot()
    lines = list(dict.fromkeys((row["model_a"], row["matcher_b"]) for row in chosen))
    models, matchers = (list(dict.fromkeys(names)) for names in zip(*lines, strict=True))
    colours = _colours(models, matchers)
    for model, matcher in lines:
        own = [row for row in chosen if (row["model_a"], row["matcher_b"]) == (model, matcher)]
        own.sort(key=lambda row: row["vectors_a"])
        words = ", ".join(
            [shortened(model)] * (len(models) > 1) + [matcher_words(matcher)] * (len(matchers) > 1)
        )
        for score, name in SCORES.items():
            _draw_line(ax, own, score, colours[model, matcher], f"{name}, {words}".rstrip(", "))
    ax.axhline(1.0, color="#8f8f8f", linewidth=0.8, linestyle=":", zorder=0)
    ticks = sorted({row["vectors_a"] for row in chosen})
    ax.set_xscale("log")
    # Points too close for two numbers share the number of the first.
    near = [any(low < tick < 1.3 * low for low in ticks) for tick in ticks]
    ax.set_xticks(ticks, ["" if n else str(t) for t, n in zip(ticks, near, strict=True)])
    ax.set_xticks([], minor=True)
    ax.set_xlim(ticks[0] / 1.4, ticks[-1] * 1.4)
    if len(models) == 1:
        _name_layers(ax, chosen, ticks)
    ax.set_xlabel("concept vectors S of the layer", fontsize=MEDIUM)
    ax.set_ylabel(f"CKA, spatio-semantic and semantic RSM ({chosen[0]['kernel']})", fontsize=MEDIUM)
    plain_axes(ax)
    ax.legend(fontsize=SMALL, frameon=False)
    return ax


def _name_layers(ax: Axes, rows: Sequence[Row], ticks: Sequence[int]) -> None:
    """Name the layers of each size above it; of several, the first and the last."""
    top = ax.secondary_xaxis("top")
    labels = []
    for tick in ticks:
        names = list(dict.fromkeys(row["layer_a"] for row in rows if row["vectors_a"] == tick))
        ends = names if len(names) < 3 else [names[0], "…", names[-1]]
        labels.append("\n".join(shortened(name, 16) for name in ends))
    top.set_xticks(ticks, labels, fontsize=SMALL, parse_math=False)
    top.set_xticks([], minor=True)
    top.tick_params(length=0)
    top.spines[:].set_visible(False)


def check_score(score: str) -> None:
    """Refuse an unknown estimate."""
    if score not in SCORES:
        raise InputError(
            f"score: expected one of {', '.join(SCORES)}; got {score!r}."
            f"{did_you_mean(str(score), SCORES)}"
        )


def _of_kernel(rows: Sequence[Row], kernel: str | None) -> list[Row]:
    kernels = list(dict.fromkeys(row["kernel"] for row in rows))
    wanted = kernel or ("cosine" if "cosine" in kernels else kernels[0])
    if wanted not in kernels:
        raise InputError(
            f"kernel: expected one of {', '.join(kernels)}; got {wanted!r}."
            f"{did_you_mean(wanted, kernels)}"
        )
    return [row for row in rows if row["kernel"] == wanted]


def _panels(
    found: Mapping[tuple[str, str], NDArray[np.float64]],
) -> tuple[list[tuple[str, str]], bool]:
    """Return the pairs of matchers to draw, and whether they make a grid of their own.

    Where one set of RSMs is compared with itself, each pair is drawn one way round; otherwise the
    first matcher of a pair stands for a row of panels and the second for a column.
    """
    for a, b in found:
        turned = found.get((b, a))
        if turned is None or not np.array_equal(turned.T, found[a, b], equal_nan=True):
            return list(found), True
    panels = [(a, b) for a, b in found if a == b]
    for a, b in found:
        if a != b and (b, a) not in panels:
            panels.append((a, b))
    return panels, False


def _write_values(ax: Axes, values: NDArray[np.float64], low: float, high: float) -> None:
    """Write the values into their cells, in black on the light end of the colours."""
    digits = 2 if high - low > 0.2 else 3
    for (i, j), value in np.ndenumerate(values):
        text = f"{value:.{digits}f}".replace("-", "−").removeprefix("0")
        light = np.isnan(value) or (value - low) / (high - low) > 0.62
        ax.text(
            j,
            i,
            "–" if np.isnan(value) else text,
            ha="center",
            va="center_baseline",
            fontsize=SMALL - 0.5,
            color="black" if light else "white",
        )


def _colours(models: Sequence[str], matchers: Sequence[str]) -> dict[tuple[str, str], str]:
    """Give each matcher its own colour, or with several models, each model and matcher."""
    styles = styles_of(matchers)
    if len(models) == 1:
        return {(models[0], matcher): styles[matcher][0] for matcher in matchers}
    spread = ("#2f7fd0", "#e58a2e", "#2a9d5c", "#b07cc6", "#d1495b", "#c9a227")
    keys = [(model, matcher) for model in models for matcher in matchers]
    return {key: spread[n % len(spread)] for n, key in enumerate(keys)}


def _draw_line(ax: Axes, rows: Sequence[Row], score: str, colour: str, label: str) -> None:
    """Draw the points of one estimate, their intervals, and the line of their means by size."""
    biased = score == "cka"
    x = np.array([row["vectors_a"] for row in rows], dtype=float)
    y = np.array([row[score] for row in rows], dtype=float)
    look: dict[str, Any] = {"marker": "o" if biased else "s", "markersize": 5, "color": colour}
    look["markerfacecolor"] = colour if biased else "none"
    line: dict[str, Any] = {"color": colour, "linewidth": 1.6, "linestyle": "-" if biased else "--"}
    defined = ~np.isnan(y)
    sizes = np.unique(x[defined])
    ax.plot(sizes, [y[defined & (x == size)].mean() for size in sizes], **line)
    ax.plot(x, y, **look, linestyle="none")
    if f"{score}_low" in rows[0]:
        low, high = ([row[f"{score}_{end}"] for row in rows] for end in ("low", "high"))
        ax.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.6)
    ax.plot([], [], **(look | line), label=label)
