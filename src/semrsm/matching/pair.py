"""The matching of one pair of images, with its permutation."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.html import facts_html
from .._internal.workers import Cancellation, interruptible
from ..errors import InputError
from ..tokens import measure
from .assignment import SMALL, NotFiniteError, norm_gap
from .base import Matched, Matcher, PairTile, Workspace, as_dtype, numbers_found
from .grids import squared_distances
from .partial import best_sums
from .registry import check_comparable, overflow_error, resolve_matcher

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

_ONE = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Match:
    """How the concept vectors of one image were matched with those of another.

    Attributes
    ----------
    permutation : ndarray of int64, shape (S,)
        The vector of b that each vector of a was matched with, −1 where it stayed free. Not a
        permutation for matchers whose partners may be shared (MaxSim, and Align at a scale).
    value : float
        The value that a Gram holds: the matched inner product, or the matcher's own similarity.
    upper_bound : float
        No matching of the two images has a larger value; for a matcher with constraints of its own,
        no matching that they allow.
    contributions : ndarray of float64, shape (S,)
        ⟨a_s, b_permutation[s]⟩, 0 where a vector stayed free. Up to rounding they sum to the
        matched inner product, which is `value` for matchers without a scale of their own.
    matcher : str
        The matcher's label.
    squared_norms : (float, float)
        The squared norms of a and b that a Gram holds beside the value.
    grid : (int, int) or None
        The grid of both images, where it was given.
    extras : mapping
        Further results of the matcher. Displacement: ``inner`` (V of the scaled images),
        ``displacement`` (D) and ``penalty`` (μ). Shift: ``shift`` in cells down and to the right,
        ``flipped`` and ``quarter_turns`` (b, mirrored up–down if so and then turned by
        :func:`numpy.rot90`, meets a at places that lie `shift` cells further). Align: ``shift``,
        ``scale``, ``cosine`` and ``frame`` (top, left, height and width of a in the cells of b).
        Partial: ``inner`` and ``cosine`` over the matched vectors.
    """

    permutation: NDArray[np.int64]
    value: float
    upper_bound: float
    contributions: NDArray[np.float64]
    matcher: str
    squared_norms: tuple[float, float] = (1.0, 1.0)
    grid: tuple[int, int] | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    bounds: str = "optimal"
    _pair: tuple[Array, Array] | None = field(default=None, repr=False)

    @property
    def gap(self) -> float:
        """The relative gap between value and upper bound; see :attr:`semrsm.Gram.largest_gap`."""
        return float(norm_gap(self.value, self.upper_bound, *self.squared_norms))

    @property
    def displacement(self) -> float | None:
        """The mean squared displacement D of the matched vectors; None without a grid.

        In units of the longer side of the grid, squared.
        """
        matched = self.permutation >= 0
        if self.grid is None or not matched.any():
            return None
        moved = squared_distances(self.grid, self.permutation[None].astype(np.int32))
        return float(moved[0].sum() / matched.sum())

    @property
    def unmatched(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The vectors of a, and those of b, that stayed free."""
        own = np.flatnonzero(self.permutation < 0)
        width = len(self.permutation) if self._pair is None else len(self._pair[1])
        return own, np.setdiff1d(np.arange(width), self.permutation)

    def curve(self, *, exact: bool = False) -> NDArray[np.float64]:
        """Return V_m, the inner product of m matched pairs, for m = 1 … min(S, T).

        Parameters
        ----------
        exact : bool, default False
            Whether V_m is the largest of any m pairs, which takes an assignment for each m. By
            default it is that of the m best pairs of this matching, or of the optimal one if this
            one leaves vectors free.

        Returns
        -------
        ndarray of float64, shape (min(S, T),)
            Concave in m.

        Examples
        --------
        >>> import numpy as np, semrsm
        >>> a = np.diag([3.0, 2.0, 1.0])
        >>> semrsm.match(a, a).curve()
        array([ 9., 13., 14.])
        """
        if self._pair is None:
            raise InputError("curve: expected a match that semrsm.match has made, with its images")
        left, right = self._pair
        most = min(len(left), len(right))
        if exact:
            affinity = left.astype(np.float64) @ right.astype(np.float64).T
            return interruptible(lambda stop: best_sums(affinity, stop))
        matched = self.permutation >= 0
        if matched.sum() < most or len(set(self.permutation[matched].tolist())) < most:
            return match(left, right).curve()
        return np.cumsum(np.sort(self.contributions[matched])[::-1])

    def __repr__(self) -> str:
        gap = self.gap
        return (
            f"Match({len(self.permutation)} vectors, matcher={self.matcher!r}, "
            f"value={self.value:.6g}, relative gap={gap:.1e})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "vectors": len(self.permutation),
            "matched": int((self.permutation >= 0).sum()),
            "matcher": self.matcher,
            "value": f"{self.value:.6g}",
            "relative gap": f"{self.gap:.1e}",
        }
        return facts_html(facts)


