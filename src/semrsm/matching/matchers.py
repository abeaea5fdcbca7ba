"""Matchers: how the concept vectors of two images are paired. One signature for all.

A matcher gets blocks of images and a list of pairs among them and returns, for each pair, the
matched inner product of *its* matching and an upper bound on the *optimal* one, so that every value
comes with what a better matching could still gain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.workers import Cancellation, interruptible
from ..errors import InputError, did_you_mean
from ..tokens import Block, Tokens
from .assignment import SMALL, TOLERANCE, NotFiniteError, check_tolerance, relative_gap, solve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array


#: Concept vectors on the side of a tile: enough for a product at full speed, few enough that its
#: affinities (about a megabyte) stay in cache until the assignments have read them.
TILE_VECTORS = 576

#: Images on the side of a tile, at most.
TILE_IMAGES = 64

#: What the images on one side of a tile take where they are widened to float64.
WIDENED_BYTES = 8 << 20


class Workspace:
    """What one thread reuses from tile to tile: a buffer for products, and the way to stop it."""

    def __init__(self, cancellation: Cancellation, product_guard: Any) -> None:
        self.cancellation = cancellation
        self._guard = product_guard
        self._buffer: Array = np.empty(0, dtype=np.float32)

    def product(self, left: Array, right: Array) -> Array:
        """Return ``left @ right.T``, shape (len(left), len(right)); valid until the next call."""
        size = len(left) * len(right)
        if self._buffer.size < size or self._buffer.dtype != left.dtype:
            # The solver reads rows where they lie: on cache lines, if the buffer starts on one.
            raw = np.empty(size * left.itemsize + 64, dtype=np.uint8)
            first = -raw.ctypes.data % 64
            self._buffer = raw[first : first + size * left.itemsize].view(left.dtype)
        out = self._buffer[:size].reshape(len(left), len(right))
        with self._guard:
            return np.matmul(left, right.T, out=out)


@dataclass(frozen=True)
class Matched:
    """What comes back for P pairs: two arrays (P,), and the matchings (P, S) if they were kept."""

    values: NDArray[np.float64]
    upper_bounds: NDArray[np.float64]
    columns: NDArray[np.int32] | None = None


class Matcher(ABC):
    """The base of all matchers.

    Attributes
    ----------
    name : str
        The public name.
    needs_equal_sizes : bool
        Whether it compares only images of one S.
    identity_on_self : bool
        Whether an image is certain to be matched with itself by the identity, so that
        V(X, X) = ‖X‖² without solving.
    copies_blocks : bool
        Whether :meth:`prepare` needs memory for a sorted copy.
    """

    name: str
    copies_blocks = False
    needs_equal_sizes = False
    identity_on_self = True

    def prepare(self, block: Block) -> Block:
        """Return `block` in the order of vectors that :meth:`pairs` expects."""
        return block

    @abstractmethod
    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """Match image ``left[p]`` of `rows` with image ``right[p]`` of `columns` for every p.

        Parameters
        ----------
        rows, columns : Block
            Prepared blocks.
        left, right : ndarray of int64, shape (P,)
            The pairs.
        workspace : Workspace
            The buffers of the calling thread.
        keep_columns : bool
            Whether the matchings are wanted too; all `rows` must have one S then.

        Returns
        -------
        Matched
        """

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many images of `size` vectors make a good side of a tile of pairs."""
        return _clipped(TILE_VECTORS / size)

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return what one thread allocates for a tile of images of so many vectors."""
        tile = images[0] * images[1] * sizes[0] * sizes[1] * item
        return tile + 4 * sizes[0] * sizes[1] * 8  # two matrices abreast, and one in float64


def _sorted_by_norm(block: Block) -> Block:
    """Sort the vectors of each image by descending norm (ties by position)."""
    norms, order = _norms(block)
    return replace(
        block,
        vectors=block.vectors[order],
        order=order - np.repeat(block.starts[:-1], block.sizes),
        norms=_padded(norms[order], block),
    )


def _norms(block: Block) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the norm of each vector, and the order that sorts those of each image downwards."""
    norms = np.sqrt(np.einsum("sc,sc->s", block.vectors, block.vectors, dtype=np.float64))
    image = np.repeat(np.arange(len(block)), block.sizes)
    return norms, np.lexsort((-norms, image))


