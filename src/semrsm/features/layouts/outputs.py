"""The tensors in the output of a part of a network, and their addresses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ...errors import InputError

#: Between the name of a layer and the address of one of its outputs.
SEPARATOR = ":"


def spatial_tensors(output: Any, address: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the tensors of three or four dimensions in a nested output, with their addresses.

    Examples
    --------
    >>> import numpy as np
    >>> nested = {"pooled": np.ones((2, 5)), "maps": [np.ones((2, 5, 4, 4)), np.ones((2, 9, 2, 2))]}
    >>> [address for address, _ in spatial_tensors(nested)]
    ['maps:0', 'maps:1']
    """
    if hasattr(output, "ndim"):
        if output.ndim in (3, 4):
            yield address, output
        return
    parts: Any = ()
    if isinstance(output, Mapping):
        parts = output.items()
    elif isinstance(output, (tuple, list)):
        parts = enumerate(output)
    for key, value in parts:
        yield from spatial_tensors(value, f"{address}{SEPARATOR}{key}" if address else str(key))


def chosen_tensor(output: Any, address: str, layer: str) -> Any:
    """Return the tensor at an address of an output, or the one that a plain name means.

    Parameters
    ----------
    output : tensor, or sequences and mappings of tensors
    address : str
        Empty for a plain name: the only spatial tensor, or the first where those that follow are
        something else, such as attention weights.
    layer : str
        The layer's name, for errors.

    Raises
    ------
    InputError
        If there is no such tensor, or a plain name stands for several maps, such as the branches
        of a network.
    """
    found = dict(spatial_tensors(output))
    if address:
        if address not in found:
            there = ", ".join(f"{layer}{SEPARATOR}{key}" for key in found) or "none"
            raise InputError(
                f"layers: {layer!r} has no spatial output {address!r}; there are {there}"
            )
        return found[address]
    if not found:
        got = tuple(output.shape) if hasattr(output, "shape") else type(output).__name__
        raise InputError(
            f"layers: {layer!r} has no spatial extent; expected feature maps (N, C, H, W) or "
            f"tokens (N, T, D), got {got}"
        )
    if is_several(output, found):
        choices = ", ".join(
            f"{layer}{SEPARATOR}{key} {tuple(tensor.shape)}" for key, tensor in found.items()
        )
        raise InputError(
            f"layers: {layer!r} has {len(found)} outputs; expected the name of one of them: "
            f"{choices}"
        )
    return next(iter(found.values()))


def is_several(output: Any, found: Mapping[str, Any]) -> bool:
    """Return whether a sequence holds several maps, none of which is the output.

    The fields of a mapping have names, the first of which is the output; the weights that follow
    the tokens of an attention have other dimensions.
    """
    if not isinstance(output, (tuple, list)) or len(found) < 2:
        return False
    tensors = list(found.values())
    if all(tensor is tensors[0] for tensor in tensors):
        return False
    return len({tensor.ndim for tensor in tensors}) == 1
