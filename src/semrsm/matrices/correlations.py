"""Correlations of two vectors, or of two streams of pieces: Pearson, Spearman, Kendall."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..errors import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Statistic = Callable[[Array, Array], float]
    Stream = Callable[[], Iterable[Array]]

METHODS = ("pearson", "spearman", "kendall")


def correlation(method: str) -> Statistic:
    """Return the correlation of two vectors of float64 by name; NaN where one is constant.

    Parameters
    ----------
    method : {"pearson", "spearman", "kendall"}
        Linear correlation, rank correlation with mean ranks for ties, or Kendall's τ-b, which
        needs SciPy.

    Returns
    -------
    callable
        Of two arrays of shape (P,).

    Examples
    --------
    >>> round(correlation("spearman")(np.array([1.0, 2.0, 3.0]), np.array([1.0, 9.0, 2.0])), 12)
    0.5
    """
    return {"pearson": _pearson, "spearman": _spearman, "kendall": _kendall}[method]


def pearson_of_streams(left: Stream, right: Stream) -> float:
    """Correlate two streams of pieces of the same sizes, in two passes.

    Parameters
    ----------
    left, right : callable
        Return arrays of float64, the same ones at every call.

    Returns
    -------
    float
        NaN where the values of one are constant.
    """
    means, exponents = [], []
    for stream in (left, right):
        count, total, low, high = 0, 0.0, np.inf, -np.inf
        for piece in stream():
            if piece.size:
                count += piece.size
                total += float(piece.sum())
                low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        if not low < high:  # not by the variance, since the mean of equal values may be rounded
            return float("nan")
        means.append(total / count)
        # Correlation does not depend on the unit; scaling by a power of two keeps squares in range
        # and rounds nothing.
        exponents.append(-int(np.frexp(max(high - means[-1], means[-1] - low))[1]))
    products = np.zeros(3)
    for x, y in zip(left(), right(), strict=True):
        x, y = (np.ldexp(v - m, e) for v, m, e in zip((x, y), means, exponents, strict=True))
        products += (x @ y, x @ x, y @ y)
    size = float(np.sqrt(products[1]) * np.sqrt(products[2]))
    return float(products[0]) / size if size > 0 else float("nan")


def mean_ranks(x: Array) -> Array:
    """Return the ranks of the values (P,) from 1, ties getting the mean of the ranks they share."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def _pearson(x: Array, y: Array) -> float:
    return pearson_of_streams(lambda: (x,), lambda: (y,))


def _spearman(x: Array, y: Array) -> float:
    return _pearson(mean_ranks(x), mean_ranks(y))


def _kendall(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    stats = require("scipy.stats", extra="bridges", purpose="Kendall's tau")
    return float(stats.kendalltau(x, y).statistic)
