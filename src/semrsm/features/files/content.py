"""What a file of features holds, whatever its format."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError

#: The names under which files keep what is not a layer.
IDS, LOGITS, FACTS = "__ids__", "__logits__", "__provenance__"
RESERVED = (IDS, LOGITS, FACTS)

#: Arrays on disk are copied from file to file in pieces of about this many bytes.
PIECE = 16 << 20

#: Before the name of a layer: the places that are kept.
KEPT = "__kept__:"


class Content(NamedTuple):
    """The features of N images, as they lie in a file.

    Attributes
    ----------
    layers : mapping of str to array
        (N, C, H, W) or (N, T, D).
    ids : sequence of str or None
        None where the file has no names of images.
    logits : array, shape (N, K), or None
    provenance : mapping
    masks : mapping of str to array of bool, shape (N, H, W)
        The places that are kept, of layers that leave out some.
    """

    layers: Mapping[str, Any]
    ids: Sequence[str] | None = None
    logits: Any = None
    provenance: Mapping[str, Any] = {}
    masks: Mapping[str, Any] = {}


def facts_as_text(provenance: Mapping[str, Any]) -> str:
    """Return a provenance as JSON; what JSON lacks becomes text."""
    return json.dumps(dict(provenance), default=str)


def pieces(array: Any, size: int) -> Iterator[np.ndarray[Any, Any]]:
    """Yield an array, also one on disk, in contiguous parts of about `size` bytes."""
    dtype = np.dtype(array.dtype)
    step = max(1, size // max(1, dtype.itemsize * math.prod(array.shape[1:])))
    for first in range(0, array.shape[0], step):
        yield np.ascontiguousarray(array[first : first + step], dtype=dtype)


def masks_among(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the masks among the arrays of a file, by layer."""
    return {
        name.removeprefix(KEPT): np.asarray(array).astype(bool)
        for name, array in arrays.items()
        if name.startswith(KEPT)
    }


def layers_among(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of floats that have three or four dimensions.

    Raises
    ------
    InputError
        If there are none, or one promises many images and holds no number.
    """
    layers = {n: a for n, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind == "f"}
    if not layers:
        found = {name: array.shape for name, array in arrays.items()}
        raise InputError(
            f"expected feature maps (N, C, H, W) or tokens (N, T, D); the file holds {found}"
        )
    for name, array in layers.items():
        # Names are made for the images of an array that costs the file nothing.
        if min(array.shape) < 0 or (0 in array.shape and max(array.shape) > 1_000_000):
            raise InputError(
                f"layer {name!r}: expected numbers; the file promises the shape "
                f"{tuple(array.shape)}, and holds none"
            )
    return layers


def ids_among(arrays: Mapping[str, Any]) -> list[Any] | None:
    """Return the ids in a file of others: an array (N,) of text or bytes that is named ``ids``."""
    if "ids" not in arrays or len(arrays["ids"].shape) != 1:
        return None
    found = np.asarray(arrays["ids"][:])
    names: list[Any] = found.tolist()
    # "T" is the kind of NumPy's strings of variable length; HDF5 has them as objects.
    is_text = found.dtype.kind in "SUT" or all(isinstance(name, (str, bytes)) for name in names)
    return names if is_text and names else None
