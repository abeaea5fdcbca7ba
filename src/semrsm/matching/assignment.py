"""The façade of the native solver, for matrices that lie anywhere inside one buffer."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _native
from .._internal.workers import Cancellation
from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: The relative gap between value and upper bound above which a float32 matrix is solved again in
#: float64. Rounding of the prices alone leaves gaps of 1e-8 to 3e-7.
TOLERANCE = 1e-6


#: Batches with fewer entries are solved in the calling thread, in a few milliseconds.
SMALL = 1 << 18


class Cancelled(Exception):
    """The work was stopped because the caller asked for it."""


class _Status(enum.IntEnum):
    DONE = 0
    NOT_FINITE = 1
    CANCELLED = 2


def relative_gap(
    value: ArrayLike, upper_bound: ArrayLike, size: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return (upper bound − value) ÷ size, and 0 where the two are equal.

    Parameters
    ----------
    value, upper_bound : array-like of float64
        Arrays of one shape.
    size : array-like of float64, optional
        The scale of the value, such as Σ |A[i, k]| over the assigned pairs; by default the larger
        of |value| and |upper bound|.

    Returns
    -------
    ndarray of float64
        The gap; 0 where the value is certainly optimal, infinite where a value without size is
        not.

    Examples
    --------
    >>> float(relative_gap(1.0, 1.0)), float(relative_gap(0.0, 0.5, size=2.0))
    (0.0, 0.25)
    """
    low, high = np.asarray(value, np.float64), np.asarray(upper_bound, np.float64)
    scale = np.maximum(np.abs(low), np.abs(high)) if size is None else np.asarray(size, np.float64)
    apart = np.maximum(high - low, 0.0)
    gap = np.where(apart > 0, np.inf, 0.0)
    np.divide(apart, scale, out=gap, where=(apart > 0) & (scale > 0))
    return gap


def norm_gap(
    value: ArrayLike, upper_bound: ArrayLike, row_squared: ArrayLike, column_squared: ArrayLike
) -> NDArray[np.float64]:
    """Return (upper bound − value) ÷ (‖X‖ ‖Y‖), and 0 where a norm is 0.

    The gap of Grams: V may be near zero or below it, and no inner product exceeds ‖X‖ ‖Y‖.

    Parameters
    ----------
    value, upper_bound : array-like of float64
        Arrays of one shape.
    row_squared, column_squared : array-like of float64
        The squared norms, in shapes that broadcast to it.

    Returns
    -------
    ndarray of float64
    """
    gap = np.asarray(upper_bound, np.float64) - np.asarray(value, np.float64)
    size = np.sqrt(np.asarray(row_squared)) * np.sqrt(np.asarray(column_squared))
    size = np.broadcast_to(size, gap.shape)
    found = np.zeros(gap.shape)
    np.divide(gap, size, out=found, where=size > 0)
    return found


def check_tolerance(tolerance: object) -> None:
    """Refuse anything that is not a number >= 0."""
    number = isinstance(tolerance, (int, float, np.integer, np.floating))
    if not number or isinstance(tolerance, bool) or not tolerance >= 0:  # type: ignore[operator]
        raise InputError(f"tolerance: expected a number >= 0; got {tolerance!r}")


class NotFiniteError(Exception):
    """A matrix of the batch holds NaN or infinite entries; `matrix` is its index."""

    def __init__(self, matrix: int) -> None:
        super().__init__(matrix)
        self.matrix = matrix


def check_status(status: int, where: int) -> None:
    """Raise what the native code has reported about the matrix `where` of a batch."""
    if status == _Status.NOT_FINITE:
        raise NotFiniteError(where)
    if status == _Status.CANCELLED:
        raise Cancelled


