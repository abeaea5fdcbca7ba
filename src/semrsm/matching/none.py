"""No matching: location by location, as in the usual, spatio-semantic RSM."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..tokens import Block
from .base import Matched, Matcher, PairTile, clipped_side
from .norms import norm_bounds, norms_of, padded_norms

#: Bytes of the images on one side of a tile where they are widened to float64.
WIDENED_BYTES = 8 << 20


@dataclass(frozen=True)
class NoMatch(Matcher):
    """The spatio-semantic baseline: location s is compared with location s, and nothing is matched.

    The upper bound on the optimum is the sum of products of the sorted norms; it is loose.
    """

    name = "none"
    solves = False
    is_matched = False
    costs_one_pass = True
    needs_equal_sizes = True
    engines = ("cpu", "cuda")

    def prepare(self, block: Block) -> Block:
        """Add the sorted norms."""
        norms, order = norms_of(block)
        return replace(block, norms=padded_norms(norms[order], block))

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many images, widened to float64, fit into a few megabytes."""
        return clipped_side(WIDENED_BYTES / (size * channels * 8))

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes of the widened images of a tile; there are no affinities."""
        return (images[0] * sizes[0] + images[1] * sizes[1]) * channels * 8

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`; the products are accumulated in float64."""
        size = int(tile.rows.starts[1])
        first, last = int(tile.left.min()), int(tile.left.max()) + 1
        start, stop = int(tile.right.min()), int(tile.right.max()) + 1
        rows, columns = tile.rows.part(first, last), tile.columns.part(start, stop)
        flat = rows.vectors.reshape(last - first, -1).astype(np.float64)
        other = columns.vectors.reshape(stop - start, -1).astype(np.float64)
        values = tile.workspace.product(flat, other)[tile.left - first, tile.right - start]
        bounds = np.maximum(norm_bounds(tile), values)
        kept = None
        if tile.keep_matchings:
            kept = np.tile(np.arange(size, dtype=np.int32), (len(tile), 1))
        return Matched(values, bounds, kept)
