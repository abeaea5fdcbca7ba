"""Exact assignment of batches of affinity matrices: the façade of the native solver."""

from __future__ import annotations

import enum
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _native
from .._internal.arrays import compute_dtype, to_numpy
from .._internal.workers import Cancellation, cancel_on_interrupt, worker_count
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


@dataclass(frozen=True, eq=False)
class Assignment:
    """The best assignment of each matrix of a batch, with its certificate.

    Attributes
    ----------
    columns : ndarray, shape (..., S), int64
        The column that each row takes, −1 where a row stays free (S > T).
    value : ndarray, shape (...), float64
        The sum of the assigned affinities, accumulated in float64.
    upper_bound : ndarray, shape (...), float64
        A dual bound: no assignment of the matrix has a larger value.
    """

    columns: NDArray[np.int64]
    value: NDArray[np.float64]
    upper_bound: NDArray[np.float64]

    def __repr__(self) -> str:
        gap = relative_gap(self.value, self.upper_bound)
        largest = f"{gap.max():.1e}" if gap.size else "none"
        return f"Assignment(columns {self.columns.shape}, largest relative gap {largest})"


def relative_gap(value: ArrayLike, upper_bound: ArrayLike) -> NDArray[np.float64]:
    """Return (upper bound − value) ÷ max(|value|, |upper bound|), and 0 where both are 0.

    Parameters
    ----------
    value, upper_bound : array-like of float64
        Arrays of one shape.

    Returns
    -------
    ndarray of float64
        The gap; 0 where the value is certainly optimal.

    Examples
    --------
    >>> float(relative_gap(1.0, 1.0))
    0.0
    """
    low, high = np.asarray(value, np.float64), np.asarray(upper_bound, np.float64)
    size = np.maximum(np.abs(low), np.abs(high))
    gap = np.zeros(np.broadcast(low, high).shape)
    np.divide(high - low, size, out=gap, where=size > 0)
    return gap


