"""Comparing RSMs with one another: CKA and RSA, with intervals over images on request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.statistics import check_bootstrap, percentile_interval
from .._internal.units import format_bytes, memory_budget
from ..errors import InputError, did_you_mean, require
from .blockwise import (
    ArrayBlocks,
    CentredPair,
    CentredProducts,
    all_entries,
    entry_count,
    pearson,
    spearman,
)
from .protocol import BlockMatrix
from .rsm import RSM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], float]

METHODS = ("pearson", "spearman", "kendall")

#: Fewer images make no jackknife.
JACKKNIFE_IMAGES = 6

#: The debiased HSIC is a mean over tuples of four different images.
DEBIASED_IMAGES = 4

#: What Kendall's tau takes for each pair of images, its two values included.
_KENDALL_BYTES = 128

#: What the rounding of a matrix with values up to 1 leaves of it after centring, at most.
_ROUNDING = 64 * float(np.finfo(float).eps)


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
        What was computed.
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


def cka(
    a: Any,
    b: Any,
    *,
    debiased: bool = False,
    interval: float | None = None,
    memory: int | str | None = None,
) -> Comparison:
    """Centred kernel alignment of two RSMs of the same images.

    Parameters
    ----------
    a, b : RSM, StoredRSM or array-like, shape (N, N)
        Kernel matrices, the diagonal included. Those on disk are read in blocks.
    debiased : bool, default False
        Use the unbiased estimator of HSIC [2]_ in place of the biased one [1]_. It ignores the
        diagonals and needs at least four images.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by the delete-one jackknife over
        images with a normal approximation, which needs at least six images. Images are left out and
        not drawn again, because a repeated image would bring its own diagonal among the pairs. The
        interval is symmetric about the value and may reach beyond 1.
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
        interval), or one of them is constant after centring, so that the alignment is 0 / 0; if
        those on disk cannot be read within `memory`.

    Notes
    -----
    HSIC(K, L) = tr(K H L H) / (N − 1)², H = I − 1/N, and CKA = HSIC(K, L) / √(HSIC(K, K)
    HSIC(L, L)). Both estimators of HSIC are inner products of centred matrices: rows and columns of
    mean zero for the biased one, and for the debiased one those off-diagonal values that no sum
    a_i + a_j of numbers of the two images explains [3]_. HSIC(K, K) is therefore never negative,
    and either CKA lies in [−1, 1] by the Cauchy–Schwarz inequality; nothing is clamped. Positive
    semi-definite matrices have a biased CKA of at least 0. A semantic RSM can be indefinite, and
    its CKA, like every debiased one, can then fall below 0.

    The jackknife takes no more than two passes over the matrices: without an image, the inner
    product follows from the image's own part in it. An image that holds nearly all of the variation
    takes passes of its own.

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
    fewest = DEBIASED_IMAGES if debiased else 2
    k: CentredKernel | StoredKernel
    other: CentredKernel | StoredKernel
    if _is_stored(a) or _is_stored(b):
        stored = _stored_pair(a, b, fewest=fewest)
        count = stored[0].shape[0]
        _check_jackknife(interval, count)
        k, other = StoredKernel.of(*stored, debiased=debiased, memory=budget)
    else:
        left, right = _pair(a, b, fewest=fewest)
        count = len(left)
        _check_jackknife(interval, count)
        k, other = (CentredKernel.of(matrix, debiased=debiased) for matrix in (left, right))
    value = k.alignment(other)
    if np.isnan(value):
        raise InputError(
            "cka: expected matrices that vary after centring (HSIC with themselves > 0); got one "
            "that does not"
        )
    bounds = None
    if interval is not None:
        bounds = k.jackknife(other, interval)
        if np.isnan(bounds[0]):
            raise InputError(
                "interval: expected matrices that vary after centring whichever image is left "
                "out; got one whose variation is all due to one image"
            )
    return Comparison(value, bounds, "debiased CKA" if debiased else "CKA", count)


def _check_jackknife(interval: float | None, count: int) -> None:
    if interval is not None and count < JACKKNIFE_IMAGES:
        raise InputError(f"interval: expected at least six images for a jackknife; got {count}")


