"""Zarr arrays on disk whose files are checked when they are opened, and when they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError, first_line
from .seals import UNREADABLE, digest_of_node, read_json

#: A chunk with the codec CRC-32C ends with the checksum of its content, which the codec compares
#: when the chunk is read.
MARK = 4


def mark_of(chunk: Path) -> str:
    """Return the checksum at the end of a chunk as hexadecimal text; "" if it is too short."""
    with open(chunk, "rb") as file:
        if file.seek(0, os.SEEK_END) < MARK:
            return ""
        file.seek(-MARK, os.SEEK_END)
        return file.read(MARK).hex()


def chunk_file(folder: Path, chunk: int, ndim: int) -> Path:
    """Return a chunk in the folder of an array that is divided along its first axis alone."""
    return folder.joinpath("c", str(chunk), *["0"] * (ndim - 1))


def check_node(folder: Path, digest: str | None, argument: str) -> dict[str, Any]:
    """Return the description of an array, refusing one that is not as it was written.

    Parameters
    ----------
    folder : Path
        The folder of the array.
    digest : str or None
        None in stores of earlier versions.
    argument : str
        The argument's name, for errors.

    Raises
    ------
    InputError
        Naming the file.
    """
    path = folder / "zarr.json"
    try:
        node = read_json(path)
        intact = digest is None or digest_of_node(path) == digest
        why = "is damaged: it is not the file that was written"
    except FileNotFoundError:
        intact, why = False, "is missing"
    except UNREADABLE:
        intact, why = False, "is damaged: it cannot be read"
    if not intact:
        raise InputError(f"{argument}: {str(path)!r} {why}")
    return node


class SealedArray:
    """A Zarr array that names the chunk that is damaged.

    Otherwise it is the Zarr array: all else is asked of that.

    Parameters
    ----------
    array : zarr.Array
        Divided along its first axis alone, with a checksum at the end of every chunk, or none.
    folder : Path
        Of the array.
    marks : sequence of str or None
        The checksum of each chunk, with which no chunk passes for another; None in folders of
        earlier versions.
    argument : str, default "features"
        The argument's name, for errors.

    Attributes
    ----------
    folder : Path
    marks : sequence of str or None

    Raises
    ------
    InputError
        If a chunk is missing or has another size. None is read.
    """

    def __init__(
        self,
        array: Any,
        folder: Path,
        marks: Sequence[str] | None,
        argument: str = "features",
    ) -> None:
        self._array = array
        self.folder = folder
        self.marks = marks
        self._argument = argument
        self._seen: set[int] = set()
        self.shape: tuple[int, ...] = tuple(array.shape)
        self.dtype = array.dtype
        self.ndim: int = array.ndim
        self.chunks: tuple[int, ...] = tuple(array.chunks)
        size = math.prod(self.chunks) * self.dtype.itemsize + (MARK if array.compressors else 0)
        for chunk in range(self._count):
            path = self._file(chunk)
            try:
                intact, why = path.is_file() and path.stat().st_size == size, "is damaged"
            except OSError:  # a link to itself
                intact, why = False, "cannot be read"
            if not path.exists():
                intact, why = False, "is missing"
            if not intact:
                raise InputError(f"{self._argument}: {str(path)!r} {why}")

    @property
    def _count(self) -> int:
        return -(-self.shape[0] // self.chunks[0])

    def _file(self, chunk: int) -> Path:
        return chunk_file(self.folder, chunk, self.ndim)

    def __getitem__(self, part: Any) -> Any:
        """Read a part.

        Raises
        ------
        InputError
            If a chunk of it is damaged.
        """
        chunks = self._crossed(part)
        try:
            found = self._array[part]
        except IndexError:
            raise
        except UNREADABLE as error:
            for chunk in chunks:
                self._read_alone(chunk)
            raise InputError(
                f"{self._argument}: {str(self.folder)!r} cannot be read: {first_line(error)}"
            ) from error
        for chunk in chunks:
            self._check_mark(chunk)
        return found

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self[...], dtype=dtype)

    def __repr__(self) -> str:
        return repr(self._array)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_array":  # of an object that is half made, by copy
            raise AttributeError(name)
        return getattr(self._array, name)

    def _crossed(self, part: Any) -> range:
        """Return the chunks of the part that is asked for; all where that is hard to say."""
        first = part[0] if isinstance(part, tuple) and part else part
        if isinstance(first, slice):
            rows = range(self.shape[0])[first]
            if not rows:
                return range(0)
            low, high = min(rows[0], rows[-1]), max(rows[0], rows[-1])
        elif isinstance(first, (int, np.integer)) and not isinstance(first, bool):
            low = high = int(first) % max(1, self.shape[0])
        else:
            return range(self._count)
        return range(low // self.chunks[0], high // self.chunks[0] + 1)

    def _read_alone(self, chunk: int) -> None:
        """Read one chunk, to find out whether it is the one that is damaged."""
        try:
            self._array[chunk * self.chunks[0] : (chunk + 1) * self.chunks[0]]
        except UNREADABLE as error:
            raise InputError(
                f"{self._argument}: {str(self._file(chunk))!r} is damaged: {first_line(error)}"
            ) from error

    def _check_mark(self, chunk: int) -> None:
        if self.marks is None or chunk in self._seen:
            return
        path = self._file(chunk)
        try:
            intact, why = mark_of(path) == self.marks[chunk], "is not the chunk that was written"
        except (OSError, LookupError):
            intact, why = False, "is missing"
        if not intact:
            raise InputError(f"{self._argument}: {str(path)!r} {why}")
        self._seen.add(chunk)
