"""How the pairs of a run are divided into tiles; the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

#: A tile takes about this many seconds on one modern core: little is lost when a run is killed, and
#: the cost of starting a tile is negligible.
TILE_SECONDS = 20.0

#: The most tiles along a side of the matrix: limits the files of a folder and a scheduler's tasks.
MOST_TILES = 128

#: The fewest tiles along a side of the matrix, so that small runs can be resumed and shared too.
FEWEST_TILES = 8

SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Tiling:
    """A regular grid of square tiles over the pairs of N row images and M column images.

    Attributes
    ----------
    rows, columns : int
        N and M.
    side : int
        Images on the side of a tile.
    is_symmetric : bool
        Whether rows and columns are the same images: then there are only tiles on and above the
        diagonal.
    """

    rows: int
    columns: int
    side: int
    is_symmetric: bool

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for i in range(math.ceil(self.rows / self.side)):
            for j in range(i if self.is_symmetric else 0, math.ceil(self.columns / self.side)):
                yield i, j

    def __len__(self) -> int:
        rows, columns = math.ceil(self.rows / self.side), math.ceil(self.columns / self.side)
        return rows * (rows + 1) // 2 if self.is_symmetric else rows * columns

    def place(self, tile: tuple[int, int]) -> tuple[slice, slice]:
        """Return the images of a tile: its rows and its columns."""
        (i, j), side = tile, self.side
        return (
            slice(i * side, min((i + 1) * side, self.rows)),
            slice(j * side, min((j + 1) * side, self.columns)),
        )

    def pairs(self, tile: tuple[int, int]) -> int:
        """Return how many pairs of different images a tile covers."""
        rows, columns = self.place(tile)
        height, width = int(rows.stop - rows.start), int(columns.stop - columns.start)
        if self.is_symmetric and tile[0] == tile[1]:
            return height * (height - 1) // 2
        return height * width


def tile_side(images: int, vectors: int, channels: int, *, solves: bool) -> int:
    """Return the side of the tiles of a run: a power of two, by the approximate cost of a pair.

    The cost must not be measured: each machine would then divide, and round, the same run
    differently.

    Parameters
    ----------
    images : int
        The larger of N and M.
    vectors, channels : int
        S and C.
    solves : bool
        Whether a pair costs about a product of all vectors, and not one pass over both images.

    Returns
    -------
    int
    """
    if solves:
        seconds = vectors * vectors * (channels / 50 + 5) * 1e-9
    else:
        seconds = vectors * channels * 1e-10
    by_cost = _power_of_two(math.sqrt(TILE_SECONDS / seconds))
    largest = max(SMALLEST_SIDE, _power_of_two(images / FEWEST_TILES))
    smallest = 1 << max(0, math.ceil(math.log2(max(1.0, images / MOST_TILES))))
    return max(smallest, min(by_cost, largest, 1024))


def _power_of_two(value: float) -> int:
    """Return the largest power of two that is at most `value`, or 1 for smaller values."""
    return 1 << max(0, math.floor(math.log2(max(1.0, value))))
