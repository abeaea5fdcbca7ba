"""Small statistics that studies and figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from .arrays import to_numpy
from .checks import is_real_number, whole_number

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def auc(same: ArrayLike, different: ArrayLike) -> float:
    """Return the probability that a value of `same` exceeds one of `different`; ties count half.

    Parameters
    ----------
    same, different : array-like, shapes (P,) and (Q,)
        Similarities of the pairs that belong together, and of those that do not.

    Returns
    -------
    float
        The area under the ROC curve: 1 where the two separate without error, 0.5 by chance.

    Raises
    ------
    InputError
        If one is empty or holds values that are not finite.

    Examples
    --------
    >>> auc([2.0, 3.0], [1.0, 2.0])
    0.875
    """
    positive, negative = sample_of(same, "same"), np.sort(sample_of(different, "different"))
    below = np.searchsorted(negative, positive, side="left")
    through = np.searchsorted(negative, positive, side="right")
    return float((below + through).sum() / (2.0 * len(positive) * len(negative)))


def separation(same: ArrayLike, different: ArrayLike) -> float:
    """Return the difference of the means in pooled standard deviations (Cohen's d).

    Parameters
    ----------
    same, different : array-like, shapes (P,) and (Q,)
        As for :func:`auc`.

    Returns
    -------
    float
        Infinite where both groups are constant and differ, NaN where they are constant and equal.

    Raises
    ------
    InputError
        As :func:`auc`.

    Examples
    --------
    >>> separation([3.0, 5.0], [1.0, 3.0])
    2.0
    """
    positive, negative = sample_of(same, "same"), sample_of(different, "different")
    spread = np.sqrt((positive.var() + negative.var()) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.divide(positive.mean() - negative.mean(), spread))


def sample_of(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return `values` as an array of one or more finite numbers; errors name the argument."""
    sample = to_numpy(values, name).astype(np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise InputError(
            f"{name}: expected one or more similarities, shape (P,); got shape {sample.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(sample)))
    if bad:
        raise InputError(f"{name}: expected finite values; {bad} of {sample.size} are not")
    return sample


def percentile_interval(values: ArrayLike, confidence: float) -> tuple[float, float]:
    """Return the interval that holds the middle `confidence` of resampled values.

    Parameters
    ----------
    values : array-like, shape (R,)
        A statistic of R resamples; NaN, for a resample where it is undefined, does not count.
    confidence : float
        Between 0 and 1.

    Returns
    -------
    (float, float)
        Low and high; both NaN where no value is defined.

    Examples
    --------
    >>> percentile_interval(range(101), 0.5)
    (25.0, 75.0)
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    if not sample.size:
        return float("nan"), float("nan")
    low, high = np.quantile(sample, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def check_bootstrap(confidence: float, resamples: int, seed: int) -> None:
    """Refuse invalid options of a bootstrap.

    Raises
    ------
    InputError
        If `confidence` does not lie between 0 and 1, `resamples` is not a whole number >= 1, or
        `seed` is not a whole number >= 0.
    """
    if not is_real_number(confidence) or not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number between 0 and 1; got {confidence!r}")
    for name, value, least in (("resamples", resamples, 1), ("seed", seed, 0)):
        whole_number(value, name, least)


def resampled_counts(count: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Draw `count` items with replacement in each resample; count how often each is drawn.

    Parameters
    ----------
    count, resamples, seed : int

    Returns
    -------
    ndarray of int64, shape (resamples, count)
        Every row sums to `count`. The same arguments give the same draws, which makes the
        resampled difference of two statistics a paired one.
    """
    rng = np.random.default_rng(seed)
    drawn: NDArray[np.int64] = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return drawn


def pair_correlations(
    samples: ArrayLike,
    reference: ArrayLike,
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    counts: NDArray[np.int64],
    method: str,
) -> NDArray[np.float64]:
    """Correlate statistics of pairs of items with a reference, over resamples of the items.

    A pair of items that were drawn m and n times counts m·n times. An item that is drawn twice also
    forms a pair with itself; such pairs are left out, since their statistics cannot be compared
    with those of distinct items.

    Parameters
    ----------
    samples : array-like, shape (V, P)
        V statistics of P pairs.
    reference : array-like, shape (P,)
        The values that each of them is correlated with.
    pairs : (ndarray, ndarray) of int64, shape (P,)
        The two items of each pair, always distinct.
    counts : ndarray of int64, shape (R, N)
        How often each resample holds each item: :func:`resampled_counts`.
    method : {"pearson", "spearman"}
        Spearman: ranks among the pairs of the resample, ties sharing their mean rank.

    Returns
    -------
    ndarray of float64, shape (V, R)
        NaN where a resample has no two different values.
    """
    rows = np.atleast_2d(np.asarray(samples, dtype=np.float64))
    target = np.asarray(reference, dtype=np.float64)
    left, right = pairs
    # Ranks follow from one sort per statistic: resampling changes weights and not the order.
    fixed = _Weighted(target, method)
    distinct: list[_Weighted] = []
    place = []
    for row in rows:
        own = _Weighted(row, method)
        # Kernels that are increasing functions of each other have the same ranks.
        twin = next((d for d, other in enumerate(distinct) if other.ranks_as(own)), len(distinct))
        if twin == len(distinct):
            distinct.append(own)
        place.append(twin)
    found = np.empty((len(distinct), len(counts)))
    for r, drawn in enumerate(counts):
        weights = (drawn[left] * drawn[right]).astype(np.float64)
        first = fixed.centred(weights)
        weighted = weights * first
        size = _dot(weighted, first)
        for d, statistic in enumerate(distinct):
            other = statistic.centred(weights)
            scale = size * _dot(weights * other, other)
            found[d, r] = _dot(weighted, other) / np.sqrt(scale) if scale > 0 else np.nan
    correlations: NDArray[np.float64] = found[place]
    return correlations


class _Weighted:
    """One statistic of pairs, which is centred, as values or as ranks, under changing weights."""

    def __init__(self, values: NDArray[np.float64], method: str) -> None:
        self._values = values - values.mean()  # so that the weighted mean loses no digits
        self._ranked = method == "spearman"
        if self._ranked:
            self._order = np.argsort(values, kind="stable")
            ordered = values[self._order]
            first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
            self._starts = np.flatnonzero(first)
            self._group = np.empty(len(values), dtype=np.int64)
            self._group[self._order] = np.cumsum(first) - 1

    def ranks_as(self, other: _Weighted) -> bool:
        return self._ranked and np.array_equal(self._group, other._group)

    def centred(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._ranks(weights) if self._ranked else self._values
        total = weights.sum()
        if total == 0:
            return np.zeros_like(values)
        centred: NDArray[np.float64] = values - _dot(weights, values) / total
        # The rounding of the mean is not variation: where only that may be left, compare the
        # values.
        rounding = 8 * np.finfo(float).eps * float(np.abs(values).max())
        if _dot(weights * centred, centred) <= rounding**2 * total:
            kept = values[weights > 0]
            if np.all(kept == kept[0]):
                return np.zeros_like(values)
        return centred

    def _ranks(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the ranks of the values, each of them repeated as often as its weight says."""
        together = weights[self._order]
        if len(self._starts) < len(together):
            together = np.add.reduceat(together, self._starts)
        ranks: NDArray[np.float64] = (np.cumsum(together) - (together - 1) / 2)[self._group]
        return ranks


def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    # Not BLAS: it would wake threads for each of these many short products.
    return float(np.einsum("i,i->", x, y))
