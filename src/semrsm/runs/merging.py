"""Bring the tiles of several copies of a run together."""

from __future__ import annotations

import warnings
from pathlib import Path

from ..errors import InputError
from .manifest import difference
from .remaining import tile_names
from .run import Run, open_run
from .tiles import DamagedTileError


def merge_runs(into: str | Path, *others: str | Path) -> Run:
    """Copy the tiles that other copies of a run have and this one lacks.

    Parameters
    ----------
    into : str or Path
        The run that is completed.
    *others : str or Path
        Runs of the same features, matchers and version, with other tiles computed.

    Returns
    -------
    Run
        The first one.

    Raises
    ------
    InputError
        If a run is of other features, another matcher or another version; nothing is copied then.

    Warns
    -----
    UserWarning
        If a tile is damaged; it is not copied.
    """
    target = open_run(into)
    sources = [open_run(other) for other in others]
    for source in sources:
        if set(source) != set(target):
            raise InputError(
                f"others: expected runs of the layers and matchers {list(target)}; "
                f"{str(source.path)!r} has {list(source)}"
            )
        for key in target:
            own, other = target.folder(key), source.folder(key)
            differs = difference(own.manifest, other.manifest) or own.rows.differs(other.rows)
            differs = differs or own.columns.differs(other.columns)
            if differs is None and own.tiling != other.tiling:
                differs = f"its tiles are {other.tiling}, and not {own.tiling}"
            if differs:
                raise InputError(
                    f"others: expected runs of the same kind as {str(into)!r}; in "
                    f"{str(source.path)!r} {differs}"
                )
    for source in sources:
        for key in target:
            own, other = target.folder(key), source.folder(key)
            damaged = []
            with own.writing():
                for tile in own.tiling:
                    marker = None if own.complete(tile) else other.complete(tile)
                    if marker is not None:
                        try:
                            own.write_tile(tile, other.read_tile(tile), marker.largest_gap)
                        except DamagedTileError:
                            damaged.append(tile)
            if damaged:
                warnings.warn(
                    f"{source.path}: damaged tiles were not copied: {tile_names(damaged)}",
                    stacklevel=2,
                )
    for key in target:
        target.folder(key).clean()  # after a merge that was interrupted
    return target
