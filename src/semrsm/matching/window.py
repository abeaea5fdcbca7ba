"""The optimal matching among places that are near each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .._internal.checks import is_real_number, whole_number
from ..errors import InputError
from .affinities import solve_pairs
from .assignment import NotFiniteError, solve
from .base import Matched, Matcher, PairTile
from .forbidding import FORBIDDEN, allowed_only
from .grids import grid_of
from .recompute import solve_near

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

#: Where the window holds less than one place in so many, the band alone is computed and solved.
BANDED = 8

#: The share of the longer side where neither option is given.
SHARE = 0.2


@dataclass(frozen=True)
class Window(Matcher):
    """The optimal matching among partners at most r cells apart, in rows and in columns.

    (The Chebyshev distance.) r = 0 is no matching, and r ≥ the longer side − 1 is the optimal one;
    V grows with r. The upper bound is the dual bound of the matchings inside the window.

    Parameters
    ----------
    radius : int, optional
        r in cells.
    share : float, optional
        r as a share of the longer side of the grid, rounded down to whole cells; 0.2 if neither is
        given.
    """

    radius: int | None = None
    share: float | None = None

    name = "window"
    bounds = "own"
    needs_equal_sizes = True
    needs_positions = True

    def __post_init__(self) -> None:
        if self.radius is not None and self.share is not None:
            raise InputError(
                f"radius, share: expected one of them; got {self.radius!r} and {self.share!r}"
            )
        if self.radius is not None:
            object.__setattr__(self, "radius", whole_number(self.radius, "radius", 0))
        if self.share is not None:
            if not (is_real_number(self.share) and 0 <= float(self.share) <= 1):
                raise InputError(f"share: expected a number in [0, 1]; got {self.share!r}")
            object.__setattr__(self, "share", float(self.share))

    def cells(self, grid: tuple[int, int]) -> int:
        """Return r for a grid."""
        if self.radius is not None:
            return self.radius
        share = SHARE if self.share is None else self.share
        return int(np.floor(share * max(grid) + 1e-9))

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes of a tile, and of the matchings, the mask, and a matrix solved again."""
        base = super().tile_bytes(images, sizes, channels, item)
        return base + sizes[0] * sizes[1] * (1 + item) + images[0] * images[1] * sizes[0] * 4

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        grid = grid_of(tile.rows)
        radius = min(self.cells(grid), max(grid) - 1)
        if (2 * radius + 1) ** 2 * BANDED <= grid[0] * grid[1]:
            values, bounds, columns = solve_near(tile, grid, radius)
            return Matched(values, bounds, columns if tile.keep_matchings else None)
        affinity = tile.affinities()
        if radius == max(grid) - 1:
            return solve_pairs(tile, affinity)
        allowed = near(grid, radius)
        size = len(allowed)
        blocks = affinity.reshape(len(tile.rows), size, len(tile.columns), size)
        largest = float(max(affinity.max(), -affinity.min())) or 1.0
        if not np.isfinite(largest):
            raise NotFiniteError(0)
        np.copyto(blocks, -FORBIDDEN * largest, where=~allowed[None, :, None, :])
        found = solve_pairs(replace(tile, keep_matchings=True), affinity)
        values, bounds, kept = found.values, found.upper_bounds, found.matchings
        if kept is None:
            raise ValueError("the matchings were not kept")
        outside = ~allowed[np.arange(size), kept].all(axis=1)
        for p in np.flatnonzero(outside).tolist():
            values[p], bounds[p], kept[p] = self._again(
                tile, blocks[tile.left[p], :, tile.right[p], :].copy(), allowed
            )
        return Matched(values, bounds, kept if tile.keep_matchings else None)

    def _again(
        self, tile: PairTile, block: Array, allowed: NDArray[np.bool_]
    ) -> tuple[float, float, NDArray[np.int32]]:
        """Solve one pair whose matching has left the window."""
        size = len(block)

        def once() -> tuple[NDArray[np.int32], float]:
            _, bound, columns = solve(
                block.reshape(-1),
                np.zeros(1, dtype=np.int64),
                size,
                size,
                row_stride=size,
                cancellation=tile.workspace.cancellation,
                keep_columns=True,
            )
            return columns[0], float(bound[0])

        columns, bound = allowed_only(block, allowed, once)
        value = float(block[np.arange(size), columns].sum(dtype=np.float64))
        return value, max(value, bound), columns


@lru_cache(maxsize=8)
def near(grid: tuple[int, int], radius: int) -> NDArray[np.bool_]:
    """Return which places are at most so many cells apart, shape (S, S)."""
    down, across = (part.reshape(-1) for part in np.indices(grid))
    rows = np.abs(down[:, None] - down) <= radius
    return np.asarray(rows & (np.abs(across[:, None] - across) <= radius))
