"""Rules for families of networks: masks at inference, and tokens in an order of their own."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unmasked(module: Any) -> Iterator[dict[str, Callable[[Any], Any]]]:
    """Keep a network from leaving out random patches, and yield the arguments that this takes.

    Masked autoencoders leave out most patches by a noise even at inference. They have a share of
    masked patches in their configuration, which is set to 0 meanwhile, and take the noise as an
    argument: an ordered one leaves the patches in their order.

    Yields
    ------
    mapping of str to callable
        Functions from the images to further arguments of the network; mostly none.
    """
    config: Any = getattr(module, "config", None)
    names = inspect.signature(module.forward).parameters
    if "noise" not in names or not hasattr(config, "mask_ratio"):
        yield {}
        return
    before = config.mask_ratio
    config.mask_ratio = 0.0
    try:
        yield {"noise": lambda images: _ordered_noise(images, config.patch_size)}
    finally:
        config.mask_ratio = before


def _ordered_noise(images: Any, patch: Any) -> Any:
    """Return noise (n, patches) that rises from patch to patch."""
    down, across = patch if isinstance(patch, (list, tuple)) else (patch, patch)
    patches = (images.shape[2] // int(down)) * (images.shape[3] // int(across))
    return images.new_ones(len(images), patches).cumsum(1)


def declared_orders(module: Any) -> dict[str, str]:
    """Return the order of the tokens of each part of a network, where it is not by rows.

    Hiera keeps its tokens so that neighbours that are pooled follow one another; after each pooling
    one split into corners is less (Ryali et al., "Hiera", 2023).
    """
    config: Any = getattr(module, "config", None)
    found: dict[str, str] = {}
    if getattr(config, "model_type", None) == "hiera":
        for name, _ in module.named_modules():
            stage = re.search(r"(?:^|\.)stages\.(\d+)(?=\.|$)", name)
            if stage and (left := int(config.num_query_pool) - int(stage[1])) > 0:
                found[name] = f"units:{left}"
    ends = getattr(module, "stage_ends", None)
    if hasattr(module, "unroll") and ends is not None:  # timm
        for name, _ in module.named_modules():
            block = re.search(r"(?:^|\.)blocks\.(\d+)$", name)
            if block:
                stage_of = next(
                    (s for s, end in enumerate(ends) if int(block[1]) <= end), len(ends)
                )
                if (left := int(module.q_pool) - stage_of) > 0:
                    found[name] = f"units:{left}"
    return found
