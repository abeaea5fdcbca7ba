"""CKA and RSA of matrices on disk, block by block; the public functions are in compare.py."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.units import format_bytes
from ..errors import InputError
from .protocol import BlockMatrix, upper_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Images on the side of a block, at most: 8 MB.
LARGEST_SIDE = 1024

#: Nor is any block made smaller than this, however small the budget.
SMALLEST_SIDE = 64

#: Blocks that are in memory at a time: of both matrices, what their kernels take to compute them,
#: and what is made of them.
_BLOCKS = 12

#: A part that is read well is in memory, while one of any size is read, with its bounds.
_WHOLE_PARTS = 2

#: Vectors of N numbers that are in memory together.
_VECTORS = 24

#: Bytes of the budget for each value that is ranked at a time: its place, copies, and what sorting
#: them takes.
_BYTES_PER_VALUE = 128

#: Fewer values are not ranked at a time.
_FEWEST_VALUES = 1 << 12


class ArrayBlocks:
    """An array as a :class:`BlockMatrix`, to be compared with one on disk."""

    def __init__(self, values: Array, ids: tuple[str, ...] | None) -> None:
        self.values = values
        self.shape: tuple[int, int] = (values.shape[0], values.shape[1])
        self.is_symmetric = True
        self.row_ids = self.column_ids = (
            ids if ids is not None else tuple(str(i) for i in range(len(values)))
        )
        self.block_side = 1  # any part is read well: the side that the other matrix has is taken

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


class CentredPair:
    """Two matrices of the same images, centred, and their products; found in two passes.

    Matrices are centred before they are multiplied, so that no difference of large sums loses
    digits, and in units in which their largest value is at most 1.

    Attributes
    ----------
    count : int
        N.
    products : tuple of CentredProducts
        Of the first matrix with itself, of the second with itself, and of both.
    """

    def __init__(self, left: _Centring, right: _Centring) -> None:
        self._left, self._right = left, right
        self._without: tuple[int, CentredPair] | None = None
        self.count = left.count
        images = left.shape[0]
        found = [CentredProducts(np.zeros(images), np.zeros(images)) for _ in range(3)]
        for rows, columns in upper_blocks(images, left.side):
            k, other = left.block(rows, columns), right.block(rows, columns)
            for products, (x, y) in zip(found, ((k, k), (other, other), (k, other)), strict=True):
                both = x * y
                products.shares[rows] += both.sum(axis=1)
                if rows == columns:
                    products.diagonal[rows] = both.diagonal()
                else:
                    products.shares[columns] += both.sum(axis=0)
        self.products: tuple[CentredProducts, ...] = tuple(found)

    @classmethod
    def of(cls, a: BlockMatrix, b: BlockMatrix, *, debiased: bool, memory: int) -> CentredPair:
        """Centre two matrices in blocks that fit into `memory` bytes."""
        side = block_side(a, b, memory)
        return cls(_Centring(a, side, debiased), _Centring(b, side, debiased))

    def without(self, image: int) -> CentredPair:
        """Return the matrices of the other images, centred again; in two more passes."""
        if self._without is None or self._without[0] != image:
            self._without = (
                image,
                CentredPair(self._left.without(image), self._right.without(image)),
            )
        return self._without[1]


class _Centring:
    """What one pass finds out, so that any block can be centred.

    An image that is left out stays as a row and a column of zeros.
    """

    def __init__(
        self,
        matrix: BlockMatrix | _Centring,
        side: int,
        debiased: bool,
        left_out: int | None = None,
    ) -> None:
        self._matrix = matrix
        self._debiased = debiased
        self._left_out = left_out
        self.side = side
        self.shape: tuple[int, int] = matrix.shape
        count = matrix.shape[0] - (left_out is not None)
        self.count: int = count
        sums, peak = np.zeros(matrix.shape[0]), 0.0
        for rows, columns in upper_blocks(matrix.shape[0], side):
            values = self._values(rows, columns)
            peak = max(peak, float(np.abs(values).max(initial=0.0)))
            sums[rows] += values.sum(axis=1)
            if rows != columns:
                sums[columns] += values.sum(axis=0)
        # A matrix that was centred before keeps its unit: what was rounding there is rounding here.
        self._exponent = 0 if left_out is not None else int(np.frexp(peak)[1])
        sums = np.ldexp(sums, -self._exponent)
        if debiased:
            self._offsets = sums / (count - 2)
            self._mean = float(sums.sum()) / ((count - 1) * (count - 2))
        else:
            self._offsets = sums / count
            self._mean = float(self._offsets.sum()) / count

    def without(self, image: int) -> _Centring:
        return _Centring(self, self.side, self._debiased, image)

    def _values(self, rows: slice, columns: slice) -> Array:
        values = self._matrix.block(rows, columns)
        if not np.isfinite(values).all():
            raise InputError("a, b: expected finite values; got NaN or infinity")
        return self._cleared(values.copy(), rows, columns)

    def _cleared(self, values: Array, rows: slice, columns: slice) -> Array:
        """Clear, in place, what does not take part."""
        if self._debiased and rows == columns:
            np.fill_diagonal(values, 0.0)
        if self._left_out is not None:
            values[np.arange(rows.start, rows.stop) == self._left_out] = 0.0
            values[:, np.arange(columns.start, columns.stop) == self._left_out] = 0.0
        return values

    def block(self, rows: slice, columns: slice) -> Array:
        values = self._values(rows, columns)
        np.ldexp(values, -self._exponent, out=values)
        values -= self._offsets[rows][:, None]
        values -= self._offsets[columns][None, :]
        values += self._mean
        return self._cleared(values, rows, columns)


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


def all_entries(
    a: BlockMatrix, b: BlockMatrix, *, diagonal: bool, memory: int
) -> tuple[Array, Array]:
    """Return the entries of both upper triangles, in the same order, in memory."""
    side = block_side(a, b, memory)
    left, right = (np.concatenate(list(entries(x, side, diagonal))) for x in (a, b))
    return left, right


def pearson(a: BlockMatrix, b: BlockMatrix, *, diagonal: bool, memory: int) -> float:
    """Return the correlation of the entries; NaN where those of one matrix are constant."""
    side = block_side(a, b, memory)
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
    count, side = a.shape[0], block_side(a, b, memory)
    total = entry_count(count, diagonal)
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
    return max(_FEWEST_VALUES, memory // _BYTES_PER_VALUE)


def _pearson(left: Callable[[], Iterator[Array]], right: Callable[[], Iterator[Array]]) -> float:
    """Correlate two streams of pieces of equal sizes, in two passes."""
    means, exponents = [], []
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
        # Correlation knows no unit, and a power of two rounds nothing: squares stay in range.
        exponents.append(-int(np.frexp(max(high - means[-1], means[-1] - low))[1]))
    products = np.zeros(3)
    for x, y in zip(left(), right(), strict=True):
        x, y = (np.ldexp(v - m, e) for v, m, e in zip((x, y), means, exponents, strict=True))
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


def entry_count(images: int, diagonal: bool) -> int:
    """Return how many entries the upper triangle has."""
    return images * (images + 1) // 2 if diagonal else images * (images - 1) // 2


def block_side(a: BlockMatrix, b: BlockMatrix, memory: int) -> int:
    """Return the side of the blocks of two matrices that fit into `memory` bytes.

    Raises
    ------
    InputError
        If not even small blocks do.
    """
    count = a.shape[0]
    side = max(a.block_side, b.block_side)
    fixed = _VECTORS * 8 * count + _WHOLE_PARTS * 8 * min(side, count) ** 2
    side = min(side, LARGEST_SIDE)
    least = min(side, SMALLEST_SIDE)
    needed = fixed + max(_BLOCKS * 8 * least**2, _FEWEST_VALUES * _BYTES_PER_VALUE)
    if memory < needed:
        raise InputError(
            f"memory: expected at least {format_bytes(needed, up=True)} for RSMs of {count:,} "
            f"images on disk; got {format_bytes(memory)}"
        )
    while side > least and fixed + _BLOCKS * 8 * side**2 > memory:
        side = max(least, side // 2)  # halves, so that they lie in the tiles as before
    return side
