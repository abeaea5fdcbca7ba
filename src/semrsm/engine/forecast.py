"""Forecasts of the cost of a job before it starts: pairs, memory, disk and time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._internal.units import format_bytes, format_seconds, memory_budget
from .._internal.workers import worker_count
from ..matching.base import Matcher
from ..matching.registry import check_comparable, resolve_matcher
from ..tokens import PIECE, Tokens, measure
from .base import Engine
from .device import find_device, resolve_engine
from .plan import calibration_plan, choose_side, make_plan
from .tiling import Tiling

#: Seconds of matching from which the time is projected: long enough to average out slow first calls
#: and the load of other processes.
CALIBRATION = 0.7


@dataclass(frozen=True)
class Forecast:
    """The cost of a job.

    Attributes
    ----------
    pairs : int
        Pairs of images that are matched.
    assignments : int
        Assignment problems that are solved or approximated; 0 where each location is compared with
        the same location.
    seconds : float
        Projected from a short calibration on the features themselves, on as many threads.
    memory : int
        The peak of all allocations in bytes.
    disk : int
        Bytes that the results take on disk; 0 where they stay in memory.
    tiles : int
        Tiles on disk; 0 where results stay in memory.
    workers : int
        Threads.
    """

    pairs: int
    assignments: int
    seconds: float
    memory: int
    disk: int
    tiles: int
    workers: int

    def __str__(self) -> str:
        disk = f", {format_bytes(self.disk)} on disk in {self.tiles:,} tiles" if self.disk else ""
        return (
            f"{self.pairs:,} pairs ({self.assignments:,} assignments): about "
            f"{format_seconds(self.seconds)} on {self.workers} threads, at most "
            f"{format_bytes(self.memory)} of memory{disk}"
        )


def forecast(
    x: Any,
    y: Any = None,
    *,
    matcher: str | Matcher = "optimal",
    workers: int | None = None,
    memory: int | str | None = None,
    on_disk: bool = False,
    device: str | None = None,
) -> Forecast:
    """Return the cost of :func:`semrsm.gram` with the same arguments.

    The features are read once, and matched for about a second.

    Parameters
    ----------
    x, y, matcher, workers, memory, device
        As for :func:`semrsm.gram`: a job that a GPU cannot run is forecast for the CPU, with a
        warning.
    on_disk : bool, default False
        Whether the results will lie on disk (``out=``) and not in memory.

    Returns
    -------
    Forecast

    Raises
    ------
    InputError
        If an argument is invalid, or the job does not fit into `memory`; the message
        names the smallest budget that would do.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> found = semrsm.forecast(np.random.default_rng(0).normal(size=(20, 9, 8)))
    >>> found.pairs, found.assignments, found.disk
    (190, 190, 0)
    """
    chosen = resolve_matcher(matcher)
    find_device(device, chosen)
    threads = worker_count(workers)
    budget = memory_budget(memory)
    start = time.perf_counter()
    rows = measure(x, "x")
    columns = None if y is None else (rows if y is x else measure(y, "y"))
    reading = time.perf_counter() - start
    passes = 1.0
    if isinstance(x, Tokens):  # measured already: the job will not measure them either
        reading, passes = _seconds_to_read(rows), 0.0
    other = rows if columns is None else columns
    check_comparable(rows, other, chosen, "x", "y")
    engine = resolve_engine(device, chosen, rows, other)

    disk = tiles = 0
    if on_disk:
        side, peak = choose_side(rows, other, chosen, workers=threads, memory=budget)
        tiling = Tiling(rows.count, other.count, side, columns is None)
        pairs = sum(tiling.pairs(tile) for tile in tiling)
        tiles = len(tiling)
        disk = 16 * sum(
            (r.stop - r.start) * (c.stop - c.start) for r, c in map(tiling.place, tiling)
        )
        # Besides measuring: one pass for digests, and a panel of columns is read for each tile.
        passes += 1 + tiles * side / rows.count
    else:
        plan = make_plan(rows, columns, chosen, workers=threads, memory=budget, results=2)
        pairs, peak = plan.pairs, plan.peak_bytes
        passes += max(0.0, (rows.count / plan.panel - 1) / 2)
    working = chosen.resolved(rows, columns)
    seconds = pairs * _seconds_per_pair(rows, other, working, threads, engine) + passes * reading
    return Forecast(
        pairs=pairs,
        assignments=pairs if chosen.solves else 0,
        seconds=seconds,
        memory=peak,
        disk=disk,
        tiles=tiles,
        workers=threads,
    )


def _seconds_per_pair(
    rows: Tokens, columns: Tokens, matcher: Matcher, workers: int, engine: Engine
) -> float:
    """Return the seconds per pair.

    Matches more and more images, spread over the features, until that takes long enough.
    """
    side = matcher.tile_side(int(rows.sizes.max()), rows.channels)
    count = max(2, min(side, rows.count))
    while True:
        left = _spread(rows, count, 0.0)
        # Other images than the rows, if there are any: an image with itself is not a typical pair.
        right = _spread(columns, count, 0.5)
        plan = calibration_plan(left, right, matcher, workers)
        start = time.perf_counter()
        engine.matched(left, right, matcher, plan, None)
        spent = time.perf_counter() - start
        everything = left.count == rows.count and right.count == columns.count
        if spent >= CALIBRATION or everything:
            return spent / plan.pairs
        faster = min(4.0, 1.5 * CALIBRATION / max(spent, 1e-3)) ** 0.5
        count = max(count + 1, int(count * faster))


def _seconds_to_read(tokens: Tokens) -> float:
    """Estimate the seconds of a pass over the images from the time of one piece of them."""
    first, last = next(tokens.pieces(PIECE))
    start = time.perf_counter()
    tokens.block(first, last)
    return (time.perf_counter() - start) * tokens.count / (last - first)


def _spread(tokens: Tokens, count: int, offset: float) -> Tokens:
    """Return `count` images, evenly spread, in memory."""
    count = min(count, tokens.count)
    return tokens.take(((np.arange(count) + offset) * tokens.count / count).astype(np.int64))
