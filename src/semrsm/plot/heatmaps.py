"""Heat maps of RSMs, one or many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .common import (
    MEDIUM,
    SMALL,
    TICKS,
    add_scale,
    matcher_words,
    new_figure,
    numbers,
    panel_grid,
    resolve_share,
    row_name,
    shortened,
    widened,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

    from ..matrices.rsm import RSM

CMAP = "viridis"


def plot_rsm(
    rsm: RSM,
    *,
    ax: Axes | None = None,
    order: ArrayLike | None = None,
    groups: Sequence[str] | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: Any = CMAP,
    colorbar: bool = True,
    labels: bool | None = None,
    title: str | None = None,
) -> Axes:
    """Draw an RSM as a heat map.

    Parameters
    ----------
    rsm : RSM
        Values of shape (N, M).
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure by default.
    order : array-like of int, optional
        The images to show, in order. Only for the RSM of one set of images.
    groups : sequence of str, optional
        The group of each of the N images, for example the photograph that a crop was cut from.
        Groups are drawn together, with lines between them, and named instead of the images. Only
        for the RSM of one set of images.
    vmin, vmax : float, optional
        The ends of the colour scale; the smallest and the largest value by default.
    cmap : str or Colormap
        The colours; perceptually uniform by default.
    colorbar : bool
        Whether to add the scale.
    labels : bool, optional
        Whether to name the images or groups; by default where there are at most 24.
    title : str, optional
        The kernel and the matcher by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        If the RSM is empty or not finite, or `order`, `groups` or the limits do not fit it.
    MissingDependencyError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> from matplotlib.figure import Figure
    >>> rsm = semrsm.rsm(np.random.default_rng(0).normal(size=(3, 4, 8)))
    >>> ax = plot_rsm(rsm, ax=Figure().subplots())
    >>> ax.get_title()
    'cosine · semantic (optimal)'
    """
    low, high = _limits([rsm], vmin, vmax)
    rows, columns = _arrangement(rsm, order, groups)
    if ax is None:
        ax = new_figure(5.4, 4.6).add_subplot()
    size = max(len(rows), len(columns))
    image = ax.imshow(
        rsm.values[np.ix_(rows, columns)],
        vmin=low,
        vmax=high,
        cmap=cmap,
        # Few cells keep their edges; many cells are averaged, not sampled.
        interpolation="nearest" if size <= 256 else "antialiased",
        aspect="equal" if rsm.is_symmetric else "auto",
    )
    if groups is not None:
        named = [str(groups[int(i)]) for i in rows]
        edges = [0, *(i for i in range(1, size) if named[i] != named[i - 1]), size]
        if len(edges) <= 64:  # more lines would hide the cells
            for draw in (ax.axhline, ax.axvline):
                for edge in edges[1:-1]:
                    draw(edge - 0.5, color="white", linewidth=0.7, alpha=0.9)
        places = [(a + b - 1) / 2 for a, b in pairwise(edges)]
        names = [named[a] for a in edges[:-1]]
        ticks = ((places, names), (places, names))
    else:
        ticks = (
            (list(range(len(columns))), [rsm.column_ids[i] for i in columns]),
            (list(range(len(rows))), [rsm.row_ids[i] for i in rows]),
        )
    for axis, (places, names) in zip((ax.xaxis, ax.yaxis), ticks, strict=True):
        shown = len(places) <= TICKS if labels is None else labels
        axis.set_ticks(
            places if shown else [],
            [shortened(name) for name in names] if shown else [],
            fontsize=SMALL,
            parse_math=False,  # a dollar sign in a name does not begin mathematics
        )
    ax.tick_params(length=0, pad=3)
    below = [text.get_text() for text in ax.get_xticklabels()]
    if len("".join(below)) > 36:  # names would overlap
        ax.tick_params(axis="x", rotation=90)
    ax.spines[:].set_visible(False)
    words = f"{rsm.kernel} · {matcher_words(rsm.matcher)}" if title is None else title
    ax.set_title(words, fontsize=MEDIUM, parse_math=False)
    if colorbar:
        add_scale(ax.figure, image, ax, f"{rsm.kernel} similarity", shrink=0.85)
    return ax


def plot_rsms(
    pairs: Mapping[str, Sequence[RSM]],
    *,
    groups: Sequence[str] | None = None,
    order: ArrayLike | None = None,
    share: str | None = None,
    cmap: Any = CMAP,
    figure: Figure | None = None,
) -> Figure:
    """Draw RSMs side by side: a row for each layer, a column for each matcher.

    Parameters
    ----------
    pairs : mapping of str to sequence of RSM
        By layer, its RSMs: usually the spatio-semantic and the semantic one. All have one kernel,
        and all layers the same matchers in the same order.
    groups, order, cmap
        As for :func:`plot_rsm`.
    share : {"figure", "layer"}, optional
        Which panels share a colour scale; the label of the scale says so. By default all of them,
        if the kernel is bounded, such as cosine and RBF, or those of one layer.
    figure : matplotlib.figure.Figure, optional
        Where to draw; a new one by default.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        If there is nothing to draw, kernels or matchers differ, or an argument does not fit.
    MissingDependencyError
        If matplotlib is not installed.
    """
    layers = {str(layer): list(found) for layer, found in pairs.items()}
    every = [rsm for found in layers.values() for rsm in found]
    if not every:
        raise InputError("pairs: expected at least one layer with at least one RSM; got none")
    kernels = sorted({rsm.kernel for rsm in every})
    if len(kernels) > 1:
        raise InputError(
            f"pairs: expected RSMs of one kernel, since they share a scale; got {kernels}"
        )
    matchers = [rsm.matcher for rsm in every[: len(next(iter(layers.values())))]]
    for layer, found in layers.items():
        if [rsm.matcher for rsm in found] != matchers:
            raise InputError(
                f"pairs: expected the matchers {matchers} at every layer; layer {layer!r} has "
                f"{[rsm.matcher for rsm in found]}"
            )
    share = resolve_share(share, kernels[0])
    limits = {
        layer: _limits(every if share == "figure" else found) for layer, found in layers.items()
    }
    for rsm in every:
        _arrangement(rsm, order, groups)  # refuses bad arguments before drawing
    side = 2.9 if len(layers) <= 2 else 2.35 if len(layers) <= 4 else 2.0
    if figure is None:
        names = set(every[0].row_ids if groups is None else map(str, groups))
        margin = 0.07 * max(map(len, map(shortened, names))) if len(names) <= TICKS else 0.0
        figure = new_figure(side * len(matchers) + margin + 1.1, side * len(layers) + margin + 0.4)
        figure.set_layout_engine("compressed")  # the panels are square: no gaps between them
    axes = panel_grid(figure, len(layers), len(matchers))
    for i, (layer, found) in enumerate(layers.items()):
        for j, rsm in enumerate(found):
            ax = plot_rsm(
                rsm,
                ax=axes[i, j],
                order=order,
                groups=groups,
                vmin=limits[layer][0],
                vmax=limits[layer][1],
                cmap=cmap,
                colorbar=False,
                title=matcher_words(rsm.matcher) if i == 0 else "",
            )
            if j > 0:
                ax.set_yticks([])
            if i < len(layers) - 1:
                ax.set_xticks([])
        row_name(axes[i, 0], layer)
        if share == "layer":
            add_scale(figure, axes[i, -1].images[0], axes[i, -1], f"{kernels[0]} similarity")
    if share == "figure":
        # At the top and about as long as one panel, for any number of layers.
        text = f"{kernels[0]} similarity" + (", one scale for all panels" if len(every) > 1 else "")
        shrink = min(1.0, 1.6 / len(layers))
        add_scale(figure, axes[0, 0].images[0], axes, text, shrink=shrink, anchor=(0.0, 1.0))
    return figure


def _limits(
    rsms: Sequence[RSM], vmin: float | None = None, vmax: float | None = None
) -> tuple[float, float]:
    """Return the ends of a colour scale for several RSMs, or refuse values that are not finite."""
    for rsm in rsms:
        if rsm.values.size == 0:
            raise InputError(f"rsm: expected at least one value; got shape {rsm.values.shape}")
        bad = int(np.count_nonzero(~np.isfinite(rsm.values)))
        if bad:
            raise InputError(f"rsm: expected finite values; {bad} of {rsm.values.size} are not")
    low = min(float(rsm.values.min()) for rsm in rsms) if vmin is None else float(vmin)
    high = max(float(rsm.values.max()) for rsm in rsms) if vmax is None else float(vmax)
    if not low <= high:
        raise InputError(f"vmin, vmax: expected vmin <= vmax; got {low:g} and {high:g}")
    return widened(low, high)


def _arrangement(
    rsm: RSM, order: ArrayLike | None, groups: Sequence[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and the columns to draw, in order."""
    count = len(rsm.row_ids)
    if order is None and groups is None:
        return np.arange(count), np.arange(len(rsm.column_ids))
    if not rsm.is_symmetric:
        name = "order" if order is not None else "groups"
        raise InputError(
            f"{name}: can be used with the RSM of one set of images only; got one of "
            f"{count} x {len(rsm.column_ids)} images of two sets"
        )
    chosen = numbers(range(count) if order is None else order, "order")
    whole = chosen.ndim == 1 and np.issubdtype(chosen.dtype, np.integer) and len(chosen) > 0
    if not whole or chosen.min() < 0 or chosen.max() >= count or len(set(chosen)) < len(chosen):
        raise InputError(
            f"order: expected different whole numbers from 0 to {count - 1}; got "
            f"{np.array2string(chosen, threshold=8, edgeitems=3, separator=', ')}"
        )
    if groups is not None:
        if len(groups) != count:
            raise InputError(f"groups: expected one for each of {count} images; got {len(groups)}")
        first: dict[str, int] = {}
        ranks = [first.setdefault(str(groups[int(i)]), len(first)) for i in chosen]
        chosen = chosen[np.argsort(ranks, kind="stable")]
    return chosen, chosen
