"""Where features lie on disk, so that other processes open them instead of being sent them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, require


def source_of(x: Any) -> dict[str, str] | None:
    """Return where an array lies: a Zarr array, an HDF5 data set or a memory-mapped ``.npy`` file.

    Returns
    -------
    dict or None
        ``path`` and, inside files and folders with several arrays, ``array``; None where the array
        is in memory only.
    """
    if isinstance(x, np.memmap):
        path = Path(x.filename) if x.filename is not None else None
        if path is not None and path.suffix == ".npy" and x.flags.c_contiguous:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            if mapped.shape == x.shape and mapped.offset == x.offset:
                return {"path": str(path.resolve())}
        return None
    root = getattr(getattr(x, "store", None), "root", None)
    if root is not None and hasattr(x, "path"):  # zarr.Array on a LocalStore
        return {"path": str(Path(root).resolve()), "array": str(x.path)}
    file = getattr(getattr(x, "file", None), "filename", None)
    if file is not None and hasattr(x, "name"):  # h5py.Dataset
        return {"path": str(Path(file).resolve()), "array": str(x.name)}
    return None


def open_source(source: Mapping[str, str]) -> Any:
    """Open what :func:`source_of` described.

    Raises
    ------
    InputError
        If it is not there.
    """
    path = Path(source["path"])
    if not path.exists():
        raise InputError(
            f"features: expected {str(path)!r}, which the run was made from; it is not there"
        )
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if path.is_dir():
        zarr = require("zarr", extra="scale", purpose="Zarr stores")
        group = zarr.open(path, mode="r")
        return group[source["array"]] if source["array"] else group
    h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
    return h5py.File(path, "r")[source["array"]]