class _Centred(ABC):
    """A kernel matrix prepared for its alignment with others of the same images."""

    debiased: bool

    @property
    @abstractmethod
    def count(self) -> int:
        """N."""

    @abstractmethod
    def products(self, other: Any) -> CentredProducts:
        """Return the inner product with another centred matrix, image by image."""

    @abstractmethod
    def without(self, image: int) -> _Centred:
        """Return the matrix of the other images, centred again."""

    def alignment(self, other: _Centred) -> float:
        """Return the CKA with another matrix of the same images; NaN where one is constant."""
        size = self._size() * other._size()
        if not size > 0:
            return float("nan")
        return float(self.products(other).shares.sum() / np.sqrt(size))

    def jackknife(self, other: _Centred, confidence: float) -> tuple[float, float]:
        """Return the interval about the alignment by leaving out each image; NaN if undefined."""
        left_out = self._left_out(other)
        n = len(left_out)
        spread = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
        half = NormalDist().inv_cdf((1 + confidence) / 2) * spread
        value = self.alignment(other)
        return value - half, value + half

    def _size(self) -> float:
        """Return the inner product with itself, zero where it is nothing but rounding."""
        size = float(self.products(self).shares.sum())
        return size if size > (_ROUNDING * self.count) ** 2 else 0.0

    def _left_out(self, other: _Centred) -> Array:
        """Return the alignments without each of the images, shape (N,)."""
        own, others = self._products_left_out(self), other._products_left_out(other)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = self._products_left_out(other) / np.sqrt(own * others)
        # Where hardly anything is left without an image, the difference has lost its digits.
        lost = (own < 1e-6 * self._size()) | (others < 1e-6 * other._size())
        for i in np.flatnonzero(lost).tolist():
            found[i] = self.without(i).alignment(other.without(i))
        return found

    def _products_left_out(self, other: _Centred) -> Array:
        """Return the inner products of both, each image left out and the rest centred again.

        Rows of the centred matrices sum to zero, so that without image i row j sums to minus its
        value at i: what centring again takes away follows from row i alone.
        """
        n, both = self.count, self.products(other)
        total = float(both.shares.sum())
        products: Array
        if self.debiased:
            products = total - 2 * (n - 2) / (n - 3) * both.shares
        else:
            grown = n / (n - 1)
            products = total - 2 * grown * both.shares + grown**2 * both.diagonal
        return products


@dataclass(frozen=True, eq=False, repr=False)
class CentredKernel(_Centred):
    """A kernel matrix prepared for its alignment with any number of others.

    Attributes
    ----------
    values : ndarray, shape (N, N)
        Symmetric, in units in which the values before centring were at most 1. Rows have mean zero;
        of the debiased estimator also the diagonal is zero.
    debiased : bool
        Which estimator of HSIC it was centred for.
    """

    values: Array
    debiased: bool

    @classmethod
    def of(cls, matrix: Array, *, debiased: bool) -> CentredKernel:
        """Centre a symmetric matrix of float64, shape (N, N)."""
        scaled = matrix.copy()
        if debiased:
            np.fill_diagonal(scaled, 0.0)
        # Alignment knows no unit, and by a power of two nothing is rounded: squares stay in range.
        peak = float(np.abs(scaled).max())
        scaled = np.ldexp(scaled, -int(np.frexp(peak)[1]))
        symmetric = (scaled + scaled.T) / 2  # they may differ by rounding
        return cls(_centred(symmetric, debiased), debiased)

    @property
    def count(self) -> int:
        """N."""
        return len(self.values)

    def products(self, other: CentredKernel) -> CentredProducts:
        """See :class:`_Centred`."""
        return CentredProducts(
            shares=np.einsum("ij,ij->i", self.values, other.values),
            diagonal=self.values.diagonal() * other.values.diagonal(),
        )

    def without(self, image: int) -> CentredKernel:
        """See :class:`_Centred`."""
        kept = np.delete(np.delete(self.values, image, axis=0), image, axis=1)
        return CentredKernel(_centred(kept, self.debiased), self.debiased)


