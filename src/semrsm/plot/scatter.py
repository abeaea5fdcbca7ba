"""Similarity against the divergence of classes: points, or their density where they are many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.statistics import sample_of
from ..errors import InputError
from ..matrices.correlations import correlation
from .common import (
    MEDIUM,
    SMALL,
    matcher_words,
    new_figure,
    panel_grid,
    resolve_share,
    row_name,
    widened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

#: More points than this hide one another, and are drawn as a density.
POINTS = 1500

DIVERGENCE = "class divergence (JSD, bits)"
LINE = "#e5622e"


def plot_agreement(
    similarity: ArrayLike,
    divergence: ArrayLike,
    *,
    ax: Axes | None = None,
    kernel: str | None = None,
    ylabel: str = DIVERGENCE,
    title: str | None = None,
    xlim: tuple[float, float] | None = None,
) -> Axes:
    """Draw the similarity of pairs of images against the divergence of their classes.

    Up to 1500 pairs are drawn as points; more are drawn as hexagons, darker with more pairs, on a
    logarithmic scale. The line joins the medians of tenths of the pairs; above the right end stand
    Pearson's r and Spearman's ρ.

    Parameters
    ----------
    similarity, divergence : array-like, shape (P,)
        The two values of each pair.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    kernel : str, optional
        Names the horizontal axis.
    ylabel : str
        Names the vertical axis.
    title : str, optional
        The title; none by default.
    xlim : (float, float), optional
        Limits of the horizontal axis; those of the pairs by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the two are not of one length, empty or not finite.
    MissingDependencyError
        If matplotlib is not installed.
    """
    x, y = _checked(similarity, divergence, "")
    if ax is None:
        ax = new_figure(4.4, 3.4).add_subplot()
    limits = widened(*(xlim or (float(x.min()), float(x.max()))))
    heights = widened(float(y.min()), float(y.max()))
    if len(x) > POINTS:
        ax.hexbin(
            x,
            y,
            gridsize=(44, 28),
            extent=(*limits, *heights),
            bins="log",
            mincnt=1,
            cmap="Blues",
            linewidths=0.1,
        )
    else:
        size = 14.0 if len(x) < 200 else 6.0
        ax.scatter(x, y, s=size, color="#3f8fd2", alpha=0.5, linewidths=0)
    middles = [(np.median(x[part]), np.median(y[part])) for part in _tenths(x)]
    if len(middles) > 1:
        ax.plot(*np.array(middles).T, color=LINE, linewidth=1.6, marker="o", markersize=2.5)
    room = 0.02 * (limits[1] - limits[0])
    ax.set_xlim(limits[0] - room, limits[1] + room)
    r, rho = (correlation(method)(x, y) for method in ("pearson", "spearman"))
    ax.set_title(f"r {_signed(r)}   ρ {_signed(rho)}", fontsize=MEDIUM, loc="right")
    if title:
        ax.set_title(title, fontsize=MEDIUM, loc="left", parse_math=False)
    ax.spines[["right", "top"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=3)
    ax.set_xlabel(f"{kernel} similarity" if kernel else "similarity", fontsize=MEDIUM)
    ax.set_ylabel(ylabel, fontsize=SMALL)
    return ax


def plot_agreements(
    panels: Mapping[tuple[str, str], tuple[ArrayLike, ArrayLike]],
    *,
    kernel: str | None = None,
    ylabel: str = DIVERGENCE,
    share: str | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Draw :func:`plot_agreement` for several layers and matchers.

    Parameters
    ----------
    panels : mapping
        By (layer, matcher): a row for each layer and a column for each matcher. The values are
        (similarity, divergence).
    kernel, ylabel
        As for :func:`plot_agreement`.
    share : {"figure", "layer"}, optional
        Which panels share a horizontal axis; by default all of them, or those of one layer if
        `kernel` is not bounded.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw, a layer lacks a matcher, or a sample cannot be used.
    MissingDependencyError
        If matplotlib is not installed.
    """
    if not panels:
        raise InputError("panels: expected at least one pair of samples; got none")
    samples = {key: _checked(*pair, f"panels[{key!r}], ") for key, pair in panels.items()}
    layers = list(dict.fromkeys(layer for layer, _ in samples))
    matchers = list(dict.fromkeys(matcher for _, matcher in samples))
    for layer in layers:
        for matcher in matchers:
            if (layer, matcher) not in samples:
                raise InputError(
                    f"panels: expected every matcher at every layer; {(layer, matcher)} is missing"
                )
    shared = resolve_share(share, kernel)
    if figure is None:
        figure = new_figure(3.5 * len(matchers) + 0.6, 2.5 * len(layers) + 0.5)
    axes = panel_grid(figure, len(layers), len(matchers))
    for i, layer in enumerate(layers):
        seen = [x for (other, _), (x, _) in samples.items() if shared == "figure" or other == layer]
        limits = (min(float(x.min()) for x in seen), max(float(x.max()) for x in seen))
        for j, matcher in enumerate(matchers):
            ax = plot_agreement(
                *samples[layer, matcher],
                ax=axes[i, j],
                kernel=kernel,
                ylabel=ylabel if j else "",
                xlim=limits,
                title=matcher_words(matcher) if i == 0 else None,
            )
            if i < len(layers) - 1:
                ax.set_xlabel("")
            if j < len(matchers) - 1:
                continue
            ax.yaxis.set_label_position("right")
        row_name(axes[i, 0], layer)
    return figure


def _checked(x: Any, y: Any, where: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    left, right = sample_of(x, f"{where}similarity"), sample_of(y, f"{where}divergence")
    if len(left) != len(right):
        raise InputError(
            f"{where}divergence: expected one value for each of the {len(left)} similarities; got "
            f"{len(right)}"
        )
    return left, right


def _tenths(x: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    order = np.argsort(x, kind="stable")
    return [part for part in np.array_split(order, 10) if len(part) >= 5]


def _signed(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:+.3f}".replace("-", "−")
