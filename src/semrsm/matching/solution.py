"""The result of an assignment: pairs, value, certificate, prices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._internal.arrays import is_torch_tensor


@dataclass(frozen=True, eq=False)
class Assignment:
    """The best assignment of each matrix of a batch, with its certificate.

    Attributes
    ----------
    columns : ndarray, shape (..., S), int64
        The column that each row takes, −1 where a row stays free (S > T). A list of such arrays
        where matrices of several shapes were given.
    value : ndarray, shape (...), float64
        The sum of the assigned affinities, accumulated in float64.
    bound : ndarray, shape (...), float64
        A dual bound: no assignment of the matrix has a larger value, or where the value was
        minimised, a smaller one.
    gap : ndarray, shape (...), float64
        |bound − value| ÷ the sum of the absolute values of the assigned affinities; 0 where the
        value equals the bound.
    is_maximal : bool
        Whether the value was maximised.
    row_prices, column_prices : ndarray, shapes (..., S) and (..., T), float64, or None
        Where they were asked for: the dual solution u, v whose sum is the bound, with
        u[i] + v[k] ≥ A[i, k] for all pairs (≤ where the value was minimised). Lists of arrays where
        matrices of several shapes were given.
    """

    columns: Any
    value: Any
    bound: Any
    gap: Any
    is_maximal: bool = True
    row_prices: Any = field(default=None, repr=False)
    column_prices: Any = field(default=None, repr=False)

    @property
    def upper_bound(self) -> Any:
        """The bound, where the value was maximised.

        Raises
        ------
        AttributeError
            If it was minimised: the bound is a lower one then.
        """
        if not self.is_maximal:
            raise AttributeError("the value was minimised: lower_bound")
        return self.bound

    @property
    def lower_bound(self) -> Any:
        """The bound, where the value was minimised.

        Raises
        ------
        AttributeError
            If it was maximised: the bound is an upper one then.
        """
        if self.is_maximal:
            raise AttributeError("the value was maximised: upper_bound")
        return self.bound

    def pairs(self) -> tuple[Any, Any]:
        """Return rows and columns of the assigned pairs, as SciPy's ``linear_sum_assignment``.

        Returns
        -------
        rows, columns : ndarray of int64, shapes (..., min(S, T))
            In the order of the rows; lists of arrays where matrices of several shapes were given.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> affinity = np.array([[1.0, 5.0], [3.0, 7.5], [2.0, 8.0]])
        >>> rows, columns = semrsm.assign(affinity).pairs()
        >>> rows, columns, float(affinity[rows, columns].sum())
        (array([1, 2]), array([0, 1]), 11.0)
        """
        if isinstance(self.columns, list):
            both = [_pairs(columns) for columns in self.columns]
            return [rows for rows, _ in both], [columns for _, columns in both]
        return _pairs(self.columns)

    def __repr__(self) -> str:
        gaps = np.asarray(self.gap)
        largest = f"{gaps.max():.1e}" if gaps.size else "none"
        kind = "" if self.is_maximal else "minimal, "
        if isinstance(self.columns, list):
            return f"Assignment({kind}{len(self.columns)} matrices, largest relative gap {largest})"
        shape = tuple(self.columns.shape)
        return f"Assignment({kind}columns {shape}, largest relative gap {largest})"


def _pairs(columns: Any) -> tuple[Any, Any]:
    if is_torch_tensor(columns):
        rows, taken = _pairs(columns.cpu().numpy())
        return columns.new_tensor(rows), columns.new_tensor(taken)
    placed = columns >= 0
    count = int(placed.reshape(-1, placed.shape[-1]).sum(axis=1).max(initial=0))
    shape = (*columns.shape[:-1], count)
    rows = np.broadcast_to(np.arange(columns.shape[-1]), columns.shape)
    return rows[placed].reshape(shape), columns[placed].reshape(shape)
