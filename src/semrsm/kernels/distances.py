"""Kernels of the distance alone: RBF, Laplacian, rational quadratic, and the rules for σ."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import is_real_number
from .._internal.selection import select
from ..errors import InputError
from .base import Kernel, bandwidth_of, check_sigma

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..matrices.gram import Gram
    from ..runs import StoredGram

    Array = NDArray[np.float64]

#: Rules for the bandwidth of the kernels of the distance (RBF, Laplacian, rational quadratic).
SIGMA_RULES = ("median", "released")


@dataclass(frozen=True)
class DistanceKernel(Kernel):
    """A kernel of the distance of the aligned images alone; all of them take σ."""

    sigma: float | str = "median"

    ranks_by = "distance"
    is_bounded = True
    increases = True
    takes_sigma = True
    sigma_rules = SIGMA_RULES

    def __post_init__(self) -> None:
        check_sigma(self.sigma, self.sigma_rules)

    @abstractmethod
    def of_ratio(self, ratio: Array) -> Array:
        """Return K for d² / σ², element by element."""

    def values(
        self, inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
    ) -> Array:
        """Return the kernel of the distances; see :meth:`Kernel.values`."""
        sigma = bandwidth_of(self)
        squared = pair_distances(inner, row_squared, column_squared, dtype)
        return self.of_ratio(_in_units_of(squared, sigma))

    def resolved(self, gram: Gram | StoredGram) -> DistanceKernel:
        """Return the kernel with the bandwidth that its rule finds, as a float."""
        return replace(self, sigma=self._bandwidth(gram))

    def _bandwidth(self, gram: Gram | StoredGram) -> float:
        if not isinstance(self.sigma, str):
            return float(self.sigma)
        if self.sigma == "median":
            found = select(partial(_upper_distances, gram, 1), _middle_two)
            return float(np.sqrt(found.mean())) if found.size else 1.0
        # The released code takes the lower triangle of matched RSMs, but all of the spatio-semantic
        # RSM.
        lower = gram.is_symmetric and gram.is_matched
        values = partial(_upper_distances, gram, 0) if lower else partial(_all_distances, gram)
        found = select(values, lambda count: [(count - 1) // 2])
        return (float(np.sqrt(found[0])) if found.size else 0.0) + 1e-3


def _middle_two(count: int) -> list[int]:
    return [(count - 1) // 2, count // 2]


def _upper_distances(source: Gram | StoredGram, offset: int) -> Iterator[NDArray[np.float64]]:
    """Yield the non-zero d² of all pairs; for one set of images only where j − i >= `offset`."""
    for part in source.parts():
        squared = squared_distances(part)
        if part.is_symmetric:
            squared = squared[~np.tri(len(squared), k=offset - 1, dtype=np.bool_)]
        yield squared[squared != 0]


def _all_distances(source: Gram | StoredGram) -> Iterator[NDArray[np.float64]]:
    """Yield the non-zero d² of the full matrix, both triangles."""
    for part in source.parts():
        squared = squared_distances(part)
        squared = squared[squared != 0]
        yield squared
        if source.is_symmetric and not part.is_symmetric:
            yield squared


@dataclass(frozen=True)
class RBF(DistanceKernel):
    """The Gaussian kernel of the aligned images: K = exp(−d² / 2σ²), d² = ‖X‖² + ‖Y‖² − 2V.

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        A bandwidth in the units of the features, or a rule that finds one:

        - ``"median"``: σ² is the median of the non-zero d² of all distinct pairs (i < j where one
          set of images is compared with itself, all pairs otherwise); for an even number of values,
          the mean of the middle two. σ = 1 where every d² is zero.
        - ``"released"``: the rule of the code that the authors of the method released: σ is
          10⁻³ plus the square root of the lower median of the non-zero d² of the lower triangle,
          diagonal included (of all pairs for the matcher "none" and for two sets of images).

    Notes
    -----
    d² is a difference. Where it is smaller than the rounding of the inner product (8 units in the
    last place of ‖X‖² + ‖Y‖² in the compute dtype), it cannot be distinguished from zero and is set
    to zero, as for duplicate images. Where S ≠ T, d² includes the full norms of unmatched vectors.
    """

    name = "rbf"

    def of_ratio(self, ratio: Array) -> Array:
        """Return exp(−d² / 2σ²)."""
        return np.exp(ratio / -2.0)


@dataclass(frozen=True)
class Laplacian(DistanceKernel):
    """The exponential kernel of the aligned images: K = exp(−d / σ), d the Euclidean distance.

    Also known as the Matérn kernel of order ½. The Laplacian kernel of the sum of absolute
    differences is a different one, and not a function of V and the norms.

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        As for :class:`RBF`; by the rule ``"median"`` it is the median distance.

    Notes
    -----
    Like every kernel of the distance it decreases with d, so its rankings and rank correlations are
    those of the RBF kernel.
    """

    name = "laplacian"

    def of_ratio(self, ratio: Array) -> Array:
        """Return exp(−d / σ)."""
        return np.exp(-np.sqrt(ratio))


@dataclass(frozen=True)
class RationalQuadratic(DistanceKernel):
    """A mixture of RBF kernels of many bandwidths: K = (1 + d² / 2ασ²)^(−α).

    Parameters
    ----------
    sigma : float or {"median", "released"}, default "median"
        As for :class:`RBF`.
    alpha : float, default 1.0
        The smaller it is, the more the bandwidths vary and the heavier is the tail; as it goes to
        infinity the kernel becomes the RBF kernel of the same σ.

    Notes
    -----
    As for :class:`Laplacian`, rankings and rank correlations are those of the RBF kernel.
    """

    alpha: float = 1.0

    name = "rational-quadratic"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (is_real_number(self.alpha) and 0 < float(self.alpha) < np.inf):
            raise InputError(f"alpha: expected a positive finite number; got {self.alpha!r}")

    def of_ratio(self, ratio: Array) -> Array:
        """Return (1 + d² / 2ασ²)^(−α)."""
        # exp(−α log(1 + …)) keeps the digits that 1 + … would round away for a large α.
        return np.exp(-self.alpha * np.log1p(ratio / 2.0 / self.alpha))


def _in_units_of(squared: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Return d² / σ², infinite where it overflows float64; σ² alone may overflow or underflow."""
    with np.errstate(over="ignore"):
        ratio: NDArray[np.float64] = squared / sigma / sigma
    return ratio


def pair_distances(
    inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]
) -> Array:
    """Return ‖X‖² + ‖Y‖² − 2V of pairs; see :class:`RBF` for the rounding.

    Parameters
    ----------
    inner, row_squared, column_squared, dtype
        As for :meth:`Kernel.values`.
    """
    norms = row_squared + column_squared
    squared: Array = norms - 2.0 * inner
    # d² is never negative, except by rounding for near duplicates.
    squared[squared <= 8 * np.finfo(dtype).eps * norms] = 0.0
    return squared


def squared_distances(gram: Gram) -> Array:
    """Return ‖X‖² + ‖Y‖² − 2V of every pair of a Gram, shape (N, M)."""
    return pair_distances(
        gram.values,
        gram.row_squared_norms[:, None],
        gram.column_squared_norms[None, :],
        gram.dtype,
    )