def _padded(norms: NDArray[np.float64], block: Block) -> NDArray[np.float64]:
    sizes = block.sizes
    padded = np.zeros((len(block), int(sizes.max())))
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = norms
    return padded


def _norm_bounds(
    rows: Block, columns: Block, left: NDArray[np.int64], right: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Σ_k ‖x‖₍ₖ₎ ‖y‖₍ₖ₎ over the norms in descending order: an upper bound on every matching.

    By Cauchy–Schwarz ⟨x, y⟩ ≤ ‖x‖ ‖y‖, and by the rearrangement inequality no pairing of the norms
    has a larger sum of products than the sorted one. Where S ≠ T the smaller set is padded with
    zeros, so that only the largest norms of the other count.
    """
    if rows.norms is None or columns.norms is None:
        raise ValueError("the blocks are not prepared")
    width = min(rows.norms.shape[1], columns.norms.shape[1])
    every: NDArray[np.float64] = rows.norms[:, :width] @ columns.norms[:, :width].T
    bounds: NDArray[np.float64] = every[left, right]
    return bounds


def _solve_affinities(
    affinity: Array,
    rows: Block,
    columns: Block,
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    workspace: Workspace,
    *,
    method: str = "assign",
    limit: int | None = None,
    taken: int = 0,
    tolerance: float = TOLERANCE,
    keep_columns: bool = False,
) -> Matched:
    """Solve the pairs' matrices inside the tile `affinity`, or their leading `limit` × `limit`."""
    sizes, widths = rows.sizes[left], columns.sizes[right]
    if limit is not None:
        sizes, widths = np.minimum(sizes, limit), np.minimum(widths, limit)
    width = affinity.shape[1]
    solved = solve(
        affinity.reshape(-1),
        rows.starts[left] * width + columns.starts[right],
        int(sizes[0]) if keep_columns else sizes.astype(np.int32),
        widths.astype(np.int32),
        row_stride=width,
        method=method,
        taken=taken,
        tolerance=tolerance,
        cancellation=workspace.cancellation,
        keep_columns=keep_columns,
    )
    return Matched(solved[0], solved[1], solved[2] if keep_columns else None)


@dataclass(frozen=True)
class NoMatch(Matcher):
    """The spatio-semantic baseline: location s is compared with location s, and nothing is matched.

    The upper bound on the optimum is the sum of products of the sorted norms; it is loose.
    """

    name = "none"
    needs_equal_sizes = True

    def prepare(self, block: Block) -> Block:
        """Add the sorted norms."""
        norms, order = _norms(block)
        return replace(block, norms=_padded(norms[order], block))

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many images, widened to float64, take a few megabytes."""
        return _clipped(WIDENED_BYTES / (size * channels * 8))

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return what the widened images of a tile take; there are no affinities."""
        return (images[0] * sizes[0] + images[1] * sizes[1]) * channels * 8

    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """See :meth:`Matcher.pairs`; the products are accumulated in float64."""
        size = int(rows.starts[1])
        first, last = int(left.min()), int(left.max()) + 1
        start, stop = int(right.min()), int(right.max()) + 1
        flat = rows.part(first, last).vectors.reshape(last - first, -1).astype(np.float64)
        other = columns.part(start, stop).vectors.reshape(stop - start, -1).astype(np.float64)
        values = workspace.product(flat, other)[left - first, right - start]
        bounds = np.maximum(_norm_bounds(rows, columns, left, right), values)
        kept = np.tile(np.arange(size, dtype=np.int32), (len(left), 1)) if keep_columns else None
        return Matched(values, bounds, kept)


@dataclass(frozen=True)
class Optimal(Matcher):
    """The exact matching, which makes the RSM semantic.

    Parameters
    ----------
    tolerance : float, default 1e-6
        The relative gap between value and upper bound above which a pair in float32 is solved
        again in float64.
    """

    tolerance: float = TOLERANCE

    name = "optimal"

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """See :meth:`Matcher.pairs`."""
        affinity = workspace.product(rows.vectors, columns.vectors)
        return _solve_affinities(
            affinity,
            rows,
            columns,
            left,
            right,
            workspace,
            tolerance=self.tolerance,
            keep_columns=keep_columns,
        )


@dataclass(frozen=True)
class Greedy(Matcher):
    """Rows in descending order of their best affinity, each taking its best free column.

    Rows are the vectors of the first image, or of the smaller one where S ≠ T, so the value can
    change when the two images are exchanged; an RSM holds the one of (i, j), i < j, on both sides.
    An image matched with itself need not get the identity, so its cosine can be below 1.
    The upper bound is the smaller of the sums of row maxima and of column maxima.
    """

    name = "greedy"
    identity_on_self = False

    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """See :meth:`Matcher.pairs`."""
        affinity = workspace.product(rows.vectors, columns.vectors)
        return _solve_affinities(
            affinity,
            rows,
            columns,
            left,
            right,
            workspace,
            method="greedy",
            keep_columns=keep_columns,
        )


@dataclass(frozen=True)
class TopKGreedy(Matcher):
    """Exact among the k vectors of largest norm of each image, greedy for the rest.

    Parameters
    ----------
    k : int, default 256
        How many vectors of each image are matched exactly.
    """

    k: int = 256

    name = "topk-greedy"
    copies_blocks = True
    identity_on_self = False

    def __post_init__(self) -> None:
        _check_positive(self.k, "k")

    def prepare(self, block: Block) -> Block:
        """Sort the vectors of each image by descending norm."""
        return _sorted_by_norm(block)

    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """See :meth:`Matcher.pairs`."""
        affinity = workspace.product(rows.vectors, columns.vectors)
        rest = _solve_affinities(
            affinity,
            rows,
            columns,
            left,
            right,
            workspace,
            method="greedy",
            taken=self.k,
            keep_columns=keep_columns,
        )
        top = _solve_affinities(
            affinity, rows, columns, left, right, workspace, limit=self.k, keep_columns=keep_columns
        )
        if rest.columns is not None and top.columns is not None:
            rest.columns[:, : top.columns.shape[1]] = top.columns
        values = top.values + rest.values
        return Matched(values, np.maximum(rest.upper_bounds, values), rest.columns)


@dataclass(frozen=True)
class BatchOptimal(Matcher):
    """Exact inside windows over the vectors sorted by descending norm.

    The remainder window holds the smallest norms. Where S ≠ T the last window of the smaller image
    meets all remaining vectors of the larger one. The upper bound is the sum of products of the
    sorted norms; it is loose, since affinities across windows are never computed.

    Parameters
    ----------
    window : int, default 128
        Vectors in a window; the paper uses 128, 256, 512 and 1024.
    """

    window: int = 128

    name = "batch-optimal"
    copies_blocks = True

    def __post_init__(self) -> None:
        _check_positive(self.window, "window")

    def prepare(self, block: Block) -> Block:
        """Sort the vectors of each image by descending norm."""
        return _sorted_by_norm(block)

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many images make a good side, the affinities of one window at a time."""
        return _clipped(TILE_VECTORS / min(size, self.window))

    def pairs(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        *,
        keep_columns: bool = False,
    ) -> Matched:
        """See :meth:`Matcher.pairs`."""
        bounds = _norm_bounds(rows, columns, left, right)
        if len(set(rows.sizes.tolist())) > 1 or len(set(columns.sizes.tolist())) > 1:
            values = np.empty(len(left))
            for p, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
                one = self._windows(
                    rows.part(i, i + 1), columns.part(j, j + 1), _ONE, _ONE, workspace, False
                )
                values[p] = one.values[0]
            return Matched(values, np.maximum(bounds, values))
        matched = self._windows(rows, columns, left, right, workspace, keep_columns)
        return replace(matched, upper_bounds=np.maximum(bounds, matched.values))

    def _windows(
        self,
        rows: Block,
        columns: Block,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        workspace: Workspace,
        keep_columns: bool,
    ) -> Matched:
        """Match blocks in which all images of one side have one S."""
        size, width = int(rows.starts[1]), int(columns.starts[1])
        left_images = rows.vectors.reshape(len(rows), size, -1)
        right_images = columns.vectors.reshape(len(columns), width, -1)
        smaller = min(size, width)
        values = np.zeros(len(left))
        kept = np.full((len(left), size), -1, dtype=np.int32) if keep_columns else None
        for first in range(0, smaller, self.window):
            final = first + self.window >= smaller
            row_end = size if final else first + self.window
            column_end = width if final else first + self.window
            some = _uniform_block(left_images[:, first:row_end])
            others = _uniform_block(right_images[:, first:column_end])
            affinity = workspace.product(some.vectors, others.vectors)
            part = _solve_affinities(
                affinity, some, others, left, right, workspace, keep_columns=keep_columns
            )
            values += part.values
            if kept is not None and part.columns is not None:
                shifted = np.where(part.columns >= 0, part.columns + first, -1)
                kept[:, first:row_end] = shifted
        return Matched(values, values, kept)


_ONE = np.zeros(1, dtype=np.int64)


def _uniform_block(images: Array) -> Block:
    count, size, channels = images.shape
    vectors = np.ascontiguousarray(images).reshape(-1, channels)
    return Block(vectors, np.arange(count + 1, dtype=np.int64) * size)


def _clipped(images: float) -> int:
    return max(1, min(TILE_IMAGES, round(images)))


def _check_positive(value: int, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise InputError(f"{name}: expected a whole number >= 1; got {value!r}")


MATCHERS: dict[str, type[Matcher]] = {
    matcher.name: matcher for matcher in (NoMatch, Optimal, Greedy, TopKGreedy, BatchOptimal)
}


def resolve_matcher(matcher: str | Matcher) -> Matcher:
    """Return the matcher object for a name.

    Raises
    ------
    InputError
        If the name is unknown or the object is no matcher.
    """
    if isinstance(matcher, Matcher):
        return matcher
    if isinstance(matcher, str) and matcher in MATCHERS:
        return MATCHERS[matcher]()
    got = repr(matcher) if isinstance(matcher, str) else type(matcher).__name__
    raise InputError(
        f"matcher: expected one of {', '.join(MATCHERS)}, or an object of semrsm.matchers; got "
        f"{got}.{did_you_mean(matcher, MATCHERS) if isinstance(matcher, str) else ''}"
    )


@dataclass(frozen=True, eq=False)
class Match:
    """How the concept vectors of one image were matched with those of another.

    Attributes
    ----------
    permutation : ndarray of int64, shape (S,)
        The vector of b that each vector of a was matched with, −1 where it stayed free (S > T).
    value : float
        The matched inner product.
    upper_bound : float
        No matching of the two images has a larger value.
    contributions : ndarray of float64, shape (S,)
        ⟨a_s, b_permutation[s]⟩, 0 where a vector stayed free. They sum to `value` up to rounding.
    matcher : str
        The matcher's name.
    """

    permutation: NDArray[np.int64]
    value: float
    upper_bound: float
    contributions: NDArray[np.float64]
    matcher: str

    def __repr__(self) -> str:
        gap = float(relative_gap(self.value, self.upper_bound))
        return (
            f"Match({len(self.permutation)} vectors, matcher={self.matcher!r}, "
            f"value={self.value:.6g}, relative gap={gap:.1e})"
        )


def match(a: Any, b: Any, *, matcher: str | Matcher = "optimal") -> Match:
    """Match the concept vectors of two images.

    Parameters
    ----------
    a, b : array-like or torch.Tensor, shapes (S, C) and (T, C)
        The concept vectors; C must agree.
    matcher : str or Matcher, default "optimal"
        ``"none"``, ``"optimal"``, ``"greedy"``, ``"topk-greedy"``, ``"batch-optimal"``, or an
        object of :mod:`semrsm.matchers` with options.

    Returns
    -------
    Match

    Raises
    ------
    InputError
        If the arrays are not two-dimensional, differ in C, hold values that are not finite, or
        the matcher is unknown or needs S = T.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> a = np.random.default_rng(0).normal(size=(5, 16))
    >>> found = semrsm.match(a, a[[3, 1, 4, 0, 2]])
    >>> found.permutation
    array([3, 1, 4, 0, 2])
    >>> bool(np.isclose(found.value, (a**2).sum()))
    True
    """
    chosen = resolve_matcher(matcher)
    left, right = (Tokens([_vectors(x, name)], name) for x, name in ((a, "a"), (b, "b")))
    check_comparable(left, right, chosen, "a", "b")
    dtype = np.promote_types(left.dtype, right.dtype)
    rows, columns = (
        chosen.prepare(_as_dtype(tokens.block(0, 1), dtype)) for tokens in (left, right)
    )

    def work(cancellation: Cancellation) -> Matched:
        workspace = Workspace(cancellation, nullcontext())
        return chosen.pairs(rows, columns, _ONE, _ONE, workspace, keep_columns=True)

    try:
        large = len(rows.vectors) * len(columns.vectors) >= SMALL
        found = interruptible(work) if large else work(Cancellation())
    except NotFiniteError:
        raise overflow_error("a", "b") from None
    if found.columns is None:
        raise ValueError("the matcher kept no columns")
    taken = found.columns[0]
    placed = np.flatnonzero(taken >= 0)
    source = placed if rows.order is None else rows.order[placed]
    target = taken[placed] if columns.order is None else columns.order[taken[placed]]
    permutation = np.full(len(taken), -1, dtype=np.int64)
    permutation[source] = target
    exponent = int(left.exponents[0] + right.exponents[0])
    contributions = np.zeros(len(taken))
    contributions[placed] = np.einsum(
        "sc,sc->s", rows.vectors[placed], columns.vectors[taken[placed]], dtype=np.float64
    )
    if rows.order is not None:
        contributions[rows.order] = contributions.copy()
    return Match(
        permutation,
        float(np.ldexp(found.values[0], exponent)),
        float(np.ldexp(found.upper_bounds[0], exponent)),
        np.ldexp(contributions, exponent),
        chosen.name,
    )


def _vectors(x: Any, name: str) -> Array:
    array = to_numpy(x, name)
    if array.ndim != 2:
        raise InputError(
            f"{name}: expected the concept vectors of one image, shape (S, C); got {array.shape}"
        )
    return array


def check_comparable(
    left: Tokens, right: Tokens, matcher: Matcher, left_name: str, right_name: str
) -> None:
    """Refuse inputs whose images cannot be compared.

    Raises
    ------
    InputError
        If the channels differ, or the matcher needs one S and there are several.
    """
    if left.channels != right.channels:
        raise InputError(
            f"{right_name}: expected {left.channels} channels as in {left_name}; got "
            f"{right.channels}"
        )
    if matcher.needs_equal_sizes:
        sizes = np.unique(np.concatenate([left.sizes, right.sizes]))
        if len(sizes) > 1:
            raise InputError(
                f"matcher {matcher.name!r}: expected images with one number of concept vectors, "
                f"since it compares location with location; got S = {sizes[0]} and {sizes[-1]}"
            )


def overflow_error(left_name: str, right_name: str) -> InputError:
    """Return the error for inner products beyond the range of the compute dtype."""
    return InputError(
        f"{left_name}, {right_name}: inner products leave the range of the floating type; scale "
        "the features down or pass float64"
    )


def _as_dtype(block: Block, dtype: np.dtype[Any]) -> Block:
    return replace(block, vectors=np.ascontiguousarray(block.vectors, dtype=dtype))
