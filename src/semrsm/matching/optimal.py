"""The exact matching."""

from __future__ import annotations

from dataclasses import dataclass

from .affinities import solve_pairs
from .assignment import TOLERANCE, check_tolerance
from .base import Matched, Matcher, PairTile


@dataclass(frozen=True)
class Optimal(Matcher):
    """The exact matching, which makes the RSM semantic.

    Parameters
    ----------
    tolerance : float, default 1e-6
        The relative gap between value and upper bound above which a pair in float32 is solved
        again in float64.
    """

    tolerance: float = TOLERANCE

    name = "optimal"
    engines = ("cpu", "cuda")

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    @property
    def searched_by(self) -> str | None:  # type: ignore[override]
        """By bounds, if the tolerance is the default, which is that of a search."""
        return "bounds" if self == Optimal() else None

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        return solve_pairs(tile, tile.affinities(), tolerance=self.tolerance)
