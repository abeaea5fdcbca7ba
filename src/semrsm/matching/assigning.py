"""``assign``: the exact assignment of batches of affinity or cost matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import compute_dtype, is_torch_tensor, to_numpy
from .._internal.workers import Cancellation, cancel_on_interrupt, worker_count
from ..errors import InputError
from .assignment import (
    SMALL,
    TOLERANCE,
    NotFiniteError,
    check_tolerance,
    relative_gap,
    solve,
)
from .solution import Assignment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

#: Integers up to this size are exact in float64.
_EXACT = 1 << 53

#: A forbidden pair gets this many times the largest finite affinity, with the sign that repels it.
#: Larger numbers slow the auction down, and are needed only where this one does not repel enough.
_REPELLED = 8.0


def assign(
    affinity: Any,
    *,
    maximize: bool = True,
    prices: bool = False,
    tolerance: float = TOLERANCE,
    workers: int | None = None,
) -> Assignment:
    """Find the assignment of largest value in each matrix of a batch, and prove it.

    Parameters
    ----------
    affinity : array-like or torch.Tensor, shape (..., S, T), or a list of matrices
        Any number of leading dimensions, or matrices (S_i, T_i) of several shapes in a list.
        float32 and float64 are solved as they are, float16 and bfloat16 as float32, integers as
        float64; integers that float64 cannot hold are refused. −∞ forbids a pair (+∞ where the
        value is minimised); all other entries must be finite. Results of torch tensors are torch
        tensors on the same device.
    maximize : bool, default True
        Whether the value is maximised, or minimised: entries are then costs.
    prices : bool, default False
        Whether the dual solution is wanted.
    tolerance : float, default 1e-6
        float32 matrices whose relative gap is wider are solved again in float64.
    workers : int, optional
        Threads over the batch; one for each available core by default.

    Returns
    -------
    Assignment
        ``columns`` (..., S), ``value`` (...) and ``bound`` (...). Where S ≤ T every row has a
        column; where S > T every column has a row, and rows that stay free hold −1.

    Raises
    ------
    InputError
        If `affinity` has fewer than two dimensions, is sparse or no array of real numbers, holds
        NaN, or infinity of the wrong sign, or has so many forbidden pairs that no complete
        assignment avoids them; the error names the matrix.

    Notes
    -----
    The solver is an ε-scaled auction [1]_ finished by augmenting row reduction and shortest
    augmenting paths [2]_. With column prices p the bound is Σ p + Σ_i max_k (A[i, k] − p[k]) by
    weak duality, rounded outwards.

    References
    ----------
    .. [1] D. P. Bertsekas, "The auction algorithm: a distributed relaxation method for the
       assignment problem", Annals of Operations Research 14, 1988.
    .. [2] R. Jonker and A. Volgenant, "A shortest augmenting path algorithm for dense and sparse
       linear assignment problems", Computing 38, 1987.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> best = semrsm.assign([[1.0, 5.0], [2.0, 7.0]])
    >>> best.columns
    array([0, 1])
    >>> float(best.value), float(best.upper_bound)
    (8.0, 8.0)
    >>> semrsm.assign([[1.0, -np.inf], [2.0, 7.0]]).columns
    array([0, 1])
    >>> cheapest = semrsm.assign(np.array([[1, 5], [2, 7]], dtype=np.uint8), maximize=False)
    >>> cheapest.columns, float(cheapest.value)
    (array([1, 0]), 7.0)
    """
    _refuse_sparse(affinity)
    for value, name in ((maximize, "maximize"), (prices, "prices")):
        if not isinstance(value, (bool, np.bool_)):
            raise InputError(f"{name}: expected True or False; got {value!r}")
    check_tolerance(tolerance)
    if workers is not None:
        worker_count(workers)
    if _is_ragged(affinity):
        return _assign_list(affinity, bool(maximize), bool(prices), tolerance, workers)
    array = to_numpy(affinity, "affinity")
    if array.ndim < 2:
        raise InputError(
            f"affinity: expected an array of shape (..., S, T); got one of shape {array.shape}"
        )
    found = _assigned(array, "affinity", bool(maximize), bool(prices), tolerance, workers)
    return _as_tensors(found, affinity) if is_torch_tensor(affinity) else found


def _refuse_sparse(affinity: Any) -> None:
    sparse = hasattr(affinity, "tocsr") or (
        is_torch_tensor(affinity) and str(affinity.layout) != "torch.strided"
    )
    if sparse:
        raise InputError(
            f"affinity: expected a dense array; got {type(affinity).__name__}, which is sparse: "
            "scipy.sparse.csgraph.min_weight_full_bipartite_matching solves it, or forbid pairs of "
            "a dense one by -inf"
        )


def _is_ragged(affinity: Any) -> bool:
    """Return whether matrices of several shapes are given in a list."""
    if not isinstance(affinity, (list, tuple)) or not affinity:
        return False
    shapes = {tuple(one.shape) for one in affinity if hasattr(one, "shape")}
    if not shapes:
        # Plain lists: those of one matrix hold numbers, and those of several hold rows.
        first = affinity[0]
        if not isinstance(first, (list, tuple)) or not first or np.ndim(first[0]) == 0:
            return False
        sizes = {(len(one), len(one[0]) if len(one) else 0) for one in affinity}
        return len(sizes) > 1
    return len(shapes) > 1


def _assign_list(
    matrices: Sequence[Any], maximize: bool, prices: bool, tolerance: float, workers: int | None
) -> Assignment:
    """Solve matrices of several shapes: those of one shape together."""
    arrays = [to_numpy(one, f"affinity[{i}]") for i, one in enumerate(matrices)]
    for i, array in enumerate(arrays):
        if array.ndim != 2:
            raise InputError(
                f"affinity[{i}]: expected a matrix (S, T) in a list; got shape {array.shape}"
            )
    groups: dict[Any, list[int]] = {}
    for i, array in enumerate(arrays):
        groups.setdefault((array.shape, array.dtype), []).append(i)
    count = len(arrays)
    value, bound, gap = np.empty(count), np.empty(count), np.empty(count)
    columns: list[Any] = [None] * count
    dual: tuple[list[Any], list[Any]] = ([None] * count, [None] * count)
    for places in groups.values():
        stacked = np.stack([arrays[i] for i in places])
        names = [f"affinity[{i}]" for i in places]
        found = _assigned(stacked, names, maximize, prices, tolerance, workers)
        value[places], bound[places], gap[places] = found.value, found.bound, found.gap
        for n, i in enumerate(places):
            columns[i] = found.columns[n]
            if prices:
                dual[0][i], dual[1][i] = found.row_prices[n], found.column_prices[n]
    both = dual if prices else (None, None)
    made = Assignment(columns, value, bound, gap, maximize, *both)
    return _as_tensors(made, matrices[0]) if is_torch_tensor(matrices[0]) else made


def _as_tensors(found: Assignment, like: Any) -> Assignment:
    import torch

    def tensor(x: Any) -> Any:
        if isinstance(x, list):
            return [tensor(one) for one in x]
        return None if x is None else torch.as_tensor(np.asarray(x), device=like.device)

    return Assignment(
        tensor(found.columns),
        tensor(found.value),
        tensor(found.bound),
        tensor(found.gap),
        found.is_maximal,
        tensor(found.row_prices),
        tensor(found.column_prices),
    )


def _assigned(
    array: Array,
    name: str | list[str],
    maximize: bool,
    prices: bool,
    tolerance: float,
    workers: int | None,
) -> Assignment:
    """Solve a batch (..., S, T); `name` is that of the batch, or those of its matrices."""
    *batch_shape, rows, columns = array.shape
    count = int(np.prod(batch_shape, dtype=np.int64))
    signed = _signed(array, name, maximize)
    if array.ndim == 2 and not prices and 0 < array.size < SMALL:
        found = _one(signed, maximize, tolerance)
        if found is not None:
            return found
    matrices = signed.reshape(count, rows, columns)
    allowed = _allowed(matrices, name, batch_shape, maximize)
    if allowed is None:
        raw = _solved(matrices, prices, tolerance, workers)
    else:
        raw = _avoiding(matrices, allowed, name, batch_shape, prices, tolerance, workers)
    value, bound, taken, dual = raw
    if not (np.isfinite(value).all() and np.isfinite(bound).all()):
        raise InputError("affinity: expected entries whose sum is in the range of float64")
    size = _magnitude(matrices, taken, value)
    gap = relative_gap(value, bound, size)
    sign = 1.0 if maximize else -1.0
    both: list[Any] = [None, None]
    if dual is not None:
        both = [
            sign * dual[:, :rows].reshape(*batch_shape, rows),
            sign * dual[:, rows:].reshape(*batch_shape, columns),
        ]
    return Assignment(
        taken.astype(np.int64).reshape(*batch_shape, rows),
        (sign * value + 0.0).reshape(batch_shape),
        (sign * bound + 0.0).reshape(batch_shape),
        gap.reshape(batch_shape),
        maximize,
        *both,
    )


def _one(matrix: Array, maximize: bool, tolerance: float) -> Assignment | None:
    """Solve one small matrix without detours; None where an entry is not finite."""
    rows, columns = matrix.shape
    try:
        value, bound, taken = solve(
            matrix.reshape(-1),
            _FIRST,
            rows,
            columns,
            row_stride=columns,
            tolerance=tolerance,
            cancellation=Cancellation(),
            keep_columns=True,
        )
    except NotFiniteError:
        return None
    best, most, chosen = float(value[0]), float(bound[0]), taken[0]
    if not (math.isfinite(best) and math.isfinite(most)):
        return None
    gap = 0.0
    if most > best:
        entries = matrix[np.flatnonzero(chosen >= 0), chosen[chosen >= 0]]
        size = float(np.abs(entries).sum(dtype=np.float64))
        gap = (most - best) / size if size else math.inf
    sign = 1.0 if maximize else -1.0
    return Assignment(
        chosen.astype(np.int64),
        np.float64(sign * best + 0.0),
        np.float64(sign * most + 0.0),
        np.float64(gap),
        maximize,
    )


def _signed(array: Array, name: str | list[str], maximize: bool) -> Array:
    """Return affinities to be maximised, in the dtype of the computation."""
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        large = (array > _EXACT) | (array < -_EXACT) if array.dtype.kind == "i" else array > _EXACT
        if large.any():
            whole = array[large]
            if not (whole.astype(np.float64).astype(object) == whole.astype(object)).all():
                first = name if isinstance(name, str) else "affinity"
                raise InputError(
                    f"{first}: expected integers that float64 holds exactly (all up to 2**53); got "
                    f"{int(np.abs(whole.astype(object)).max())}"
                )
    dtype = compute_dtype(array.dtype)
    if maximize:
        return np.ascontiguousarray(array, dtype=dtype)
    negated: Array = np.negative(array.astype(dtype, order="C"))
    return negated


def _allowed(
    matrices: Array, name: str | list[str], batch_shape: Sequence[int], maximize: bool
) -> Array | None:
    """Return which pairs are allowed, or None where all are.

    Raises
    ------
    InputError
        If an entry is NaN, or infinite with the sign that forbids nothing.
    """
    flat = matrices.reshape(-1)
    for first in range(0, flat.size, SMALL):
        piece = flat[first : first + SMALL]
        finite = np.isfinite(piece)
        if finite.all():
            continue
        wrong = ~finite & ~np.isneginf(piece)
        if wrong.any():
            matrix = (first + int(wrong.argmax())) // (matrices.shape[1] * matrices.shape[2])
            sign = "-inf" if maximize else "+inf"
            got = "NaN" if np.isnan(piece[wrong.argmax()]) else "infinity of the other sign"
            raise InputError(
                f"{_named(name, matrix, batch_shape)}: expected finite entries, or {sign} for "
                f"forbidden pairs; got {got}"
            )
        return np.isfinite(matrices)
    return None


def _named(name: str | list[str], matrix: int, batch_shape: Sequence[int]) -> str:
    """Return the name of one matrix of a batch for errors."""
    if not isinstance(name, str):
        return name[matrix]
    if not batch_shape:
        return name
    where = ", ".join(str(int(i)) for i in np.unravel_index(matrix, tuple(batch_shape)))
    return f"{name}[{where}]"


#: The offsets of a batch of one matrix.
_FIRST = np.zeros(1, dtype=np.int64)

Raw = tuple[Any, Any, Any, Any]


def _solved(matrices: Array, prices: bool, tolerance: float, workers: int | None) -> Raw:
    count, rows, columns = matrices.shape
    value, bound = np.empty(count), np.empty(count)
    taken = np.empty((count, rows), dtype=np.int32)
    dual = np.empty((count, rows + columns)) if prices else None
    flat = matrices.reshape(-1)
    offsets = np.arange(count, dtype=np.int64) * (rows * columns)

    def part(chosen: slice, cancellation: Cancellation) -> None:
        value[chosen], bound[chosen], taken[chosen] = solve(
            flat,
            offsets[chosen],
            rows,
            columns,
            row_stride=max(columns, 1),
            tolerance=tolerance,
            cancellation=cancellation,
            keep_columns=True,
            prices=None if dual is None else dual[chosen],
        )

    if flat.size < SMALL:
        part(slice(0, count), Cancellation())
        return value, bound, taken, dual
    threads = worker_count(workers)
    step = max(1, -(-count // (4 * threads)))
    parts = [slice(first, min(first + step, count)) for first in range(0, count, step)]
    # A pool even for one thread: the main thread must stay free to receive Ctrl-C.
    with cancel_on_interrupt() as cancellation, ThreadPoolExecutor(threads) as pool:
        cancellation.wait([pool.submit(part, chosen, cancellation) for chosen in parts])
    return value, bound, taken, dual


def _avoiding(
    matrices: Array,
    allowed: Array,
    name: str | list[str],
    batch_shape: Sequence[int],
    prices: bool,
    tolerance: float,
    workers: int | None,
) -> Raw:
    """Solve with forbidden pairs, which get a number that repels them.

    An assignment that avoids them is the best one whatever that number is. One that does not, with
    a number that no sum of differences outweighs, shows that none avoids them.
    """
    finite = np.where(allowed, matrices, 0).astype(np.float64)
    largest = np.abs(finite).max(axis=(1, 2), initial=0.0)
    pairs = min(matrices.shape[1:])
    repelled = -_REPELLED * np.where(largest > 0, largest, 1.0)
    for attempt in range(2):
        filled = np.where(allowed, finite, repelled[:, None, None])
        if not np.isfinite(filled).all():
            break
        raw = _solved(filled, prices, tolerance, workers)
        taken = raw[2]
        rows = np.arange(taken.shape[1])
        avoids = np.array(
            [allowed[m][rows[t >= 0], t[t >= 0]].all() for m, t in enumerate(taken)], dtype=np.bool_
        )
        if avoids.all():
            return raw
        if attempt == 0:
            repelled = np.where(avoids, repelled, -4.0 * (pairs + 1) * np.maximum(largest, 1.0))
    matrix = int(np.argmin(avoids))
    raise InputError(
        f"{_named(name, matrix, batch_shape)}: expected a complete assignment, of {pairs} pairs, "
        "that avoids the forbidden ones; there is none"
    )


def _magnitude(matrices: Array, taken: Array, value: Array) -> Array:
    """Return the sum of the absolute values of the assigned entries of each matrix."""
    if not taken.size or not matrices.size:
        return np.abs(value)
    chosen = np.take_along_axis(matrices, np.maximum(taken, 0)[:, :, None], axis=2)[:, :, 0]
    size: Array = np.where(taken >= 0, np.abs(chosen), 0).sum(axis=1, dtype=np.float64)
    return size
