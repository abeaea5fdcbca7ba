"""The native solver, applied to the matrices inside a tile of affinities."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .assignment import TOLERANCE, solve
from .base import Matched, PairTile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array


def solve_pairs(
    tile: PairTile,
    affinity: Array,
    *,
    method: str = "assign",
    limit: int | None = None,
    taken: int = 0,
    tolerance: float = TOLERANCE,
) -> Matched:
    """Solve the matrices of the pairs of a tile.

    Parameters
    ----------
    tile : PairTile
        The pairs.
    affinity : ndarray, shape (sum of S, sum of T)
        The inner products of all vectors of both blocks.
    method, taken, tolerance
        As for :func:`semrsm.matching.assignment.solve`.
    limit : int, optional
        Take only the leading `limit` × `limit` part of each matrix.

    Returns
    -------
    Matched
    """
    sizes, widths = tile.rows.sizes[tile.left], tile.columns.sizes[tile.right]
    if tile.keep_matchings and len(set(sizes.tolist())) > 1:
        return _by_size(tile, affinity, sizes, method, tolerance)
    if limit is not None:
        sizes, widths = np.minimum(sizes, limit), np.minimum(widths, limit)
    width = affinity.shape[1]
    values, bounds, columns = solve(
        affinity.reshape(-1),
        tile.rows.starts[tile.left] * width + tile.columns.starts[tile.right],
        int(sizes[0]) if tile.keep_matchings else sizes.astype(np.int32),
        widths.astype(np.int32),
        row_stride=width,
        method=method,
        taken=taken,
        tolerance=tolerance,
        cancellation=tile.workspace.cancellation,
        keep_columns=tile.keep_matchings,
    )
    return Matched(values, bounds, columns if tile.keep_matchings else None)


def _by_size(
    tile: PairTile,
    affinity: Array,
    sizes: NDArray[np.int64],
    method: str,
    tolerance: float,
) -> Matched:
    """Solve the pairs of each size of the left image together, and keep their matchings."""
    values, bounds = np.empty(len(tile)), np.empty(len(tile))
    kept = np.full((len(tile), int(sizes.max())), -1, dtype=np.int32)
    for size in np.unique(sizes).tolist():
        chosen = np.flatnonzero(sizes == size)
        some = replace(tile, left=tile.left[chosen], right=tile.right[chosen])
        found = solve_pairs(some, affinity, method=method, tolerance=tolerance)
        values[chosen], bounds[chosen] = found.values, found.upper_bounds
        if found.matchings is not None:
            kept[chosen, :size] = found.matchings
    return Matched(values, bounds, kept)


def matched_entries(
    tile: PairTile, affinity: Array, matchings: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the affinity of each matched vector, shape (P, S), and −inf where one stays free."""
    rows = tile.rows.starts[tile.left][:, None] + np.arange(matchings.shape[1])
    columns = tile.columns.starts[tile.right][:, None] + np.maximum(matchings, 0)
    taken = matchings >= 0
    flat = np.where(taken, rows * affinity.shape[1] + columns, 0)
    return np.where(taken, affinity.reshape(-1)[flat].astype(np.float64), -np.inf)
