"""Features in ``.safetensors``, memory-mapped when they are read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..._internal.storage.files import replacing
from ...errors import InputError, require
from .content import (
    FACTS,
    IDS,
    KEPT,
    LOGITS,
    PIECE,
    Content,
    facts_as_text,
    layers_among,
    masks_among,
    pieces,
)

Array = np.ndarray[Any, np.dtype[Any]]

#: The types of safetensors files that NumPy has, and that features are of.
MAPPED = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}

_WRITTEN = {np.dtype(kind): name for name, kind in MAPPED.items()}
_WRITTEN |= {
    np.dtype(f"{kind}{n}"): f"{kind.upper()}{8 * n}" for kind in "iu" for n in (1, 2, 4, 8)
}
_WRITTEN[np.dtype(bool)] = "BOOL"


def read(source: Path) -> Content:
    """Open a file; its tensors stay on disk, but for those of bfloat16, which NumPy lacks.

    Raises
    ------
    InputError
        If it is damaged or holds no features.
    """
    tensors, facts = _header(source)
    arrays = {name: _tensor(source, name, *tensors[name]) for name in tensors}
    logits = arrays.pop(LOGITS, None)
    order = json.loads(facts["layers"]) if "layers" in facts else sorted(arrays)
    layers = layers_among({name: arrays[name] for name in order if name in arrays})
    return Content(
        layers,
        json.loads(facts[IDS]) if IDS in facts else None,
        logits,
        json.loads(facts[FACTS]) if FACTS in facts else {"source": source.name},
        masks_among(arrays),
    )


def write(target: Path, content: Content) -> None:
    """Write a file; layers that lie on disk are copied piece by piece.

    Raises
    ------
    InputError
        If the format has no such dtype.
    OSError
        If the file cannot be written. It names the file.
    """
    arrays: dict[str, Any] = dict(content.layers)
    if content.logits is not None:
        arrays[LOGITS] = content.logits
    arrays |= {KEPT + layer: kept for layer, kept in content.masks.items()}
    facts = {
        IDS: json.dumps(content.ids),
        FACTS: facts_as_text(content.provenance),
        # The order of layers is kept too: tensors are sorted by size.
        "layers": json.dumps(list(content.layers)),
    }
    header: dict[str, Any] = {"__metadata__": facts}
    # Wide types first, so that every tensor begins at a multiple of its width.
    order = sorted(arrays, key=lambda name: -np.dtype(arrays[name].dtype).itemsize)
    end = 0
    for name in order:
        dtype, shape = np.dtype(arrays[name].dtype), arrays[name].shape
        if dtype.newbyteorder("=") not in _WRITTEN:
            raise InputError(
                f"layer {name!r}: expected float16, float32 or float64 for safetensors; got {dtype}"
            )
        first, end = end, end + math.prod(shape) * dtype.itemsize
        header[name] = {
            "dtype": _WRITTEN[dtype.newbyteorder("=")],
            "shape": [int(n) for n in shape],
            "data_offsets": [first, end],
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with replacing(target) as aside, open(aside, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in pieces(arrays[name], PIECE):
                file.write(piece.astype(piece.dtype.newbyteorder("<"), copy=False).tobytes())


def _header(
    source: Path,
) -> tuple[dict[str, tuple[str, tuple[int, ...], int]], dict[str, str]]:
    """Return type, shape and place of every tensor, and the metadata; refuse what does not fit.

    The file begins with the length of its header (8 bytes, little-endian), which is JSON; the
    tensors follow without gaps.
    """
    size = source.stat().st_size
    with open(source, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise InputError("not a safetensors file: it is shorter than its header")
        header = json.loads(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise InputError("not a safetensors file: its header is no JSON object")
    facts = header.pop("__metadata__", {})
    if not isinstance(facts, dict) or not all(isinstance(text, str) for text in facts.values()):
        raise InputError("not a safetensors file: its metadata are not text")
    tensors = {}
    places = []
    for name, entry in header.items():
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if any(type(n) is not int or n < 0 for n in (*shape, first, last)):
            raise InputError(f"damaged: shape or place of tensor {name!r} are no numbers >= 0")
        if kind in MAPPED or kind == "BF16":
            width = 2 if kind == "BF16" else np.dtype(MAPPED[kind]).itemsize
            if last - first != math.prod(shape) * width:
                raise InputError(f"damaged: tensor {name!r} has {last - first} bytes for {shape}")
        places.append((first, last))
        tensors[name] = (str(kind), tuple(shape), 8 + length + first)
    end = 0
    for first, last in sorted(places):
        if first != end or last < first:
            raise InputError("damaged: its tensors overlap, or leave gaps")
        end = last
    if end != size - 8 - length:
        raise InputError(f"damaged: {end} bytes of tensors expected, {size - 8 - length} found")
    return tensors, facts


def _tensor(source: Path, name: str, kind: str, shape: tuple[int, ...], offset: int) -> Array:
    if kind in MAPPED:
        if 0 in shape:  # of nothing, no map can be made
            return np.empty(shape, dtype=MAPPED[kind])
        return np.memmap(source, dtype=MAPPED[kind], mode="r", offset=offset, shape=shape)
    package = require("safetensors", extra="features", purpose="safetensors files")
    framework = "numpy"
    if kind == "BF16":  # NumPy has none; torch widens it without loss
        require("torch", extra="features", purpose="Reading bfloat16 features")
        framework = "pt"
    try:
        with package.safe_open(source, framework=framework) as file:
            found = file.get_tensor(name)
    except package.SafetensorError as error:
        raise InputError(f"not a safetensors file: {error}") from error
    array: Array = found.float().numpy() if kind == "BF16" else found
    return array
