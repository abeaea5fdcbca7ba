"""Native work on the vectors of a tile: values of given matchings, and matchings in a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import _native
from .assignment import check_status
from .base import PairTile

if TYPE_CHECKING:
    from numpy.typing import NDArray


def inner_products(
    tile: PairTile, matchings: NDArray[np.int32], channels: int
) -> NDArray[np.float64]:
    """Return Σ_s ⟨x_s, y_matching(s)⟩ of each pair in float64, over the first `channels`.

    Parameters
    ----------
    tile : PairTile
        Its images have one S.
    matchings : ndarray of int32, shape (P, S)
        −1 where a vector stays free.
    channels : int
        C.

    Returns
    -------
    ndarray of float64, shape (P,)
    """
    found = np.empty(len(tile))
    stride = tile.rows.vectors.shape[1]
    _native.matched_sums(
        tile.rows.vectors.reshape(-1),
        tile.columns.vectors.reshape(-1),
        tile.rows.starts[tile.left] * stride,
        tile.columns.starts[tile.right] * stride,
        matchings.shape[1],
        stride,
        channels,
        np.ascontiguousarray(matchings, dtype=np.int32).reshape(-1),
        found,
    )
    return found


def solve_near(
    tile: PairTile, grid: tuple[int, int], radius: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Match the vectors of each pair with partners at most `radius` cells apart, exactly.

    Only the affinities of near vectors are computed. In time and memory this is S (2r + 1)² where
    the matrix of all affinities is S².

    Parameters
    ----------
    tile : PairTile
        Its images have one grid.
    grid : (int, int)
    radius : int

    Returns
    -------
    values, upper_bounds : ndarray of float64, shape (P,)
    matchings : ndarray of int32, shape (P, S)

    Raises
    ------
    NotFiniteError
        If an affinity overflows.
    Cancelled
        If the work was cancelled.
    """
    values, bounds = np.empty(len(tile)), np.empty(len(tile))
    matchings = np.empty((len(tile), grid[0] * grid[1]), dtype=np.int32)
    channels = tile.rows.vectors.shape[1]
    status, where = _native.banded(
        tile.rows.vectors.reshape(-1),
        tile.columns.vectors.reshape(-1),
        tile.rows.starts[tile.left] * channels,
        tile.columns.starts[tile.right] * channels,
        *grid,
        channels,
        radius,
        tile.workspace.cancellation.flag,
        values,
        bounds,
        matchings.reshape(-1),
    )
    check_status(status, where)
    return values, bounds, matchings
