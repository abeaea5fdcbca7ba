"""The common part of CKA and RSA: their result, the check of two matrices, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.units import format_bytes
from ..errors import InputError
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
        N.
    """

    value: float
    interval: tuple[float, float] | None
    method: str
    images: int

    def __repr__(self) -> str:
        interval = (
            "" if self.interval is None else ", interval=({:.4g}, {:.4g})".format(*self.interval)
        )
        return f"Comparison({self.method}={self.value:.6g}{interval}, images={self.images})"


def check_interval(interval: float) -> None:
    """Refuse anything but a confidence between 0 and 1.

    Raises
    ------
    InputError
    """
    is_number = isinstance(interval, (int, float, np.integer, np.floating))
    if not is_number or isinstance(interval, bool) or not 0 < interval < 1:
        raise InputError(f"interval: expected a confidence between 0 and 1; got {interval!r}")


def pair(a: Any, b: Any, *, fewest: int) -> tuple[Matrix, Matrix]:
    """Return two matrices of the same images, each checked as far as it is in memory.

    Parameters
    ----------
    a, b : Matrix or array-like, shape (N, N)
        A matrix of one block is read, checked as by :func:`kernel_matrix`, and kept. The values of
        others are checked when they are read.
    fewest : int
        The least number of images.

    Returns
    -------
    (Matrix, Matrix)

    Raises
    ------
    InputError
        If a matrix compares two sets of images, or is not square, symmetric and finite; if the two
        are of different images; or if there are too few.
    """
    left, right = _checked(a, "a"), _checked(b, "b")
    if left.shape != right.shape:
        raise InputError(
            f"a, b: expected RSMs of the same images; got shapes {left.shape} and {right.shape}"
        )
    if isinstance(a, Matrix) and isinstance(b, Matrix) and a.row_ids != b.row_ids:
        raise InputError(
            "a, b: expected RSMs of the same images in the same order; their ids differ"
        )
    if left.shape[0] < fewest:
        raise InputError(f"a, b: expected at least {fewest} images; got {left.shape[0]}")
    return left, right


def _checked(x: Any, name: str) -> Matrix:
    if isinstance(x, Matrix) and x.is_symmetric and not in_one_block(x):
        return x
    return ArrayMatrix(kernel_matrix(x, name), is_symmetric=True)


def kernel_matrix(x: Any, name: str) -> Array:
    """Return the values of an array, or of a matrix of one block; errors name the argument.

    Parameters
    ----------
    x : Matrix or array-like, shape (N, N)
    name : str
        The argument's name, for the error.

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
    if not np.isfinite(matrix).all():
        raise InputError(f"{name}: expected finite values; got NaN or infinity")
    # Products in the input's own precision may differ between the triangles by their rounding.
    precision = np.finfo(given.dtype if given.dtype.kind == "f" else float).eps
    apart = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if apart > np.sqrt(precision) * np.abs(matrix).max(initial=0.0):
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