def match(
    a: Any,
    b: Any,
    *,
    matcher: str | Matcher = "optimal",
    grid: tuple[int, int] | None = None,
) -> Match:
    """Match the concept vectors of two images.

    Parameters
    ----------
    a, b : array-like or torch.Tensor, shapes (S, C) and (T, C)
        The concept vectors; C must agree.
    matcher : str or Matcher, default "optimal"
        A name or label, or an object of :mod:`semrsm.matchers` with options; see
        :func:`semrsm.gram`.
    grid : (int, int), optional
        Height and width of the grid that the vectors of each image make, row by row; for matchers
        that need the positions of the vectors.

    Returns
    -------
    Match

    Raises
    ------
    InputError
        If the arrays are not two-dimensional, differ in C, hold values that are not finite, the
        grid does not fit, or the matcher is unknown, needs S = T or needs a grid.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> a = np.random.default_rng(0).normal(size=(5, 16))
    >>> found = semrsm.match(a, a[[3, 1, 4, 0, 2]])
    >>> found.permutation
    array([3, 1, 4, 0, 2])
    >>> bool(np.isclose(found.value, (a**2).sum()))
    True
    """
    chosen = resolve_matcher(matcher)
    if chosen.needs_positions and grid is None:
        raise InputError(
            f"grid: expected (height, width) of the images for the matcher {chosen.label!r}; got "
            "None"
        )
    left, right = (
        measure([_vectors(x, name)], name, grid=grid) for x, name in ((a, "a"), (b, "b"))
    )
    check_comparable(left, right, chosen, "a", "b")
    dtype = np.promote_types(left.dtype, right.dtype)
    own, other = (as_dtype(tokens.block(0, 1), dtype) for tokens in (left, right))
    working = chosen.resolved(left, right)
    rows, columns = working.prepare(own), working.prepare(other)

    def work(cancellation: Cancellation) -> Matched:
        workspace = Workspace(cancellation, nullcontext())
        tile = PairTile(rows, columns, _ONE, _ONE, workspace, keep_matchings=True)
        return working.pairs(tile)

    try:
        large = len(rows.vectors) * len(columns.vectors) >= SMALL
        found = interruptible(work) if large else work(Cancellation())
    except NotFiniteError:
        raise overflow_error("a", "b") from None
    if found.matchings is None:
        raise InputError(f"matcher: {chosen.label!r} keeps no matchings")
    taken = found.matchings[0]
    placed = np.flatnonzero(taken >= 0)
    source = placed if rows.order is None else rows.order[placed]
    target = taken[placed] if columns.order is None else columns.order[taken[placed]]
    permutation = np.full(len(taken), -1, dtype=np.int64)
    permutation[source] = target
    exponent = int(left.exponents[0] + right.exponents[0])
    contributions = np.zeros(len(taken))
    contributions[source] = np.einsum(
        "sc,sc->s", own.vectors[source], other.vectors[target], dtype=np.float64
    )
    unit = 0 if working.rescales else exponent
    extras = {name: _plain(array[0]) for name, array in found.extras.items()}
    return Match(
        permutation,
        float(np.ldexp(found.values[0], unit)),
        float(np.ldexp(found.upper_bounds[0], unit)),
        np.ldexp(contributions, exponent),
        chosen.label,
        squared_norms=(
            float(working.squared_norms(left)[0]),
            float(working.squared_norms(right)[0]),
        ),
        grid=left.grid if left.grid == right.grid else None,
        extras={**extras, **numbers_found(chosen, working)},
        bounds=chosen.bounds,
        _pair=(_vectors(a, "a"), _vectors(b, "b")),
    )


def _plain(value: Any) -> Any:
    """Return a number as Python has it, and several as a tuple."""
    return tuple(value.tolist()) if np.ndim(value) else value.item()


def _vectors(x: Any, name: str) -> Array:
    array = to_numpy(x, name)
    if array.ndim != 2:
        raise InputError(
            f"{name}: expected the concept vectors of one image, shape (S, C); got {array.shape}"
        )
    return array
