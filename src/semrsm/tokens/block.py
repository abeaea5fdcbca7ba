"""The concept vectors of a few neighbouring images, in memory, as matchers take them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array


@dataclass(frozen=True, eq=False)
class Block:
    """The concept vectors of a few neighbouring images.

    Attributes
    ----------
    vectors : ndarray, shape (sum of S, C), float32 or float64, contiguous
        One image after the other.
    starts : ndarray of int64, shape (n + 1,)
        Image i holds the rows ``starts[i]:starts[i + 1]``.
    order : ndarray of int64, shape (sum of S,), or None
        The original place of each vector in its image, if a matcher has sorted them.
    norms : ndarray of float64, shape (n, largest S), or None
        The norms of the vectors in descending order, padded with zeros.
    grid : (int, int) or None
        Height and width of the grid that the vectors of each image form, row by row.
    derived : mapping of str to ndarray
        Arrays that a matcher has computed from the images, with one entry for each image.
    """

    vectors: Array
    starts: NDArray[np.int64]
    order: NDArray[np.int64] | None = None
    norms: NDArray[np.float64] | None = None
    grid: tuple[int, int] | None = None
    derived: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """S of each image, shape (n,)."""
        return np.diff(self.starts)

    def part(self, first: int, last: int) -> Block:
        """Return the images ``first:last`` as views."""
        starts = self.starts[first : last + 1]
        rows = slice(starts[0], starts[-1])
        return Block(
            self.vectors[rows],
            starts - starts[0],
            None if self.order is None else self.order[rows],
            None if self.norms is None else self.norms[first:last],
            self.grid,
            {name: array[first:last] for name, array in self.derived.items()},
        )

    def image(self, i: int) -> Array:
        """Return the concept vectors of image `i`, shape (S, C)."""
        image: Array = self.vectors[self.starts[i] : self.starts[i + 1]]
        return image
