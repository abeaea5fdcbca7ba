"""How kernels rank: the order of images is that of V, once the norms are taken into account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..kernels import Cosine, DistanceKernel, Kernel, Linear
from ..matrices.gram import Gram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """A score that orders images as a kernel does, and that can be turned back into V.

    Attributes
    ----------
    kind : {"linear", "cosine", "distance"}
        The score is V, V / (‖X‖ ‖Y‖), or −d² = 2V − ‖X‖² − ‖Y‖².
    """

    kind: str

    @classmethod
    def of(cls, kernel: Kernel) -> Ranking:
        """Return the ranking of a kernel.

        Raises
        ------
        InputError
            If the kernel is none that V orders, or its bandwidth is a rule about all pairs.
        """
        if isinstance(kernel, Linear):
            return cls("linear")
        if isinstance(kernel, Cosine):
            return cls("cosine")
        if isinstance(kernel, DistanceKernel):
            sigma = kernel.sigma
            if isinstance(sigma, str):
                name = type(kernel).__name__
                raise InputError(
                    f"kernel: expected a bandwidth in numbers, such as kernels.{name}(sigma=1.0), "
                    f"since the rule {sigma!r} needs all pairs; the order does not depend on it"
                )
            return cls("distance")
        raise InputError(
            "kernel: expected linear, cosine or a kernel of the distance, which order images as V "
            f"does; got {kernel!r}"
        )

    def scores(self, inner: Array, row_squared: Array, column_squared: Array) -> Array:
        """Return the scores of pairs from V and the squared norms, arrays of one shape."""
        if self.kind == "linear":
            return inner
        if self.kind == "distance":
            return np.asarray(2 * inner - row_squared - column_squared)
        norms = np.sqrt(row_squared) * np.sqrt(column_squared)
        found: Array = np.divide(inner, norms, out=np.zeros_like(inner), where=norms > 0)
        return found

    def inner(self, scores: Array, rows: Array, columns: Array) -> Array:
        """Return the V that pairs of images of these norms need to have a score."""
        if self.kind == "linear":
            return scores
        if self.kind == "distance":
            return np.asarray((scores + rows * rows + columns * columns) / 2)
        never = np.isneginf(scores)  # of a query that has found fewer than k
        return np.where(never, -np.inf, np.where(never, 0.0, scores) * rows * columns)

    def slack(self, share: float, row_squared: Array, column_squared: Array) -> Array:
        """Return how far scores may be off where V is off by a share of ‖X‖ ‖Y‖."""
        norms = np.sqrt(row_squared) * np.sqrt(column_squared)
        if self.kind == "linear":
            return np.asarray(share * norms)
        if self.kind == "distance":
            return np.asarray(2 * share * norms)
        return np.full(norms.shape, share)

    def values(
        self,
        kernel: Kernel,
        inner: Array,
        row_squared: Array,
        column_squared: Array,
        dtype: np.dtype[Any],
    ) -> Array:
        """Return kernel values (Q, k) from V (Q, k) and the norms, (Q,) and (Q, k)."""
        found = np.empty_like(inner)
        for query in range(len(inner)):
            found[query] = kernel.view(
                _gram(inner[query], row_squared[query : query + 1], column_squared[query], dtype)
            )[0][0]
        return found

    def bound_values(self, kernel: Kernel, scores: Array, row_squared: Array) -> Array:
        """Return the kernel value of each score (Q,)."""
        if self.kind != "distance":
            return scores
        squared = np.maximum(-scores, 0.0)
        double = np.dtype(np.float64)
        nothing = np.zeros(1)
        found = [
            kernel.view(_gram(nothing, squared[n : n + 1], nothing, double))[0][0, 0]
            if np.isfinite(squared[n])
            else -np.inf
            for n in range(len(scores))
        ]
        return np.array(found)


def _gram(inner: Array, row_squared: Array, column_squared: Array, dtype: np.dtype[Any]) -> Gram:
    """Return the Gram of one image with several."""
    return Gram(
        values=inner[None, :],
        upper_bound=inner[None, :],
        row_squared_norms=row_squared,
        column_squared_norms=column_squared,
        row_ids=("query",),
        column_ids=tuple(str(i) for i in range(len(inner))),
        matcher="optimal",
        dtype=dtype,
        is_symmetric=False,
    )
