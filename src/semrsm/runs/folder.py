"""The folder of one Gram of a run: a Zarr v3 group, written tile by tile.

::

    <gram>/
      zarr.json             what was matched with what, in its attributes: the manifest
      gram/                 (2, N, M) float64, V and its upper bounds; a chunk is a tile
      row_squared_norms/    (N,) float64        column_…   where columns are other images
      row_exponents/        (N,) int64
      row_digests/          (N, 16) uint8: what each image must be
      tiles/<i>-<j>.json    appears when tile (i, j) is complete: its shape and checksum

A chunk is written aside and renamed, and its marker after it. What was interrupted has no marker,
what was damaged has another checksum, and both are computed again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._files import replacing
from ..errors import InputError, SemrsmError, require
from ..tokens import DIGEST, Measured, Tokens
from .tiling import Tiling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FORMAT = "semrsm.run.gram/1"

VALUE, UPPER_BOUND = 0, 1


class DamagedTileError(SemrsmError):
    """A tile on disk is not what was written there."""


class GramFolder:
    """One Gram on disk.

    Parameters
    ----------
    path : str or Path
        The folder.

    Attributes
    ----------
    path : Path
    manifest : dict
        What was matched with what.
    tiling : Tiling

    Raises
    ------
    InputError
        If the folder is not one that :meth:`create` made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        try:
            self._group = zarr.open_group(self.path, mode="r+")
            self.manifest: dict[str, Any] = dict(self._group.attrs["semrsm"])
            if self.manifest["format"] != FORMAT:
                raise KeyError("format")
            self._gram = self._group["gram"]
            _, rows, columns = self._gram.shape
            self.tiling = Tiling(
                rows, columns, int(self.manifest["tile"]), bool(self.manifest["is_symmetric"])
            )
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise InputError(f"run: {str(path)!r} holds no Gram of a run") from error

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make the folder of a Gram without tiles; where one has appeared meanwhile, it stays."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            group = zarr.create_group(aside, zarr_format=3)
            side = int(manifest["tile"])
            group.create_array(
                "gram",
                shape=(2, rows.count, columns.count),
                chunks=(2, side, side),
                dtype="float64",
                # Full-precision numbers hardly compress; the checksum tells a damaged file.
                compressors=[zarr.codecs.Crc32cCodec()],
                fill_value=float("nan"),
                dimension_names=("value, upper bound", "row", "column"),
            )
            for name, data in _arrays(rows, columns, manifest["is_symmetric"]).items():
                group.create_array(name, data=data, compressors=None)
            group.attrs["semrsm"] = dict(manifest)
            (aside / "tiles").mkdir()
            aside.chmod(0o755)
            with contextlib.suppress(OSError):  # somebody else was faster: theirs is as good
                aside.rename(path)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def grow(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make room for more images; what is there stays.

        Raises
        ------
        InputError
            If another process writes tiles: it would write them without the new images.
        """
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB):
            self._gram.resize((2, rows.count, columns.count))
            for name, data in _arrays(rows, columns, self.tiling.is_symmetric).items():
                array = self._group[name]
                old = array.shape[0]
                array.resize(data.shape)
                array[old:] = data[old:]
            # Last: until then the folder says that it is smaller than it is, which does no harm.
            self._group.attrs["semrsm"] = dict(manifest)
        self.tiling = Tiling(rows.count, columns.count, self.tiling.side, self.tiling.is_symmetric)
        self.manifest = dict(manifest)
        for name in ("rows", "columns"):
            self.__dict__.pop(name, None)

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Keep the size as it is while tiles are written; any number of processes may."""
        return self._locked(fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Hold the lock of the folder, which ends with its process."""
        with open(self.path / ".lock", "a") as file:
            try:
                fcntl.flock(file, how)
            except BlockingIOError as error:
                raise InputError(
                    f"run: {str(self.path)!r} is being written by another process; it can grow "
                    "when that has ended"
                ) from error
            except OSError as error:  # some cluster file systems have no locks
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
            yield

    @cached_property
    def rows(self) -> Side:
        """What the manifest knows of the row images."""
        return self._side("row")

    @cached_property
    def columns(self) -> Side:
        """What the manifest knows of the column images; the row images of one set."""
        return self.rows if self.tiling.is_symmetric else self._side("column")

    def _side(self, name: str) -> Side:
        return Side(
            ids=tuple(self.manifest[f"{name}_ids"]),
            squared_norms=self._group[f"{name}_squared_norms"][:],
            exponents=self._group[f"{name}_exponents"][:],
            digests=self._group[f"{name}_digests"][:],
        )

    # Tiles

    def marker(self, tile: tuple[int, int]) -> Path:
        """Return the file that says that a tile is complete."""
        return self.path / "tiles" / f"{tile[0]}-{tile[1]}.json"

    def finished(self, tile: tuple[int, int]) -> tuple[int, int] | None:
        """Return the shape of what is complete of a tile, smaller than it where the run grew."""
        found = self._read_marker(tile)
        return None if found is None else (found["shape"][0], found["shape"][1])

    def is_complete(self, tile: tuple[int, int]) -> bool:
        """Whether all of a tile is there."""
        return self.finished(tile) == _shape(self.tiling.place(tile))

    def gap(self, tile: tuple[int, int]) -> float:
        """Return the largest relative gap of a complete tile."""
        found = self._read_marker(tile)
        return float("nan") if found is None else float(found["largest_gap"])

    def _read_marker(self, tile: tuple[int, int]) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(self.marker(tile).read_text(encoding="utf-8"))
            if len(found["shape"]) != 2 or not isinstance(found["checksum"], str):
                raise ValueError("not a marker")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):  # a torn or damaged marker marks nothing
            return None
        return found

    def read_tile(self, tile: tuple[int, int]) -> Array:
        """Read V and the bounds of a complete tile, shape (2, n, m), and check them.

        Raises
        ------
        DamagedTileError
            If they are not what was written, or cannot be read.
        """
        marker = self._read_marker(tile)
        if marker is None:
            raise DamagedTileError(f"{self.path}: tile {tile} is not complete")
        rows, columns = self.tiling.place(tile)
        height, width = marker["shape"]
        try:
            found: Array = self._gram[
                :,
                rows.start : rows.start + height,
                columns.start : columns.start + width,
            ]
        except Exception as error:
            raise DamagedTileError(f"{self.path}: tile {tile} cannot be read: {error}") from error
        if _checksum(found) != marker["checksum"]:
            raise DamagedTileError(f"{self.path}: tile {tile} is damaged (its checksum differs)")
        return found

    def write_tile(self, tile: tuple[int, int], content: Array, largest_gap: float) -> None:
        """Write V and the bounds of a tile, (2, n, m), and then its marker."""
        rows, columns = self.tiling.place(tile)
        # An old marker stays meanwhile: it is that of the same content, or of the part of it that
        # was there before the run grew. Somebody else who writes the tile writes the same bytes.
        self._gram[:, rows, columns] = content
        text = json.dumps(
            {
                "shape": list(content.shape[1:]),
                "checksum": _checksum(content),
                "largest_gap": largest_gap,
            }
        )
        with replacing(self.marker(tile)) as aside:
            aside.write_text(text + "\n", encoding="utf-8")

    def discard(self, tile: tuple[int, int]) -> None:
        """Take back a tile: its marker and its chunk."""
        self.marker(tile).unlink(missing_ok=True)
        self.chunk(tile).unlink(missing_ok=True)

    def chunk(self, tile: tuple[int, int]) -> Path:
        """Return the file of a tile."""
        return self.path / "gram" / "c" / "0" / str(tile[0]) / str(tile[1])

    def read(self, rows: slice, columns: slice, quantity: int = VALUE) -> Array:
        """Read a part of V or of the bounds as it lies; NaN where no tile is."""
        found: Array = self._gram[quantity, rows, columns]
        return found

    def clean(self) -> None:
        """Delete what interrupted writers have left beside the files of a complete run."""
        for left in [*self.path.rglob("*.partial"), *(self.path / "tiles").glob(".*")]:
            left.unlink(missing_ok=True)


class Side:
    """What a run knows of the images on one of its sides.

    Attributes
    ----------
    ids : tuple of str
    squared_norms, exponents : ndarray, shape (N,)
        See :class:`semrsm.tokens.Tokens`.
    digests : ndarray of uint8, shape (N, 16)
    """

    def __init__(
        self,
        ids: tuple[str, ...],
        squared_norms: Array,
        exponents: NDArray[np.int64],
        digests: NDArray[np.uint8],
    ) -> None:
        self.ids = ids
        self.squared_norms = squared_norms
        self.exponents = exponents
        self.digests = digests

    @classmethod
    def of(cls, tokens: Tokens, ids: tuple[str, ...]) -> Side:
        """Return what is known of images that have just been measured; digests are a pass."""
        return cls(ids, tokens.squared_norms, tokens.exponents, tokens.digests())

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.squared_norms)

    @property
    def measured(self) -> Measured:
        """What :class:`semrsm.tokens.Tokens` need not find out again."""
        return Measured(self.squared_norms, self.exponents)

    def differs(self, other: Side) -> str | None:
        """Say in which image another side, of as many images or more, differs; None if in none."""
        count = self.count
        if self.ids != other.ids[:count]:
            i = next(n for n in range(count) if self.ids[n] != other.ids[n])
            return f"image {i} is {other.ids[i]!r}, and was {self.ids[i]!r}"
        same = (self.digests == other.digests[:count]).all(axis=1)
        if not same.all():
            i = int(np.argmin(same))
            return f"the features of image {i} ({self.ids[i]!r}) are not what they were"
        return None


def check_content(tokens: Tokens, digests: NDArray[np.uint8], first: int, path: Path) -> None:
    """Refuse images in memory that are not those that the run was made for.

    Raises
    ------
    InputError
        If one is another.
    """
    same = (tokens.digests() == digests[first : first + tokens.count]).all(axis=1)
    if not same.all():
        raise InputError(
            f"features: expected those that the run {str(path)!r} was made from; those of image "
            f"{first + int(np.argmin(same))} are others"
        )


def _arrays(rows: Side, columns: Side, is_symmetric: bool) -> dict[str, NDArray[Any]]:
    sides = {"row": rows} if is_symmetric else {"row": rows, "column": columns}
    return {
        f"{name}_{what}": getattr(side, what)
        for name, side in sides.items()
        for what in ("squared_norms", "exponents", "digests")
    }


def _shape(place: tuple[slice, slice]) -> tuple[int, int]:
    rows, columns = place
    return rows.stop - rows.start, columns.stop - columns.start


def _checksum(content: Array) -> str:
    return blake2b(np.ascontiguousarray(content).data, digest_size=DIGEST).hexdigest()


def free_bytes(path: Path) -> int:
    """Return what the disk under a folder that may not exist yet has free."""
    existing = path.resolve()
    while not existing.exists():
        existing = existing.parent
    found = os.statvfs(existing)
    return found.f_bavail * found.f_frsize
