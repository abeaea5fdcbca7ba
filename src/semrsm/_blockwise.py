"""CKA and RSA of matrices on disk, block by block; the public functions are in compare.py."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .blocks import BlockMatrix, upper_blocks
from .errors import InputError
from .plan import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Images on the side of a block, at most: 8 MB.
LARGEST_SIDE = 1024

#: Bytes of the budget for each value that is ranked at a time: its place, copies, and what sorting
#: them takes.
_BYTES_PER_VALUE = 128


class ArrayBlocks:
    """An array as a :class:`BlockMatrix`, to be compared with one on disk."""

    def __init__(self, values: Array, ids: tuple[str, ...] | None) -> None:
        self.values = values
        self.shape: tuple[int, int] = (values.shape[0], values.shape[1])
        self.is_symmetric = True
        self.row_ids = self.column_ids = (
            ids if ids is not None else tuple(str(i) for i in range(len(values)))
        )
        self.block_side = LARGEST_SIDE

    def block(self, rows: slice, columns: slice) -> Array:
        """Return a part."""
        return self.values[rows, columns]


class CentredProducts:
    """The inner products of two centred matrices, each image's part in them.

    Attributes
    ----------
    shares : ndarray, shape (N,)
        Each image's part: Σ_j K[i, j] L[i, j] of the centred matrices.
    diagonal : ndarray, shape (N,)
        K[i, i] L[i, i] of the centred matrices.
    """

    def __init__(self, shares: Array, diagonal: Array) -> None:
        self.shares = shares
        self.diagonal = diagonal


def centred_products(
    a: BlockMatrix, b: BlockMatrix, *, debiased: bool
) -> tuple[CentredProducts, CentredProducts, CentredProducts]:
    """Return the products of `a` with itself, of `b` with itself, and of both; in two passes.

    Matrices are centred before they are multiplied, so that no difference of large sums loses
    digits, and in units in which their largest value is at most 1.
    """
    count, side = a.shape[0], _side(a, b)
    left, right = (_Centring(matrix, side, debiased) for matrix in (a, b))
    found = [CentredProducts(np.zeros(count), np.zeros(count)) for _ in range(3)]
    for rows, columns in upper_blocks(count, side):
        k, other = left.block(rows, columns), right.block(rows, columns)
        for products, (x, y) in zip(found, ((k, k), (other, other), (k, other)), strict=True):
            both = x * y
            products.shares[rows] += both.sum(axis=1)
            if rows == columns:
                products.diagonal[rows] = both.diagonal()
            else:
                products.shares[columns] += both.sum(axis=0)
    return found[0], found[1], found[2]


class _Centring:
    """What one pass finds out, so that any block can be centred."""

    def __init__(self, matrix: BlockMatrix, side: int, debiased: bool) -> None:
        self._matrix = matrix
        self._debiased = debiased
        count = matrix.shape[0]
        sums, peak = np.zeros(count), 0.0
        for rows, columns in upper_blocks(count, side):
            values = self._values(rows, columns)
            peak = max(peak, float(np.abs(values).max(initial=0.0)))
            sums[rows] += values.sum(axis=1)
            if rows != columns:
                sums[columns] += values.sum(axis=0)
        self._exponent = int(np.frexp(peak)[1])
        sums = np.ldexp(sums, -self._exponent)
        if debiased:
            self._offsets = sums / (count - 2)
            self._mean = float(sums.sum()) / ((count - 1) * (count - 2))
        else:
            self._offsets = sums / count
            self._mean = float(self._offsets.mean())

    def _values(self, rows: slice, columns: slice) -> Array:
        values = self._matrix.block(rows, columns)
        if not np.isfinite(values).all():
            raise InputError("a, b: expected finite values; got NaN or infinity")
        if self._debiased and rows == columns:
            values = values.copy()
            np.fill_diagonal(values, 0.0)
        return values

    def block(self, rows: slice, columns: slice) -> Array:
        values = np.ldexp(self._values(rows, columns), -self._exponent)
        centred: Array = (
            values - self._offsets[rows][:, None] - self._offsets[columns][None, :] + self._mean
        )
        if self._debiased and rows == columns:
            np.fill_diagonal(centred, 0.0)
        return centred


def entries(matrix: BlockMatrix, side: int, diagonal: bool) -> Iterator[Array]:
    """Yield the entries of the upper triangle, block by block, always in the same order."""
    for rows, columns in upper_blocks(matrix.shape[0], side):
        values = matrix.block(rows, columns)
        if rows == columns:
            values = values[np.triu_indices(len(values), k=0 if diagonal else 1)]
        values = values.reshape(-1)
        if not np.isfinite(values).all():
            raise InputError("a, b: expected finite values; got NaN or infinity")
        yield values


def pearson(a: BlockMatrix, b: BlockMatrix, *, diagonal: bool) -> float:
    """Return the correlation of the entries; NaN where those of one matrix are constant."""
    side = _side(a, b)
    return _pearson(
        lambda: entries(a, side, diagonal),
        lambda: entries(b, side, diagonal),
    )


def spearman(a: BlockMatrix, b: BlockMatrix, *, diagonal: bool, memory: int) -> float:
    """Return the correlation of the ranks, mean ranks for ties; ranks are made on disk.

    Raises
    ------
    InputError
        If the temporary folder has no room for them.
    """
    count, side = a.shape[0], _side(a, b)
    total = count * (count + 1) // 2 if diagonal else count * (count - 1) // 2
    with tempfile.TemporaryDirectory(prefix="semrsm-ranks-") as name:
        folder = Path(name)
        needed, free = 3 * 8 * total, shutil.disk_usage(folder).free
        if needed > free:
            raise InputError(
                f"rsa: expected {format_bytes(needed, up=True)} free in {name!r} for the ranks of "
                f"{total:,} entries; there are {format_bytes(free)}"
            )
        limit = _piece(memory)
        ranks = [
            _ranks_on_disk(entries(m, side, diagonal), total, folder / f"{n}", limit)
            for n, m in enumerate((a, b))
        ]

        def pieces(of: Any) -> Callable[[], Iterator[Array]]:
            return lambda: (np.array(of[n : n + limit]) for n in range(0, total, limit))

        value = _pearson(pieces(ranks[0]), pieces(ranks[1]))
        del ranks  # before their files go
        return value


def _piece(memory: int) -> int:
    """Return how many values are ranked at a time."""
    return max(1 << 12, memory // _BYTES_PER_VALUE)


def _pearson(left: Callable[[], Iterator[Array]], right: Callable[[], Iterator[Array]]) -> float:
    """Correlate two streams of pieces of equal sizes, in two passes."""
    means = []
    for stream in (left, right):
        count, total, low, high = 0, 0.0, np.inf, -np.inf
        for piece in stream():
            if piece.size:
                count += piece.size
                total += float(piece.sum())
                low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        if not low < high:
            return float("nan")
        means.append(total / count)
    products = np.zeros(3)
    for x, y in zip(left(), right(), strict=True):
        x, y = x - means[0], y - means[1]
        products += (x @ y, x @ x, y @ y)
    size = float(np.sqrt(products[1]) * np.sqrt(products[2]))
    return float(products[0]) / size if size > 0 else float("nan")


def _ranks_on_disk(
    stream: Iterator[Array], total: int, path: Path, limit: int
) -> NDArray[np.float64]:
    """Return a memory map of the rank of each value, mean ranks for ties.

    Values go to a file first. Then those between two splitters, which fit into memory, are ranked
    among themselves and placed, range after range.
    """
    values = np.memmap(path.with_suffix(".values"), np.float64, "w+", shape=(total,))
    at = 0
    for piece in stream:
        values[at : at + piece.size] = piece
        at += piece.size
    ranks = np.memmap(path.with_suffix(".ranks"), np.float64, "w+", shape=(total,))
    sample = np.array(values[:: max(1, total // (1 << 16))])
    parts = max(1, -(-2 * total // limit))
    splitters = np.unique(np.quantile(sample, np.arange(1, parts) / parts, method="lower"))
    edges = [-np.inf, *splitters.tolist(), np.inf]
    below = 0
    pending = [(edges[n], edges[n + 1]) for n in range(len(edges) - 1)][::-1]
    while pending:
        low, high = pending.pop()
        where, inside = _between(values, low, high, limit)
        if inside is None:  # too many: halve the range by the middle of those seen
            middle = float(np.median(where))
            if middle >= high or middle <= low:
                middle = float(np.nextafter(high, -np.inf)) if np.isfinite(high) else float(low)
            if low < middle < high:
                pending += [(middle, high), (low, middle)]
                continue
            below = _place_equal(values, ranks, low, high, below, limit)
            continue
        if inside.size:
            _, inverse, counts = np.unique(inside, return_inverse=True, return_counts=True)
            last = np.cumsum(counts)
            ranks[where.astype(np.int64)] = below + (last - (counts - 1) / 2)[inverse]
            below += inside.size
    del values
    path.with_suffix(".values").unlink()
    return ranks


def _between(
    values: NDArray[np.float64], low: float, high: float, limit: int
) -> tuple[NDArray[Any], Array | None]:
    """Return places and values in (low, high]; where they are too many, values seen and None."""
    places: list[NDArray[np.int64]] = []
    inside: list[Array] = []
    count = 0
    for first in range(0, len(values), limit):
        piece = np.array(values[first : first + limit])
        chosen = np.flatnonzero((piece > low) & (piece <= high))
        count += chosen.size
        places.append(chosen + first)
        inside.append(piece[chosen])
        if count > limit:
            return np.concatenate(inside), None
    return np.concatenate(places), np.concatenate(inside)


def _place_equal(
    values: NDArray[np.float64],
    ranks: NDArray[np.float64],
    low: float,
    high: float,
    below: int,
    limit: int,
) -> int:
    """Rank values in (low, high] of which none lies strictly between: all of them are equal."""
    count = sum(
        int(((piece > low) & (piece <= high)).sum())
        for piece in (values[n : n + limit] for n in range(0, len(values), limit))
    )
    for first in range(0, len(values), limit):
        piece = np.array(values[first : first + limit])
        chosen = np.flatnonzero((piece > low) & (piece <= high))
        ranks[first + chosen] = below + (count + 1) / 2
    return below + count


def _side(a: BlockMatrix, b: BlockMatrix) -> int:
    return min(LARGEST_SIDE, max(a.block_side, b.block_side))
