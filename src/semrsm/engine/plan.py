"""Plans: how pairs are divided into panels and tiles, and the memory needed, before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._internal.units import format_bytes
from ..errors import InputError
from ..matching.base import Matcher
from ..tokens import PIECE, Tokens
from .tiling import tile_side

#: The fewest tiles along a side of the matrix for each thread, so that no thread waits long for the
#: last tile.
TILES_PER_WORKER = 4


@dataclass(frozen=True)
class Plan:
    """Panels of images that are in memory together, tiles of pairs inside them, and the memory.

    Attributes
    ----------
    panel : int
        Images of a panel; two panels (rows and columns) are in memory at a time.
    tile_rows, tile_columns : int
        Images on the sides of a tile of pairs.
    workers : int
        Threads.
    pairs : int
        Pairs to be matched.
    peak_bytes : int
        The projected peak of all allocations: results, panels, and the buffers of the threads.
    """

    panel: int
    tile_rows: int
    tile_columns: int
    workers: int
    pairs: int
    peak_bytes: int


def make_plan(
    x: Tokens, y: Tokens | None, matcher: Matcher, *, workers: int, memory: int, results: int
) -> Plan:
    """Cut the pairs of `x` (with `y`, or with itself) so that the work fits into `memory` bytes.

    Parameters
    ----------
    x, y : Tokens
        The inputs.
    matcher : Matcher
        Its affinity matrices set the size of a tile.
    workers : int
        Threads.
    memory : int
        The budget in bytes.
    results : int
        How many float64 matrices (N, M) the caller keeps.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If even panels of single images do not fit; the message names the smallest sufficient
        budget.
    """
    other = x if y is None else y
    diagonal = x.count if matcher.solves_self else 0
    pairs = x.count * (x.count - 1) // 2 + diagonal if y is None else x.count * other.count
    size, width = int(x.sizes.max()), int(other.sizes.max())
    item = max(x.dtype.itemsize, other.dtype.itemsize)
    tile_rows = _tile_side(matcher.tile_side(size, x.channels), x.count, workers)
    tile_columns = _tile_side(matcher.tile_side(width, x.channels), other.count, workers)

    kept = results * x.count * other.count * 8
    buffers = workers * matcher.tile_bytes(
        (tile_rows, tile_columns), (size, width), x.channels, item
    )
    image = max(size, width) * (x.channels * item * 2 + 24)  # twice, for a converted or sorted copy
    in_place = x.in_place and other.in_place and x.dtype == other.dtype
    if in_place and not matcher.copies_blocks:
        image = 0
    image += matcher.prepared_bytes(max(size, width), x.channels, item)
    fixed = kept + buffers + 3 * PIECE  # a piece being checked, its magnitudes, its squares
    smallest = fixed + 2 * image
    if memory < smallest:
        raise InputError(
            f"memory: expected at least {format_bytes(smallest, up=True)} for {x.count} x "
            f"{other.count} images ({format_bytes(kept)} of it the results); got "
            f"{format_bytes(memory)}. Fewer workers need less, and results on disk (out=, or "
            "--out NAME.zarr) none"
        )
    most = max(x.count, other.count)
    panel = most if image == 0 else min(most, (memory - fixed) // (2 * image))
    # If one set of images fits into one panel, rows and columns are the same panel.
    panels = image * x.count if y is None and panel >= x.count else 2 * image * panel
    return Plan(
        panel,
        min(tile_rows, panel),
        min(tile_columns, panel),
        workers,
        pairs,
        fixed + panels,
    )


def _tile_side(best: int, images: int, workers: int) -> int:
    """Return the side of a tile: the best one, or less if the threads share few images."""
    return max(1, min(best, -(-images // (TILES_PER_WORKER * workers)) if workers > 1 else best))


def tile_plan(rows: Tokens, columns: Tokens, matcher: Matcher, workers: int) -> Plan:
    """Return the plan of one tile of a run.

    The sides of the products depend on the matcher and not on the number of threads, so that every
    machine rounds alike.
    """
    sides = [
        matcher.tile_side(int(tokens.sizes.max()), tokens.channels) for tokens in (rows, columns)
    ]
    most = max(rows.count, columns.count)
    return Plan(most, sides[0], sides[1], workers, rows.count * columns.count, 0)


def calibration_plan(rows: Tokens, columns: Tokens, matcher: Matcher, workers: int) -> Plan:
    """Return a plan for a few images, with as many tiles for each thread as a job has.

    With fewer tiles the threads would wait for each other.
    """
    sides = [
        max(
            1,
            min(
                matcher.tile_side(int(tokens.sizes.max()), tokens.channels),
                -(-tokens.count // (2 * workers)),
            ),
        )
        for tokens in (rows, columns)
    ]
    most = max(rows.count, columns.count)
    return Plan(most, sides[0], sides[1], workers, rows.count * columns.count, 0)


def choose_side(
    rows: Tokens,
    columns: Tokens,
    matcher: Matcher,
    *,
    workers: int,
    memory: int,
    at_once: int = 1,
    given: int | None = None,
) -> tuple[int, int]:
    """Choose the side of the tiles of a new run, and return it with the peak of memory.

    Parameters
    ----------
    rows, columns, matcher
        The images to match.
    workers : int
        Threads of each tile.
    memory : int
        The budget in bytes.
    at_once : int, default 1
        Tiles that this process computes at a time.
    given : int, optional
        The side of the tiles, if the run exists already.

    Returns
    -------
    side : int
    peak : int
        The projected peak in bytes of the allocations that filling the tiles makes.

    Raises
    ------
    InputError
        If `memory` does not suffice even for the smallest tiles; the message names a sufficient
        budget.
    """
    side = given or tile_side(
        max(rows.count, columns.count),
        int(max(rows.sizes.max(), columns.sizes.max())),
        rows.channels,
        solves=not matcher.costs_one_pass,
    )
    while True:
        peak = run_bytes(rows, columns, matcher, side, workers, at_once)
        if peak <= memory:
            return side, peak
        if side == 1 or given:
            images = "single images" if side == 1 else f"{side} x {side} images, which this run has"
            raise InputError(
                f"memory: expected at least {format_bytes(peak, up=True)} for tiles of {images}, "
                f"on {workers * at_once} threads; got {format_bytes(memory)}. Fewer workers, a "
                "coarser layer or float16 features need less"
            )
        side //= 2


def run_bytes(
    rows: Tokens, columns: Tokens, matcher: Matcher, side: int, workers: int, at_once: int = 1
) -> int:
    """Return the peak in bytes of the allocations that filling tiles of this side makes."""
    item = max(rows.dtype.itemsize, columns.dtype.itemsize)
    size, width = int(rows.sizes.max()), int(columns.sizes.max())
    images = min(side, rows.count), min(side, columns.count)
    row_panel = images[0] * size * rows.channels * item
    column_panel = images[1] * width * columns.channels * item
    panels = row_panel + column_panel
    copies = panels if matcher.copies_blocks else 0
    copies += images[0] * matcher.prepared_bytes(size, rows.channels, item)
    copies += images[1] * matcher.prepared_bytes(width, rows.channels, item)
    reading = 2 * max(row_panel, column_panel)  # as stored, and a copy in order
    pairs = images[0] * images[1]
    tile = pairs * 8 * (2 + 2 + 3)  # both matrices, as one array, and while it is written
    sides = [matcher.tile_side(n, rows.channels) for n in (size, width)]
    buffers = workers * matcher.tile_bytes(
        (min(sides[0], images[0]), min(sides[1], images[1])), (size, width), rows.channels, item
    )
    known = (rows.count + columns.count) * (8 + 8 + 16 + 200)  # norms, digests, ids
    each = panels + max(copies + buffers + pairs * 16, reading) + tile
    return at_once * each + known + 3 * PIECE


def search_panels(
    rows: Tokens,
    columns: Tokens,
    dtype: np.dtype[Any],
    *,
    query: int,
    strip: int,
    tile: int,
    kept: int,
    workers: int,
    memory: int,
) -> tuple[int, int]:
    """Return the numbers of queries and of gallery images that a search has in memory at a time.

    Parameters
    ----------
    rows, columns : Tokens
        The queries and the gallery.
    dtype : numpy.dtype
        The dtype of the computation.
    query : int
        Bytes that are kept for each query besides its vectors.
    strip : int
        Images of the gallery that a thread takes at a time.
    tile : int
        Bytes of the affinities of a tile.
    kept : int
        Bytes that are kept during the whole search.
    workers : int
        Threads.
    memory : int
        The budget in bytes.

    Raises
    ------
    InputError
        If not even one query and one image fit.
    """
    item = dtype.itemsize
    query += int(rows.sizes.max()) * rows.channels * item * 2
    image = int(columns.sizes.max()) * rows.channels * item * 2  # as read, and in its dtype
    pair = int(rows.sizes.max()) * int(columns.sizes.max()) * 8
    tiles = 2 * max(tile, pair)  # the product, and the solver's copies of it
    fixed = workers * (tiles + strip * image) + 3 * PIECE + kept
    smallest = fixed + query + image
    if memory < smallest:
        raise InputError(
            f"memory: expected at least {format_bytes(smallest, up=True)} for one query and "
            f"one image of the gallery on {workers} threads; got {format_bytes(memory)}"
        )
    free = memory - fixed
    queries = max(1, min(rows.count, free // (2 * query)))
    return queries, max(1, min(columns.count, (free - queries * query) // image))