class StoredKernel(_Centred):
    """One of two kernel matrices on disk, whose products were computed in one go."""

    def __init__(self, number: int, pair: CentredPair, debiased: bool) -> None:
        self._number = number
        self._pair = pair
        self.debiased = debiased

    @classmethod
    def of(
        cls, a: BlockMatrix, b: BlockMatrix, *, debiased: bool, memory: int
    ) -> tuple[StoredKernel, StoredKernel]:
        """Go through both matrices, in blocks."""
        pair = CentredPair.of(a, b, debiased=debiased, memory=memory)
        return cls(0, pair, debiased), cls(1, pair, debiased)

    @property
    def count(self) -> int:
        """N."""
        return self._pair.count

    def products(self, other: StoredKernel) -> CentredProducts:
        """See :class:`_Centred`; the other one must be of the same pair."""
        found: CentredProducts = self._pair.products[
            self._number if self._number == other._number else 2
        ]
        return found

    def without(self, image: int) -> StoredKernel:
        """See :class:`_Centred`."""
        return StoredKernel(self._number, self._pair.without(image), self.debiased)


def _centred(symmetric: Array, debiased: bool) -> Array:
    """Centre for one of the estimators; for the debiased one the diagonal must be zero."""
    n = len(symmetric)
    sums = symmetric.sum(axis=1)
    if not debiased:
        means = sums / n
        centred: Array = symmetric - means - means[:, None] + means.mean()
        return centred
    centred = symmetric - (sums + sums[:, None]) / (n - 2) + sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(centred, 0.0)
    return centred


def rsa(
    a: Any,
    b: Any,
    *,
    method: str = "spearman",
    diagonal: bool = False,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
    memory: int | str | None = None,
) -> Comparison:
    """Correlate the entries of two RSMs of the same images (representational similarity analysis).

    Parameters
    ----------
    a, b : RSM, StoredRSM or array-like, shape (N, N)
        Symmetric matrices; of each pair of images one entry is taken (i < j).
    method : {"spearman", "pearson", "kendall"}, default "spearman"
        Rank correlation with mean ranks for ties, linear correlation, or Kendall's τ-b (which needs
        SciPy).
    diagonal : bool, default False
        Whether the diagonal takes part.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by a percentile bootstrap over images;
        pairs of an image with itself that resampling makes are left out, and so are resamples in
        which the entries of one matrix are constant.
    resamples, seed : int
        Of the bootstrap.
    memory : int or str, optional
        The budget, for matrices on disk; as for :func:`semrsm.gram`. Pearson's correlation goes
        through them in blocks, Spearman's makes the ranks in a temporary folder, and Kendall's
        needs both in memory. There are no intervals for them.

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
    if _is_stored(a) or _is_stored(b):
        return _stored_rsa(*_stored_pair(a, b, fewest=3), method, diagonal, interval, memory)
    memory_budget(memory)
    left, right = _pair(a, b, fewest=3)
    correlate = correlation(method)
    rows, columns = np.triu_indices(len(left), k=0 if diagonal else 1)
    value = correlate(left[rows, columns], right[rows, columns])
    if np.isnan(value):
        raise InputError("rsa: expected matrices whose entries vary; got a constant one")
    bounds = None
    if interval is not None:
        rng = np.random.default_rng(seed)
        values = []
        for _ in range(resamples):
            chosen = rng.integers(len(left), size=len(left))
            i, j = chosen[rows], chosen[columns]
            kept = (i != j) | (rows == columns)
            i, j = i[kept], j[kept]
            values.append(correlate(left[i, j], right[i, j]) if i.size else float("nan"))
        bounds = percentile_interval(values, interval)
    return Comparison(float(value), bounds, f"{method} RSA", len(left))


def _stored_rsa(
    a: BlockMatrix,
    b: BlockMatrix,
    method: str,
    diagonal: bool,
    interval: float | None,
    memory: int | str | None,
) -> Comparison:
    budget = memory_budget(memory)
    if interval is not None:
        raise InputError(
            "interval: expected None for matrices on disk, which a bootstrap would read a thousand "
            "times; load them"
        )
    if method == "pearson":
        value = pearson(a, b, diagonal=diagonal, memory=budget)
    elif method == "spearman":
        value = spearman(a, b, diagonal=diagonal, memory=budget)
    else:
        needed = _KENDALL_BYTES * entry_count(a.shape[0], diagonal)
        if needed > budget:
            raise InputError(
                f"memory: expected at least {format_bytes(needed, up=True)} for Kendall's tau of "
                f"{a.shape[0]} images; got {format_bytes(budget)}"
            )
        value = _kendall(*all_entries(a, b, diagonal=diagonal, memory=budget))
    if np.isnan(value):
        raise InputError("rsa: expected matrices whose entries vary; got a constant one")
    return Comparison(value, None, f"{method} RSA", a.shape[0])


def _stored_pair(a: Any, b: Any, *, fewest: int) -> tuple[BlockMatrix, BlockMatrix]:
    """Return two matrices to be read in blocks, one of which may be an array or an RSM."""
    found: list[BlockMatrix] = []
    for x, name in ((a, "a"), (b, "b")):
        if not _is_stored(x):
            ids = x.row_ids if isinstance(x, RSM) else None
            found.append(ArrayBlocks(kernel_matrix(x, name), ids))
            continue
        if not x.is_symmetric:
            raise InputError(
                f"{name}: expected the RSM of one set of images against itself; got one of two sets"
            )
        found.append(x)
    left, right = found
    if left.shape != right.shape:
        raise InputError(
            f"a, b: expected RSMs of the same images; got shapes {left.shape} and {right.shape}"
        )
    known = [x for x in (a, b) if isinstance(x, (RSM, BlockMatrix))]
    if len(known) == 2 and known[0].row_ids != known[1].row_ids:
        raise InputError(
            "a, b: expected RSMs of the same images in the same order; their ids differ"
        )
    if left.shape[0] < fewest:
        raise InputError(f"a, b: expected at least {fewest} images; got {left.shape[0]}")
    return left, right


def _is_stored(x: Any) -> bool:
    return isinstance(x, BlockMatrix) and not isinstance(x, RSM)


def correlation(method: str) -> Statistic:
    """Return the correlation of two vectors by name; NaN where one of them is constant."""
    if method == "kendall":
        return _kendall
    if method == "spearman":
        return lambda x, y: _pearson(_ranks(x), _ranks(y))
    return _pearson


def _pearson(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:  # the mean of equal values may be off by rounding
        return float("nan")
    x, y = _in_range(x - x.mean()), _in_range(y - y.mean())
    size = float(np.sqrt(x @ x) * np.sqrt(y @ y))
    return float(x @ y) / size if size > 0 else float("nan")


def _in_range(x: Array) -> Array:
    """Return numbers times a power of two, which rounds nothing, so that their squares stay finite.

    Correlation knows no unit.
    """
    scaled: Array = np.ldexp(x, -int(np.frexp(np.abs(x).max())[1]))
    return scaled


def _ranks(x: Array) -> Array:
    """Return ranks from 1, ties getting the mean of the ranks they share."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def _kendall(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    stats = require("scipy.stats", extra="bridges", purpose="Kendall's tau")
    return float(stats.kendalltau(x, y).statistic)


