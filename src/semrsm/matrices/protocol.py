"""The one interface of matrices, in memory or on disk: they are read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@runtime_checkable
class Matrix(Protocol):
    """A matrix of float64 that is read in blocks: a Gram or RSM, in memory or on disk, or an array.

    Attributes
    ----------
    shape : (int, int)
    is_symmetric : bool
        Whether rows and columns are the same images.
    row_ids, column_ids : tuple of str
    block_side : int
        The side of blocks that are efficient to read. A matrix in memory is one block: this is then
        its longer side.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """N and M."""
        ...

    @property
    def is_symmetric(self) -> bool:
        """Whether rows and columns are the same images."""
        ...

    @property
    def row_ids(self) -> tuple[str, ...]:
        """The names of the row images."""
        ...

    @property
    def column_ids(self) -> tuple[str, ...]:
        """The names of the column images."""
        ...

    @property
    def block_side(self) -> int:
        """The side of blocks that are efficient to read."""
        ...

    def block(self, rows: slice, columns: slice) -> Array:
        """Return the values of some rows and columns, float64."""
        ...

    def part(self, rows: slice, columns: slice) -> Matrix:
        """Return some rows and columns as a matrix of the same kind, in memory."""
        ...


class ArrayMatrix:
    """A plain array as a :class:`Matrix`.

    Parameters
    ----------
    values : ndarray, shape (N, M), float64
        Not copied.
    is_symmetric : bool
        Whether rows and columns are the same images.
    row_ids, column_ids : tuple of str, optional
        Numbers from 0 by default.
    """

    def __init__(
        self,
        values: Array,
        *,
        is_symmetric: bool,
        row_ids: tuple[str, ...] | None = None,
        column_ids: tuple[str, ...] | None = None,
    ) -> None:
        rows, columns = values.shape
        self.values = values
        self.shape: tuple[int, int] = (rows, columns)
        self.is_symmetric = is_symmetric
        self.row_ids = tuple(map(str, range(rows))) if row_ids is None else row_ids
        self.column_ids = tuple(map(str, range(columns))) if column_ids is None else column_ids
        self.block_side = max(self.shape)

    def block(self, rows: slice, columns: slice) -> Array:
        """Return the values of some rows and columns, as a view."""
        return self.values[rows, columns]

    def part(self, rows: slice, columns: slice) -> ArrayMatrix:
        """Return the matrix of some rows and columns."""
        return ArrayMatrix(
            self.values[rows, columns],
            is_symmetric=self.is_symmetric and rows == columns,
            row_ids=self.row_ids[rows],
            column_ids=self.column_ids[columns],
        )


def in_one_block(matrix: Matrix) -> bool:
    """Return whether one block holds the whole matrix, as it does for one in memory."""
    return matrix.block_side >= max(matrix.shape)


def upper_blocks(count: int, side: int) -> Iterator[tuple[slice, slice]]:
    """Yield the blocks on and above the diagonal of a square matrix, row by row.

    Examples
    --------
    >>> list(upper_blocks(3, 2))[:2]
    [(slice(0, 2, None), slice(0, 2, None)), (slice(0, 2, None), slice(2, 3, None))]
    """
    for first in range(0, count, side):
        rows = slice(first, min(first + side, count))
        for start in range(first, count, side):
            yield rows, slice(start, min(start + side, count))
