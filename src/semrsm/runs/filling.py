"""Fills the tiles of a run, on the threads of this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._internal.workers import one_blas_thread
from ..engine.base import Engine
from ..engine.plan import tile_plan
from ..engine.threads import THREADS
from ..matching.assignment import NotFiniteError, norm_gap
from ..matching.base import Matcher
from ..matching.registry import overflow_error
from ..tokens import Tokens
from .gram_folder import GramFolder
from .side import check_content
from .tiles import DamagedTileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Called with the number of pairs that have been matched since the last call.
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Work:
    """The folder, the features and the matcher with which a process computes tiles.

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
    engine : Engine
        Where the tiles are filled.
    """

    folder: GramFolder
    rows: Tokens
    columns: Tokens
    matcher: Matcher
    workers: int
    check: bool
    engine: Engine = THREADS

    def fill(self, tiles: Iterable[tuple[int, int]], advance: Advance) -> None:
        """Compute tiles, one after the other, and write each when it is complete.

        Raises
        ------
        InputError
            If the features have changed since the run was laid out, or an affinity overflows.
        OSError
            If a tile cannot be written; earlier tiles are kept.
        """
        panels: dict[tuple[str, int], Tokens] = {}
        # Once here, and not for every tile: finding the BLAS libraries takes a while.
        with self.folder.writing(), one_blas_thread():
            for tile in tiles:
                if self.folder.complete(tile):  # another process was faster
                    advance(self.folder.tiling.pairs(tile))
                else:
                    self._fill_one(tile, panels, advance)

    def _fill_one(
        self, tile: tuple[int, int], panels: dict[tuple[str, int], Tokens], advance: Advance
    ) -> None:
        """Compute and write a tile; its panels of images are kept for the next tile."""
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
        norms = self.folder.rows.gram_norms[rows, None], self.folder.columns.gram_norms[columns]
        gap = float(norm_gap(content[0], content[1], *norms).max())
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
        """Match the pairs of a tile that are still missing, and return all of them."""
        try:
            old = self.folder.read_tile(tile)
        except DamagedTileError:  # or missing
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
            found = self.engine.matched(left, right, self.matcher, plan, progress)
        except NotFiniteError:
            raise overflow_error("x", "y") from None
        return np.stack(found)
