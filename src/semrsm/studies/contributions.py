"""The contribution of each location to the similarity of two images, under one matching."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..matching.assignment import relative_gap
from ..matching.base import Matcher
from ..matching.pair import match
from ..tokens import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: The part of the locations whose share of the similarity measures its concentration.
TOP = 0.1


@dataclass(frozen=True, eq=False)
class LocationMap:
    """The contributions of all locations to the cosine of two images, under one matching.

    Attributes
    ----------
    left : ndarray of float64, shape (H, W)
        The contribution of each location of the left image; they sum to the cosine.
    right : ndarray of float64, shape (H, W)
        The same contributions at the locations of their partners in the right image.
    partner : ndarray of int64, shape (H * W,)
        The location in the right image that each one of the left is matched with, counted row by
        row; −1 for a location without a partner.
    similarity : float
        The cosine.
    gap : float
        The relative gap between the cosine and its upper bound; 0 where this matching is certainly
        the best.
    """

    left: Array = field(repr=False)
    right: Array = field(repr=False)
    partner: NDArray[np.int64] = field(repr=False)
    similarity: float
    gap: float

    def displacements(self) -> Array:
        """Return the distance of each partner from the same location, in cells; NaN without one.

        Returns
        -------
        ndarray of float64, shape (H * W,)
        """
        offsets = self._offsets()
        return np.where(self.partner >= 0, np.hypot(*offsets), np.nan)

    def beyond(self, cells: int) -> NDArray[np.bool_]:
        """Return whether each partner is more than `cells` rows or columns away.

        Parameters
        ----------
        cells : int
            0: at any other location; 1: not among the eight neighbours either.

        Returns
        -------
        ndarray of bool, shape (H * W,)
        """
        rows, columns = self._offsets()
        far: NDArray[np.bool_] = np.maximum(np.abs(rows), np.abs(columns)) > cells
        return far & (self.partner >= 0)

    def _offsets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        width = self.left.shape[1]
        own = np.arange(len(self.partner))
        return self.partner // width - own // width, self.partner % width - own % width


def location_map(
    a: Any, b: Any, grid: tuple[int, int], *, matcher: str | Matcher = "optimal"
) -> LocationMap:
    """Map the contribution of each location to the cosine of two images.

    Parameters
    ----------
    a, b : array-like, shape (H * W, C)
        The concept vectors of the left and the right image, row by row of their grid.
    grid : (int, int)
        H and W.
    matcher : str or Matcher, default "optimal"
        As for :func:`semrsm.match`.

    Returns
    -------
    LocationMap

    Raises
    ------
    InputError
        As :func:`semrsm.match`, or if the grid does not fit.

    Examples
    --------
    >>> a = np.eye(4)
    >>> found = location_map(a, a[::-1], (2, 2))
    >>> found.partner, found.similarity
    (array([3, 2, 1, 0]), 1.0)
    >>> found.left
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    size = grid[0] * grid[1]
    for name, x in (("a", a), ("b", b)):
        shape = np.shape(x)
        if len(shape) == 2 and shape[0] != size:  # match refuses all other shapes
            raise InputError(
                f"{name}: expected {grid[0]} x {grid[1]} = {size} concept vectors; got {shape[0]}"
            )
    found = match(a, b, matcher=matcher, grid=grid)
    left, right = (measure([x], name) for x, name in ((a, "a"), (b, "b")))
    # One root each: the product of two squared norms can leave the range of float64.
    norm = float(np.sqrt(left.squared_norms[0]) * np.sqrt(right.squared_norms[0]))
    contributions = found.contributions / norm if norm > 0 else np.zeros(size)
    moved = np.zeros(size)
    matched = found.permutation >= 0
    moved[found.permutation[matched]] = contributions[matched]
    return LocationMap(
        left=contributions.reshape(grid),
        right=moved.reshape(grid),
        partner=found.permutation,
        similarity=float(contributions.sum()),
        gap=float(relative_gap(found.value, found.upper_bound)),
    )


def random_displacements(grid: tuple[int, int]) -> tuple[Array, Array]:
    """Return the displacements under a uniformly random permutation, with their probabilities.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    distances, probabilities : ndarray of float64, shape (H * W,)
        Distances in cells, one for each number of rows and columns moved; distances repeat.

    Examples
    --------
    >>> random_displacements((1, 2))
    (array([0., 1.]), array([0.5, 0.5]))
    """
    rows, columns = (np.arange(n) for n in grid)
    # Of n places in a line, n - d have a place d further on, and as many one d before.
    ways = [
        (n - d) * np.where(d == 0, 1, 2) / n**2 for n, d in zip(grid, (rows, columns), strict=True)
    ]
    distances: Array = np.hypot(rows[:, None], columns[None, :]).ravel()
    return distances, np.outer(*ways).ravel()


def summary_of(found: LocationMap, aligned: LocationMap) -> dict[str, float]:
    """Return the numbers of one row of the table."""
    width = found.left.shape[1]
    gained = np.maximum(found.left.ravel(), 0.0)
    moved = found.displacements() / width
    random, probabilities = random_displacements((found.left.shape[0], width))
    top = np.sort(gained)[::-1][: int(np.ceil(TOP * len(gained)))]
    return {
        "similarity": found.similarity,
        "rise": found.similarity - aligned.similarity,
        "share_elsewhere": _share(gained[found.beyond(0)], gained),
        "share_beyond_neighbours": _share(gained[found.beyond(1)], gained),
        "top_share": _share(top, gained),
        "displacement_mean": float(np.nanmean(moved)),
        "displacement_median": float(np.nanmedian(moved)),
        "displacement_random": float(random @ probabilities) / width,
        "correlation": _correlation(found.left.ravel(), aligned.left.ravel()),
        "gap": found.gap,
    }


def _share(part: Array, whole: Array) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float("nan")


def _correlation(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
