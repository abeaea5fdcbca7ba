"""Ranks of more values than fit into memory, computed in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .correlations import mean_ranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def ranks_on_disk(
    stream: Iterator[Array], total: int, path: Path, limit: int
) -> NDArray[np.float64]:
    """Return a memory map of the rank of each value, mean ranks for ties.

    The values are written to a file first. Splitters divide them into ranges that fit into memory,
    and the ranges are ranked one after the other.

    Parameters
    ----------
    stream : iterator of ndarray of float64
        The values, piece by piece.
    total : int
        The number of values.
    path : Path
        The names of the new files begin with it.
    limit : int
        How many values are ranked at a time.

    Returns
    -------
    memory map of float64, shape (total,)
    """
    values = np.memmap(path.with_suffix(".values"), np.float64, "w+", shape=(total,))
    at = 0
    for piece in stream:
        values[at : at + piece.size] = piece
        at += piece.size
    ranks = np.memmap(path.with_suffix(".ranks"), np.float64, "w+", shape=(total,))
    sample = np.array(values[:: max(1, total // (1 << 16))])
    parts = max(1, -(-2 * total // limit))
    splitters = np.unique(np.quantile(sample, np.arange(1, parts) / parts, method="lower"))
    edges = [-np.inf, *splitters.tolist(), np.inf]
    below = 0
    pending = [(edges[n], edges[n + 1]) for n in range(len(edges) - 1)][::-1]
    while pending:
        low, high = pending.pop()
        where, inside = _between(values, low, high, limit)
        if inside is None:  # too many: split the range at the median of the values seen
            middle = float(np.median(where))
            if middle >= high or middle <= low:
                middle = float(np.nextafter(high, -np.inf)) if np.isfinite(high) else float(low)
            if low < middle < high:
                pending += [(middle, high), (low, middle)]
                continue
            below = _place_equal(values, ranks, low, high, below, limit)
            continue
        if inside.size:
            ranks[where.astype(np.int64)] = below + mean_ranks(inside)
            below += inside.size
    del values
    path.with_suffix(".values").unlink()
    return ranks


def _between(
    values: NDArray[np.float64], low: float, high: float, limit: int
) -> tuple[NDArray[Any], Array | None]:
    """Return places and values in (low, high]; if they are too many, the values seen and None."""
    places: list[NDArray[np.int64]] = []
    inside: list[Array] = []
    count = 0
    for first in range(0, len(values), limit):
        piece = np.array(values[first : first + limit])
        chosen = np.flatnonzero((piece > low) & (piece <= high))
        count += chosen.size
        places.append(chosen + first)
        inside.append(piece[chosen])
        if count > limit:
            return np.concatenate(inside), None
    return np.concatenate(places), np.concatenate(inside)


def _place_equal(
    values: NDArray[np.float64],
    ranks: NDArray[np.float64],
    low: float,
    high: float,
    below: int,
    limit: int,
) -> int:
    """Rank the values in (low, high], which are all equal: no float lies strictly between."""
    count = sum(
        int(((piece > low) & (piece <= high)).sum())
        for piece in (values[n : n + limit] for n in range(0, len(values), limit))
    )
    for first in range(0, len(values), limit):
        piece = np.array(values[first : first + limit])
        chosen = np.flatnonzero((piece > low) & (piece <= high))
        ranks[first + chosen] = below + (count + 1) / 2
    return below + count
