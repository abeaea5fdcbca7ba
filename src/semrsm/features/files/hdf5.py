"""Features in HDF5 files of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import require
from .content import Content, layers_among


def read(source: Path) -> Content:
    """Open a file; its data sets are read when they are sliced."""
    h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
    arrays: dict[str, Any] = {}
    # Left open: the data sets are read later, and close it when the last of them is let go.
    file = h5py.File(source, "r")

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node

    file.visititems(visit)
    ids = arrays.pop("ids", None)
    if ids is not None and (ids.ndim != 1 or h5py.check_string_dtype(ids.dtype) is None):
        ids = None
    return Content(
        layers_among(arrays),
        None if ids is None else ids.asstr()[:].tolist(),
        provenance={"source": source.name},
    )
