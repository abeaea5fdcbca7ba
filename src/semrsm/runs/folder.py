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
what was damaged has another checksum, and both are computed again. The manifest holds a checksum
of itself and of the arrays of the images; it is written last, and until then a run that is growing
is still what it was.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.tiling import Tiling
from ..errors import InputError, SemrsmError, require
from ..tokens import DIGEST, Measured, Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

FORMAT = "semrsm.run.gram/1"

VALUE, UPPER_BOUND = 0, 1

#: What must be the same where tiles are to lie in one Gram, besides the images; with what it is
#: called.
FINGERPRINT = {
    "semrsm": "the version of semrsm",
    "matcher": "the matcher",
    "dtype": "the dtype",
    "device": "the kind of device",
    "channels": "the number of channels",
    "is_symmetric": "whether rows and columns are the same images",
}

#: What Zarr and JSON raise where a file is missing or is not what it should be.
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError, OSError)


class DamagedTileError(SemrsmError):
    """A tile on disk is not what was written there."""


@dataclass(frozen=True)
class Marker:
    """What is said of a tile when it is complete.

    Attributes
    ----------
    shape : (int, int)
        How much of it is there: less than all where the run has grown since.
    largest_gap : float
    checksum : str
    """

    shape: tuple[int, int]
    largest_gap: float
    checksum: str


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
    rows, columns : Side
        What is known of the images; the same object for one set of images.
    tiling : Tiling

    Raises
    ------
    InputError
        If the folder is not one that :meth:`create` made, or its manifest is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        try:
            group = zarr.open_group(self.path, mode="r")
            manifest: dict[str, Any] = dict(group.attrs["semrsm"])
            if manifest["format"] != FORMAT:
                raise KeyError("format")
            seal, is_symmetric = manifest["checksum"], bool(manifest["is_symmetric"])
            rows = _stored_side(group, manifest, "row")
            columns = rows if is_symmetric else _stored_side(group, manifest, "column")
            chunks = tuple(group["gram"].chunks)
        except UNREADABLE as error:
            raise InputError(
                f"run: {str(path)!r} holds no Gram of a run, or what describes it is damaged"
            ) from error
        if seal != _seal(manifest, rows, columns) or chunks[1:] != (manifest["tile"],) * 2:
            raise InputError(
                f"run: what describes the Gram in {str(path)!r} is damaged (its checksum differs)"
            )
        self._hold(manifest, rows, columns)

    def _hold(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        self.manifest = dict(manifest)
        self.rows, self.columns = rows, columns
        self.tiling = Tiling(
            rows.count, columns.count, int(manifest["tile"]), bool(manifest["is_symmetric"])
        )
        self._checked: set[tuple[int, int]] = set()

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make the folder of a Gram without tiles; where one has appeared meanwhile, it stays."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        path.parent.mkdir(parents=True, exist_ok=True)
        with _made_aside(path) as aside:
            group = zarr.create_group(
                aside, zarr_format=3, attributes={"semrsm": _sealed(manifest, rows, columns)}
            )
            side = int(manifest["tile"])
            group.create_array(
                "gram",
                shape=(2, rows.count, columns.count),
                chunks=(2, side, side),
                dtype="<f8",
                # Full-precision numbers hardly compress.
                compressors=None,
                fill_value=float("nan"),
                dimension_names=("value, upper bound", "row", "column"),
            )
            for name, data in _arrays(rows, columns, manifest["is_symmetric"]).items():
                group.create_array(name, data=data, compressors=None)
            (aside / "tiles").mkdir()

    def resize(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make room for more images; what is there stays.

        Raises
        ------
        InputError
            If another process writes tiles: it would write them without the new images.
        """
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        with self._alone():
            group = zarr.open_group(self.path, mode="r+")
            group["gram"].resize((2, rows.count, columns.count))
            for name, data in _arrays(rows, columns, self.tiling.is_symmetric).items():
                array = group[name]
                array.resize(data.shape)
                array[:] = data
            _keep(self.path, *_arrays(rows, columns, self.tiling.is_symmetric))
            self.record(manifest, rows, columns)

    def record(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Replace the manifest, in one step."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        sealed = _sealed(manifest, rows, columns)
        zarr.open_group(self.path, mode="r+").attrs.put({"semrsm": sealed})
        _keep(self.path)
        self._hold(sealed, rows, columns)

    def has_room(self) -> bool:
        """Whether the array is of the size of the run, and no growth of it was interrupted."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        shape = zarr.open_array(self.path / "gram", mode="r").shape
        return tuple(shape) == (2, self.tiling.rows, self.tiling.columns)

    def writing(self) -> contextlib.AbstractContextManager[bool]:
        """Keep the size as it is while tiles are written; any number of processes may."""
        return locked(self.path, fcntl.LOCK_SH)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise InputError(
                    f"run: {str(self.path)!r} is being written by another process; it can grow "
                    "when that has ended"
                ) from error
            yield

    # Tiles

    def marker(self, tile: tuple[int, int]) -> Path:
        """Return the file that says that a tile is complete."""
        return self.path / "tiles" / f"{tile[0]}-{tile[1]}.json"

    def chunk(self, tile: tuple[int, int]) -> Path:
        """Return the file of a tile."""
        return self.path / "gram" / "c" / "0" / str(tile[0]) / str(tile[1])

    def marked(self, tile: tuple[int, int]) -> Marker | None:
        """Return what is said of a tile; None where nothing of it is complete.

        Raises
        ------
        DamagedTileError
            If that cannot be read.
        """
        try:
            found = json.loads(self.marker(tile).read_text(encoding="utf-8"))
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
        """Return what is said of a tile where all of it is there, by its marker; else None."""
        try:
            found = self.marked(tile)
        except DamagedTileError:
            return None
        rows, columns = self.tiling.place(tile)
        if found is None or found.shape[0] < rows.stop - rows.start:
            return None
        return None if found.shape[1] < columns.stop - columns.start else found

    def read_tile(self, tile: tuple[int, int]) -> Array:
        """Read V and the bounds of what is complete of a tile, shape (2, n, m), and check them.

        Raises
        ------
        DamagedTileError
            If they are not what was written, or cannot be read.
        """
        marker = self.marked(tile)
        if marker is None:
            raise self._damaged(tile, "it is not complete")
        height, width = marker.shape
        rows, columns = self.tiling.place(tile)
        if height > rows.stop - rows.start or width > columns.stop - columns.start:
            now = GramFolder(self.path)
            if now.tiling == self.tiling:
                raise self._damaged(tile, "its marker is not one")
            return now.read_tile(tile)  # which knows the images that have been added since
        found = self._load(tile)[:, :height, :width]
        if self._checksum(tile, found, marker.largest_gap) != marker.checksum:
            raise self._damaged(tile, "its checksum differs")
        return found

    def write_tile(self, tile: tuple[int, int], content: Array, largest_gap: float) -> None:
        """Write V and the bounds of a tile, (2, n, m), and then its marker."""
        side, shape = self.tiling.side, content.shape[1:]
        whole = np.ascontiguousarray(content, dtype="<f8")
        if shape != (side, side):
            whole = np.full((2, side, side), np.nan, dtype="<f8")
            whole[:, : shape[0], : shape[1]] = content
        said = {
            "shape": list(shape),
            "largest_gap": largest_gap,
            "checksum": self._checksum(tile, content, largest_gap),
        }
        # An old marker stays meanwhile: it is that of the same content, or of the part of it that
        # was there before the run grew. Somebody else who writes the tile writes the same bytes.
        self.chunk(tile).parent.mkdir(parents=True, exist_ok=True)
        _write(self.chunk(tile), whole)
        _write(self.marker(tile), (json.dumps(said) + "\n").encode())

    def discard(self, tile: tuple[int, int]) -> None:
        """Say no more that a tile is complete.

        Its chunk stays until it is replaced: if somebody else has just done so, their marker must
        not be left without it.
        """
        self.marker(tile).unlink(missing_ok=True)

    def read(self, rows: slice, columns: slice, quantity: int = VALUE) -> Array:
        """Read a part of V or of the bounds.

        Parameters
        ----------
        rows, columns : slice
            From where to where, without negative numbers.
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
                # Of one set of images only tiles on and above the diagonal are there.
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
        """Return a digest of a tile and of what it belongs to: no other tile has the same."""
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

    def clean(self) -> None:
        """Delete what interrupted writers have left, unless somebody is writing."""
        with (
            contextlib.suppress(BlockingIOError),  # whoever ends last cleans
            locked(self.path, fcntl.LOCK_EX | fcntl.LOCK_NB) as alone,
        ):
            if alone:
                for pattern in ("gram/**/.*", "tiles/.*", "**/*.partial"):
                    for left in self.path.glob(pattern):
                        left.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path, how: int) -> Iterator[bool]:
    """Hold the lock of a folder, which ends with its process.

    Parameters
    ----------
    folder : Path
        It exists.
    how : int
        As for :func:`fcntl.flock`.

    Yields
    ------
    bool
        Whether it is held: some cluster file systems have no locks.

    Raises
    ------
    BlockingIOError
        If somebody else holds it and `how` says not to wait.
    """
    with open(folder / ".lock", "a") as file:
        held = True
        try:
            fcntl.flock(file, how)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            held = False
        try:
            yield held
        finally:
            if held:  # not only by closing: processes that were forked meanwhile have it open too
                fcntl.flock(file, fcntl.LOCK_UN)


def create_run_folder(path: Path, facts: Mapping[str, Any]) -> None:
    """Make the folder of a run, with its attributes; where one has appeared meanwhile, it stays."""
    zarr = require("zarr", extra="scale", purpose="Runs on disk")
    with _made_aside(path) as aside:
        zarr.create_group(aside, zarr_format=3, attributes={"semrsm": dict(facts)})


def remove_unfinished(path: Path) -> None:
    """Delete what was interrupted while the folder `path` was made."""
    for left in path.parent.glob(f".{path.name}-*"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _made_aside(path: Path) -> Iterator[Path]:
    """Make a folder aside, and rename it unless somebody else was faster: theirs is as good."""
    aside = _beside(path)
    aside.mkdir()
    try:
        yield aside
        for file in aside.rglob("*"):
            _flush(file)
        try:
            aside.rename(path)
        except OSError:
            if not (path / "zarr.json").exists():
                raise
        _flush(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _keep(group: Path, *arrays: str) -> None:
    """Have what describes a run on the disk before anything relies on it, in case power fails."""
    for folder in (group, group / "gram", *(group / name for name in arrays)):
        for file in [*folder.glob("zarr.json"), *folder.glob("c/**/*")]:
            if folder.name != "gram" or file.name == "zarr.json":
                _flush(file)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, data: Any) -> None:
    try:
        with _replacing(path) as aside:
            aside.write_bytes(data)
    except OSError as error:
        if error.filename is None:  # as where the disk is full
            error.filename = str(path)
        raise


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path`, and rename it to `path` when the block succeeds.

    Without a look at the umask, which can only be had by changing it: other threads write too.
    """
    aside = _beside(path)
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}-{uuid.uuid4().hex}")


def _crossed(part: slice, side: int) -> Iterator[tuple[int, slice, slice]]:
    """Yield the tiles that a part crosses: which, where in the part, and from where in the tile."""
    for i in range(part.start // side, -(-part.stop // side) if part.stop > part.start else 0):
        first, last = max(part.start, i * side), min(part.stop, (i + 1) * side)
        yield (
            i,
            slice(first - part.start, last - part.start),
            slice(first - i * side, last - i * side),
        )


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
        if other.count < count:
            return f"there were {count} images, and there are {other.count}"
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


def _stored_side(group: Any, manifest: Mapping[str, Any], name: str) -> Side:
    ids = tuple(manifest[f"{name}_ids"])
    count = len(ids)  # the arrays may be longer already, where a growth was interrupted
    side = Side(
        ids=ids,
        squared_norms=group[f"{name}_squared_norms"][:count],
        exponents=group[f"{name}_exponents"][:count],
        digests=group[f"{name}_digests"][:count],
    )
    if not len(side.squared_norms) == len(side.exponents) == len(side.digests) == count:
        raise ValueError(f"{name}: arrays of another length")
    return side


def _seal(manifest: Mapping[str, Any], rows: Side, columns: Side) -> str:
    """Return the checksum of a manifest and of the arrays beside it."""
    facts = {key: value for key, value in manifest.items() if key != "checksum"}
    digest = blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=DIGEST)
    for array in _arrays(rows, columns, is_symmetric=False).values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _sealed(manifest: Mapping[str, Any], rows: Side, columns: Side) -> dict[str, Any]:
    return {**manifest, "checksum": _seal(manifest, rows, columns)}


def free_bytes(path: Path) -> int:
    """Return what the disk under a folder that may not exist yet has free."""
    existing = path.resolve()
    while not existing.exists():
        existing = existing.parent
    found = os.statvfs(existing)
    return found.f_bavail * found.f_frsize
