"""The pairs of a job: panels of images that are in memory together, and tiles of pairs in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..matching.base import Matcher
from ..tokens import Block, Tokens
from .plan import Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """Images ``first_row:last_row`` against ``first_column:last_column``, counted in their panels.

    If `above` is a number, only pairs with column + above > row are wanted. For one set of images,
    the distance of the two panels gives the strict upper triangle, and one more adds the diagonal.
    """

    first_row: int
    last_row: int
    first_column: int
    last_column: int
    above: int | None

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the wanted pairs, counted from the first image of the tile."""
        rows = np.arange(self.last_row - self.first_row)[:, None]
        columns = np.arange(self.last_column - self.first_column)[None, :]
        wanted = np.ones(np.broadcast(rows, columns).shape, dtype=bool)
        if self.above is not None:
            wanted = columns + self.first_column + self.above > rows + self.first_row
        left, right = np.nonzero(wanted)
        return left, right


def panels(
    x: Tokens, y: Tokens | None, matcher: Matcher, plan: Plan, dtype: np.dtype[np.generic]
) -> Iterator[tuple[int, int, Block, Block]]:
    """Yield pairs of prepared panels; for one set of images only on and above the diagonal."""
    other = x if y is None else y

    def load(tokens: Tokens, first: int) -> Block:
        block = tokens.block(first, min(first + plan.panel, tokens.count))
        if block.vectors.dtype != dtype:
            block = replace(block, vectors=block.vectors.astype(dtype))
        return matcher.prepare(block)

    for first_row in range(0, x.count, plan.panel):
        rows = load(x, first_row)
        for first_column in range(first_row if y is None else 0, other.count, plan.panel):
            same = y is None and first_column == first_row
            yield first_row, first_column, rows, rows if same else load(other, first_column)


def tiles_of(rows: int, columns: int, plan: Plan, above: int | None) -> Iterator[Tile]:
    """Yield the tiles of two panels with these numbers of images; `above` as for :class:`Tile`."""
    for first_row in range(0, rows, plan.tile_rows):
        last_row = min(first_row + plan.tile_rows, rows)
        for first_column in range(0, columns, plan.tile_columns):
            last_column = min(first_column + plan.tile_columns, columns)
            if above is None or last_column - 1 + above > first_row:
                yield Tile(first_row, last_row, first_column, last_column, above)


def mirror(matrix: NDArray[np.float64], block: int = 1024) -> None:
    """Copy the upper triangle of a square matrix to the lower one, in place, block by block."""
    for first in range(0, len(matrix), block):
        last = first + block
        corner = matrix[first:last, first:last]
        lower = np.tril_indices_from(corner, k=-1)
        corner[lower] = corner.T[lower]
        matrix[last:, first:last] = matrix[first:last, last:].T