def norm_gap(
    value: ArrayLike, upper_bound: ArrayLike, row_squared: ArrayLike, column_squared: ArrayLike
) -> NDArray[np.float64]:
    """Return (upper bound − value) ÷ (‖X‖ ‖Y‖), and 0 where a norm is 0.

    The gap of matchers with constraints of their own: their values may be near zero or below it.

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


def gaps(
    bounds: str,
    value: ArrayLike,
    upper_bound: ArrayLike,
    row_squared: ArrayLike,
    column_squared: ArrayLike,
) -> NDArray[np.float64]:
    """Return the gaps as results report them: :func:`norm_gap` if the bounds are "own"."""
    if bounds == "own":
        return norm_gap(value, upper_bound, row_squared, column_squared)
    return relative_gap(value, upper_bound)


def assign(
    affinity: Any, *, tolerance: float = TOLERANCE, workers: int | None = None
) -> Assignment:
    """Find the assignment of largest value in each matrix of a batch, and prove it.

    Parameters
    ----------
    affinity : array-like or torch.Tensor, shape (..., S, T)
        Any number of leading dimensions. float32 and float64 are solved as they are, float16 and
        bfloat16 as float32, integers as float64. All entries must be finite.
    tolerance : float, default 1e-6
        float32 matrices whose relative gap is wider are solved again in float64.
    workers : int, optional
        Threads over the batch; one for each available core by default.

    Returns
    -------
    Assignment
        ``columns`` (..., S), ``value`` (...) and ``upper_bound`` (...). Where S ≤ T every row has
        a column; where S > T every column has a row, and rows that stay free hold −1.

    Raises
    ------
    InputError
        If `affinity` has fewer than two dimensions, is not an array of real numbers, or holds NaN
        or infinite entries.

    Notes
    -----
    The solver is an ε-scaled auction [1]_ finished by augmenting row reduction and shortest
    augmenting paths [2]_. With column prices p the bound is Σ p + Σ_i max_k (A[i, k] − p[k]) by
    weak duality, evaluated in float64.

    References
    ----------
    .. [1] D. P. Bertsekas, "The auction algorithm: a distributed relaxation method for the
       assignment problem", Annals of Operations Research 14, 1988.
    .. [2] R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse
       linear assignment problems", Computing 38, 1987.

    Examples
    --------
    >>> import semrsm
    >>> best = semrsm.assign([[1.0, 5.0], [2.0, 7.0]])
    >>> best.columns
    array([0, 1])
    >>> float(best.value), float(best.upper_bound)
    (8.0, 8.0)
    """
    array = to_numpy(affinity, "affinity")
    if array.ndim < 2:
        raise InputError(
            f"affinity: expected an array of shape (..., S, T); got one of shape {array.shape}"
        )
    check_tolerance(tolerance)
    threads = worker_count(workers)
    *batch_shape, rows, columns = array.shape
    flat = np.ascontiguousarray(array, dtype=compute_dtype(array.dtype)).reshape(-1)
    count = int(np.prod(batch_shape, dtype=np.int64))
    offsets = np.arange(count, dtype=np.int64) * (rows * columns)
    _check_finite(flat, rows * columns, batch_shape)
    value = np.empty(count)
    upper_bound = np.empty(count)
    assigned = np.empty((count, rows), dtype=np.int32)

    def part(chosen: slice, cancellation: Cancellation) -> None:
        value[chosen], upper_bound[chosen], assigned[chosen] = solve(
            flat,
            offsets[chosen],
            rows,
            columns,
            row_stride=max(columns, 1),
            tolerance=tolerance,
            cancellation=cancellation,
            keep_columns=True,
        )

    with cancel_on_interrupt() as cancellation:
        step = max(1, -(-count // (4 * threads)))
        parts = [slice(first, min(first + step, count)) for first in range(0, count, step)]
        if flat.size < SMALL:
            for chosen in parts:
                part(chosen, cancellation)
        else:  # a pool even for one thread: the main thread must stay free to receive Ctrl-C
            with ThreadPoolExecutor(threads) as pool:
                cancellation.wait([pool.submit(part, chosen, cancellation) for chosen in parts])
    if not (np.isfinite(value).all() and np.isfinite(upper_bound).all()):
        raise InputError("affinity: expected entries whose sum is in the range of float64")
    return Assignment(
        assigned.astype(np.int64).reshape(*batch_shape, rows),
        value.reshape(batch_shape),
        upper_bound.reshape(batch_shape),
    )


def check_tolerance(tolerance: object) -> None:
    """Refuse anything that is not a number >= 0."""
    number = isinstance(tolerance, (int, float, np.integer, np.floating))
    if not number or isinstance(tolerance, bool) or not tolerance >= 0:  # type: ignore[operator]
        raise InputError(f"tolerance: expected a number >= 0; got {tolerance!r}")


def _check_finite(flat: NDArray[Any], size: int, batch_shape: list[int]) -> None:
    for first in range(0, flat.size, SMALL):
        finite = np.isfinite(flat[first : first + SMALL])
        if not finite.all():
            matrix = (first + int(finite.argmin())) // size
            where = tuple(map(int, np.unravel_index(matrix, batch_shape or (1,))))
            place = f" in the matrix at {where}" if batch_shape else ""
            raise InputError(f"affinity: expected finite entries; got NaN or infinity{place}")


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
        np.ascontiguousarray(np.broadcast_to(rows, count), dtype=np.int32),
        np.ascontiguousarray(np.broadcast_to(columns, count), dtype=np.int32),
        np.arange(count, dtype=np.int64) * kept,
        row_stride,
        1,
        tolerance,
        taken,
        cancellation.flag,
        values,
        upper_bounds,
        assigned.reshape(-1) if keep_columns else None,
        kernels,
    )
    check_status(status, where)
    return values, upper_bounds, assigned


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
