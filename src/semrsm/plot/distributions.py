"""Distributions of similarity: pairs that belong together against pairs that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.statistics import auc, sample_of
from ..errors import InputError
from .common import (
    MEDIUM,
    SMALL,
    check_pair,
    matcher_words,
    new_figure,
    numbers,
    panel_grid,
    resolve_share,
    row_name,
    widened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

#: Same image, different image: different in lightness too, visible on white and on black.
PALETTE = ("#3f8fd2", "#e58a2e")
LABELS = ("same image, shifted", "different images")


def plot_distribution(
    same: ArrayLike,
    different: ArrayLike,
    *,
    ax: Axes | None = None,
    bins: int | ArrayLike = 40,
    labels: tuple[str, str] = LABELS,
    kernel: str | None = None,
    title: str | None = None,
    legend: bool = True,
) -> Axes:
    """Draw how similar pairs of the same image are, against pairs of different images.

    Both histograms are densities over the same bins; dashed lines mark the medians, and above the
    right end stands the area under the ROC curve (:func:`auc`).

    Parameters
    ----------
    same, different : array-like, shapes (P,) and (Q,)
        Similarities of the two kinds of pairs.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    bins : int or array-like
        The number of bins, or their edges.
    labels : (str, str)
        The names of the two kinds of pairs.
    kernel : str, optional
        Names the horizontal axis.
    title : str, optional
        The title; none by default.
    legend : bool
        Whether to explain the colours.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If a sample is empty or not finite, or `bins` cannot be used.
    MissingDependencyError
        If matplotlib is not installed.
    """
    samples = (sample_of(same, "same"), sample_of(different, "different"))
    edges = _edges(samples, bins)
    check_pair(labels, "labels")
    if ax is None:
        ax = new_figure(5.2, 3.2).add_subplot()
    area = auc(*samples)
    for values, colour, label in zip(samples, PALETTE, labels, strict=True):
        density = np.histogram(values, edges, density=True)[0]
        density[density == 0] = np.nan  # an empty bin has no outline
        bars = ax.stairs(density, edges, fill=True, label=label)
        bars.set(facecolor=f"{colour}52", edgecolor=colour, linewidth=1.2)  # a third opaque
        ax.axvline(float(np.median(values)), color=colour, linewidth=1.6, linestyle=(0, (4, 2)))
    ax.set_xlim(edges[0], edges[-1])
    ax.set_ylim(bottom=0.0)
    ax.set_yticks([])
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.tick_params(axis="x", labelsize=SMALL, length=3)
    ax.set_xlabel(f"{kernel} similarity" if kernel else "similarity", fontsize=MEDIUM)
    ax.set_title(f"AUC {_floored(area)}", fontsize=MEDIUM, fontweight="bold", loc="right")
    if title:
        pad = 24 if legend else 6
        ax.set_title(title, fontsize=MEDIUM, loc="left", pad=pad, parse_math=False)
    if legend:
        _legend(ax, ax)
    return ax


def plot_distributions(
    panels: Mapping[str | tuple[str, str], tuple[ArrayLike, ArrayLike]],
    *,
    labels: tuple[str, str] = LABELS,
    kernel: str | None = None,
    share: str | None = None,
    bins: int = 40,
    figure: Figure | None = None,
) -> Figure:
    """Draw :func:`plot_distribution` for several layers and matchers.

    Parameters
    ----------
    panels : mapping
        By (layer, matcher): a row for each layer and a column for each matcher; or by any name: a
        row for each. The values are (same, different).
    labels, kernel
        As for :func:`plot_distribution`.
    share : {"figure", "layer"}, optional
        Which panels share a horizontal axis; by default all of them, or those of one layer if
        `kernel` is not bounded.
    bins : int
        The number of bins.
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
    samples = {
        key if isinstance(key, tuple) else (str(key), ""): (
            sample_of(same, f"panels[{key!r}], same"),
            sample_of(different, f"panels[{key!r}], different"),
        )
        for key, (same, different) in panels.items()
    }
    layers = list(dict.fromkeys(layer for layer, _ in samples))
    matchers = list(dict.fromkeys(matcher for _, matcher in samples))
    for layer in layers:
        for matcher in matchers:
            if (layer, matcher) not in samples:
                raise InputError(
                    f"panels: expected every matcher at every layer; {(layer, matcher)} is missing"
                )
    share = resolve_share(share, kernel)
    everything = [values for pair in samples.values() for values in pair]
    edges = {
        layer: _edges(
            everything
            if share == "figure"
            else [values for matcher in matchers for values in samples[layer, matcher]],
            bins,
        )
        for layer in layers
    }
    if figure is None:
        figure = new_figure(3.5 * len(matchers) + 0.6, 1.5 * len(layers) + 0.9)
        figure.set_layout_engine("constrained", wspace=0.07)
    axes = panel_grid(figure, len(layers), len(matchers))
    for i, layer in enumerate(layers):
        for j, matcher in enumerate(matchers):
            ax = plot_distribution(
                *samples[layer, matcher],
                ax=axes[i, j],
                bins=edges[layer],
                labels=labels,
                kernel=kernel,
                legend=False,
            )
            if i == 0 and matcher:
                ax.set_title(matcher_words(matcher), fontsize=MEDIUM, loc="left")
            if i < len(layers) - 1:
                ax.set_xlabel("")
                ax.tick_params(axis="x", labelbottom=share == "layer")
        row_name(axes[i, 0], layer)
    _legend(figure, axes[0, 0])
    return figure


def _edges(samples: Sequence[NDArray[np.float64]], bins: int | ArrayLike) -> NDArray[np.float64]:
    """Return the edges of the bins that the samples share."""
    if isinstance(bins, (int, np.integer)) and not isinstance(bins, bool) and bins >= 1:
        low = min(float(sample.min()) for sample in samples)
        high = max(float(sample.max()) for sample in samples)
        return np.linspace(*widened(low, high), int(bins) + 1)
    edges: NDArray[np.float64] = numbers(bins, "bins", np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.all(np.diff(edges) > 0):
        raise InputError(f"bins: expected a whole number >= 1 or increasing edges; got {bins!r}")
    for sample in samples:
        if sample.min() < edges[0] or sample.max() > edges[-1]:
            raise InputError(
                f"bins: expected edges around all values; got {edges[0]:g} to {edges[-1]:g} for "
                f"values from {sample.min():g} to {sample.max():g}"
            )
    return edges


def _floored(area: float) -> str:
    """Return the AUC with three digits, "1.000" and "0.000" only where they are exact."""
    return f"{area:.3f}" if area in (0.0, 1.0) else f"{min(max(area, 0.001), 0.999):.3f}"


def _legend(where: Any, ax: Axes) -> None:
    handles, names = ax.get_legend_handles_labels()
    place: dict[str, Any] = {"loc": "outside upper center"}
    if where is ax:
        place = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderaxespad": 0.2}
    found = where.legend(handles, names, ncols=2, frameon=False, fontsize=MEDIUM, **place)
    for text in found.get_texts():
        text.set_parse_math(False)
