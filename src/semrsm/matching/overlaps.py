"""The placements of one grid over another, and the parts of both that overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

Grid = tuple[int, int]


def scaled_grid(grid: Grid, scale: float) -> Grid:
    """Return the grid of an image that is shrunk by a scale: at least one cell.

    Examples
    --------
    >>> scaled_grid((14, 7), 0.5)
    (7, 4)
    """
    height, width = (max(1, int(np.floor(side * scale + 0.5))) for side in grid)
    return height, width


def shrinking(side: int, cells: int) -> Array:
    """Return the weights (cells, side) that average a row of `side` cells over equal areas."""
    edges = np.linspace(0, side, cells + 1)
    low = np.maximum(edges[:-1, None], np.arange(side))
    high = np.minimum(edges[1:, None], np.arange(side) + 1)
    return np.asarray(np.maximum(high - low, 0) * cells / side)


def padded_grid(grid: Grid, least: float) -> Grid:
    """Return the sides of cyclic transforms in which no placement meets itself around the border.

    Parameters
    ----------
    grid : (int, int)
    least : float
        The least share of the smaller image that lies inside the other, and so of either side.
    """
    height, width = (_smooth(2 * side - _needed(side * least)) for side in grid)
    return height, width


def _smooth(least: int) -> int:
    """Return the smallest number that is at least this and has no prime factor above 5."""
    found = least
    while True:
        rest = found
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return found
        found += 1


def _needed(cells: float) -> int:
    """Return the least whole number of cells that is a share, but for its rounding."""
    return max(1, int(np.ceil(cells - 1e-9)))


@dataclass(frozen=True, eq=False)
class Overlaps:
    """All placements of a grid (the row image) over another with enough overlap.

    Attributes
    ----------
    rows, columns : (int, int)
        The grids of both images.
    down, across : ndarray of int64, shape (T,)
        Cell (a, b) of the row image lies over cell (a + down, b + across) of the column image.
    """

    rows: Grid
    columns: Grid
    down: NDArray[np.int64]
    across: NDArray[np.int64]

    def cyclic(self, padded: Grid) -> NDArray[np.int64]:
        """Return the places of the placements in a flat cyclic correlation."""
        return np.asarray((self.down % padded[0]) * padded[1] + self.across % padded[1])

    def row_squares(self, sums: Array) -> Array:
        """Return the squared norms of row images over each overlap, (n, T), from summed squares."""
        return _rectangles(
            sums,
            (np.maximum(0, -self.down), np.minimum(self.rows[0], self.columns[0] - self.down)),
            (np.maximum(0, -self.across), np.minimum(self.rows[1], self.columns[1] - self.across)),
        )

    def column_squares(self, sums: Array) -> Array:
        """Return the squared norms of column images over each overlap, shape (n, T)."""
        return _rectangles(
            sums,
            (np.maximum(0, self.down), np.minimum(self.columns[0], self.rows[0] + self.down)),
            (np.maximum(0, self.across), np.minimum(self.columns[1], self.rows[1] + self.across)),
        )

    def slices(self, place: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Return the parts of both images that overlap at a placement."""
        own, other = [], []
        for shift, left, right in zip(
            (int(self.down[place]), int(self.across[place])), self.rows, self.columns, strict=True
        ):
            first, last = max(0, -shift), min(left, right - shift)
            own.append(slice(first, last))
            other.append(slice(first + shift, last + shift))
        return (own[0], own[1]), (other[0], other[1])

    def frame(self, place: int, grid: Grid) -> Array:
        """Return where the row image lies in the column image: top, left, height and width.

        In cells of images of this grid before they were shrunk.
        """
        units = [side / cells for side, cells in zip(grid, self.columns, strict=True)]
        return np.array(
            [
                self.down[place] * units[0],
                self.across[place] * units[1],
                self.rows[0] * units[0],
                self.rows[1] * units[1],
            ]
        )


def overlaps_of(rows: Grid, columns: Grid, least: float) -> Overlaps:
    """Return the placements in which at least a share of the smaller image overlaps."""
    shifts, cells = [], []
    for left, right in zip(rows, columns, strict=True):
        shift = np.arange(1 - left, right)
        shifts.append(shift)
        cells.append(np.minimum(left, right - shift) - np.maximum(0, -shift))
    needed = _needed(least * min(rows[0] * rows[1], columns[0] * columns[1]))
    down, across = np.nonzero(cells[0][:, None] * cells[1] >= needed)
    return Overlaps(rows, columns, shifts[0][down], shifts[1][across])


def _rectangles(
    sums: Array,
    down: tuple[NDArray[np.int64], NDArray[np.int64]],
    across: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Array:
    found = sums[:, down[1], across[1]] - sums[:, down[0], across[1]]
    found -= sums[:, down[1], across[0]]
    found += sums[:, down[0], across[0]]
    # Sums of squares that cancel leave rounding behind, where there is nothing.
    rounding = 4 * sums[0].size * np.finfo(np.float64).eps * sums[:, -1:, -1]
    return np.asarray(np.where(found > rounding, found, 0.0))
