"""How the pairs are cut up, and how much memory that takes, decided before anything runs."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass

import numpy as np

from .errors import InputError
from .matchers import Matcher
from .tokens import PIECE, Tokens

#: Tiles on the side of the matrix for each thread, at least: none waits long for the last one.
TILES_PER_WORKER = 4

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


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


def memory_budget(memory: int | str | None) -> int:
    """Return `memory` in bytes; half of what the machine has where it is None.

    Raises
    ------
    InputError
        If `memory` is neither a positive number of bytes nor text like ``"8 GB"`` or ``"500MiB"``
        (units are powers of 1024).

    Examples
    --------
    >>> memory_budget("2GB")
    2147483648
    """
    if memory is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", memory.lower())
        if found:
            return int(float(found[1]) * _UNITS[found[2]])
    elif (
        isinstance(memory, (int, float, np.integer))
        and not isinstance(memory, bool)
        and 0 < memory < math.inf
    ):
        return int(memory)
    raise InputError(
        f"memory: expected a positive number of bytes, or text such as '8GB'; got {memory!r}"
    )


def format_bytes(count: float, *, up: bool = False) -> str:
    """Return a number of bytes as people read it, units being powers of 1024.

    The last digit is rounded, or rounded up so that the text names no less than `count`.

    Examples
    --------
    >>> format_bytes(3 << 20)
    '3.0 MB'
    """
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    if units[0] == "bytes":
        return f"{math.ceil(count)} bytes"
    return f"{math.ceil(count * 10) / 10 if up else count:.1f} {units[0]}"
