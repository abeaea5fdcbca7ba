"""Which pairs of images a matcher changes most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]


def most_raised(
    before: Array,
    after: Array,
    most: int,
    *,
    among: tuple[Indices, Indices] | None = None,
) -> list[tuple[int, int]]:
    """Return the pairs whose value rises most from one matrix to another of the same images.

    Parameters
    ----------
    before, after : ndarray, shape (N, M), float64
        Finite values, such as the similarities without and with matching.
    most : int
        The most pairs to return.
    among : (ndarray, ndarray) of int, shapes (P,), optional
        Rows and columns of the pairs to choose from; by default all i < j of a square matrix.

    Returns
    -------
    list of (int, int)
        The strongest rise first; equal ones in the order of `among`.

    Examples
    --------
    >>> most_raised(np.zeros((3, 3)), np.array([[0, 1, 2], [1, 0, 2], [2, 2, 0.0]]), 2)
    [(0, 2), (1, 2)]
    """
    rows, columns = np.triu_indices_from(before, k=1) if among is None else among
    rise = after[rows, columns] - before[rows, columns]
    order = np.argsort(-rise, kind="stable")[:most]
    return [(int(rows[k]), int(columns[k])) for k in order]
