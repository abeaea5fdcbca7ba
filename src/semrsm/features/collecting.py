"""Where the rows of an extraction go: into arrays in memory, or another sink."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..errors import InputError
from .layouts import Layout

Array = np.ndarray[Any, np.dtype[Any]]


class Sink(Protocol):
    """Takes the rows of an extraction, batch by batch."""

    @property
    def next(self) -> int:
        """The image that the extraction goes on with: others are there already."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of one row of each layer, as far as it is known."""

    @property
    def layouts(self) -> Mapping[str, Layout]:
        """How each layer is read, as far as it is known."""

    def leave_out(self, image: int, why: str) -> None:
        """Note that an image, by its place among all, could not be read."""

    def add(
        self,
        images: Sequence[int],
        layers: Mapping[str, Array],
        logits: Array | None,
        layouts: Mapping[str, Layout],
    ) -> None:
        """Take the rows of n images, by their places among all."""


class Collected:
    """Arrays for N images in memory, allocated when the first batch shows their shape.

    Parameters
    ----------
    total : int or None
        N; where it is not known, the arrays double in size whenever they are full.
    """

    next = 0

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._room = 0
        self._layers: dict[str, Array] = {}
        self._logits: Array | None = None
        self.images: list[int] = []
        self.left_out: list[tuple[int, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.layouts: dict[str, Layout] = {}

    @property
    def count(self) -> int:
        """The images that have rows."""
        return len(self.images)

    def leave_out(self, image: int, why: str) -> None:
        """Note that an image could not be read."""
        self.left_out.append((image, why))

    def add(
        self,
        images: Sequence[int],
        layers: Mapping[str, Array],
        logits: Array | None,
        layouts: Mapping[str, Layout],
    ) -> None:
        """Take the rows of n images.

        Raises
        ------
        InputError
            If only some batches have class scores.
        """
        first, last = self.count, self.count + len(images)
        if not self._layers:
            self._room = last if self._total is None else self._total
            self._layers = {name: self._empty(rows) for name, rows in layers.items()}
            self._logits = None if logits is None else self._empty(logits)
            self.shapes = {name: rows.shape[1:] for name, rows in layers.items()}
        if last > self._room:
            self._grow(max(last, 2 * self._room))
        for name, rows in layers.items():
            self._layers[name][first:last] = rows
        if (logits is None) != (self._logits is None):
            raise InputError("model: expected class scores for all images, or for none")
        if logits is not None and self._logits is not None:
            self._logits[first:last] = logits
        self.layouts.update(layouts)
        self.images += images

    def _empty(self, rows: Array) -> Array:
        return np.empty((self._room, *rows.shape[1:]), dtype=rows.dtype)

    def _grow(self, room: int) -> None:
        self._room = room
        for name, rows in self._layers.items():
            self._layers[name] = self._empty(rows)
            self._layers[name][: self.count] = rows[: self.count]
        if self._logits is not None:
            logits, self._logits = self._logits, self._empty(self._logits)
            self._logits[: self.count] = logits[: self.count]

    def arrays(self) -> dict[str, Array]:
        """Return the layers, (n, C, H, W) or (n, T, D) for the n images that have rows."""
        return {name: rows[: self.count] for name, rows in self._layers.items()}

    def logits(self) -> Array | None:
        """Return the class scores, shape (n, K), where there are any."""
        return None if self._logits is None else self._logits[: self.count]


def check_shapes(
    layers: Mapping[str, Array], ids: Sequence[str], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse rows of another shape than those of earlier images.

    Raises
    ------
    InputError
        If a layer has changed its shape.
    """
    for name, array in layers.items():
        expected = shapes.get(name, array.shape[1:])
        if array.shape[1:] != expected:
            raise InputError(
                f"images: layer {name!r} gives shape {array.shape[1:]} for image {ids[0]!r} and "
                f"{expected} for earlier ones; images must be preprocessed to one size"
            )
