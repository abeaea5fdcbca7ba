"""What features say about their origin: the state of the network, the preprocessing, the images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .checkpoint import CheckpointPreprocess
from .images import ImageSource
from .preprocess import Preprocess


def state_hash(module: Any) -> str:
    """Return the SHA-256 of the names, shapes and values of a module's state.

    Extra state (``get_extra_state``) counts as well, whatever it consists of.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        _add(digest, name, value)
    return digest.hexdigest()


def _add(digest: Any, name: str, value: Any) -> None:
    """Add a value to a digest: tensors and arrays by their bytes, containers by their parts."""
    import torch
    from torch.nn.parameter import is_lazy

    if isinstance(value, torch.Tensor) and not is_lazy(value):
        tensor = value.detach().cpu().resolve_conj().resolve_neg()
        if tensor.is_quantized:
            tensor, name = tensor.int_repr(), f"{name}{tensor.qscheme()}{tensor.dtype}"
        if tensor.layout != torch.strided:
            tensor = tensor.to_dense()
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        values = tensor.contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        digest.update(f"{name}{value.shape}{value.dtype}".encode() + value.tobytes())
    elif isinstance(value, (bytes, bytearray)):
        digest.update(f"{name}{len(value)}".encode() + bytes(value))
    elif isinstance(value, Mapping):
        digest.update(f"{name}{len(value)}".encode())
        for key, part in sorted(value.items(), key=lambda pair: str(pair[0])):
            _add(digest, f"{name}.{key}", part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        digest.update(f"{name}{len(value)}".encode())
        parts = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        for i, part in enumerate(parts):
            _add(digest, f"{name}.{i}", part)
    else:
        told = type(value).__name__ if is_lazy(value) else without_addresses(repr(value))
        digest.update(f"{name}{told}".encode())


def described_preprocess(preprocess: Callable[[Any], Any] | None) -> Any:
    """Return the preprocessing for the provenance: in full where that is possible."""
    if preprocess is None:
        return "done before"
    if isinstance(preprocess, (Preprocess, CheckpointPreprocess)):
        return preprocess.to_dict()
    return without_addresses(repr(preprocess))


def sample_digests(source: ImageSource) -> dict[str, str | None]:
    """Return digests of what the network gets of a few images, by their place among all.

    The ids alone do not tell whether an extraction goes on with the same images: two folders may
    have files of the same names, and images in memory have only their indices.
    """
    last = len(source.ids) - 1
    found: dict[str, str | None] = {}
    for image in sorted({round(n * last / 7) for n in range(8)}):
        read = source.read(image, image + 1, "skip")
        found[str(image)] = None if read is None else hashlib.blake2b(read[1].tobytes()).hexdigest()
    source.failed = []
    return found


def without_addresses(text: str) -> str:
    """Return a ``repr`` without addresses in memory, which differ in every process.

    Examples
    --------
    >>> without_addresses("<function resize at 0x7f21a0b3c040>")
    '<function resize>'
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
