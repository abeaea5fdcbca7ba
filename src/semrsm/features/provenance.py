"""What features say about their origin: the state of the network, the preprocessing, the images."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

from .checkpoint import CheckpointPreprocess
from .images import ImageSource
from .preprocess import Preprocess


def state_hash(module: Any) -> str:
    """Return the SHA-256 of the names, shapes and values of a module's state."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
