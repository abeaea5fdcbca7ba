"""All readings that the shape of an output allows, which compete in a proof."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from .reading import MAPS, Reading

#: Tokens around the patches are counted up to this many: detection tokens are a hundred.
MOST_EXTRA = 320

#: Tokens on one side of the patches, where others may be on the other side: class, distillation and
#: register tokens.
_PREFIXES = range(17)

#: Sides of windows.
_WINDOWS = (2, 4, 7, 8, 14, 16)

#: Splits into corners of cells.
_UNITS = (1, 2, 3)


def readings(shape: Sequence[int], batch_axis: int, size: Sequence[int]) -> list[Reading]:
    """Return every reading of an output.

    Parameters
    ----------
    shape : sequence of int
        Of the output, three or four numbers.
    batch_axis : int
        The axis of the images.
    size : (int, int)
        Height and width of the input in pixels.
    """
    if len(shape) == 4:
        if batch_axis != 0:
            return []
        found = []
        for axes in MAPS:
            grid = (int(shape[axes.index("H")]), int(shape[axes.index("W")]))
            found.append(Reading(axes, grid=grid))
        return found
    kinds = {0: ("NTC", "NCT"), 1: ("TNC",)}.get(batch_axis, ())
    return [
        reading
        for axes in kinds
        for reading in token_readings(int(shape[axes.index("T")]), axes, size)
    ]


def likely_reading(shape: Sequence[int], size: Sequence[int]) -> Reading | None:
    """Return the first reading whose grid has the proportions of the input, or None.

    Parameters
    ----------
    shape : sequence of int
        Of the output, the images first.
    size : (int, int)
        Height and width of the input in pixels.
    """
    for reading in readings(shape, 0, size):
        assert reading.grid is not None
        rows, columns = reading.grid
        if reading.axes in ("NCWH", "NWHC", "NCT") or rows > size[0] or columns > size[1]:
            continue
        # A cell more or less comes from padding and from patches that are left over.
        if abs(rows - columns * size[0] / size[1]) <= 1 + 0.1 * rows:
            return reading
    return None


def token_readings(tokens: int, axes: str, size: Sequence[int]) -> Iterator[Reading]:
    """Yield the readings of T tokens: those around the patches, the grid, the order."""
    height, width = size
    for extra in range(min(MOST_EXTRA, tokens - 1) + 1):
        grid = token_grid(tokens - extra, height, width)
        if grid is None or (extra and tokens - extra < 4):
            continue
        prefixes = {n for n in _PREFIXES if n <= extra} | {
            extra - n for n in _PREFIXES if n <= extra
        }
        for prefix in sorted(prefixes):
            yield Reading(axes, prefix, extra - prefix, "rows", grid)
        orders = list(_orders(grid))
        for order in orders:
            for prefix in sorted({0, min(1, extra), extra}):
                yield Reading(axes, prefix, extra - prefix, order, grid)


def _orders(grid: tuple[int, int]) -> Iterator[str]:
    """Yield the orders other than by rows that a grid can have."""
    height, width = grid
    if min(grid) > 1:
        yield "columns"
    for side in _WINDOWS:
        if height % side == 0 == width % side and side < width:
            yield f"windows:{side}x{side}"
    for times in _UNITS:
        if height % 2**times == 0 == width % 2**times:
            yield f"units:{times}"


def token_grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Return the grid that `tokens` square patches make of an image, or None if they make none.

    Parameters
    ----------
    tokens : int
        Without those that stand for no place.
    height, width : int
        The network's input in pixels; what a patch does not fill any more may be left over.

    Examples
    --------
    >>> token_grid(196, 224, 224), token_grid(98, 112, 224), token_grid(197, 224, 224)
    ((14, 14), (7, 14), None)
    """
    guess = round(math.sqrt(tokens * height / width))
    for rows in (guess, guess - 1, guess + 1):
        if rows < 1 or tokens % rows:
            continue
        columns = tokens // rows
        # Is there a side of patches of which this many, and not one more, fit both ways?
        if max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns):
            return (rows, columns)
    return None
