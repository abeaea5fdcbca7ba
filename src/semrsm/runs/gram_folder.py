"""The folder of one Gram of a run: a Zarr v3 group, written tile by tile.

::

    <gram>/
      zarr.json             the manifest, in its attributes
      gram/                 (2, N, M) float64, V and its upper bounds; a chunk is a tile
      row_squared_norms/    (N,) float64        column_…   where columns are other images
      row_exponents/        (N,) int64
      row_digests/          (N, 16) uint8: a digest of each image
      row_own_norms/        (N,) float64, where the matcher has norms of its own
      tiles/<i>-<j>.json    appears when tile (i, j) is complete: its shape and checksum

The manifest holds a checksum of itself and of the arrays of the images, and digests of their files
by which a damaged one is named. It is written last, and until then a run that is growing has the
images that it had.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._internal.storage.files import to_disk
from .._internal.storage.folders import folder_aside, put_unless_there
from .._internal.storage.locks import locked
from .._internal.storage.seals import UNREADABLE, digest_of, digest_of_node, read_json
from ..errors import InputError, require
from .manifest import FORMAT, checksum_of, is_intact, sealed
from .side import Side, arrays_of, stored_side
from .tiles import Tiles


class GramFolder(Tiles):
    """One Gram on disk.

    Parameters
    ----------
    path : str or Path
        The folder.

    Attributes
    ----------
    path : Path
    manifest : dict
        The matcher, the version and the images.
    rows, columns : Side
        The images; the same object where they are one set.
    tiling : Tiling

    Raises
    ------
    InputError
        If the folder is not one that :meth:`create` made, or its manifest is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        found = Path(path)
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        try:
            group = zarr.open_group(found, mode="r")
            manifest: dict[str, Any] = dict(group.attrs["semrsm"])
            if manifest["format"] != FORMAT:
                raise KeyError("format")
            if not is_intact(manifest):
                raise ValueError("digest")
            checksum, is_symmetric = manifest["checksum"], bool(manifest["is_symmetric"])
        except UNREADABLE as error:
            raise InputError(
                f"run: {str(path)!r} holds no Gram of a run, or its description, "
                f"{str(found / 'zarr.json')!r}, is damaged"
            ) from error
        _check_files(found, manifest)
        try:
            rows = stored_side(group, manifest, "row")
            columns = rows if is_symmetric else stored_side(group, manifest, "column")
            chunks = tuple(group["gram"].chunks)
        except UNREADABLE as error:
            raise InputError(
                f"run: {str(path)!r} holds no Gram of a run, or its description is damaged"
            ) from error
        if (
            checksum != checksum_of(manifest, rows, columns)
            or chunks[1:] != (manifest["tile"],) * 2
        ):
            raise InputError(
                f"run: the description of the Gram in {str(path)!r} is damaged (its checksum "
                "differs)"
            )
        super().__init__(found, manifest, rows, columns)

    def reopened(self) -> GramFolder:
        """Open the folder again: it may have grown."""
        return GramFolder(self.path)

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make the folder of a Gram without tiles; keep one that has appeared meanwhile."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        path.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(path) as aside:
            group = zarr.create_group(aside, zarr_format=3)
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
            for name, data in arrays_of(rows, columns, manifest["is_symmetric"]).items():
                group.create_array(name, data=data, compressors=None)
            (aside / "tiles").mkdir()
            group.attrs["semrsm"] = sealed(manifest, rows, columns, _digests(aside))
            put_unless_there(aside, path)

    def resize(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Make room for more images; the tiles stay.

        Raises
        ------
        InputError
            If another process writes tiles: it would write them without the new images.
        """
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        with self._alone():
            group = zarr.open_group(self.path, mode="r+")
            group["gram"].resize((2, rows.count, columns.count))
            for name, data in arrays_of(rows, columns, self.tiling.is_symmetric).items():
                array = group[name]
                array.resize(data.shape)
                array[:] = data
            _keep(self.path, *arrays_of(rows, columns, self.tiling.is_symmetric))
            self.record(manifest, rows, columns)

    def record(self, manifest: Mapping[str, Any], rows: Side, columns: Side) -> None:
        """Replace the manifest, in one step."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        whole = sealed(manifest, rows, columns, _digests(self.path))
        zarr.open_group(self.path, mode="r+").attrs.put({"semrsm": whole})
        _keep(self.path)
        self.hold(whole, rows, columns)

    def has_room(self) -> bool:
        """Return whether the array has the size of the run: not after an interrupted growth."""
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        shape = zarr.open_array(self.path / "gram", mode="r").shape
        return tuple(shape) == (2, self.tiling.rows, self.tiling.columns)

    def writing(self) -> contextlib.AbstractContextManager[bool]:
        """Hold the size fixed while tiles are written, by any number of processes."""
        return locked(self.path, shared=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.path, wait=False))
            except BlockingIOError as error:
                raise InputError(
                    f"run: {str(self.path)!r} is being written by another process; it can grow "
                    "when that has ended"
                ) from error
            yield

    def clean(self) -> None:
        """Delete the files that interrupted writers have left, unless somebody is writing."""
        with (
            contextlib.suppress(BlockingIOError),  # the last to end cleans
            locked(self.path, wait=False) as alone,
        ):
            if alone:
                with contextlib.suppress(OSError):  # on a read-only disk, or a folder
                    for pattern in ("gram/**/.*", "tiles/.*", "**/*.partial"):
                        for left in self.path.glob(pattern):
                            left.unlink(missing_ok=True)


def _digests(group: Path) -> dict[str, str]:
    """Return digests of the files that describe a Gram, by their places in its folder."""
    found = {}
    for description in sorted(group.glob("*/zarr.json")):
        found[description.relative_to(group).as_posix()] = digest_of_node(description)
        if description.parent.name != "gram":  # tiles have markers
            for part in sorted(description.parent.glob("c/**/*")):
                if part.is_file() and part.suffix != ".partial":  # of an interrupted writer
                    found[part.relative_to(group).as_posix()] = digest_of(part)
    return found


def _check_files(group: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse a Gram with a file that is missing or damaged; runs of earlier versions do not tell.

    While a Gram grows, its arrays are longer than its manifest says, and the checksum alone tells
    whether their beginnings are as they were.

    Raises
    ------
    InputError
        Naming the file.
    """
    is_growing = False
    for name, digest in manifest.get("files", {}).items():
        path = group / name
        try:
            if path.name == "zarr.json":
                if name == "gram/zarr.json":
                    rows = len(manifest["row_ids"])
                    columns = rows if manifest["is_symmetric"] else len(manifest["column_ids"])
                    is_growing = read_json(path)["shape"] != [2, rows, columns]
                intact = digest_of_node(path) == digest
            else:
                intact = is_growing or digest_of(path) == digest
            why = "is damaged: it is not the file that was written"
        except FileNotFoundError:
            intact, why = False, "is missing"
        except UNREADABLE:
            intact, why = False, "is damaged: it cannot be read"
        if not intact:
            raise InputError(f"run: {str(path)!r} {why}")


def _keep(group: Path, *arrays: str) -> None:
    """Wait until the description of a Gram is on the disk, before anything relies on it."""
    for folder in (group, group / "gram", *(group / name for name in arrays)):
        for file in [*folder.glob("zarr.json"), *folder.glob("c/**/*")]:
            if folder.name != "gram" or file.name == "zarr.json":
                to_disk(file)
