"""Features in HDF5 files of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import require
from .content import Content, ids_among, layers_among
from .extents import check_hdf5_extent


def read(source: Path) -> Content:
    """Open a file; its data sets are read when they are sliced."""
    h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
    arrays: dict[str, Any] = {}
    # Left open: the data sets are read later, and close it when the last of them is let go.
    file = h5py.File(source, "r")

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            if node.shape is not None and len(node.shape) in (3, 4):
                check_hdf5_extent(node, source)
            arrays[name] = node

    file.visititems(visit)
    # A fixed-length array is read as bytes: asked for text, h5py would decode it as ASCII.
    return Content(layers_among(arrays), ids_among(arrays), provenance={"source": source.name})
