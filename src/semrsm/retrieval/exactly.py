"""Values of chosen pairs by any matcher, in float64: what a search orders its results by."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .._internal.pool import Pool
from ..matching.base import Matcher, PairTile, Workspace, as_dtype
from ..tokens import Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Indices = NDArray[np.int64]

#: Affinities of a tile of pairs in bytes: large enough that bookkeeping costs little beside the
#: product, small enough to stay in the cache until the bounds have read them.
TILE_BYTES = 4 << 20

_DOUBLE = np.dtype(np.float64)


def exact_values(
    matcher: Matcher,
    queries: Tokens,
    gallery: Tokens,
    pairs: tuple[Indices, Indices],
    pool: Pool[Workspace],
    workers: int,
    tile_bytes: int,
) -> Array:
    """Return the values of pairs in float64.

    Parameters
    ----------
    matcher : Matcher
        Its rules are resolved.
    queries, gallery : Tokens
        The images.
    pairs : (ndarray of int64, ndarray of int64)
        The query and the image of each pair, ordered by query.
    pool : Pool
        The threads.
    workers : int
        How many they are.
    tile_bytes : int
        Affinities that a thread holds at a time.

    Returns
    -------
    ndarray of float64
    """
    left, right = pairs
    values = np.empty(len(left))
    largest = int(gallery.sizes.max()) * int(queries.sizes.max()) * 8
    together = max(1, tile_bytes // largest)

    def part(chosen: slice, workspace: Workspace) -> None:
        query = int(left[chosen.start])
        own = matcher.prepare(as_dtype(queries.block(query, query + 1), _DOUBLE))
        images, place = np.unique(right[chosen], return_inverse=True)
        taken = gallery.take(images)
        block = matcher.prepare(as_dtype(taken.block(0, taken.count), _DOUBLE))
        first = np.zeros(len(place), dtype=np.int64)
        found = matcher.pairs(PairTile(own, block, first, place, workspace)).values
        if not matcher.rescales:
            found = np.ldexp(found, queries.exponents[query] + taken.exponents[place])
        values[chosen] = found

    ends = np.flatnonzero(np.diff(left, append=-1)) + 1
    starts = [0, *ends[:-1].tolist()] if len(left) else []
    tasks = (
        partial(part, slice(start, min(start + together, last)))
        for first, last in zip(starts, ends.tolist(), strict=True)
        for start in range(first, last, together)
    )
    for _ in pool.run(tasks):
        pass
    return values
