"""Opening a complete store, or any Zarr v3 group or array of features."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError, require
from .format import PURPOSE, attributes_of, progress_of


def read(
    path: Path,
) -> tuple[dict[str, Any], Sequence[str] | None, Any, dict[str, Any]]:
    """Open a complete store, or any Zarr v3 group or array of features; no layer is read.

    Returns
    -------
    tuple
        Layers, ids, logits and provenance.

    Raises
    ------
    InputError
        If the store is incomplete.
    """
    zarr = require("zarr", extra="scale", purpose=PURPOSE)
    attributes = attributes_of(path)
    if attributes is None:
        root = zarr.open(path, mode="r", zarr_format=3)
        arrays = {name or path.stem: root[name] if name else root for name in _arrays_below(path)}
        return arrays, None, None, {"source": path.name}
    if not attributes["complete"]:
        done, total = progress_of(path) or (0, 0)
        raise InputError(
            f"the extraction has been interrupted, or is under way: {done:,} of {total:,} images "
            "are done; the same call of extract, or the same command, goes on from there"
        )
    group = zarr.open_group(path, mode="r", zarr_format=3)
    logits = attributes["logits"]
    return (
        {layer: group[name] for layer, name in attributes["arrays"].items()},
        attributes["ids"],
        None if logits is None else group[logits],
        attributes["provenance"],
    )


def _arrays_below(path: Path) -> list[str]:
    """Return the arrays of a group made by others, as paths inside it; "" for an array alone."""
    found = []
    for folder, inner, files in os.walk(path):
        if "zarr.json" not in files:
            continue
        node = json.loads((Path(folder) / "zarr.json").read_text(encoding="utf-8"))
        if node["node_type"] == "array":
            inner.clear()  # only its chunks
            if len(node["shape"]) in (3, 4) or folder == os.path.join(path, "ids"):
                found.append(Path(folder).relative_to(path).as_posix())
    return sorted("" if name == "." else name for name in found)
