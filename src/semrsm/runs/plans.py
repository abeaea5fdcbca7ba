"""The tiles of a run against the memory budget."""

from __future__ import annotations

from .._internal.units import format_bytes
from ..engine.plan import Plan
from ..engine.tiling import tile_side
from ..errors import InputError
from ..matching.matchers import Matcher
from ..tokens import PIECE, Tokens


def tile_plan(rows: Tokens, columns: Tokens, matcher: Matcher, workers: int) -> Plan:
    """Return the plan of one tile of a run.

    The sides of the products are those of the matcher whatever the threads, so that every machine
    rounds the same.
    """
    sides = [
        matcher.tile_side(int(tokens.sizes.max()), tokens.channels) for tokens in (rows, columns)
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
    """Choose the side of the tiles of a new run, and tell the memory that it takes.

    Parameters
    ----------
    rows, columns, matcher
        What is matched.
    workers : int
        Threads of each tile.
    memory : int
        The budget in bytes.
    at_once : int, default 1
        Tiles that this process computes at a time.
    given : int, optional
        The side, where the run is there already.

    Returns
    -------
    side : int
    peak : int
        The projected peak in bytes of what filling the tiles allocates.

    Raises
    ------
    InputError
        If `memory` does not suffice even for the smallest tiles; the message names what would.
    """
    side = given or tile_side(
        max(rows.count, columns.count),
        int(max(rows.sizes.max(), columns.sizes.max())),
        rows.channels,
        solves=matcher.name != "none",
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
    """Return the peak in bytes of what filling tiles of this side allocates."""
    item = max(rows.dtype.itemsize, columns.dtype.itemsize)
    size, width = int(rows.sizes.max()), int(columns.sizes.max())
    images = min(side, rows.count), min(side, columns.count)
    row_panel = images[0] * size * rows.channels * item
    column_panel = images[1] * width * columns.channels * item
    panels = row_panel + column_panel
    copies = panels if matcher.copies_blocks else 0
    reading = 2 * max(row_panel, column_panel)  # as stored, and while it is brought in order
    pairs = images[0] * images[1]
    tile = pairs * 8 * (2 + 2 + 3)  # both matrices, as one array, and while it is written
    sides = [matcher.tile_side(n, rows.channels) for n in (size, width)]
    buffers = workers * matcher.tile_bytes(
        (min(sides[0], images[0]), min(sides[1], images[1])), (size, width), rows.channels, item
    )
    known = (rows.count + columns.count) * (8 + 8 + 16 + 200)  # norms, digests, ids
    each = panels + max(copies + buffers + pairs * 16, reading) + tile
    return at_once * each + known + 3 * PIECE
