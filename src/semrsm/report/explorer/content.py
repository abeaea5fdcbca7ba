"""All numbers of a page, as the plain values that its script reads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..._internal.statistics import auc
from ...matrices.cka import CentredKernel
from ...plot import overlay
from ...plot.common import is_bounded, matcher_words
from ..page import Table
from .orders import clustered_order, sorted_order
from .pack import as_base64, pack_excess, pack_matrix
from .picture import COLOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .views import View, Views

#: The largest number of bytes of all RSMs in float32; beyond it, each value keeps 16 bits.
EXACT_BYTES = 6_000_000

_BINS = 60

Labels = Sequence[str] | None


def numbers_of(views: Views, row_labels: Labels, column_labels: Labels) -> dict[str, Any]:
    """Return the data of the RSMs for the script: values, bounds, orders, distributions, CKA.

    Parameters
    ----------
    views : Views
    row_labels, column_labels : sequence of str, optional
        The label of each image: its class or its group.

    Returns
    -------
    dict
        Of plain values that JSON can hold.
    """
    symmetric = views.is_symmetric
    rows, columns = len(views.row_ids), len(views.column_ids)
    entries = rows * (rows + 1) // 2 if symmetric else rows * columns
    exact = 4 * entries * len(views.views) <= EXACT_BYTES
    same = _same(row_labels, column_labels, symmetric)
    packed = []
    for (layer, matcher, kernel), view in views.views.items():
        one: dict[str, Any] = {
            "layer": views.layers.index(layer),
            "matcher": views.matchers.index(matcher),
            "kernel": views.kernels.index(kernel),
            "values": pack_matrix(view.values, symmetric=symmetric, exact=exact),
            "range": _range(view.values),
            "pair_range": _range(_pairs(view.values, symmetric)),
            "sigma": view.sigma,
            "gap": view.largest_gap,
            "bounds": view.bounds,
            "excess": None,
            "order": clustered_order(view.values) if symmetric else None,
            "auc": _auc(view, same, symmetric),
        }
        if view.upper_bound is not None:
            one["excess"] = pack_excess(view.upper_bound, view.values, symmetric=symmetric)
        packed.append(one)
    return {
        "symmetric": symmetric,
        "rows": _side(views.row_ids, row_labels),
        "columns": None if symmetric else _side(views.column_ids, column_labels),
        "layers": [{"name": name, "grid": views.grids.get(name)} for name in views.layers],
        "matchers": [{"name": name, "words": matcher_words(name)} for name in views.matchers],
        "kernels": [{"name": name, "bounded": is_bounded(name)} for name in views.kernels],
        "views": packed,
        "distributions": _distributions(views, same),
        "cka": _cka(views) if symmetric and rows > 2 else None,
        "colours": COLOURS,
    }


def place_colours(grids: Sequence[tuple[int, int]]) -> dict[str, str]:
    """Return the colour of every patch of each grid, three bytes each, as base64."""
    found = {}
    for rows, columns in grids:
        colours = np.rint(overlay.place_colours(rows, columns) * 255).astype(np.uint8)
        found[f"{rows}x{columns}"] = as_base64(colours)
    return found


def numbers_table(views: Views, row_labels: Labels, column_labels: Labels) -> Table:
    """Return a table with one row for each RSM, for readers without a script."""
    same = _same(row_labels, column_labels, views.is_symmetric)
    heads = ["Layer", "Grid", "RSM", "Kernel", "Lowest", "Median", "Highest", "Largest gap"]
    rows = []
    for (layer, matcher, kernel), view in views.views.items():
        values = _pairs(view.values, views.is_symmetric)
        gap = "" if view.largest_gap is None else f"{view.largest_gap:.0e}"
        row = [
            layer,
            "×".join(map(str, views.grids.get(layer, ()))),
            matcher_words(matcher),
            kernel,
            f"{values.min():.4g}",
            f"{np.median(values):.4g}",
            f"{values.max():.4g}",
            gap,
        ]
        found = _auc(view, same, views.is_symmetric)
        rows.append(row if same is None else [*row, "" if found is None else f"{found:.3f}"])
    caption = f"Similarities of distinct images. {_gap_words(views)}"
    if same is not None:
        heads.append("AUC")
        caption += (
            " AUC is the probability that two images of one group are more similar than two of "
            "different groups; a half is chance."
        )
    return Table(heads, rows, caption)


def _gap_words(views: Views) -> str:
    """Return the meaning of the gaps, by the bounds that they are measured to."""
    own = {key[1]: None for key, view in views.views.items() if view.bounds == "own"}
    best = "the best matching"
    if len(own) == len(views.matchers):
        best += " that the matcher's own constraints allow"
    text = (
        "The gap is the certificate: the relative amount by which "
        f"{best} could still exceed the one that was used."
    )
    if 0 < len(own) < len(views.matchers):
        text += (
            f" For {', '.join(map(matcher_words, own))}, the best matching is the best one that "
            "the matcher's own constraints allow."
        )
    return text


def _side(ids: Sequence[str], labels: Labels) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ids": list(ids),
        "labels": None,
        "names": None,
        "by_id": sorted_order(ids),
        "by_label": None,
    }
    if labels is not None:
        names = sorted(set(labels))
        found["labels"] = [names.index(label) for label in labels]
        found["names"] = names
        found["by_label"] = sorted_order(labels)
    return found


def _pairs(values: NDArray[Any], symmetric: bool) -> NDArray[Any]:
    """Return the values of distinct pairs; of a single image, its own."""
    if symmetric and len(values) > 1:
        return values[np.triu_indices(len(values), k=1)]
    return values.reshape(-1)


def _range(values: NDArray[Any]) -> list[float]:
    return [float(values.min()), float(values.max())]


def _same(rows: Labels, columns: Labels, symmetric: bool) -> NDArray[np.bool_] | None:
    """Return which distinct pairs share a label, if some do and some do not."""
    other = rows if symmetric else columns
    if rows is None or other is None:
        return None
    equal = np.array(rows)[:, None] == np.array(other)[None, :]
    found: NDArray[np.bool_] = _pairs(equal, symmetric)
    return found if found.any() and not found.all() else None


def _auc(view: View, same: NDArray[np.bool_] | None, symmetric: bool) -> float | None:
    if same is None:
        return None
    values = _pairs(view.values, symmetric)
    return auc(values[same], values[~same])


def _distributions(views: Views, same: NDArray[np.bool_] | None) -> list[dict[str, Any]]:
    """Count values in bins that the matchers of a layer and kernel share."""
    found = []
    for layer in views.layers:
        for kernel in views.kernels:
            values = {
                matcher: _pairs(views.views[layer, matcher, kernel].values, views.is_symmetric)
                for matcher in views.matchers
                if (layer, matcher, kernel) in views.views
            }
            if not values:
                continue
            low = min(float(v.min()) for v in values.values())
            high = max(float(v.max()) for v in values.values())
            edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
            for matcher, v in values.items():
                parts = [v] if same is None else [v[same], v[~same]]
                found.append(
                    {
                        "layer": views.layers.index(layer),
                        "matcher": views.matchers.index(matcher),
                        "kernel": views.kernels.index(kernel),
                        "low": float(edges[0]),
                        "high": float(edges[-1]),
                        "counts": [np.histogram(part, edges)[0].tolist() for part in parts],
                        "medians": [float(np.median(part)) for part in parts],
                    }
                )
    return found


def _cka(views: Views) -> list[dict[str, Any]]:
    """Return the CKA of all RSMs of each kernel with one another."""
    found = []
    for kernel in views.kernels:
        keys = [key for key in views.views if key[2] == kernel]
        centred = [CentredKernel.of(views.views[key].values, debiased=False) for key in keys]
        values = [[one.alignment(other) for other in centred] for one in centred]
        found.append(
            {
                "kernel": views.kernels.index(kernel),
                "layers": [views.layers.index(key[0]) for key in keys],
                "matchers": [views.matchers.index(key[1]) for key in keys],
                # The CKA of a constant RSM is undefined, and JSON has no NaN.
                "values": [[None if math.isnan(v) else v for v in row] for row in values],
            }
        )
    return found
