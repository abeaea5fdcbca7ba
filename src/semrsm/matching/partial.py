"""A part of the vectors matched: the rest of both images stays free."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_real_number
from ..errors import InputError
from ..tokens import Block
from .affinities import matched_entries, solve_pairs
from .assignment import solve
from .base import Matched, Matcher, PairTile
from .forbidding import allowed_only
from .norms import norms_of, padded_norms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array
    from .._internal.workers import Cancellation


@dataclass(frozen=True)
class Partial(Matcher):
    """The m best pairs of a matching, m = max(1, round(share · S)); other vectors stay free.

    Similarity c is the cosine over the matched vectors: their inner product V_m, divided by the
    norms of the vectors that are matched. The Gram holds c ‖X‖ ‖Y‖, so that the cosine kernel gives
    c. Where S ≠ T, m is a share of the smaller one. It is not a rung of the ladder.

    By default the pairs are the m best of the optimal matching, which is an approximation: V_m is
    most often 96 to 99 % of the largest one, and ranks images alike, at no cost. With `exact` it is
    the largest of any m pairs.

    The upper bound is that of V_m of any m pairs, on the same scale: a loose one (from the m
    largest row and column maxima), or with `exact` the dual bound.

    Parameters
    ----------
    share : float, default 0.5
        The share of the vectors that is matched.
    exact : bool, default False
        Whether V_m is the largest of any m pairs: 2 to 14 times the cost of the optimal matching.

    Notes
    -----
    The best m pairs are an assignment of S + T − m rows and columns: T − m rows may only take
    columns of the images, and S − m columns only rows, at no gain.
    """

    share: float = 0.5
    exact: bool = False

    name = "partial"
    bounds = "own"

    def __post_init__(self) -> None:
        if not (is_real_number(self.share) and 0 < float(self.share) <= 1):
            raise InputError(f"share: expected a number in (0, 1]; got {self.share!r}")
        if not isinstance(self.exact, (bool, np.bool_)):
            raise InputError(f"exact: expected True or False; got {self.exact!r}")
        object.__setattr__(self, "share", float(self.share))

    def prepare(self, block: Block) -> Block:
        """Add the squared norms of the vectors, (n, largest S)."""
        squares = padded_norms(norms_of(block)[0] ** 2, block)
        return replace(block, derived={**block.derived, "squares": squares})

    def prepared_bytes(self, size: int, channels: int, item: int) -> int:
        """Return the bytes of the squared norms."""
        return 3 * 8 * size

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes of a tile, and of the larger matrix of one pair if `exact`."""
        base = super().tile_bytes(images, sizes, channels, item)
        pairs = images[0] * images[1]
        base += pairs * (sizes[0] + sizes[1]) * 8 * 6
        side = sizes[0] + sizes[1] - self.count(min(sizes)) if self.exact else 0
        return base + side * side * (2 * item + 2 * 8)

    def count(self, size: int) -> int:
        """Return m for images of so many vectors."""
        return max(1, round(self.share * size))

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        affinity = tile.affinities()
        smaller = np.minimum(tile.rows.sizes[tile.left], tile.columns.sizes[tile.right])
        counts = np.array([self.count(int(size)) for size in smaller])
        if self.exact:
            kept, bounds = self._best(tile, affinity, counts)
        else:
            found = solve_pairs(replace(tile, keep_matchings=True), affinity)
            if found.matchings is None:
                raise ValueError("the matchings were not kept")
            kept, bounds = found.matchings, _maxima_bounds(tile, affinity, counts)
        gained = matched_entries(tile, affinity, kept)
        order = np.argsort(-gained, axis=1, kind="stable")
        chosen = np.zeros(kept.shape, dtype=bool)
        np.put_along_axis(chosen, order, np.arange(kept.shape[1]) < counts[:, None], axis=1)
        kept = np.where(chosen, kept, -1).astype(np.int32)
        total = np.where(chosen, gained, 0.0).sum(axis=1)
        left, right = (block.derived["squares"] for block in (tile.rows, tile.columns))
        own = np.where(chosen, left[tile.left][:, : kept.shape[1]], 0.0).sum(axis=1)
        met = np.take_along_axis(right[tile.right], np.maximum(kept, 0), axis=1)
        size = np.sqrt(own * np.where(chosen, met, 0.0).sum(axis=1))
        norms = np.sqrt(left.sum(axis=1)[tile.left] * right.sum(axis=1)[tile.right])
        scale = np.divide(norms, size, out=np.zeros_like(norms), where=size > 0)
        values = total * scale
        upper = np.maximum(bounds * scale, values)
        if not tile.keep_matchings:
            return Matched(values, upper)
        cosines = np.divide(total, size, out=np.zeros_like(norms), where=size > 0)
        return Matched(values, upper, kept, {"inner": total, "cosine": cosines})

    def _best(
        self, tile: PairTile, affinity: Array, counts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the best m pairs of any matching, and a bound on V_m."""
        sizes = tile.rows.sizes[tile.left]
        kept = np.full((len(tile), int(sizes.max())), -1, dtype=np.int32)
        bounds = np.empty(len(tile))
        rows, columns = tile.rows.starts, tile.columns.starts
        for p, (i, j) in enumerate(zip(tile.left.tolist(), tile.right.tolist(), strict=True)):
            block = affinity[rows[i] : rows[i + 1], columns[j] : columns[j + 1]]
            found, bounds[p] = best_pairs(block, int(counts[p]), tile.workspace.cancellation)
            kept[p, : len(found)] = found
        return kept, bounds


def best_pairs(
    affinity: Array, count: int, cancellation: Cancellation
) -> tuple[NDArray[np.int32], float]:
    """Return the m pairs of one matrix with the largest sum, and an upper bound on the sum.

    Parameters
    ----------
    affinity : ndarray, shape (S, T)
    count : int
        m, at most min(S, T).
    cancellation : Cancellation

    Returns
    -------
    columns : ndarray of int32, shape (S,)
        The column of each row, −1 where it stays free.
    bound : float
    """
    size, width = affinity.shape
    side = size + width - count
    whole = np.zeros((side, side), dtype=affinity.dtype)
    whole[:size, :width] = affinity
    free = np.zeros((side, side), dtype=bool)
    free[size:, width:] = True

    def once() -> tuple[NDArray[np.int32], float]:
        _, bound, columns = solve(
            whole.reshape(-1),
            np.zeros(1, dtype=np.int64),
            side,
            side,
            row_stride=side,
            cancellation=cancellation,
            keep_columns=True,
        )
        return columns[0], float(bound[0])

    columns, bound = allowed_only(whole, ~free, once)
    taken = columns[:size]
    return np.where(taken < width, taken, -1).astype(np.int32), bound


def best_sums(affinity: Array, cancellation: Cancellation) -> NDArray[np.float64]:
    """Return the largest sum of m pairs of one matrix for every m, shape (min(S, T),)."""
    found = np.empty(min(affinity.shape))
    for m in range(1, len(found) + 1):
        columns, _ = best_pairs(affinity, m, cancellation)
        rows = np.flatnonzero(columns >= 0)
        found[m - 1] = affinity[rows, columns[rows]].sum()
    return found


def _maxima_bounds(
    tile: PairTile, affinity: Array, counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the smaller sum of the m largest row maxima and of the m largest column maxima."""
    down = np.maximum.reduceat(affinity, tile.rows.starts[:-1], axis=0)
    across = np.maximum.reduceat(affinity, tile.columns.starts[:-1], axis=1)
    found = np.empty(len(tile))
    rows, columns = tile.rows.starts, tile.columns.starts
    places = zip(tile.left.tolist(), tile.right.tolist(), counts.tolist(), strict=True)
    for p, (i, j, m) in enumerate(places):
        found[p] = min(
            _largest(across[rows[i] : rows[i + 1], j], m),
            _largest(down[i, columns[j] : columns[j + 1]], m),
        )
    return found


def _largest(values: NDArray[Any], count: int) -> float:
    """Return the sum of the largest values."""
    if count < len(values):
        values = np.partition(values, len(values) - count)[len(values) - count :]
    return float(values.sum(dtype=np.float64))
