"""Exact matchings inside windows of vectors of similar norm."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .._internal.arrays import Array
from .._internal.checks import whole_number
from ..tokens import Block
from .affinities import solve_pairs
from .base import TILE_VECTORS, Matched, Matcher, PairTile, clipped_side
from .norms import norm_bounds, sorted_by_norm

_ONE = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class BatchOptimal(Matcher):
    """Exact inside windows over the vectors sorted by descending norm.

    The remainder window holds the smallest norms. Where S ≠ T the last window of the smaller image
    is matched with all remaining vectors of the larger one. The upper bound is the sum of products
    of the sorted norms; it is loose, since affinities across windows are never computed.

    Parameters
    ----------
    window : int, default 128
        Vectors in a window; the paper uses 128, 256, 512 and 1024.
    """

    window: int = 128

    name = "batch-optimal"
    copies_blocks = True

    def __post_init__(self) -> None:
        whole_number(self.window, "window")

    def prepare(self, block: Block) -> Block:
        """Sort the vectors of each image by descending norm."""
        return sorted_by_norm(block)

    def tile_side(self, size: int, channels: int) -> int:
        """Return a good side for tiles with the affinities of one window at a time."""
        return clipped_side(TILE_VECTORS / min(size, self.window))

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        bounds = norm_bounds(tile)
        sides = (tile.rows, tile.columns)
        if all(len(set(block.sizes.tolist())) == 1 for block in sides):
            matched = self._windows(tile)
            return replace(matched, upper_bounds=np.maximum(bounds, matched.values))
        values = np.empty(len(tile))
        for p, (i, j) in enumerate(zip(tile.left.tolist(), tile.right.tolist(), strict=True)):
            rows, columns = tile.rows.part(i, i + 1), tile.columns.part(j, j + 1)
            one = PairTile(rows, columns, _ONE, _ONE, tile.workspace)
            values[p] = self._windows(one).values[0]
        return Matched(values, np.maximum(bounds, values))

    def _windows(self, tile: PairTile) -> Matched:
        """Match blocks in which all images of a side have the same S."""
        rows, columns = tile.rows, tile.columns
        size, width = int(rows.starts[1]), int(columns.starts[1])
        left_images = rows.vectors.reshape(len(rows), size, -1)
        right_images = columns.vectors.reshape(len(columns), width, -1)
        smaller = min(size, width)
        values = np.zeros(len(tile))
        kept = None
        if tile.keep_matchings:
            kept = np.full((len(tile), size), -1, dtype=np.int32)
        for first in range(0, smaller, self.window):
            final = first + self.window >= smaller
            row_end = size if final else first + self.window
            column_end = width if final else first + self.window
            window = replace(
                tile,
                rows=_uniform_block(left_images[:, first:row_end]),
                columns=_uniform_block(right_images[:, first:column_end]),
            )
            part = solve_pairs(window, window.affinities())
            values += part.values
            if kept is not None and part.matchings is not None:
                shifted = np.where(part.matchings >= 0, part.matchings + first, -1)
                kept[:, first:row_end] = shifted
        return Matched(values, values, kept)


def _uniform_block(images: Array) -> Block:
    count, size, channels = images.shape
    vectors = np.ascontiguousarray(images).reshape(-1, channels)
    return Block(vectors, np.arange(count + 1, dtype=np.int64) * size)
