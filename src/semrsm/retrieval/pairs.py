"""The pairs of one tile of a search: their affinities, bounds and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..matching.assignment import search
from ..matching.base import Workspace
from ..tokens import Block

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .panel import Panel
    from .search import Search

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Strip:
    """Some images of the gallery, ready to be compared with queries."""

    images: Indices
    block: Block
    means: Array | None
    norms: Array
    exponents: NDArray[np.int64]

    @classmethod
    def of(cls, job: Search, block: Block, images: Indices) -> Strip:
        """Return the strip of images of the gallery whose vectors are in `block`."""
        gallery = job.index.tokens
        exponents = gallery.exponents[images]
        part, means = centred(block, job.index.means[images], exponents, job)
        return cls(images, part, means, np.sqrt(gallery.squared_norms[images]), exponents)


class Pairs:
    """The wanted pairs of one tile, with their affinities."""

    def __init__(
        self,
        panel: Panel,
        rows: slice,
        strip: Strip,
        wanted: NDArray[np.bool_],
        workspace: Workspace,
    ) -> None:
        job = panel.job
        self.workspace = workspace
        left, right = np.nonzero(wanted)
        #: The query in the panel, and the image in the gallery, of each pair.
        self.left, self.right = left + rows.start, strip.images[right]
        if not len(left):
            return
        own, other = panel.block.part(rows.start, rows.stop), strip.block
        affinity = workspace.product(own.vectors, other.vectors)
        self._flat, self._width = affinity.reshape(-1), affinity.shape[1]
        self._offsets = own.starts[left] * self._width + other.starts[right]
        self._rows = own.sizes[left].astype(np.int32)
        self._columns = other.sizes[right].astype(np.int32)
        self._norms = panel.norms[self.left], strip.norms[right]
        self._slack = job.slack
        self._ranking = job.ranking
        self._exponents = panel.queries.exponents[self.left] + strip.exponents[right]
        self._shift = np.zeros(len(left))
        if panel.means is not None and strip.means is not None:
            size = float(own.sizes[0])
            shift = panel.means[rows] @ strip.means.T
            self._shift = size * shift[left, right]

    def goal(self, goals: Array, chosen: Any) -> Array:
        """Return the V that an image must reach, less the rounding error."""
        left, right = self._norms[0][chosen], self._norms[1][chosen]
        needed = self._ranking.inner(goals[self.left[chosen]], left, right)
        return np.asarray(needed - self._slack * left * right)

    def scores(self, values: Array, chosen: Indices) -> Array:
        """Return the scores of the chosen pairs, by which the kernel orders images."""
        left, right = self._norms[0][chosen], self._norms[1][chosen]
        return self._ranking.scores(values, left * left, right * right)

    def bounds(self) -> Array:
        """Return the cheapest bound on V of every pair."""
        _, bounds, _ = self._search(np.full(len(self.left), np.inf), slice(None))
        return self._outside(bounds, slice(None))

    def search(self, goals: Array, chosen: Indices) -> tuple[Array, NDArray[np.uint8]]:
        """Return V of the chosen pairs, NaN where a bound is below the goal, and the stages."""
        inside = np.ldexp(self.goal(goals, chosen) - self._shift[chosen], -self._exponents[chosen])
        values, _, stages = self._search(inside, chosen)
        return self._outside(values, chosen), stages

    def _search(self, stop_below: Array, chosen: Any) -> tuple[Array, Array, NDArray[np.uint8]]:
        return search(
            self._flat,
            self._offsets[chosen],
            self._rows[chosen],
            self._columns[chosen],
            stop_below,
            row_stride=self._width,
            cancellation=self.workspace.cancellation,
        )

    def _outside(self, values: Array, chosen: Any) -> Array:
        """Convert V of the centred and scaled images to V of the images as given."""
        return np.asarray(np.ldexp(values, self._exponents[chosen]) + self._shift[chosen])


def centred(
    block: Block, means: NDArray[Any], exponents: NDArray[np.int64], job: Search
) -> tuple[Block, Array | None]:
    """Return images less their means, in the dtype of the job, and the means without scaling."""
    vectors = block.vectors.astype(job.dtype, copy=False)
    if not job.centred:
        return Block(vectors, block.starts), None
    images = vectors.reshape(len(block), -1, vectors.shape[1])
    centred = images - means.astype(job.dtype, copy=False)[:, None, :]
    shifts = np.ldexp(means.astype(np.float64), exponents[:, None])
    return Block(centred.reshape(vectors.shape), block.starts), shifts
