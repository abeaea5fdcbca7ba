"""Entries of a matrix that no matching may take, for a solver that knows none."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

#: Forbidden entries are so many times the largest magnitude below zero. More costs time: the
#: auction then begins with coarser steps. Less is taken more often, and the matrix solved again.
FORBIDDEN = 8.0


def allowed_only(
    affinity: Array,
    allowed: NDArray[np.bool_],
    solve_once: Callable[[], tuple[NDArray[np.int32], float]],
) -> tuple[NDArray[np.int32], float]:
    """Solve one square matrix without its forbidden entries.

    A large negative number stands for them. If the matching takes one nevertheless, which can pay
    where that opens many better pairs, the number is made larger. The bound holds in any case:
    allowed matchings keep their values.

    Parameters
    ----------
    affinity : ndarray, shape (S, S)
        Forbidden entries are overwritten.
    allowed : ndarray of bool, shape (S, S)
        A matching of allowed entries must exist.
    solve_once : callable
        Solves `affinity` as it stands; returns the column of each row and the upper bound.

    Returns
    -------
    columns : ndarray of int32, shape (S,)
    bound : float
    """
    largest = float(np.abs(affinity[allowed]).max()) or 1.0
    factor = FORBIDDEN
    while True:
        affinity[~allowed] = -factor * largest
        columns, bound = solve_once()
        if allowed[np.arange(len(columns)), columns].all():
            return columns, bound
        factor *= 16
