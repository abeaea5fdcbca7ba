"""The native solver, applied to the matrices inside a tile of affinities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .assignment import TOLERANCE, solve
from .base import Matched, PairTile

if TYPE_CHECKING:
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
