"""Arrays on disk as the paths that another process opens again, for pickle and copies."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.storage.arrays import SealedArray
from .._internal.storage.seals import UNREADABLE
from ..errors import InputError, require
from ..tokens import MappedFile, MaskedImages


@dataclass(frozen=True)
class OnDisk:
    """An array in a file or store that is opened by its path.

    Attributes
    ----------
    kind : {"map", "hdf5", "zarr", "store"}
    path : str
        The absolute path of the file or store.
    place : object
        Where the array is in it: a memory map's offset, shape and dtype, or the name of an array;
        of an array of a feature store, which is opened alone, the checksums of its chunks.
    """

    kind: str
    path: str
    place: Any

    def open(self) -> Any:
        """Open the array again; it is read when it is sliced.

        Raises
        ------
        InputError
            If the file is not there any more, or holds no such array.
        """
        try:
            if self.kind == "map":
                offset, shape, dtype = self.place
                return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)
            if self.kind == "hdf5":
                h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
                return h5py.File(self.path, "r")[self.place]
            zarr = require("zarr", extra="scale", purpose="The feature store")
            if self.kind == "store":
                found = zarr.open_array(self.path, mode="r")
                return SealedArray(found, Path(self.path), self.place)
            return zarr.open_array(self.path, path=self.place or None, mode="r")
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"features: expected their layers in {self.path!r}, as when they were pickled; "
                f"{error}"
            ) from error


def packed(array: Any) -> Any:
    """Return an array on disk as an :class:`OnDisk`, and any other as it is."""
    if isinstance(array, MaskedImages):
        return MaskedImages(packed(array.array), array.kept)
    mapped = MappedFile.of(array)
    if mapped is not None:
        return OnDisk("map", mapped.path, (mapped.offset, mapped.shape, mapped.dtype))
    h5py, zarr = sys.modules.get("h5py"), sys.modules.get("zarr")
    if h5py is not None and isinstance(array, h5py.Dataset):
        return OnDisk("hdf5", str(Path(array.file.filename).resolve()), array.name)
    if isinstance(array, SealedArray):
        return OnDisk("store", str(array.folder.resolve()), array.marks)
    if zarr is not None and isinstance(array, zarr.Array):
        root = getattr(array.store, "root", None)  # only local stores have one
        if isinstance(root, Path):
            return OnDisk("zarr", str(root.resolve()), array.path)
    return array


def unpacked(array: Any) -> Any:
    """Return what :func:`packed` was given, opened again where it is on disk."""
    if isinstance(array, MaskedImages):
        return MaskedImages(unpacked(array.array), array.kept)
    return array.open() if isinstance(array, OnDisk) else array
