"""Centred kernel alignment, with intervals by the jackknife over images."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.units import memory_budget
from ..errors import InputError
from .comparison import Comparison, UndefinedError, check_interval, pair, side_of_blocks
from .protocol import ArrayMatrix, Matrix, upper_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: The fewest images for a jackknife.
JACKKNIFE_IMAGES = 6

#: The debiased HSIC is a mean over tuples of four different images.
DEBIASED_IMAGES = 4

#: After centring a matrix with values up to 1, rounding alone leaves values of at most this.
_ROUNDING = 64 * float(np.finfo(float).eps)

#: For smaller exponents, multiplying by a power of two gives the result of ldexp, but faster.
_PLAIN_EXPONENT = 1000


def cka(
    a: Any,
    b: Any,
    *,
    debiased: bool = False,
    interval: float | None = None,
    on: str = "all",
    memory: int | str | None = None,
) -> Comparison:
    """Centred kernel alignment of two RSMs of the same images.

    Parameters
    ----------
    a, b : RSM, StoredRSM or array-like, shape (N, N)
        Kernel matrices, the diagonal included. Those on disk are read in blocks. RSMs are matched
        by their ids, in whatever order; arrays are taken as they are.
    debiased : bool, default False
        Use the unbiased estimator of HSIC [2]_ in place of the biased one [1]_. It ignores the
        diagonals and needs at least four images.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by the delete-one jackknife over images
        with a normal approximation, which needs at least six images. Images are left out and not
        resampled, because a repeated image would add its diagonal value to the pairs. The interval
        is symmetric about the value and may reach beyond 1.
    on : {"all", "common"}, default "all"
        Whether both must have the same images, or those that both have are compared; the result
        says which were left out.
    memory : int or str, optional
        The budget, for matrices on disk; as for :func:`semrsm.gram`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the matrices are not square, symmetric and of one size, hold values that are not finite,
        are RSMs of different images, have too few images (two; four where debiased; six with an
        interval), or one of them is constant after centring, so that the alignment is 0 / 0; also
        if matrices on disk cannot be read within `memory`.

    Notes
    -----
    HSIC(K, L) = tr(K H L H) / (N − 1)², H = I − 1/N, and CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L,
    L)). Both estimators of HSIC are inner products of centred matrices. For the biased one, rows
    and columns have mean zero. For the debiased one, the off-diagonal values are the residuals of a
    fit by sums a_i + a_j of one number for each image [3]_. HSIC(K, K) is therefore never negative,
    and either CKA lies in [−1, 1] by the Cauchy–Schwarz inequality; nothing is clamped. Positive
    semi-definite matrices have a biased CKA of at least 0. A semantic RSM can be indefinite, and
    its CKA, like every debiased one, can then fall below 0.

    The jackknife takes at most two passes over the matrices: the inner product without an image
    follows from the image's own share of it. An image that holds nearly all of the variation takes
    passes of its own.

    References
    ----------
    .. [1] S. Kornblith et al., "Similarity of neural network representations revisited", 2019.
    .. [2] L. Song et al., "Feature selection via dependence maximization", JMLR 13, 2012.
    .. [3] G. Székely and M. Rizzo, "Partial distance correlation with methods for
       dissimilarities", Annals of Statistics 42, 2014.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> k = semrsm.rsm(np.random.default_rng(0).normal(size=(6, 4, 8)))
    >>> round(semrsm.cka(k, k).value, 12)
    1.0
    """
    if interval is not None:
        check_interval(interval)
    budget = memory_budget(memory)
    both = pair(a, b, fewest=DEBIASED_IMAGES if debiased else 2, on=on, memory=budget)
    left, right = both.left, both.right
    count = left.shape[0]
    if interval is not None and count < JACKKNIFE_IMAGES:
        raise InputError(f"interval: expected at least six images for a jackknife; got {count}")
    side = side_of_blocks(left, right, budget)
    found = Alignment(
        *(CentredKernel(matrix, side=side, debiased=debiased) for matrix in (left, right))
    )
    value = found.value
    if np.isnan(value):
        raise UndefinedError(
            "cka: expected matrices that vary after centring (HSIC with themselves > 0); got one "
            "that does not"
        )
    bounds = None
    if interval is not None:
        bounds = found.jackknife(interval)
        if np.isnan(bounds[0]):
            raise UndefinedError(
                "interval: expected matrices that vary after centring whichever image is left "
                "out; got one whose variation is all due to one image"
            )
    name = "debiased CKA" if debiased else "CKA"
    return Comparison(value, bounds, name, count, both.left_out)


@dataclass(frozen=True)
class Products:
    """The inner product of two centred matrices K and L, image by image.

    Attributes
    ----------
    shares : ndarray, shape (N,)
        Each image's share: Σ_j K[i, j] L[i, j].
    diagonal : ndarray, shape (N,)
        K[i, i] L[i, i].
    """

    shares: Array
    diagonal: Array

    @classmethod
    def zeros(cls, count: int) -> Products:
        """Return products of zero, to which blocks are added."""
        return cls(np.zeros(count), np.zeros(count))

    @property
    def total(self) -> float:
        """The inner product."""
        return float(self.shares.sum())

    def add(self, x: Array, y: Array, rows: slice, columns: slice) -> None:
        """Add a block of both matrices, on the diagonal or above it."""
        self.shares[rows] += np.einsum("ij,ij->i", x, y)
        if rows == columns:
            self.diagonal[rows] = x.diagonal() * y.diagonal()
        else:
            self.shares[columns] += np.einsum("ij,ij->j", x, y)


class CentredKernel:
    """A kernel matrix, centred for its alignment with any number of others.

    One pass finds the means, after which any block can be centred. A matrix of one block is centred
    once, and kept in memory. Values are scaled so that they are at most 1 before centring. Rows
    have mean zero, and for the debiased estimator the diagonal is zero too. Matrices are centred
    before they are multiplied, so that no difference of large sums loses digits.

    Parameters
    ----------
    matrix : Matrix, shape (N, N)
        Symmetric.
    side : int
        Images on the side of a block.
    debiased : bool
        Whether it is centred for the debiased estimator of HSIC.
    left_out : int, optional
        An image that is left out: its row and column are zeros.
    exponent : int, optional
        The unit of the values, as a power of two; by default the smallest one in which they are at
        most 1.

    Attributes
    ----------
    count : int
        The number of images, less the one that is left out.
    side : int
    debiased : bool
    """

    def __init__(
        self,
        matrix: Matrix | CentredKernel,
        *,
        side: int,
        debiased: bool,
        left_out: int | None = None,
        exponent: int | None = None,
    ) -> None:
        self.shape: tuple[int, int] = matrix.shape
        self.count: int = matrix.shape[0] - (left_out is not None)
        self.side = side
        self.debiased = debiased
        self._matrix = matrix
        self._left_out = left_out
        self._own: Products | None = None
        self._kept: Array | None = None
        self._exponent = exponent or 0
        sums = self._sums(find_unit=exponent is None)
        count = self.count
        if debiased:
            self._offsets = sums / (count - 2)
            self._mean = float(sums.sum()) / ((count - 1) * (count - 2))
        else:
            self._offsets = sums / count
            self._mean = float(self._offsets.sum()) / count
        if self._kept is not None:
            everything = slice(0, self.shape[0])
            self._centre(self._kept, everything, everything)

    @classmethod
    def of(cls, matrix: Matrix | Array, *, debiased: bool) -> CentredKernel:
        """Centre a symmetric matrix, shape (N, N), and keep it in memory."""
        if isinstance(matrix, np.ndarray):
            matrix = ArrayMatrix(matrix, is_symmetric=True)
        return cls(matrix, side=matrix.shape[0], debiased=debiased)

    def without(self, image: int) -> CentredKernel:
        """Return the matrix of the other images, centred again."""
        # Blocks are in the unit already, and keep it: rounding there is rounding here.
        return CentredKernel(
            self, side=self.side, debiased=self.debiased, left_out=image, exponent=0
        )

    def alignment(self, other: CentredKernel) -> float:
        """Return the CKA with another matrix of the same images; NaN where one is constant."""
        return Alignment(self, other).value

    def jackknife(self, other: CentredKernel, confidence: float) -> tuple[float, float]:
        """Return the interval about the alignment by leaving out each image; NaN if undefined."""
        return Alignment(self, other).jackknife(confidence)

    def block(self, rows: slice, columns: slice) -> Array:
        """Return centred values of some rows and columns, which must not be written to."""
        values: Array
        if self._kept is not None:
            values = self._kept[rows, columns]
            return values
        values = self._in_unit(self._read(rows, columns), rows, columns)
        self._centre(values, rows, columns)
        return values

    def products(self, other: CentredKernel) -> Products:
        """Return the inner product with another kernel; find those with themselves in the pass."""
        count, side = self.shape[0], min(self.side, other.side)
        both = Products.zeros(count)
        wanted = [] if other is self else [(both, 0, 1)]
        for place, kernel in enumerate((self, other)):
            if kernel._own is None:
                kernel._own = Products.zeros(count)
                wanted.append((kernel._own, place, place))
        for rows, columns in upper_blocks(count, side) if wanted else ():
            blocks = self.block(rows, columns), other.block(rows, columns)
            for products, x, y in wanted:
                products.add(blocks[x], blocks[y], rows, columns)
        return self.own if other is self else both

    @property
    def own(self) -> Products:
        """The inner product with itself."""
        return self.products(self) if self._own is None else self._own

    @property
    def size(self) -> float:
        """The inner product with itself, or zero where it is only rounding."""
        size = self.own.total
        return size if size > (_ROUNDING * self.count) ** 2 else 0.0

    def _sums(self, *, find_unit: bool) -> Array:
        """Find the unit, and return the sums of the rows in it; a single block stays in memory."""
        count, is_zero = self.shape[0], True
        sums = np.zeros(count)
        for rows, columns in upper_blocks(count, self.side):
            values = self._read(rows, columns)
            peak = float(np.abs(values).max(initial=0.0))
            if not np.isfinite(peak):
                raise InputError("a, b: expected finite values; got NaN or infinity")
            if find_unit and peak > 0:
                found = int(np.frexp(peak)[1])
                if is_zero or found > self._exponent:
                    sums = np.ldexp(sums, self._exponent - found)
                    self._exponent, is_zero = found, False
            values = self._in_unit(values, rows, columns)
            sums[rows] += values.sum(axis=1)
            if rows != columns:
                sums[columns] += values.sum(axis=0)
            if self.side >= count:
                self._kept = values
        return sums

    def _read(self, rows: slice, columns: slice) -> Array:
        """Return the values before scaling, with those that are left out set to zero."""
        values: Array = self._matrix.block(rows, columns)
        on_diagonal = rows == columns
        if self._left_out is None and not (self.debiased and on_diagonal):
            return values
        if on_diagonal and not np.isfinite(values.diagonal()).all():
            raise InputError("a, b: expected finite values; got NaN or infinity")
        values = values.copy()
        self._clear(values, rows, columns)
        return values

    def _in_unit(self, values: Array, rows: slice, columns: slice) -> Array:
        """Return a copy in the unit, a power of two: no digit is lost, and squares stay finite."""
        if abs(self._exponent) < _PLAIN_EXPONENT:
            values = values * 2.0**-self._exponent
        else:
            values = np.ldexp(values, -self._exponent)
        if rows == columns:
            values = (values + values.T) / 2  # the triangles may differ by rounding
        return values

    def _centre(self, values: Array, rows: slice, columns: slice) -> None:
        """Centre, in place, values in the unit."""
        values -= self._offsets[rows][:, None]
        values -= self._offsets[columns][None, :]
        values += self._mean
        self._clear(values, rows, columns)

    def _clear(self, values: Array, rows: slice, columns: slice) -> None:
        """Set the values that are left out to zero, in place."""
        if self.debiased and rows == columns:
            np.fill_diagonal(values, 0.0)
        if self._left_out is not None:
            values[np.arange(rows.start, rows.stop) == self._left_out] = 0.0
            values[:, np.arange(columns.start, columns.stop) == self._left_out] = 0.0


class Alignment:
    """The CKA of two centred matrices of the same images, and its interval.

    Parameters
    ----------
    left, right : CentredKernel
        Centred for the same estimator. One pass multiplies them.
    """

    def __init__(self, left: CentredKernel, right: CentredKernel) -> None:
        self._left, self._right = left, right
        self._products = left.products(right)

    @property
    def value(self) -> float:
        """The CKA; NaN where one of the matrices is constant."""
        size = self._left.size * self._right.size
        if not size > 0:
            return float("nan")
        return float(self._products.total / np.sqrt(size))

    def jackknife(self, confidence: float) -> tuple[float, float]:
        """Return the interval about the value by leaving out each image; NaN if undefined."""
        left_out = self._left_out()
        n = len(left_out)
        spread = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
        half = NormalDist().inv_cdf((1 + confidence) / 2) * spread
        value = self.value
        return value - half, value + half

    def _left_out(self) -> Array:
        """Return the alignment without each image in turn, shape (N,)."""
        own, others, both = (
            self._totals_left_out(products)
            for products in (self._left.own, self._right.own, self._products)
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Array = both / np.sqrt(own * others)
        # Where hardly any variation is left without an image, the difference has lost its digits.
        lost = (own < 1e-6 * self._left.size) | (others < 1e-6 * self._right.size)
        for i in np.flatnonzero(lost).tolist():
            found[i] = self._left.without(i).alignment(self._right.without(i))
        return found

    def _totals_left_out(self, products: Products) -> Array:
        """Return an inner product without each image in turn, the rest centred again, shape (N,).

        Rows of the centred matrices sum to zero, so that without image i row j sums to minus its
        value at i: the change by centring again follows from row i alone.
        """
        n = self._left.count
        totals: Array
        if self._left.debiased:
            totals = products.total - 2 * (n - 2) / (n - 3) * products.shares
        else:
            grown = n / (n - 1)
            totals = products.total - 2 * grown * products.shares + grown**2 * products.diagonal
        return totals
