"""The common part of CKA and RSA: their result, the check of two matrices, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.html import facts_html
from .._internal.units import format_bytes
from ..errors import InputError
from .names import are_default, places, shared
from .protocol import ArrayMatrix, Matrix, in_one_block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: The largest side of a block of matrices on disk, in images: 8 MB.
LARGEST_SIDE = 1024

#: The smallest side of a block, however small the budget.
SMALLEST_SIDE = 64

#: Bytes of the budget for each value that is ranked at a time: its place, copies, and buffers for
#: sorting.
BYTES_PER_VALUE = 128

#: The fewest values that are ranked at a time.
FEWEST_VALUES = 1 << 12

#: Blocks in memory at a time: those of both matrices, the buffers of their kernels, and derived
#: blocks.
_BLOCKS = 12

#: Parts with the side of tiles that are in memory while a block is read: values and bounds.
_WHOLE_PARTS = 2

#: Vectors of N numbers that are in memory together.
_VECTORS = 24


class UndefinedError(InputError):
    """The statistic of two matrices is 0 / 0, since one of them does not vary."""


@dataclass(frozen=True)
class Comparison:
    """How alike two RSMs are.

    Attributes
    ----------
    value : float
        The statistic.
    interval : (float, float) or None
        Its interval over images, if one was asked for.
    method : str
        The name of the measure.
    images : int
        N, the images that both have and that were compared.
    left_out : (tuple of str, tuple of str)
        The ids of `a` and of `b` that the other one does not have.
    missing : int
        Pairs of images that were left out because one matrix lacks their value.

    Notes
    -----
    ``float(comparison)`` is the value, and a format such as ``f"{comparison:.3f}"`` formats it.
    """

    value: float
    interval: tuple[float, float] | None
    method: str
    images: int
    left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    missing: int = 0

    def __repr__(self) -> str:
        interval = (
            "" if self.interval is None else ", interval=({:.4g}, {:.4g})".format(*self.interval)
        )
        out = [
            f"{len(names)} only in {side}"
            for names, side in zip(self.left_out, "ab", strict=True)
            if names
        ]
        if self.missing:
            out.append(f"{self.missing} pairs missing")
        rest = f" ({', '.join(out)})" if out else ""
        return f"Comparison({self.method}={self.value:.6g}{interval}, images={self.images}{rest})"

    def __float__(self) -> float:
        return self.value

    def __format__(self, form: str) -> str:
        return format(self.value, form) if form else repr(self)

    def _repr_html_(self) -> str:
        facts: dict[str, Any] = {self.method: f"{self.value:.6g}"}
        if self.interval is not None:
            facts["interval"] = "{:.4g} to {:.4g}".format(*self.interval)
        facts["images"] = self.images
        for names, side in zip(self.left_out, "ab", strict=True):
            if names:
                facts[f"only in {side}"] = len(names)
        if self.missing:
            facts["pairs missing"] = self.missing
        return facts_html(facts)


@dataclass(frozen=True)
class Pair:
    """Two matrices of the same images in the same order.

    Attributes
    ----------
    left, right : Matrix, shape (N, N)
    left_out : (tuple of str, tuple of str)
        The ids of each that the other one does not have.
    """

    left: Matrix
    right: Matrix
    left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def check_interval(interval: float) -> None:
    """Refuse anything but a confidence between 0 and 1.

    Raises
    ------
    InputError
    """
    is_number = isinstance(interval, (int, float, np.integer, np.floating))
    if not is_number or isinstance(interval, bool) or not 0 < interval < 1:
        raise InputError(f"interval: expected a confidence between 0 and 1; got {interval!r}")


def pair(
    a: Any, b: Any, *, fewest: int, on: str = "all", memory: int, missing: bool = False
) -> Pair:
    """Return two matrices of the same images, each checked as far as it is in memory.

    Parameters
    ----------
    a, b : Matrix or array-like, shape (N, N)
        A matrix of one block is read, checked as by :func:`kernel_matrix`, and kept. The values of
        others are checked when they are read.
    fewest : int
        The least number of images.
    on : {"all", "common"}
        Whether both must have the same images; those with ids are put into the order of `a`.
    memory : int
        The budget in bytes for a matrix on disk that is read to be put into order.
    missing : bool
        Whether matrices with ids may lack the values of some pairs (NaN).

    Returns
    -------
    Pair

    Raises
    ------
    InputError
        If a matrix compares two sets of images, or is not square, symmetric and finite; if the two
        are of different images; or if there are too few.
    """
    if on not in ("all", "common"):
        raise InputError(f"on: expected 'all' or 'common'; got {on!r}")
    for x, name in ((a, "a"), (b, "b")):
        check_kind(x, name)
    left_out: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    both = isinstance(a, Matrix) and isinstance(b, Matrix) and a.row_ids != b.row_ids
    if both and not (are_default(a.row_ids) and are_default(b.row_ids)):
        ids = shared(a.row_ids, b.row_ids, on)
        kept = set(ids)
        only = [tuple(name for name in x.row_ids if name not in kept) for x in (a, b)]
        left_out = (only[0], only[1])
        a, b = (_in_order(x, ids, name, memory) for x, name in ((a, "a"), (b, "b")))
    left, right = _checked(a, "a", missing), _checked(b, "b", missing)
    if left.shape != right.shape:
        raise InputError(
            f"a, b: expected RSMs of the same images; got shapes {left.shape} and {right.shape}"
        )
    if left.shape[0] < fewest:
        raise InputError(f"a, b: expected at least {fewest} images; got {left.shape[0]}")
    return Pair(left, right, left_out)


def check_kind(x: Any, name: str) -> None:
    """Refuse things that are no RSMs, with the sentence that helps.

    Raises
    ------
    InputError
    """
    if hasattr(x, "upper_bound") or hasattr(x, "upper_bounds"):
        raise InputError(
            f"{name}: expected an RSM; got a Gram, whose kernel is to be chosen: "
            f'{name}.rsm("linear"), {name}.rsm("cosine"), …'
        )
    if hasattr(x, "tokens") and hasattr(x, "logits"):
        raise InputError(
            f"{name}: expected an RSM; got features. semrsm.rsm({name}[layer]) makes one of a layer"
        )
    if not isinstance(x, Matrix) and getattr(x, "ndim", 2) in (3, 4):
        raise InputError(
            f"{name}: expected an RSM (N, N); got an array of shape {tuple(x.shape)}. "
            f"semrsm.rsm({name}) makes one of features"
        )


def _in_order(x: Matrix, ids: list[str], name: str, memory: int) -> Matrix:
    if list(x.row_ids) == ids or not x.is_symmetric:  # refused later
        return x
    chosen = places(ids, x.row_ids, "ids")
    needed = 16 * x.shape[0] ** 2
    if not in_one_block(x) and needed > memory:
        raise InputError(
            f"memory: expected at least {format_bytes(needed, up=True)} to put {name} into the "
            f"order of the other one; got {format_bytes(memory)}"
        )
    everything = slice(0, x.shape[0])
    values = x.block(everything, everything)[np.ix_(chosen, chosen)]
    names = tuple(ids)
    return ArrayMatrix(values, is_symmetric=True, row_ids=names, column_ids=names)


def _checked(x: Any, name: str, missing: bool) -> Matrix:
    if isinstance(x, Matrix) and x.is_symmetric and not in_one_block(x):
        return x
    # An array with NaN is more often a mistake than a measurement.
    allowed = missing and isinstance(x, Matrix)
    return ArrayMatrix(kernel_matrix(x, name, missing=allowed), is_symmetric=True)


def kernel_matrix(x: Any, name: str, *, missing: bool = False) -> Array:
    """Return the values of an array, or of a matrix of one block; errors name the argument.

    Parameters
    ----------
    x : Matrix or array-like, shape (N, N)
    name : str
        The argument's name, for the error.
    missing : bool
        Whether values may be NaN, in both triangles alike.

    Returns
    -------
    ndarray of float64, shape (N, N)
        Symmetric up to rounding, and finite. It may be `x` itself, and must not be written to.

    Raises
    ------
    InputError
        If it is not square, symmetric and finite, or the matrix is of two sets of images.
    """
    if isinstance(x, Matrix):
        if not x.is_symmetric:
            raise InputError(
                f"{name}: expected the RSM of one set of images against itself; got one of two sets"
            )
        x = x.block(slice(0, x.shape[0]), slice(0, x.shape[1]))
    given = to_numpy(x, name)
    matrix: Array = given.astype(np.float64, copy=False)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name}: expected a square matrix (N, N); got shape {matrix.shape}")
    known = np.isfinite(matrix)
    if not known.all() and (not missing or np.isinf(matrix).any() or (known != known.T).any()):
        raise InputError(f"{name}: expected finite values; got NaN or infinity")
    # Products in the input's own precision may differ between the triangles by their rounding.
    precision = np.finfo(given.dtype if given.dtype.kind == "f" else float).eps
    whole = matrix if known.all() else np.where(known, matrix, 0.0)
    apart = float(np.abs(whole - whole.T).max(initial=0.0))
    if apart > np.sqrt(precision) * np.abs(whole).max(initial=0.0):
        raise InputError(
            f"{name}: expected a symmetric matrix; values (i, j) and (j, i) differ by up to "
            f"{apart:.3g}"
        )
    return matrix


def side_of_blocks(a: Matrix, b: Matrix, memory: int) -> int:
    """Return the side of the blocks of two matrices that fit into `memory` bytes.

    Parameters
    ----------
    a, b : Matrix, shape (N, N)
        A matrix of one block is divided like the other one. If both are of one block, they are
        divided only as far as the budget requires.
    memory : int

    Returns
    -------
    int
        N where the blocks are the whole matrices.

    Raises
    ------
    InputError
        If not even small blocks of matrices on disk fit.
    """
    count = a.shape[0]
    wanted = [matrix.block_side for matrix in (a, b) if not in_one_block(matrix)]
    side = max(wanted, default=count)
    fixed = _VECTORS * 8 * count
    if wanted:
        fixed += _WHOLE_PARTS * 8 * min(side, count) ** 2
        side = min(side, LARGEST_SIDE)
    least = min(side, SMALLEST_SIDE)
    needed = fixed + max(_BLOCKS * 8 * least**2, FEWEST_VALUES * BYTES_PER_VALUE)
    if wanted and memory < needed:
        raise InputError(
            f"memory: expected at least {format_bytes(needed, up=True)} for RSMs of {count:,} "
            f"images on disk; got {format_bytes(memory)}"
        )
    while side > least and fixed + _BLOCKS * 8 * side**2 > memory:
        side = max(least, side // 2)  # halves, so that blocks still lie inside tiles
    return side
