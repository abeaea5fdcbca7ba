"""Small statistics that studies and figures share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._arrays import to_numpy
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def auc(same: ArrayLike, different: ArrayLike) -> float:
    """Return the probability that a value of `same` exceeds one of `different`, ties half.

    Parameters
    ----------
    same, different : array-like, shapes (P,) and (Q,)
        Similarities of the pairs that belong together, and of those that do not.

    Returns
    -------
    float
        The area under the ROC curve: 1 where they are told apart without error, 0.5 by chance.

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
        Infinite where both groups are constant and differ, NaN where they are also equal.

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
    """Return `values` as one or more finite numbers, refusing anything else by name."""
    sample = to_numpy(values, name).astype(np.float64)
    if sample.ndim != 1 or sample.size == 0:
        raise InputError(
            f"{name}: expected one or more similarities, shape (P,); got shape {sample.shape}"
        )
    bad = int(np.count_nonzero(~np.isfinite(sample)))
    if bad:
        raise InputError(f"{name}: expected finite values; {bad} of {sample.size} are not")
    return sample
