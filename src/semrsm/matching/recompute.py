"""Values of given matchings, recomputed in float64 from the vectors of a tile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

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
    free = bool((matchings < 0).any())
    for p, (i, j) in enumerate(zip(tile.left.tolist(), tile.right.tolist(), strict=True)):
        left, right = tile.rows.image(i)[:, :channels], tile.columns.image(j)[:, :channels]
        target = matchings[p]
        if free:
            left, target = left[target >= 0], target[target >= 0]
        found[p] = np.einsum("sc,sc->", left, right[target], dtype=np.float64)
    return found