def solve(
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    rows: int | NDArray[np.int32],
    columns: int | NDArray[np.int32],
    *,
    row_stride: int,
    cancellation: Cancellation,
    method: str = "assign",
    taken: int = 0,
    tolerance: float = TOLERANCE,
    keep_columns: bool = False,
    prices: NDArray[np.float64] | None = None,
    kernels: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Run a native kernel on matrices that lie anywhere inside one buffer; input is trusted.

    Parameters
    ----------
    data : ndarray, 1-D, contiguous, float32 or float64
        The buffer.
    offsets : ndarray of int64, shape (B,)
        The first element of each matrix.
    rows, columns : int or ndarray of int32, shape (B,)
        The sizes S and T of the matrices.
    row_stride : int
        Elements between the rows of a matrix; its columns are neighbours.
    cancellation : Cancellation
        With it another thread can end the work.
    method : {"assign", "greedy"}
        Exact, or rows in descending order of their best affinity, each taking its best free column.
    taken : int
        For "greedy": leading rows and columns that are matched already.
    tolerance : float
        For "assign" in float32: the relative gap above which a matrix is solved again in float64.
    keep_columns : bool
        Whether the assigned columns are wanted; `rows` must be one int then.
    prices : ndarray of float64, shape (B, S + T), contiguous, optional
        Takes the prices of the rows and columns of each matrix; for "assign", where all have one
        shape.
    kernels : str
        The instruction set, by default the best one of the CPU.

    Returns
    -------
    values, upper_bounds : ndarray of float64, shape (B,)
    assigned : ndarray of int32, shape (B, S), or (B, 0) unless `keep_columns`

    Raises
    ------
    NotFiniteError
        If a matrix holds NaN or infinity.
    Cancelled
        If the work was cancelled.
    """
    count = len(offsets)
    values = np.empty(count)
    upper_bounds = np.empty(count)
    kept = int(rows) if keep_columns else 0
    assigned = np.full((count, kept), -1, dtype=np.int32)
    status, where = getattr(_native, method)(
        data,
        offsets,
        _sizes(rows, count),
        _sizes(columns, count),
        np.arange(0, count * max(kept, 1), max(kept, 1)) if kept else np.zeros(count, np.int64),
        row_stride,
        1,
        tolerance,
        taken,
        cancellation.flag,
        values,
        upper_bounds,
        assigned.reshape(-1) if keep_columns else None,
        kernels,
        None if prices is None else prices.reshape(-1),
        None if prices is None else np.arange(count, dtype=np.int64) * prices.shape[1],
    )
    check_status(status, where)
    return values, upper_bounds, assigned


def _sizes(sizes: int | NDArray[np.int32], count: int) -> NDArray[np.int32]:
    if isinstance(sizes, int):
        return np.full(count, sizes, dtype=np.int32)
    return np.ascontiguousarray(np.broadcast_to(sizes, count), dtype=np.int32)


class Stage(enum.IntEnum):
    """The bound that showed that a matrix has a value below the threshold, in order of cost."""

    SOLVED = 0  #: no bound did: the matrix was solved
    MAXIMA = 1  #: the smaller of the sums of row maxima and of column maxima
    REDUCED = 2  #: row maxima, less the losses of columns that lead in no row; or transposed
    PRICES = 3  #: the dual bound at given prices
    AUCTION = 4  #: the dual bound after a phase of the auction


#: The bounds that a search tries, in the order of their cost.
LADDER = (Stage.MAXIMA, Stage.REDUCED, Stage.AUCTION)


def search(
    data: NDArray[Any],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    stop_below: NDArray[np.float64],
    *,
    row_stride: int,
    cancellation: Cancellation,
    tolerance: float = TOLERANCE,
    kernels: str = "",
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint8]]:
    """Solve those matrices of a batch whose value may reach a threshold; input is trusted.

    Parameters
    ----------
    data, offsets, rows, columns, row_stride, cancellation, tolerance, kernels
        As for :func:`solve`.
    stop_below : ndarray of float64, shape (B,)
        A matrix is abandoned as soon as a dual bound is smaller than this.

    Returns
    -------
    values : ndarray of float64, shape (B,)
        NaN where a matrix was abandoned.
    upper_bounds : ndarray of float64, shape (B,)
    stages : ndarray of uint8, shape (B,)
        The :class:`Stage` of each matrix.

    Raises
    ------
    NotFiniteError
        If a matrix holds NaN or infinity.
    Cancelled
        If the work was cancelled.

    Notes
    -----
    For any column prices p (not negative where S < T, since columns stay free), weak duality gives
    V ≤ Σ_k p_k + Σ_i max_k (A[i, k] − p_k). p = 0 gives the sum of row maxima r_i; for S = T, p_k =
    max_i (A[i, k] − r_i) ≤ 0 lowers it by the losses of columns that lead in no row. The same holds
    with rows and columns exchanged.
    """
    count = len(offsets)
    values, upper_bounds = np.zeros(count), np.zeros(count)
    stages = np.zeros(count, dtype=np.uint8)
    status, where = _native.search(
        data,
        offsets,
        rows,
        columns,
        row_stride,
        tolerance,
        cancellation.flag,
        stop_below,
        None,  # column prices to try as a bound, and their offsets: not used
        None,
        values,
        upper_bounds,
        stages,
        kernels,
    )
    check_status(status, where)
    return values, upper_bounds, stages
