"""The arrays of a store: how they are known as parts of it, and how a complete one is opened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..._internal.storage.arrays import SealedArray, check_node
from ..._internal.storage.seals import UNREADABLE
from ...errors import InputError, first_line


def array_attributes(format_: str) -> dict[str, Any]:
    """Return the attributes of an array, by which it is known as a part of a store."""
    return {"semrsm": {"part_of": format_}}


def is_part_of_store(node: Mapping[str, Any]) -> bool:
    """Return whether the description of an array says that a store must be around it."""
    attributes = node.get("attributes")
    ours = attributes.get("semrsm") if isinstance(attributes, dict) else None
    return isinstance(ours, dict) and "part_of" in ours


def sealed_array(
    group: Any, path: Path, name: str, attributes: Mapping[str, Any], count: int
) -> SealedArray:
    """Open an array of a complete store.

    Parameters
    ----------
    group : zarr.Group
        The store.
    path : Path
        Its folder.
    name : str
        The array.
    attributes : mapping
        Of the store.
    count : int
        How many images there are.

    Raises
    ------
    InputError
        If the array is damaged, as far as can be seen without reading its chunks.
    """
    node = check_node(path / name, attributes.get("nodes", {}).get(name), "features")
    try:
        shape = json.dumps(node["shape"])
        array = group[name]
        if array.shape[0] != count:
            raise ValueError(f"expected {count} images; got shape {shape}")
        return SealedArray(array, path / name, attributes.get("checksums", {}).get(name))
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"features: {str(path / name / 'zarr.json')!r} is damaged: {first_line(error)}"
        ) from error
