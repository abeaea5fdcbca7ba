"""Features in ``.npz``, as ``np.savez`` writes it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..._internal.storage.files import replacing
from .content import (
    FACTS,
    IDS,
    KEPT,
    LOGITS,
    PIECE,
    Content,
    facts_as_text,
    ids_among,
    layers_among,
    masks_among,
    pieces,
)
from .extents import read_member


def read(source: Path) -> Content:
    """Read a file into memory."""
    size = source.stat().st_size
    with zipfile.ZipFile(source) as archive:
        arrays = {
            name.removesuffix(".npy"): read_member(archive, name, size)
            for name in archive.namelist()
        }
    ids = arrays.pop(IDS, None)
    facts = arrays.pop(FACTS, None)
    logits = arrays.pop(LOGITS, None)
    return Content(
        layers_among(arrays),
        ids_among(arrays) if ids is None else ids.tolist(),
        logits,
        {"source": source.name} if facts is None else json.loads(str(facts)),
        masks_among(arrays),
    )


def write(target: Path, content: Content) -> None:
    """Write a file; layers that lie on disk are copied piece by piece."""
    members: dict[str, Any] = dict(content.layers)
    if content.logits is not None:
        members[LOGITS] = content.logits
    members |= {KEPT + layer: kept for layer, kept in content.masks.items()}
    members[IDS] = np.array(content.ids, dtype=np.str_)
    members[FACTS] = np.array(facts_as_text(content.provenance))
    with replacing(target) as aside, open(aside, "wb") as file:
        _write_members(file, members)


def _write_members(file: IO[bytes], members: Mapping[str, Any]) -> None:
    """Write what ``np.savez`` writes; that function has no way to name a member ``file``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(member, array, allow_pickle=False)
                else:
                    _write_pieces(member, array)


def _write_pieces(file: IO[bytes], array: Any) -> None:
    """Write an array that lies on disk as ``np.save`` would, without reading the whole of it."""
    dtype = np.dtype(array.dtype)
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": tuple(array.shape),
    }
    np.lib.format.write_array_header_1_0(file, header)
    for piece in pieces(array, PIECE):
        file.write(piece.tobytes())
