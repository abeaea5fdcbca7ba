"""The figures of the study of retrieval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..features.photographs import Photos

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Queries in the gallery figure, and results of each.
SHOWN_QUERIES, SHOWN_RESULTS = 4, 3


def draw_curves(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw F1 by the number of results."""
    from ..plot import plot_retrieval

    return plot_retrieval(rows)


def draw_gallery(
    photos: Photos,
    orders: Mapping[tuple[str, str, str, str], NDArray[np.int64]],
    what: tuple[str, str, list[str], str],
    drawn: NDArray[np.int64],
    queries: NDArray[np.int64],
    membership: NDArray[np.bool_],
    vocabulary: Sequence[Any],
) -> Figure:
    """Draw some queries with their most similar images under each matcher."""
    from ..plot import plot_gallery

    layer, kernel, matchers, excluded = what

    def names(which: NDArray[np.bool_]) -> list[str]:
        return [str(vocabulary[o]) for o in np.flatnonzero(which).tolist()]

    entries = []
    for q in drawn:
        own = membership[queries[q]]
        results = {
            matcher: [
                (photos[int(i)], names(own & membership[i]), int(membership[i].sum()))
                for i in orders[layer, kernel, matcher, excluded][q, :SHOWN_RESULTS]
            ]
            for matcher in matchers
        }
        entries.append((photos[int(queries[q])], names(own), results))
    return plot_gallery(entries, title=f"{layer}, {kernel}")
