"""Opening a complete store, or any Zarr v3 group or array of features."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..._internal.storage.arrays import SealedArray
from ..._internal.storage.seals import read_json
from ...errors import InputError, require
from ..files.extents import check_zarr_extent
from .format import PURPOSE, attributes_of, progress_of
from .sealed import is_part_of_store, sealed_array


def read(
    path: Path,
) -> tuple[dict[str, Any], Sequence[str] | None, Any, dict[str, Any], dict[str, Any]]:
    """Open a complete store, or any Zarr v3 group or array of features; no layer is read.

    Returns
    -------
    tuple
        Layers, ids, logits, provenance and masks.

    Raises
    ------
    InputError
        If the store is incomplete.
    """
    zarr = require("zarr", extra="scale", purpose=PURPOSE)
    attributes = attributes_of(path)
    if attributes is None:
        root = zarr.open(path, mode="r", zarr_format=3)
        arrays = {}
        for name in _arrays_below(path):
            array = root[name] if name else root
            check_zarr_extent(array, path / name)
            arrays[name or path.stem] = array
        return arrays, None, None, {"source": path.name}, {}
    if not attributes["complete"]:
        done, total = progress_of(path) or (0, 0)
        raise InputError(
            f"the extraction has been interrupted, or is under way: {done:,} of {total:,} images "
            "are done; the same call of extract, or the same command, goes on from there"
        )
    group = zarr.open_group(path, mode="r", zarr_format=3)
    logits, ids = attributes["logits"], attributes["ids"]

    def opened(name: str) -> SealedArray:
        return sealed_array(group, path, name, attributes, len(ids))

    return (
        {layer: opened(name) for layer, name in attributes["arrays"].items()},
        ids,
        None if logits is None else opened(logits),
        attributes["provenance"],
        {layer: opened(name)[:] == 1 for layer, name in attributes.get("kept", {}).items()},
    )


def _arrays_below(path: Path) -> list[str]:
    """Return the arrays of a group made by others, as paths inside it; "" for an array alone.

    Raises
    ------
    InputError
        If they are those of a store, which the group does not say: it is damaged.
    """
    found = []
    for folder, inner, files in os.walk(path):
        if "zarr.json" not in files:
            continue
        node = read_json(Path(folder) / "zarr.json")
        if node["node_type"] == "array":
            if is_part_of_store(node) and Path(folder) != path:
                raise InputError(f"{str(path / 'zarr.json')!r} is damaged: it describes no store")
            inner.clear()  # only its chunks
            if len(node["shape"]) in (3, 4) or folder == os.path.join(path, "ids"):
                found.append(Path(folder).relative_to(path).as_posix())
    return sorted("" if name == "." else name for name in found)
