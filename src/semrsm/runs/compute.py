"""Fills the tiles of a run, on the threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.units import format_bytes
from .._internal.workers import one_blas_thread
from ..engine import threads as engine
from ..engine.plan import Plan
from ..engine.tiling import tile_side
from ..errors import InputError
from ..matching.assignment import NotFiniteError, relative_gap
from ..matching.matchers import Matcher, overflow_error
from ..tokens import PIECE, Tokens
from .folder import DamagedTileError, GramFolder, Side, check_content

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Called with the pairs that have been matched since it was called last.
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Work:
    """What a process needs to compute tiles: the folder, the features, the matcher.

    Attributes
    ----------
    folder : GramFolder
    rows, columns : Tokens
        The same object where one set of images is compared with itself.
    matcher : Matcher
    workers : int
        Threads.
    check : bool
        Whether images are checked against the manifest as they are read: features that another
        process has measured may have changed since.
    device : torch.device, optional
        A GPU that fills the tiles.
    """

    folder: GramFolder
    rows: Tokens
    columns: Tokens
    matcher: Matcher
    workers: int
    check: bool
    device: Any = None

    def fill(self, tiles: Iterable[tuple[int, int]], advance: Advance) -> None:
        """Compute tiles, one after the other, and write each when it is whole.

        Raises
        ------
        InputError
            If the features are not those of the run any more, or an affinity overflows.
        OSError
            If a tile cannot be written; those before it are there.
        """
        panels: dict[tuple[str, int], Tokens] = {}
        # Here once, and not for every tile: to find the libraries takes a while.
        with self.folder.writing(), one_blas_thread():
            for tile in tiles:
                if self.folder.complete(tile):  # somebody else was faster
                    advance(self.folder.tiling.pairs(tile))
                else:
                    self._fill_one(tile, panels, advance)

    def _fill_one(
        self, tile: tuple[int, int], panels: dict[tuple[str, int], Tokens], advance: Advance
    ) -> None:
        """Compute and write a tile; its panels of images stay for the next one."""
        rows, columns = self.folder.tiling.place(tile)
        wanted = {("row", rows.start): (self.rows, rows)}
        same = self.rows is self.columns and tile[0] == tile[1]
        if not same:
            wanted["column", columns.start] = (self.columns, columns)
        for key in panels.keys() - wanted.keys():
            del panels[key]
        for key, (tokens, place) in wanted.items():
            if key not in panels:
                panels[key] = self._read(tokens, place)
        left = panels["row", rows.start]
        right = None if same else panels["column", columns.start]
        content = self._tile(tile, left, right, advance)
        gap = float(relative_gap(content[0], content[1]).max())
        self.folder.write_tile(tile, content, gap)

    def _read(self, tokens: Tokens, place: slice) -> Tokens:
        panel = tokens.part(place.start, place.stop)
        if self.check:
            side = self.folder.rows if tokens is self.rows else self.folder.columns
            check_content(panel, side.digests, place.start, self.folder.path)
        return panel

    def _tile(
        self, tile: tuple[int, int], left: Tokens, right: Tokens | None, advance: Advance
    ) -> NDArray[np.float64]:
        """Match what of a tile is not there yet, and return all of it."""
        try:
            old = self.folder.read_tile(tile)
        except DamagedTileError:  # or not there at all
            return self._matched(left, right, advance)
        # The run has grown since: only pairs with a new image are matched.
        _, height, width = old.shape
        other = left if right is None else right
        content = np.empty((2, left.count, other.count))
        content[:, :height, :width] = old
        if width < other.count:
            new = other.part(width, other.count)
            content[:, :height, width:] = self._matched(left.part(0, height), new, advance)
            if right is None:
                content[:, height:, :width] = content[:, :height, width:].transpose(0, 2, 1)
                content[:, height:, width:] = self._matched(new, None, advance)
                return content
        if height < left.count:
            new = left.part(height, left.count)
            content[:, height:, :] = self._matched(new, other, advance)
        return content

    def _matched(self, left: Tokens, right: Tokens | None, advance: Advance) -> NDArray[np.float64]:
        seen = 0

        def progress(done: int, _: int) -> None:
            nonlocal seen
            advance(done - seen)
            seen = done

        plan = tile_plan(left, left if right is None else right, self.matcher, self.workers)
        try:
            found = engine.matched(left, right, self.matcher, plan, progress, self.device)
        except NotFiniteError:
            raise overflow_error("x", "y") from None
        return np.stack(found)


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


def sides_of(
    rows: Tokens, columns: Tokens | None, ids: tuple[str, ...], column_ids: tuple[str, ...]
) -> tuple[Side, Side]:
    """Return what a manifest records of the images, digests included."""
    left = Side.of(rows, ids)
    return left, left if columns is None else Side.of(columns, column_ids)
