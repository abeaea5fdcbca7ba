"""Comparing RSMs with one another: CKA and RSA, with intervals over images on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._arrays import to_numpy
from .errors import InputError, did_you_mean
from .rsm import RSM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Statistic = Callable[[NDArray[np.float64], NDArray[np.float64]], float]

METHODS = ("pearson", "spearman", "kendall")


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


def cka(a: Any, b: Any, *, debiased: bool = False, interval: float | None = None) -> Comparison:
    """Centred kernel alignment of two RSMs of the same images.

    Parameters
    ----------
    a, b : RSM or array-like, shape (N, N)
        Kernel matrices, the diagonal included.
    debiased : bool, default False
        Use the unbiased estimator of HSIC [2]_ in place of the biased one [1]_. It ignores the
        diagonals and needs at least four images.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by the delete-one jackknife over
        images with a normal approximation. Images are left out and not drawn again, because a
        repeated image would bring its own diagonal among the pairs.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the matrices are not square and of one size, hold values that are not finite, are RSMs
        of different images, have too few images (two; four where debiased), or are constant after
        centring, so that the alignment is 0 / 0.

    Notes
    -----
    HSIC(K, L) = tr(K H L H) / (N − 1)², H = I − 1/N, and CKA = HSIC(K, L) / √(HSIC(K, K)
    HSIC(L, L)). Nothing is clamped. CKA lies in [0, 1] for positive semi-definite matrices only; a
    semantic RSM can be indefinite, and its CKA, like every debiased one, can then fall below 0.
    The Cauchy–Schwarz inequality for the centred matrices still holds, so that the biased value
    stays within [−1, 1]; the debiased one can leave it, and where HSIC(K, K) comes out negative it
    is undefined and refused.

    References
    ----------
    .. [1] S. Kornblith et al., "Similarity of neural network representations revisited", 2019.
    .. [2] L. Song et al., "Feature selection via dependence maximization", JMLR 13, 2012.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> k = semrsm.rsm(np.random.default_rng(0).normal(size=(6, 4, 8)))
    >>> round(semrsm.cka(k, k).value, 12)
    1.0
    """
    left, right = _pair(a, b, fewest=4 if debiased else 2)
    inner = _debiased_inner if debiased else _biased_inner

    def statistic(k: Array, other: Array) -> float:
        own = inner(k, k) * inner(other, other)
        # Rounding leaves a constant matrix a little above zero.
        scale = np.finfo(float).eps * float(np.abs(k).max() * np.abs(other).max()) * len(k) ** 2
        if not own > scale**2:
            return float("nan")
        return inner(k, other) / float(np.sqrt(own))

    value = statistic(left, right)
    if np.isnan(value):
        raise InputError(
            "cka: expected matrices that vary after centring (HSIC with themselves > 0); got one "
            "that does not"
        )
    bounds = None if interval is None else _jackknife(statistic, left, right, value, interval)
    return Comparison(value, bounds, "debiased CKA" if debiased else "CKA", len(left))


def rsa(
    a: Any,
    b: Any,
    *,
    method: str = "spearman",
    diagonal: bool = False,
    interval: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Comparison:
    """Correlate the entries of two RSMs of the same images (representational similarity analysis).

    Parameters
    ----------
    a, b : RSM or array-like, shape (N, N)
        Symmetric matrices; of each pair of images one entry is taken (i < j).
    method : {"spearman", "pearson", "kendall"}, default "spearman"
        Rank correlation with mean ranks for ties, linear correlation, or Kendall's τ-b (which needs
        SciPy).
    diagonal : bool, default False
        Whether the diagonal takes part.
    interval : float, optional
        Also give an interval of this confidence (say 0.95), by a percentile bootstrap over images;
        pairs of an image with itself that resampling makes are left out.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If the matrices are not square and of one size, hold values that are not finite, are RSMs
        of different images, have fewer than three images, or the entries of one are constant.

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
    left, right = _pair(a, b, fewest=3)
    correlate = correlation(method)
    rows, columns = np.triu_indices(len(left), k=0 if diagonal else 1)
    value = correlate(left[rows, columns], right[rows, columns])
    if np.isnan(value):
        raise InputError("rsa: expected matrices whose entries vary; got a constant one")
    bounds = None
    if interval is not None:
        _check_interval(interval)
        rng = np.random.default_rng(seed)
        values = []
        for _ in range(resamples):
            chosen = rng.integers(len(left), size=len(left))
            i, j = chosen[rows], chosen[columns]
            kept = (i != j) | (rows == columns)
            found = correlate(left[i[kept], j[kept]], right[i[kept], j[kept]])
            if not np.isnan(found):
                values.append(found)
        low, high = np.quantile(values, [(1 - interval) / 2, (1 + interval) / 2])
        bounds = (float(low), float(high))
    return Comparison(float(value), bounds, f"{method} RSA", len(left))


