"""How the pairs are cut up, and how much memory that takes, decided before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

from .._internal.units import format_bytes
from ..errors import InputError
from ..matching.matchers import Matcher
from ..tokens import PIECE, Tokens

#: Tiles on the side of the matrix for each thread, at least: none waits long for the last one.
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
        The projected peak of what is allocated: results, panels, and the buffers of the threads.
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
        If even panels of single images do not fit; the message names the smallest budget that
        would do.
    """
    other = x if y is None else y
    diagonal = 0 if matcher.identity_on_self else x.count
    pairs = x.count * (x.count - 1) // 2 + diagonal if y is None else x.count * other.count
    size, width = int(x.sizes.max()), int(other.sizes.max())
    item = max(x.dtype.itemsize, other.dtype.itemsize)
    tile_rows = _tile_side(matcher.tile_side(size, x.channels), x.count, workers)
    tile_columns = _tile_side(matcher.tile_side(width, x.channels), other.count, workers)

    kept = results * x.count * other.count * 8
    buffers = workers * matcher.tile_bytes(
        (tile_rows, tile_columns), (size, width), x.channels, item
    )
    image = max(size, width) * (x.channels * item * 2 + 24)  # converted or sorted: twice
    in_place = x.in_place and other.in_place and x.dtype == other.dtype
    if in_place and not matcher.copies_blocks:
        image = 0
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
    # Of one set of images that fits into one panel, rows and columns are the same panel.
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
    """Return the side of a tile: the best one, or less where there are few images to share."""
    return max(1, min(best, -(-images // (TILES_PER_WORKER * workers)) if workers > 1 else best))