def check_interval(interval: float) -> None:
    """Refuse what is no confidence between 0 and 1."""
    is_number = isinstance(interval, (int, float, np.integer, np.floating))
    if not is_number or isinstance(interval, bool) or not 0 < interval < 1:
        raise InputError(f"interval: expected a confidence between 0 and 1; got {interval!r}")


def _pair(a: Any, b: Any, *, fewest: int) -> tuple[Array, Array]:
    left, right = kernel_matrix(a, "a"), kernel_matrix(b, "b")
    if left.shape != right.shape:
        raise InputError(
            f"a, b: expected RSMs of the same images; got shapes {left.shape} and {right.shape}"
        )
    if isinstance(a, RSM) and isinstance(b, RSM) and a.row_ids != b.row_ids:
        raise InputError(
            "a, b: expected RSMs of the same images in the same order; their ids differ"
        )
    if len(left) < fewest:
        raise InputError(f"a, b: expected at least {fewest} images; got {len(left)}")
    return left, right


def kernel_matrix(x: Any, name: str) -> Array:
    """Return an RSM or array as a symmetric, finite matrix of float64, refusing others by name."""
    if isinstance(x, RSM) and not x.is_symmetric:
        raise InputError(
            f"{name}: expected the RSM of one set of images against itself; got one of two sets"
        )
    given = to_numpy(x.values if isinstance(x, RSM) else x, name)
    matrix = given.astype(np.float64)
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
