"""What a network, a rule or the caller says about the layouts of its layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError
from .candidates import token_grid
from .reading import Reading

#: Tokens before the patches that are tried where nobody says: none, a class token, a class token
#: and four registers.
USUAL_PREFIXES = (0, 1, 5)


@dataclass(frozen=True)
class Claim:
    """A reading that somebody declares.

    Attributes
    ----------
    reading : Reading or None
        None where the number of tokens fits nothing that is declared or usual.
    source : str
        Who says so, for provenance and errors.
    binds : bool
        Whether a proof of another reading is a contradiction; a guess is not.
    """

    reading: Reading | None
    source: str
    binds: bool


@dataclass(frozen=True)
class Declared:
    """The declarations about all layers of a network.

    Attributes
    ----------
    asked : int, "auto" or "keep"
        Tokens before the patches, as the caller of :func:`semrsm.extract` wrote them.
    prefix : int or None
        Tokens before the patches, as the network says.
    channels_last : frozenset of str
        The layers whose four dimensions are (N, H, W, C).
    batch_second : frozenset of str
        The layers whose three dimensions are (T, N, C).
    orders : tuple of (str, str)
        Layers whose tokens are not by rows, and their order; see :class:`Reading`.
    """

    asked: int | str = "auto"
    prefix: int | None = None
    channels_last: frozenset[str] = frozenset()
    batch_second: frozenset[str] = frozenset()
    orders: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        known = self.asked in ("auto", "keep")
        whole = isinstance(self.asked, int) and not isinstance(self.asked, bool)
        if not known and not (whole and int(self.asked) >= 0):
            raise InputError(
                f"prefix_tokens: expected a number >= 0, 'auto' or 'keep'; got {self.asked!r}"
            )

    @property
    def keeps_all(self) -> bool:
        """Whether the caller wants all tokens."""
        return self.asked == "keep"

    def axis_of_images(self, layer: str, shape: Sequence[int], count: int) -> int:
        """Return the axis of the images, where it is not proven: the one that has their number.

        Where two axes have it, the declaration decides.
        """
        second = layer in self.batch_second
        if len(shape) == 3 and (shape[0] == count) != (shape[1] == count):
            return 0 if shape[0] == count else 1 if second else 0
        return int(len(shape) == 3 and second)

    def claim(
        self, layer: str, shape: Sequence[int], batch_axis: int, size: Sequence[int]
    ) -> Claim:
        """Return how a layer is declared.

        Parameters
        ----------
        layer : str
        shape : sequence of int
            Of its output.
        batch_axis : int
        size : sequence of int
            Height and width of the input in pixels; other numbers of axes make no grid.

        Raises
        ------
        InputError
            If the caller's number of tokens does not fit.
        """
        if len(shape) == 4:
            if layer in self.channels_last:
                grid = (int(shape[1]), int(shape[2]))
                return Claim(Reading("NHWC", grid=grid), "the network says so", binds=True)
            grid = (int(shape[2]), int(shape[3]))
            return Claim(Reading("NCHW", grid=grid), "the usual axes", binds=False)
        axes = "TNC" if batch_axis == 1 else "NTC"
        tokens = int(shape[axes.index("T")])

        order = dict(self.orders).get(layer, "rows")

        def reading(prefix: int) -> Reading:
            grid = token_grid(tokens - prefix, *size) if len(size) == 2 else None
            return Reading(axes, prefix, 0, _fitting(order, grid), grid)

        if self.keeps_all:
            return Claim(reading(0), "all tokens are kept, as asked", binds=False)
        if isinstance(self.asked, int):
            if self.asked >= tokens:
                raise InputError(
                    f"prefix_tokens: layer {layer!r} has {tokens} tokens; {self.asked} cannot be "
                    "dropped"
                )
            return Claim(reading(self.asked), "prefix_tokens says so", binds=True)
        if self.prefix is not None and self.prefix < tokens:
            said = reading(self.prefix)
            # A class token may join late: the network's number holds where it leaves a grid.
            if said.grid is not None or not any(
                reading(n).grid for n in USUAL_PREFIXES if n < tokens
            ):
                return Claim(said, "the network says so", binds=said.grid is not None)
        for prefix in USUAL_PREFIXES:
            rest = tokens - prefix
            if rest >= 4 and (reading(prefix).grid or math.isqrt(rest) ** 2 == rest):
                return Claim(reading(prefix), "the usual number of tokens", binds=False)
        return Claim(None, "no usual number of tokens leaves a grid", binds=False)


def batch_second_parts(module: Any, layers: Sequence[str]) -> frozenset[str]:
    """Return the layers that are parts which take the images as their second axis."""
    parts = dict(module.named_modules())
    return frozenset(
        layer
        for layer in layers
        if any(getattr(part, "batch_first", True) is False for part in parts[layer].modules())
    )


def _fitting(order: str, grid: tuple[int, int] | None) -> str:
    """Return an order that a grid can have: units are halves of it, several times."""
    kind, _, times = order.partition(":")
    if grid is None or (kind == "units" and any(side % 2 ** int(times) for side in grid)):
        return "rows"
    return order
