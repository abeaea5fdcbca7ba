"""Greedy matchings: alone, and after an exact matching of the vectors of largest norm."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._internal.checks import whole_number
from ..tokens import Block
from .affinities import solve_pairs
from .base import Matched, Matcher, PairTile
from .norms import sorted_by_norm


@dataclass(frozen=True)
class Greedy(Matcher):
    """Rows in descending order of their best affinity, each taking its best free column.

    Rows are the vectors of the first image, or of the smaller one where S ≠ T, so the value can
    change when the two images are exchanged; an RSM holds the value of (i, j), i < j, in both
    triangles. The matching of an image with itself need not be the identity, so its cosine can be
    below 1. The upper bound is the smaller of the sums of row maxima and of column maxima.
    """

    name = "greedy"
    solves_self = True

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        return solve_pairs(tile, tile.affinities(), method="greedy")


@dataclass(frozen=True)
class TopKGreedy(Matcher):
    """Exact among the k vectors of largest norm of each image, greedy for the rest.

    Parameters
    ----------
    k : int, default 256
        How many vectors of each image are matched exactly.
    """

    k: int = 256

    name = "topk-greedy"
    copies_blocks = True
    solves_self = True

    def __post_init__(self) -> None:
        whole_number(self.k, "k")

    def prepare(self, block: Block) -> Block:
        """Sort the vectors of each image by descending norm."""
        return sorted_by_norm(block)

    def pairs(self, tile: PairTile) -> Matched:
        """See :meth:`Matcher.pairs`."""
        affinity = tile.affinities()
        rest = solve_pairs(tile, affinity, method="greedy", taken=self.k)
        top = solve_pairs(tile, affinity, limit=self.k)
        if rest.matchings is not None and top.matchings is not None:
            rest.matchings[:, : top.matchings.shape[1]] = top.matchings
        values = top.values + rest.values
        return Matched(values, np.maximum(rest.upper_bounds, values), rest.matchings)
