"""The contract of a kernel: V and the two squared norms of a pair become one similarity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_real_number
from .._internal.labels import label_of
from ..errors import InputError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..matrices.gram import Gram
    from ..runs import StoredGram

    Array = NDArray[np.float64]


class Kernel(ABC):
    """The base of all kernels: a similarity computed from V and the two squared norms.

    Attributes
    ----------
    name : str
        The public name.
    ranks_by : {"linear", "cosine", "distance"} or None
        The score that orders images as the kernel does: V, V / (‖X‖ ‖Y‖), or −d². None if there is
        no such score; exact retrieval needs one.
    is_bounded : bool
        Whether |K| is at most 1, so that figures may show several RSMs on one scale.
    increases : bool
        Whether K grows with V, so that an upper bound of V gives one of K.
    takes_sigma : bool
        Whether there is a bandwidth; the class then takes ``sigma=``.
    sigma_rules : tuple of str
        The names of the rules that find the bandwidth.
    sigma : float, str or None
        The bandwidth, the rule that finds it, or None for a kernel without one.
    needs_all_pairs : bool
        Whether a rule over all pairs is still open, so that :meth:`values` must wait for
        :meth:`resolved`; retrieval, which never sees all pairs, refuses the kernel then.
    """

    name: str
    ranks_by: str | None = None
    is_bounded: bool = False
    increases: bool = False
    takes_sigma: bool = False
    sigma_rules: tuple[str, ...] = ()
    sigma: float | str | None = None

    @property
    def label(self) -> str:
        """The name with the options that differ from their defaults; the key in tables."""
        return label_of(self)

    @property
    def needs_all_pairs(self) -> bool:
        """Whether a rule over all pairs is still open.

        By default it is where `sigma` is a rule, and where a class without `sigma` has its own
        :meth:`resolved`. A kernel with other rules says it itself.
        """
        if self.sigma is None:
            return type(self).resolved is not Kernel.resolved
        return isinstance(self.sigma, str)

    @abstractmethod
    def values(
        self, inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
    ) -> Array:
        """Return the kernel of pairs of images, element by element.

        Parameters
        ----------
        inner : ndarray of float64, shape (N, M), or any other
            V of each pair.
        row_squared, column_squared : ndarray of float64
            The squared norms of the two images of each pair, in shapes that broadcast to `inner`,
            such as (N, 1) and (1, M).
        dtype : numpy.dtype
            The dtype that V was computed in, which decides its rounding.

        Returns
        -------
        ndarray of float64, of the shape of `inner`
            A new array. It must not change by a single bit if the two images of each pair are
            exchanged.
        """

    def resolved(self, gram: Gram | StoredGram) -> Kernel:
        """Return the kernel with every rule over all pairs turned into a number, once.

        Parameters
        ----------
        gram : Gram or StoredGram
            All pairs. ``gram.parts()`` yields them as Grams in memory, one after the other.

        Returns
        -------
        Kernel
            A kernel whose values in a part of the Gram are those in the whole Gram.
        """
        return self


def check_sigma(sigma: float | str, rules: tuple[str, ...]) -> None:
    """Refuse a bandwidth that is neither a positive number nor one of the rules.

    Raises
    ------
    InputError
        If it is neither.
    """
    if isinstance(sigma, str):
        if sigma not in rules:
            raise InputError(
                f"sigma: expected a positive number or one of {', '.join(rules)}; got "
                f"{sigma!r}.{did_you_mean(sigma, rules)}"
            )
    elif not (is_real_number(sigma) and 0 < float(sigma) < np.inf):
        raise InputError(f"sigma: expected a positive finite number; got {sigma!r}")


def bandwidth_of(kernel: Kernel) -> float:
    """Return the bandwidth of a kernel whose rule has been resolved."""
    if isinstance(kernel.sigma, str) or kernel.sigma is None:
        raise InputError(
            f"kernel: expected a bandwidth in numbers; the rule {kernel.sigma!r} of {kernel!r} "
            "needs all pairs (kernel.resolved(gram) finds the number)"
        )
    return float(kernel.sigma)
