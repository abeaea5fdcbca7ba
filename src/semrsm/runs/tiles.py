"""The tiles of one Gram on disk: a chunk and a marker for each.

A chunk is written aside and renamed, and its marker after it. An interrupted tile has no marker, a
damaged one has another checksum, and both are computed again.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.storage.files import replacing
from .._internal.storage.seals import UNREADABLE, read_json
from ..engine.tiling import Tiling
from ..errors import InputError, SemrsmError
from ..tokens import DIGEST
from .manifest import FINGERPRINT
from .side import Side

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

VALUE, UPPER_BOUND = 0, 1


class DamagedTileError(SemrsmError):
    """A tile on disk does not have the content that was written."""


@dataclass(frozen=True)
class Marker:
    """The record of a complete tile.

    Attributes
    ----------
    shape : (int, int)
        The part that is complete: less than the tile if the run has grown since.
    largest_gap : float
    checksum : str
    """

    shape: tuple[int, int]
    largest_gap: float
    checksum: str


class Tiles(ABC):
    """The tiles of one Gram, which are written one by one and read in any ranges.

    Attributes
    ----------
    path : Path
        The folder of the Gram.
    manifest : dict
        The matcher, the version and the images.
    rows, columns : Side
        The images; the same object where they are one set.
    tiling : Tiling
    """

    def __init__(self, path: Path, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        self.path = path
        self.hold(manifest, rows, columns)

    def hold(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Take the description of the Gram, now or after it has grown."""
        self.manifest = dict(manifest)
        self.rows, self.columns = rows, columns
        self.tiling = Tiling(
            rows.count, columns.count, int(manifest["tile"]), bool(manifest["is_symmetric"])
        )
        self._checked: set[tuple[int, int]] = set()

    @abstractmethod
    def reopened(self) -> Tiles:
        """Read the description of the Gram again: it may have grown."""

    def marker(self, tile: tuple[int, int]) -> Path:
        """Return the file that says that a tile is complete."""
        return self.path / "tiles" / f"{tile[0]}-{tile[1]}.json"

    def chunk(self, tile: tuple[int, int]) -> Path:
        """Return the file of a tile."""
        return self.path / "gram" / "c" / "0" / str(tile[0]) / str(tile[1])

    def marked(self, tile: tuple[int, int]) -> Marker | None:
        """Return the marker of a tile; None where nothing of it is complete.

        Raises
        ------
        DamagedTileError
            If the marker cannot be read.
        """
        try:
            found = read_json(self.marker(tile))
            height, width = found["shape"]
            marker = Marker((height, width), float(found["largest_gap"]), str(found["checksum"]))
        except FileNotFoundError:
            return None
        except UNREADABLE as error:
            raise self._damaged(tile, "its marker cannot be read") from error
        if not all(type(n) is int and 0 < n <= self.tiling.side for n in marker.shape):
            raise self._damaged(tile, "its marker is not one")
        return marker

    def complete(self, tile: tuple[int, int]) -> Marker | None:
        """Return the marker of a tile if it says that the whole tile is there; else None."""
        try:
            found = self.marked(tile)
        except DamagedTileError:
            return None
        rows, columns = self.tiling.place(tile)
        if found is None or found.shape[0] < rows.stop - rows.start:
            return None
        return None if found.shape[1] < columns.stop - columns.start else found

    def read_tile(self, tile: tuple[int, int]) -> Array:
        """Read and check V and the bounds of the complete part of a tile, shape (2, n, m).

        Raises
        ------
        DamagedTileError
            If they differ from those that were written, or cannot be read.
        """
        marker = self.marked(tile)
        if marker is None:
            raise self._damaged(tile, "it is not complete")
        height, width = marker.shape
        rows, columns = self.tiling.place(tile)
        if height > rows.stop - rows.start or width > columns.stop - columns.start:
            now = self.reopened()
            if now.tiling == self.tiling:
                raise self._damaged(tile, "its marker is not one")
            return now.read_tile(tile)  # it knows the images that have been added since
        found = self._load(tile)[:, :height, :width]
        if self._checksum(tile, found, marker.largest_gap) != marker.checksum:
            raise self._damaged(tile, "its checksum differs")
        return found

    def write_tile(self, tile: tuple[int, int], content: Array, largest_gap: float) -> None:
        """Write V and the bounds of a tile, (2, n, m), and then its marker."""
        said = {
            "shape": list(content.shape[1:]),
            "largest_gap": largest_gap,
            "checksum": self._checksum(tile, content, largest_gap),
        }
        # An old marker stays valid meanwhile: it describes the same content, or the part of it from
        # before the run grew. Another process that writes the tile writes the same bytes.
        _write(self.chunk(tile), self._padded(content))
        _write(self.marker(tile), _marker_text(said))

    def mend(self, tile: tuple[int, int]) -> None:
        """Write a complete tile again where its files hold its content, and yet other bytes.

        Raises
        ------
        DamagedTileError
            As :meth:`read_tile`.
        """
        content = self.read_tile(tile)
        text = self.marker(tile).read_bytes()
        marker = self.marked(tile)
        as_written = self._load(tile).tobytes() == self._padded(content).tobytes()
        if marker is not None and (not as_written or text != _marker_text(asdict(marker))):
            self.write_tile(tile, content, marker.largest_gap)

    def _padded(self, content: Array) -> Array:
        """Return the chunk of a tile: a whole one, with NaN beyond the images that there are."""
        side, shape = self.tiling.side, content.shape[1:]
        if shape == (side, side):
            return np.ascontiguousarray(content, dtype="<f8")
        whole = np.full((2, side, side), np.nan, dtype="<f8")
        whole[:, : shape[0], : shape[1]] = content
        return whole

    def discard(self, tile: tuple[int, int]) -> None:
        """Mark a tile as not complete, by deleting its marker.

        Its chunk stays until it is replaced: if another process has just done so, its marker must
        not be left without it.

        Raises
        ------
        InputError
            If a folder has the name of the marker.
        """
        if self.marker(tile).is_dir():
            raise InputError(
                f"run: expected the marker of a tile; {str(self.marker(tile))!r} is a folder: "
                "delete it"
            )
        self.marker(tile).unlink(missing_ok=True)

    def read(self, rows: slice, columns: slice, quantity: int = VALUE) -> Array:
        """Read a part of V or of the bounds.

        Parameters
        ----------
        rows, columns : slice
            Both ends as numbers from 0.
        quantity : int
            ``VALUE`` or ``UPPER_BOUND``.

        Raises
        ------
        DamagedTileError
            If a tile is missing or damaged.
        """
        found: Array = self._gather(rows, columns, slice(quantity, quantity + 1))[0]
        return found

    def read_both(self, rows: slice, columns: slice) -> Array:
        """Read a part of V and of the bounds, (2, n, m), each tile once; see :meth:`read`."""
        return self._gather(rows, columns, slice(None))

    def _gather(self, rows: slice, columns: slice, quantities: slice) -> Array:
        count = len(range(2)[quantities])
        found = np.empty((count, rows.stop - rows.start, columns.stop - columns.start))
        for i, down, from_row in _crossed(rows, self.tiling.side):
            for j, across, from_column in _crossed(columns, self.tiling.side):
                # For one set of images there are only tiles on and above the diagonal.
                mirrored = self.tiling.is_symmetric and i > j
                tile = self._seen((j, i) if mirrored else (i, j))[quantities]
                whole = tile.swapaxes(1, 2) if mirrored else tile
                found[:, down, across] = whole[:, from_row, from_column]
        return found

    def _seen(self, tile: tuple[int, int]) -> Array:
        """Read a tile, and check it the first time."""
        if tile in self._checked:
            return self._load(tile)
        found = self.read_tile(tile)
        self._checked.add(tile)
        return found

    def _load(self, tile: tuple[int, int]) -> Array:
        side = self.tiling.side
        try:
            data = self.chunk(tile).read_bytes()
        except OSError as error:
            raise self._damaged(tile, f"it cannot be read: {error.strerror}") from error
        if len(data) != 2 * side * side * 8:
            raise self._damaged(tile, "its file is of another size")
        return np.frombuffer(data, dtype="<f8").reshape(2, side, side)

    def _checksum(self, tile: tuple[int, int], content: Array, largest_gap: float) -> str:
        """Return a digest of a tile, its place, matcher and images: no other tile has the same."""
        rows, columns = self.tiling.place(tile)
        _, height, width = content.shape
        about = [self.manifest[key] for key in FINGERPRINT]
        digest = blake2b(digest_size=DIGEST)
        digest.update(json.dumps([*about, tile, [height, width], largest_gap]).encode())
        digest.update(self.rows.digests[rows.start : rows.start + height].tobytes())
        digest.update(self.columns.digests[columns.start : columns.start + width].tobytes())
        digest.update(np.ascontiguousarray(content, dtype="<f8").data)
        return digest.hexdigest()

    def _damaged(self, tile: tuple[int, int], why: str) -> DamagedTileError:
        return DamagedTileError(
            f"run: tile {tile[0]}-{tile[1]} in {str(self.path)!r} is damaged ({why}); the call or "
            "command that made the run computes it again"
        )


def _write(path: Path, data: Any) -> None:
    """Write a file of a Gram, also where its folder is missing.

    Raises
    ------
    InputError
        If a folder has its name, or a file that of its folder.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"run: expected a folder; {error.filename!r} is none") from error
    with replacing(path) as aside:
        aside.write_bytes(data)


def _marker_text(said: Mapping[str, Any]) -> bytes:
    return (json.dumps(said) + "\n").encode()


def _crossed(part: slice, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield the tiles that a part crosses: index, slice of the part, slice of the tile."""
    for i in range(part.start // side, -(-part.stop // side) if part.stop > part.start else 0):
        first, last = max(part.start, i * side), min(part.stop, (i + 1) * side)
        yield (
            i,
            slice(first - part.start, last - part.start),
            slice(first - i * side, last - i * side),
        )
