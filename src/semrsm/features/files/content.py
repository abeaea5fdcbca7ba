"""What a file of features holds, whatever its format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import InputError

#: The names under which files keep what is not a layer.
IDS, LOGITS, FACTS = "__ids__", "__logits__", "__provenance__"
RESERVED = (IDS, LOGITS, FACTS)


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
    """

    layers: Mapping[str, Any]
    ids: Sequence[str] | None = None
    logits: Any = None
    provenance: Mapping[str, Any] = {}


def facts_as_text(provenance: Mapping[str, Any]) -> str:
    """Return a provenance as JSON; what JSON lacks becomes text."""
    return json.dumps(dict(provenance), default=str)


def layers_among(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of floats that have three or four dimensions.

    Raises
    ------
    InputError
        If there are none.
    """
    layers = {n: a for n, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind == "f"}
    if not layers:
        found = {name: array.shape for name, array in arrays.items()}
        raise InputError(
            f"expected feature maps (N, C, H, W) or tokens (N, T, D); the file holds {found}"
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