def correlation(method: str) -> Statistic:
    """Return the correlation of two vectors by name; NaN where one of them is constant."""
    if method == "kendall":
        return _kendall
    if method == "spearman":
        return lambda x, y: _pearson(_ranks(x), _ranks(y))
    return _pearson


def _pearson(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / size if size > 0 else float("nan")


def _ranks(x: Array) -> Array:
    """Return ranks from 1, ties getting the mean of the ranks they share."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def _kendall(x: Array, y: Array) -> float:
    from .errors import require

    stats = require("scipy.stats", extra="bridges", purpose="Kendall's tau")
    return float(stats.kendalltau(x, y).statistic)


def _biased_inner(k: Array, other: Array) -> float:
    """(N − 1)² HSIC: the inner product of the doubly centred matrices."""
    return float(np.einsum("ij,ij->", _centred(k), _centred(other)))


def _centred(k: Array) -> Array:
    centred: Array = k - k.mean(axis=0) - k.mean(axis=1)[:, None] + k.mean()
    return centred


def _debiased_inner(k: Array, other: Array) -> float:
    """N (N − 3) times the unbiased HSIC, in which the diagonals do not count."""
    n = len(k)
    k, other = k.copy(), other.copy()
    np.fill_diagonal(k, 0.0)
    np.fill_diagonal(other, 0.0)
    trace = float(np.einsum("ij,ji->", k, other))
    sums = float(k.sum() * other.sum()) / ((n - 1) * (n - 2))
    cross = 2.0 / (n - 2) * float(k.sum(axis=0) @ other.sum(axis=1))
    return trace + sums - cross


def _jackknife(
    statistic: Statistic, left: Array, right: Array, value: float, interval: float
) -> tuple[float, float]:
    from statistics import NormalDist

    _check_interval(interval)
    n = len(left)
    if n < 6:
        raise InputError(f"interval: expected at least six images for a jackknife; got {n}")
    kept = ~np.eye(n, dtype=bool)
    left_out = np.array([statistic(left[np.ix_(k, k)], right[np.ix_(k, k)]) for k in kept])
    spread = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    half = NormalDist().inv_cdf((1 + interval) / 2) * spread
    return value - half, value + half


def _check_interval(interval: float) -> None:
    if not 0 < interval < 1:
        raise InputError(f"interval: expected a confidence between 0 and 1; got {interval!r}")


def _pair(a: Any, b: Any, *, fewest: int) -> tuple[Array, Array]:
    left, right = _matrix(a, "a"), _matrix(b, "b")
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


def _matrix(x: Any, name: str) -> Array:
    if isinstance(x, RSM) and not x.is_symmetric:
        raise InputError(
            f"{name}: expected the RSM of one set of images against itself; got one of two sets"
        )
    matrix = to_numpy(x.values if isinstance(x, RSM) else x, name).astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{name}: expected a square matrix (N, N); got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise InputError(f"{name}: expected finite values; got NaN or infinity")
    return matrix
