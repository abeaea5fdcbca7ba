"""The tiles that are still to be computed, and the pairs that are done."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from .gram_folder import GramFolder
from .tiles import DamagedTileError

Progress = Callable[[int, int], object]


class Count:
    """Counts the pairs that are done, and reports them to the caller.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total)``.
    total : int
        All pairs.
    """

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, pairs: int) -> None:
        """Count more pairs."""
        self._done = min(self._total, self._done + pairs)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        """Count all of them."""
        self.add(self._total)


def missing_tiles(
    folder: GramFolder, count: Count, tiles: Sequence[tuple[int, int]] | None = None
) -> list[tuple[int, int]]:
    """Return the tiles that are to be computed; existing tiles are checked first."""
    missing, damaged = [], []
    for tile in folder.tiling if tiles is None else tiles:
        try:
            if folder.marked(tile) is not None:
                folder.read_tile(tile)
        except DamagedTileError:
            folder.discard(tile)
            damaged.append(tile)
        if folder.complete(tile):
            folder.mend(tile)
            count.add(folder.tiling.pairs(tile))
        else:
            missing.append(tile)
    if damaged:
        warnings.warn(
            f"{folder.path}: damaged tiles are computed again: {tile_names(damaged)}", stacklevel=3
        )
    return missing


def tile_names(tiles: Sequence[tuple[int, int]]) -> str:
    """Return the names of the first few tiles, and how many there are."""
    some = ", ".join(f"{i}-{j}" for i, j in tiles[:8])
    return some + (f" … ({len(tiles)} in all)" if len(tiles) > 8 else "")
