"""F1 of the objects of ranked results, and the F1 of a random and of the best order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._internal.statistics import percentile_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: How the k results of a query become one score.
SCORES = ("mean", "union")

#: Random orders of the gallery from which the chance of a union is estimated.
CHANCE_ORDERS = 200


class Scorer:
    """F1 of ranked results, as the mean over them and of their union, for all depths at once."""

    def __init__(
        self, membership: NDArray[np.bool_], queries: NDArray[np.int64], depths: Sequence[int]
    ) -> None:
        self.membership = membership
        self.queries = queries
        self.depths = depths
        numbers = membership.astype(np.float64)
        sizes = numbers.sum(axis=1)
        #: F1 of each query with each image, shape (Q, N); a query has objects, so never 0 / 0.
        self.pairwise: Array = (
            2 * (numbers[queries] @ numbers.T) / (sizes[queries][:, None] + sizes[None, :])
        )

    def scores(self, order: NDArray[np.int64]) -> dict[tuple[str, int], Array]:
        """Score the ranked results (Q, depth) of every query: shape (Q,) by score and depth."""
        singles = np.take_along_axis(self.pairwise, order, axis=1)
        means = np.cumsum(singles, axis=1)
        unions = np.stack(
            [self.union(query, found) for query, found in zip(self.queries, order, strict=True)]
        )
        return {
            (score, depth): values[:, depth - 1] / (depth if score == "mean" else 1)
            for score, values in (("mean", means), ("union", unions))
            for depth in self.depths
        }

    def union(self, query: np.int64, found: NDArray[np.int64]) -> Array:
        """F1 of a query with the union of its first 1, 2, … results, over the last axis."""
        own = self.membership[query]
        joined = np.logical_or.accumulate(self.membership[found], axis=-2)
        f1: Array = 2 * (joined & own).sum(axis=-1) / (own.sum() + joined.sum(axis=-1))
        return f1


def references_of(
    scorer: Scorer, gallery: NDArray[np.bool_], seed: int
) -> dict[str, dict[tuple[str, int], float]]:
    """Score a random order and the best order of each query's gallery, averaged over queries."""
    rng = np.random.default_rng(seed)
    depth = scorer.depths[-1]
    chance: dict[tuple[str, int], list[float]] = {}
    best: dict[tuple[str, int], list[float]] = {}
    for q, query in enumerate(scorer.queries):
        candidates = np.flatnonzero(gallery[query])
        single = scorer.pairwise[q, candidates]
        orders = rng.permuted(np.tile(candidates, (CHANCE_ORDERS, 1)), axis=1)[:, :depth]
        random_unions = scorer.union(query, orders).mean(axis=0)
        top = np.cumsum(np.sort(single)[::-1][:depth])
        best_unions = greedy_unions(scorer.membership, query, candidates, depth)
        for size in scorer.depths:
            chance.setdefault(("mean", size), []).append(float(single.mean()))
            union = single.mean() if size == 1 else random_unions[size - 1]
            chance.setdefault(("union", size), []).append(float(union))
            best.setdefault(("mean", size), []).append(float(top[size - 1] / size))
            best.setdefault(("union", size), []).append(float(best_unions[size - 1]))
    return {
        name: {key: float(np.mean(values)) for key, values in found.items()}
        for name, found in (("chance", chance), ("best", best))
    }


def greedy_unions(
    membership: NDArray[np.bool_], query: np.int64, candidates: NDArray[np.int64], depth: int
) -> Array:
    """F1 of unions of 1, 2, … images, each added as the one that leaves the largest F1."""
    own = membership[query]
    joined = np.zeros_like(own)
    left = candidates
    found = np.empty(depth)
    for d in range(depth):
        unions = joined | membership[left]
        f1 = 2 * (unions & own).sum(axis=1) / (own.sum() + unions.sum(axis=1))
        chosen = int(f1.argmax())
        found[d] = f1[chosen]
        joined = unions[chosen]
        left = np.delete(left, chosen)
    return found


def summary_of(
    own: Array, base: Array | None, counts: NDArray[np.int64], confidence: float
) -> dict[str, float | None]:
    """Return the mean F1 over queries and its difference to a base, each with an interval."""
    resampled = counts / len(own)
    low, high = percentile_interval(resampled @ own, confidence)
    row: dict[str, float | None] = {"f1": float(own.mean()), "f1_low": low, "f1_high": high}
    if base is None:
        return row | {"difference": None, "difference_low": None, "difference_high": None}
    low, high = percentile_interval(resampled @ (own - base), confidence)
    return row | {
        "difference": float((own - base).mean()),
        "difference_low": low,
        "difference_high": high,
    }
