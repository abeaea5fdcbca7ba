"""Kernels of the inner product: linear, cosine, polynomial."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_real_number, whole_number
from ..errors import InputError
from .base import Kernel, bandwidth_of, check_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..matrices.gram import Gram
    from ..runs import StoredGram

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Linear(Kernel):
    """The matched inner product: K = V."""

    name = "linear"
    ranks_by = "linear"
    increases = True

    def values(
        self, inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
    ) -> Array:
        """Return V; see :meth:`Kernel.values`."""
        values: Array = inner.copy()
        return values


@dataclass(frozen=True)
class Cosine(Kernel):
    """The cosine of the flattened, aligned images: K = V / (‖X‖ ‖Y‖).

    An image whose features are all zero has no direction: its cosine is 0 with every image,
    itself included. Where V equals both squared norms the cosine is 1, without rounding.
    """

    name = "cosine"
    ranks_by = "cosine"
    is_bounded = True
    increases = True

    def values(
        self, inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
    ) -> Array:
        """Return the cosines; see :meth:`Kernel.values`."""
        # One norm after the other, since their product may leave the range of float64; the larger
        # one first, so that (i, j) and (j, i) are rounded alike.
        larger = np.sqrt(np.maximum(row_squared, column_squared))
        smaller = np.sqrt(np.minimum(row_squared, column_squared))
        values = np.zeros_like(inner)
        np.divide(inner, larger, out=values, where=smaller > 0)
        np.divide(values, smaller, out=values, where=smaller > 0)
        alike = (inner == row_squared) & (inner == column_squared) & (smaller > 0)
        values[alike] = 1.0
        return values


@dataclass(frozen=True)
class Polynomial(Kernel):
    """A power of the shifted inner product: K = (V / σ² + offset)^degree.

    Parameters
    ----------
    degree : int, default 3
        The power, at least 1; a whole number, since V can be negative.
    offset : float, default 1.0
        The constant that is added, at least 0: the weight of the lower powers.
    sigma : float or {"norm"}, default "norm"
        The unit of length of the features, or the rule that finds it: σ² is the mean of the squared
        norms of all images (of rows and columns), so that V / σ² is about 1 on the diagonal and K
        does not depend on the unit of the features. σ = 1 where all norms are zero.

    Notes
    -----
    With an odd degree, or where no V is negative, K is an increasing function of V, so its rankings
    and rank correlations are those of the linear kernel.
    """

    degree: int = 3
    offset: float = 1.0
    sigma: float | str = "norm"

    name = "polynomial"
    takes_sigma = True
    sigma_rules = ("norm",)

    def __post_init__(self) -> None:
        whole_number(self.degree, "degree")
        if not (is_real_number(self.offset) and 0 <= float(self.offset) < np.inf):
            raise InputError(f"offset: expected a finite number >= 0; got {self.offset!r}")
        check_sigma(self.sigma, self.sigma_rules)

    @property
    def increases(self) -> bool:  # type: ignore[override]
        """Whether K grows with V: it does where the degree is odd."""
        return self.degree % 2 == 1

    @property
    def ranks_by(self) -> str | None:  # type: ignore[override]
        """V orders images as the kernel does where the degree is odd."""
        return "linear" if self.increases else None

    def values(
        self, inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
    ) -> Array:
        """Return the powers; see :meth:`Kernel.values`."""
        sigma = bandwidth_of(self)
        with np.errstate(over="ignore"):
            values: Array = (inner / sigma / sigma + self.offset) ** int(self.degree)
        if not np.isfinite(values).all():
            raise InputError(
                f"kernel: {self!r} leaves the range of float64; take a smaller degree or a larger "
                "sigma"
            )
        return values

    def resolved(self, gram: Gram | StoredGram) -> Polynomial:
        """Return the kernel with the unit that its rule finds, as a float."""
        return replace(self, sigma=self._unit(gram))

    def _unit(self, gram: Gram | StoredGram) -> float:
        if not isinstance(self.sigma, str):
            return float(self.sigma)
        norms = [gram.row_squared_norms]
        if not gram.is_symmetric:
            norms.append(gram.column_squared_norms)
        mean = float(np.mean(np.concatenate(norms)))
        return float(np.sqrt(mean)) if mean > 0 else 1.0
