"""Positions on the grid of an image, for matchers that know where vectors lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..tokens import Block


def grid_of(block: Block) -> tuple[int, int]:
    """Return the grid of a block that a matcher with ``needs_positions`` was given."""
    if block.grid is None:
        raise ValueError("the block has no grid")
    return block.grid


def positions(grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return the centres of the cells, row by row, as (row, column), shape (S, 2).

    Both coordinates are divided by the longer side, so that a cell is as high as it is wide, and
    are measured from the middle of the image.

    Examples
    --------
    >>> positions((1, 2)).tolist()
    [[0.0, -0.25], [0.0, 0.25]]
    """
    height, width = grid
    places = np.indices(grid).reshape(2, -1).T + 0.5
    return np.asarray((places - [height / 2, width / 2]) / max(grid))


def squared_distances(grid: tuple[int, int], matchings: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return how far each vector moves under matchings (P, S), squared; 0 where it stays free."""
    places = positions(grid)
    targets = places[np.maximum(matchings, 0)]
    moved = ((targets - places) ** 2).sum(axis=-1)
    return np.asarray(np.where(matchings >= 0, moved, 0.0))


def wrapped(shift: NDArray[np.int64], side: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return cyclic shifts as the shortest ones: from −side/2, and up to less than side/2."""
    return np.asarray((shift + side // 2) % side - side // 2)
