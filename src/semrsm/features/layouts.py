"""Layouts: how the output of a layer is read as feature maps (N, C, H, W) or tokens (N, T, D).

Everything that decides how a tensor is read is here: which tensor of a nested output, which axis
holds the channels, how many leading tokens stand for no place, and which grid the others make.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InputError

#: Tokens before the patches that are tried where the network does not say: none, a class token, a
#: class token and four registers.
USUAL_PREFIXES = (0, 1, 5)


@dataclass(frozen=True)
class Layouts:
    """How the outputs of the layers of one network are read.

    Attributes
    ----------
    prefix_tokens : int or None
        How many leading tokens of a token layer are dropped; None where that is inferred from
        their number.
    channels_last : frozenset of str
        The layers whose four dimensions are (N, H, W, C).
    """

    prefix_tokens: int | None
    channels_last: frozenset[str] = frozenset()

    def read(self, output: Any, layer: str, count: int) -> Any:
        """Return the spatial tensor in the output of a layer.

        Parameters
        ----------
        output : tensor, or sequences and mappings of tensors
            As the layer returned it for `count` images.
        layer : str
            Its name.
        count : int
            N.

        Returns
        -------
        torch.Tensor, shape (N, C, H, W) or (N, T, D)
            A view; tokens without the leading ones that stand for no place.

        Raises
        ------
        InputError
            If no tensor has three or four dimensions, the first axis does not count the images,
            or the number of leading tokens does not fit or cannot be inferred.
        """
        tensor = first_tensor(output)
        if tensor is None:
            got = tuple(output.shape) if hasattr(output, "shape") else type(output).__name__
            raise InputError(
                f"layers: {layer!r} has no spatial extent; expected feature maps (N, C, H, W) or "
                f"tokens (N, T, D), got {got}"
            )
        if len(tensor) != count:
            raise InputError(
                f"layers: {layer!r} gives {tuple(tensor.shape)} for {count} images; expected the "
                "images first. Parts inside windowed attention work on pieces: choose the block "
                "around it"
            )
        if tensor.ndim == 4:
            return tensor.permute(0, 3, 1, 2) if layer in self.channels_last else tensor
        tokens = tensor.shape[1]
        dropped = self.prefix_tokens
        if dropped is None:
            dropped = _usual_prefix(tokens, layer)
        if dropped >= tokens:
            raise InputError(
                f"prefix_tokens: layer {layer!r} has {tokens} tokens; {dropped} cannot be dropped"
            )
        return tensor[:, dropped:]


def first_tensor(output: Any) -> Any:
    """Return the first tensor with three or four dimensions in a nested output, or None."""
    if hasattr(output, "ndim"):
        return output if output.ndim in (3, 4) else None
    values: Iterable[Any] = ()
    if isinstance(output, Mapping):
        values = output.values()
    elif isinstance(output, (tuple, list)):
        values = output
    for value in values:
        found = first_tensor(value)
        if found is not None:
            return found
    return None


def known_prefix(prefix_tokens: int | str, declared: int | None, module: Any) -> int | None:
    """Return the number of prefix tokens, or None where it has to be inferred from T.

    Parameters
    ----------
    prefix_tokens : int or {"auto", "keep"}
        As the caller of :func:`semrsm.extract` wrote it.
    declared : int or None
        The number that the model declares.
    module : torch.nn.Module
        Asked where the model declares none.

    Raises
    ------
    InputError
        If `prefix_tokens` is something else.
    """
    if prefix_tokens == "keep":
        return 0
    if prefix_tokens == "auto":
        if declared is not None:
            return declared
        own = getattr(module, "num_prefix_tokens", None)
        return own if isinstance(own, int) else None
    if isinstance(prefix_tokens, bool) or not isinstance(prefix_tokens, int) or prefix_tokens < 0:
        raise InputError(
            f"prefix_tokens: expected a number >= 0, 'auto' or 'keep'; got {prefix_tokens!r}"
        )
    return prefix_tokens


def _usual_prefix(tokens: int, layer: str) -> int:
    for prefix in USUAL_PREFIXES:
        rest = tokens - prefix
        if rest >= 4 and math.isqrt(rest) ** 2 == rest:
            return prefix
    raise InputError(
        f"prefix_tokens: layer {layer!r} has {tokens} tokens, which are no square grid after "
        f"{', '.join(map(str, USUAL_PREFIXES))} prefix tokens; pass their number, or 'keep'"
    )


def grid_of(shape: Sequence[int], size: Sequence[int]) -> tuple[int, int] | None:
    """Return height and width of the grid of a layer, or None where it is not known.

    Parameters
    ----------
    shape : (N, C, H, W) or (N, T, D)
        Of the layer, without the tokens that stand for no place.
    size : sequence of int
        The network's input in pixels, height and width; any other number of axes has no grid of
        tokens.
    """
    if len(shape) == 4:
        return (int(shape[2]), int(shape[3]))
    return token_grid(int(shape[1]), *size) if len(size) == 2 else None


def token_grid(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """Return the grid that `tokens` square patches make of an image, or None if they make none.

    Parameters
    ----------
    tokens : int
        Without those that stand for no place.
    height, width : int
        The network's input in pixels; what a patch does not fill any more may be left over.

    Examples
    --------
    >>> token_grid(196, 224, 224), token_grid(98, 112, 224), token_grid(197, 224, 224)
    ((14, 14), (7, 14), None)
    """
    guess = round(math.sqrt(tokens * height / width))
    for rows in (guess, guess - 1, guess + 1):
        if rows < 1 or tokens % rows:
            continue
        columns = tokens // rows
        # Is there a side of patches of which this many, and not one more, fit both ways?
        if max(height / (rows + 1), width / (columns + 1)) < min(height / rows, width / columns):
            return (rows, columns)
    return None
