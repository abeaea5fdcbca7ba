"""The images that approximations are measured on: a layer of features, or smooth random fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..tokens import measure

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Source:
    """Images of one S: a layer of the features, or fields."""

    model: str
    layer: str
    vectors: int
    read: Callable[[], NDArray[Any]]

    def row(
        self,
        tokens: NDArray[Any],
        solver: str,
        matcher: str,
        quality: NDArray[np.float64],
        undefined: int,
        seconds: float,
    ) -> dict[str, Any]:
        """Return the row of one matcher or peer, with the quality of every pair."""
        some = quality if len(quality) else np.array([np.nan])
        return {
            "model": self.model,
            "layer": self.layer,
            "vectors": self.vectors,
            "channels": tokens.shape[2],
            "solver": solver,
            "matcher": matcher,
            "pairs": len(quality),
            "undefined": undefined,
            "quality_median": float(np.median(some)),
            "quality_5_percent": float(np.quantile(some, 0.05)),
            "quality_mean": float(some.mean()),
            "quality_min": float(some.min()),
            "milliseconds": seconds * 1e3,
        }


def taken(array: NDArray[Any], chosen: Sequence[int]) -> NDArray[Any]:
    """Return some images as (N, S, C), contiguous, in the dtype of the computation."""
    tokens = measure(np.stack([array[i] for i in chosen]), "features")
    block = tokens.block(0, tokens.count)
    return block.vectors.reshape(tokens.count, -1, tokens.channels)


def smooth_fields(count: int, side: int, channels: int, seed: int) -> NDArray[np.float32]:
    """Return random fields that vary smoothly over a grid, shape (N, side², C)."""
    rng = np.random.default_rng([seed, side])
    coarse = max(2, -(-side // 4))
    fields = rng.normal(size=(count, coarse, coarse, channels))
    at = np.linspace(0, coarse - 1, side)
    low = np.minimum(at.astype(np.int64), coarse - 2)
    part = at - low
    for axis in (1, 2):
        shape = [1, 1, 1, 1]
        shape[axis] = side
        share = part.reshape(shape)
        before, after = (np.take(fields, low + one, axis=axis) for one in (0, 1))
        fields = before * (1 - share) + after * share
    fields += 0.1 * rng.normal(size=fields.shape)
    return fields.reshape(count, side * side, channels).astype(np.float32)
