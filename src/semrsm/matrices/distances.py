"""The rules that turn similarities into dissimilarities, and dissimilarities into similarities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, did_you_mean
from ..kernels import resolve_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: One-minus: D = 1 − K. Negative: D = −K. Squared-distance: D = K(x, x) + K(y, y) − 2 K(x, y).
RULES = ("one-minus", "negative", "squared-distance")


def check_rule(rule: object, argument: str, kernel: str | None = None) -> str:
    """Return the name of a rule.

    Parameters
    ----------
    rule : str
    argument : str
        The argument's name, for the error.
    kernel : str, optional
        The label of the kernel whose values are to be turned into dissimilarities.

    Raises
    ------
    InputError
        If it is no rule, or 1 − K of a kernel that can exceed 1, whose dissimilarities would be
        negative.
    """
    if rule not in RULES:
        raise InputError(
            f"{argument}: expected one of {', '.join(RULES)}; got {rule!r}."
            f"{did_you_mean(str(rule), RULES)}"
        )
    if rule == "one-minus" and kernel is not None and exceeds_one(kernel):
        raise InputError(
            f"{argument}: expected 'negative' or 'squared-distance' for the kernel {kernel!r}, "
            "whose values are not bounded by 1; got 'one-minus'"
        )
    return str(rule)


def exceeds_one(kernel: str) -> bool:
    """Return whether the label is that of a kernel that is known and not bounded by 1."""
    try:
        return not resolve_kernel(kernel).is_bounded
    except InputError:  # values that were given, or a kernel that is not registered here
        return False


def dissimilarities(values: Array, rule: str) -> Array:
    """Return D, shape (N, N) for squared distances, from similarities.

    Examples
    --------
    >>> dissimilarities(np.array([[2.0, 1.0], [1.0, 3.0]]), "squared-distance")
    array([[0., 3.],
           [3., 0.]])
    """
    if rule == "one-minus":
        return 1.0 - values
    if rule == "negative":
        return -values
    own = np.diagonal(values)
    return own[:, None] + own[None, :] - 2.0 * values


def similarities(values: Array, rule: str) -> Array:
    """Return K, shape (N, N), from dissimilarities.

    Squared distances are centred twice: K = −½ H D H with H = I − 1/N, the first step of classical
    multidimensional scaling, whose squared distances are D again.

    Examples
    --------
    >>> similarities(np.array([[0.0, 4.0], [4.0, 0.0]]), "squared-distance")
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    if rule == "one-minus":
        return 1.0 - values
    if rule == "negative":
        return -values
    centred = values - values.mean(axis=0)
    found: Array = -0.5 * (centred - centred.mean(axis=1, keepdims=True))
    return found
