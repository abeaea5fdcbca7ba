"""Representational similarity analysis: correlating the entries of two RSMs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.statistics import check_bootstrap, percentile_interval
from .._internal.units import format_bytes, memory_budget
from ..errors import InputError, did_you_mean
from .comparison import (
    BYTES_PER_VALUE,
    FEWEST_VALUES,
    Comparison,
    UndefinedError,
    check_interval,
    pair,
    side_of_blocks,
)
from .correlations import METHODS, correlation, pearson_of_streams
from .protocol import Matrix, in_one_block, upper_blocks
from .ranks import ranks_on_disk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Statistic = Callable[[Array, Array], float]
    Stream = Callable[[], Iterator[Array]]

#: Bytes that Kendall's tau takes for each pair of images, its two values included.
_KENDALL_BYTES = 128


def rsa(
    a: Any,
    b: Any,
    *,
    method: str = "spearman",
    diagonal: bool = False,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    on: str = "all",
    memory: int | str | None = None,
) -> Comparison:
    """Correlate the entries of two RSMs of the same images (representational similarity analysis).

    Parameters
    ----------
    a, b : RSM, StoredRSM or array-like, shape (N, N)
        Symmetric matrices; one entry of each pair of images is used (i < j). RSMs are matched by
        their ids, in whatever order; arrays are taken as they are. Pairs that an RSM in memory
        lacks (NaN) are left out.
    method : {"spearman", "pearson", "kendall"}, default "spearman"
        Rank correlation with mean ranks for ties, linear correlation, or Kendall's τ-b (which needs
        SciPy).
    diagonal : bool, default False
        Whether the diagonal takes part.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by a percentile bootstrap over images.
        Pairs of an image with a copy of itself are left out, and so are resamples in which the
        entries of one matrix are constant.
    resamples, seed : int
        The number of resamples of the bootstrap, and its seed.
    on : {"all", "common"}, default "all"
        Whether both must have the same images, or those that both have are compared; the result
        says which were left out.
    memory : int or str, optional
        The budget, for matrices on disk; as for :func:`semrsm.gram`. Pearson's correlation reads
        them in blocks, Spearman's computes the ranks in a temporary folder, and Kendall's needs the
        entries of both in memory. Intervals are for matrices in memory only.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the matrices are not square, symmetric and of one size, hold values that are not finite,
        are RSMs of different images, have fewer than three images, or the entries of one are
        constant, or an option is not known.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> rng = np.random.default_rng(0)
    >>> k = semrsm.rsm(rng.normal(size=(6, 4, 8)))
    >>> semrsm.rsa(k, k.values ** 3, method="spearman").value
    1.0
    """
    if method not in METHODS:
        raise InputError(
            f"method: expected one of {', '.join(METHODS)}; got {method!r}."
            f"{did_you_mean(str(method), METHODS)}"
        )
    if interval is not None:
        check_interval(interval)
        check_bootstrap(interval, resamples, seed)
    budget = memory_budget(memory)
    both = pair(a, b, fewest=3, on=on, memory=budget, missing=True)
    left, right = both.left, both.right
    count = left.shape[0]
    at_hand = in_one_block(left) and in_one_block(right)
    if interval is not None and not at_hand:
        raise InputError(
            "interval: expected None for matrices on disk, which a bootstrap would read a thousand "
            "times; load them"
        )
    k, other = (_known(matrix) for matrix in (left, right))
    missing = _missing(k, other, diagonal)
    if missing:
        [value] = _resampled(k, other, correlation(method), diagonal, [np.arange(count)])
    else:
        value = _value(left, right, method, diagonal=diagonal, memory=budget, at_hand=at_hand)
    if np.isnan(value):
        raise UndefinedError("rsa: expected matrices whose entries vary; got a constant one")
    bounds = None
    if interval is not None:
        rng = np.random.default_rng(seed)
        samples = (rng.integers(count, size=count) for _ in range(resamples))
        drawn = _resampled(k, other, correlation(method), diagonal, samples)
        bounds = percentile_interval(drawn, interval)
    return Comparison(float(value), bounds, f"{method} RSA", count, both.left_out, missing)


def _known(matrix: Matrix) -> Array:
    """Return the values of a matrix in memory; those on disk never lack any, and are not read."""
    if not in_one_block(matrix):
        return np.empty((0, 0))
    return matrix.block(slice(0, matrix.shape[0]), slice(0, matrix.shape[0]))


def _missing(left: Array, right: Array, diagonal: bool) -> int:
    """Count the pairs whose value one of two matrices lacks."""
    if not left.size or not right.size:
        if np.isnan(left).any() or np.isnan(right).any():
            raise InputError(
                "a, b: expected every pair where one matrix is on disk; the other lacks some"
            )
        return 0
    unknown = np.isnan(left) | np.isnan(right)
    return int(np.count_nonzero(np.triu(unknown, k=0 if diagonal else 1)))


def _value(
    a: Matrix, b: Matrix, method: str, *, diagonal: bool, memory: int, at_hand: bool
) -> float:
    """Correlate the entries in memory if they fit into the budget, or else in passes."""
    total = entry_count(a.shape[0], diagonal)
    if method == "kendall":
        needed = _KENDALL_BYTES * total
        if needed > memory and not at_hand:
            raise InputError(
                f"memory: expected at least {format_bytes(needed, up=True)} for Kendall's tau of "
                f"{a.shape[0]} images; got {format_bytes(memory)}"
            )
    side, limit = side_of_blocks(a, b, memory), most_ranked(memory)
    left, right = (partial(entries, matrix, side, diagonal) for matrix in (a, b))
    if method == "kendall" or total <= limit:
        return correlation(method)(*(np.concatenate(list(stream())) for stream in (left, right)))
    if method == "pearson":
        return pearson_of_streams(left, right)
    return _spearman_on_disk(left, right, total, limit)


def _resampled(
    left: Array,
    right: Array,
    correlate: Statistic,
    diagonal: bool,
    samples: Iterable[NDArray[np.int64]],
) -> list[float]:
    """Return the correlation for each sample of images; copies of an image make no pair."""
    rows, columns = np.triu_indices(len(left), k=0 if diagonal else 1)
    known = np.isfinite(left) & np.isfinite(right)
    values = []
    for chosen in samples:
        i, j = chosen[rows], chosen[columns]
        kept = ((i != j) | (rows == columns)) & known[i, j]
        i, j = i[kept], j[kept]
        values.append(correlate(left[i, j], right[i, j]) if i.size else float("nan"))
    return values


def entries(matrix: Matrix, side: int, diagonal: bool) -> Iterator[Array]:
    """Yield the entries of the upper triangle, block by block, always in the same order.

    Parameters
    ----------
    matrix : Matrix, shape (N, N)
    side : int
        Images on the side of a block.
    diagonal : bool
        Whether the diagonal takes part.

    Raises
    ------
    InputError
        If an entry is not finite.
    """
    for rows, columns in upper_blocks(matrix.shape[0], side):
        values = matrix.block(rows, columns)
        if rows == columns:
            values = values[~np.tri(len(values), k=-1 if diagonal else 0, dtype=np.bool_)]
        values = values.reshape(-1)
        if not np.isfinite(values).all():
            raise InputError("a, b: expected finite values; got NaN or infinity")
        yield values


def entry_count(images: int, diagonal: bool) -> int:
    """Return how many entries the upper triangle has."""
    return images * (images + 1) // 2 if diagonal else images * (images - 1) // 2


def most_ranked(memory: int) -> int:
    """Return how many values can be ranked at a time within a budget in bytes."""
    return max(FEWEST_VALUES, memory // BYTES_PER_VALUE)


def _spearman_on_disk(left: Stream, right: Stream, total: int, limit: int) -> float:
    """Correlate ranks that are computed in a temporary folder, `limit` of them at a time."""
    with tempfile.TemporaryDirectory(prefix="semrsm-ranks-") as name:
        folder = Path(name)
        needed, free = 3 * 8 * total, shutil.disk_usage(folder).free
        if needed > free:
            raise InputError(
                f"rsa: expected {format_bytes(needed, up=True)} free in {name!r} for the ranks of "
                f"{total:,} entries; there are {format_bytes(free)}"
            )
        ranks = [
            ranks_on_disk(stream(), total, folder / f"{n}", limit)
            for n, stream in enumerate((left, right))
        ]
        value = pearson_of_streams(*(partial(_pieces, found, limit) for found in ranks))
        del ranks  # closes the files before they are deleted
        return value


def _pieces(values: Array, limit: int) -> Iterator[Array]:
    for first in range(0, len(values), limit):
        yield np.array(values[first : first + limit])
