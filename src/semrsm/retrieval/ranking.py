"""How kernels rank images: by V, adjusted for the norms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..kernels import Kernel

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
    constant : float or None
        Where the images that are searched stand for others of one norm: what their V and their
        squared norms exceed those of the others by (see :meth:`semrsm.matchers.Matcher.searched`).
    """

    kind: str
    constant: float | None = None

    def standing_in(self, constant: float) -> Ranking:
        """Return the ranking by images that stand for others of one norm.

        V orders these others as their cosine does; distances are the same.
        """
        return Ranking("linear" if self.kind == "cosine" else self.kind, constant)

    @classmethod
    def of(cls, kernel: Kernel) -> Ranking:
        """Return the ranking of a kernel.

        Raises
        ------
        InputError
            If V does not order images as the kernel does, or a rule of it needs all pairs.
        """
        if kernel.ranks_by is None:
            raise InputError(
                "kernel: expected linear, cosine or a kernel of the distance, which order images "
                f"as V does; got {kernel!r}"
            )
        if kernel.needs_all_pairs and isinstance(kernel.sigma, str):
            raise InputError(
                f"kernel: expected a bandwidth in numbers, such as "
                f"kernels.{type(kernel).__name__}(sigma=1.0), since the rule {kernel.sigma!r} "
                "needs all pairs; the order does not depend on it"
            )
        if kernel.needs_all_pairs:
            raise InputError(
                "kernel: expected one without a rule over all pairs, which a search never sees; "
                f"got {kernel!r}"
            )
        return cls(kernel.ranks_by)

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
        """Return the V at which pairs of images of these norms have a score."""
        if self.kind == "linear":
            return scores
        if self.kind == "distance":
            return np.asarray((scores + rows * rows + columns * columns) / 2)
        never = np.isneginf(scores)  # for a query that has fewer than k results yet
        return np.where(never, -np.inf, np.where(never, 0.0, scores) * rows * columns)

    def slack(self, share: float, row_squared: Array, column_squared: Array) -> Array:
        """Return the error of the scores for an error of V by a share of ‖X‖ ‖Y‖."""
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
        return kernel.values(inner, row_squared[:, None], column_squared, dtype)

    def bound_values(self, kernel: Kernel, scores: Array, row_squared: Array) -> Array:
        """Return the kernel value of each score (Q,)."""
        if self.kind == "cosine":
            return scores
        double = np.dtype(np.float64)
        if self.kind == "linear" and self.constant is not None:
            squared = row_squared - self.constant
            known = np.isfinite(scores)
            inner = np.where(known, scores, 0.0) - self.constant
            return np.where(known, kernel.values(inner, squared, squared, double), -np.inf)
        if self.kind == "linear":
            none = np.zeros_like(scores)
            known = np.isfinite(scores)
            found = kernel.values(np.where(known, scores, 0.0), row_squared, none, double)
            return np.where(known, found, -np.inf)
        # The score is −d²: a pair with V = 0 and squared norms d² and 0 has that distance.
        squared = np.maximum(-scores, 0.0)
        known = np.isfinite(squared)
        nothing = np.zeros_like(squared)
        found = kernel.values(nothing, np.where(known, squared, 0.0), nothing, double)
        return np.where(known, found, -np.inf)
