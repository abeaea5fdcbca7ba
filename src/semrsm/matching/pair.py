"""The matching of one pair of images, with its permutation."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from .._internal.html import facts_html
from .._internal.workers import Cancellation, interruptible
from ..errors import InputError
from ..tokens import Block, measure
from .assignment import SMALL, NotFiniteError, relative_gap
from .base import Matched, Matcher, PairTile, Workspace
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
        The vector of b that each vector of a was matched with, −1 where it stayed free (S > T).
    value : float
        The matched inner product.
    upper_bound : float
        No matching of the two images has a larger value.
    contributions : ndarray of float64, shape (S,)
        ⟨a_s, b_permutation[s]⟩, 0 where a vector stayed free. They sum to `value` up to rounding.
    matcher : str
        The matcher's label.
    """

    permutation: NDArray[np.int64]
    value: float
    upper_bound: float
    contributions: NDArray[np.float64]
    matcher: str

    def __repr__(self) -> str:
        gap = float(relative_gap(self.value, self.upper_bound))
        return (
            f"Match({len(self.permutation)} vectors, matcher={self.matcher!r}, "
            f"value={self.value:.6g}, relative gap={gap:.1e})"
        )

    def _repr_html_(self) -> str:
        gap = float(relative_gap(self.value, self.upper_bound))
        facts = {
            "vectors": len(self.permutation),
            "matched": int((self.permutation >= 0).sum()),
            "matcher": self.matcher,
            "value": f"{self.value:.6g}",
            "relative gap": f"{gap:.1e}",
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
        ``"none"``, ``"optimal"``, ``"greedy"``, ``"topk-greedy"``, ``"batch-optimal"``, or an
        object of :mod:`semrsm.matchers` with options.
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
    rows, columns = (
        chosen.prepare(_as_dtype(tokens.block(0, 1), dtype)) for tokens in (left, right)
    )

    def work(cancellation: Cancellation) -> Matched:
        workspace = Workspace(cancellation, nullcontext())
        tile = PairTile(rows, columns, _ONE, _ONE, workspace, keep_matchings=True)
        return chosen.pairs(tile)

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
    contributions[placed] = np.einsum(
        "sc,sc->s", rows.vectors[placed], columns.vectors[taken[placed]], dtype=np.float64
    )
    if rows.order is not None:
        contributions[rows.order] = contributions.copy()
    return Match(
        permutation,
        float(np.ldexp(found.values[0], exponent)),
        float(np.ldexp(found.upper_bounds[0], exponent)),
        np.ldexp(contributions, exponent),
        chosen.label,
    )


def _vectors(x: Any, name: str) -> Array:
    array = to_numpy(x, name)
    if array.ndim != 2:
        raise InputError(
            f"{name}: expected the concept vectors of one image, shape (S, C); got {array.shape}"
        )
    return array


def _as_dtype(block: Block, dtype: np.dtype[Any]) -> Block:
    return replace(block, vectors=np.ascontiguousarray(block.vectors, dtype=dtype))
