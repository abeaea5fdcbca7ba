"""Places for the objects of a composed scene, such that each object is visible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .cutouts import Cutout, fitted_image, opened_cutout, scaled_size
from .reading import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray


#: Places tried for an object before it is made smaller, the factor, and the number of sizes.
_PLACES, _SMALLER, _SIZES = 20, 0.8, 6


#: The smallest side in pixels of a cell, when each object gets a cell of a grid.
SMALLEST_CELL = 16


#: Alpha channels kept while scenes are laid out.
_KEPT = 256


class _Place(NamedTuple):
    """A cut-out in a scene: the place of its frame, in whole pixels."""

    cutout: Cutout
    left: int
    top: int
    width: int
    height: int
    mirrored: bool


class Scene(NamedTuple):
    """A scene that has been laid out: its background's number, and its objects."""

    number: int
    places: tuple[_Place, ...]
    visible: tuple[float, ...]
    background: str | int


class Layout:
    """Places for the objects of scenes, such that enough of each remains visible."""

    def __init__(
        self,
        size: tuple[int, int],
        smallest: float,
        largest: float,
        min_visible: float,
        mirror: bool,
        max_pixels: int,
    ) -> None:
        self.size = size
        self._sides = (smallest * min(size), largest * min(size))
        self._min_visible = min_visible
        self._mirror = mirror
        # Bounded, since a folder may hold more than fits into memory.
        self._alpha = lru_cache(maxsize=_KEPT)(
            lambda cutout: opened_cutout(cutout.path, max_pixels).getchannel("A").crop(cutout.frame)
        )

    def of(
        self, cutouts: Sequence[Cutout], source: Random
    ) -> tuple[tuple[_Place, ...], tuple[Box, ...], tuple[float, ...]]:
        """Return places, boxes around the visible pixels, and visible shares."""
        owner = np.full(self.size[::-1], -1, dtype=np.int32)
        totals: list[int] = []
        places: list[_Place] = []
        for cutout in cutouts:
            place = self._free_place(cutout, owner, totals, source)
            if place is None:
                # Too crowded: side by side, in the cells of a grid, all objects have room.
                return self._result(*self._in_a_grid(cutouts, source))
            totals.append(self._lay(place, owner, len(places)))
            places.append(place)
        return self._result(places, owner, totals)

    def _free_place(
        self, cutout: Cutout, owner: NDArray[np.int32], totals: list[int], source: Random
    ) -> _Place | None:
        """Return a place that leaves enough of all earlier objects visible, if one is found."""
        smallest, largest = self._sides
        side = smallest + (largest - smallest) * source.random()
        mirrored = _coin(source) and self._mirror
        before = np.bincount(owner.ravel() + 1, minlength=len(totals) + 1)[1:]
        for _ in range(_SIZES):
            width, height = scaled_size(cutout, side)
            mask = self._mask(cutout, width, height, mirrored)
            for _ in range(_PLACES):
                left = draw_below(self.size[0] - width + 1, source)
                top = draw_below(self.size[1] - height + 1, source)
                under = owner[top : top + height, left : left + width][mask]
                remaining = before - np.bincount(under + 1, minlength=len(totals) + 1)[1:]
                if all(
                    remains >= self._min_visible * total
                    for remains, total in zip(remaining.tolist(), totals, strict=True)
                ):
                    return _Place(cutout, left, top, width, height, mirrored)
            side *= _SMALLER
        return None

    def _in_a_grid(
        self, cutouts: Sequence[Cutout], source: Random
    ) -> tuple[list[_Place], NDArray[np.int32], list[int]]:
        cells = cells_on_a_side(len(cutouts))
        side = min(self.size) // cells
        owner = np.full(self.size[::-1], -1, dtype=np.int32)
        places: list[_Place] = []
        totals: list[int] = []
        for cutout, cell in zip(
            cutouts, draw_several(range(cells * cells), len(cutouts), source), strict=True
        ):
            width, height = scaled_size(cutout, min(side, self._sides[1]))
            left = cell % cells * (self.size[0] // cells) + draw_below(side - width + 1, source)
            top = cell // cells * (self.size[1] // cells) + draw_below(side - height + 1, source)
            place = _Place(cutout, left, top, width, height, _coin(source) and self._mirror)
            totals.append(self._lay(place, owner, len(places)))
            places.append(place)
        return places, owner, totals

    def _lay(self, place: _Place, owner: NDArray[np.int32], number: int) -> int:
        """Assign an object its pixels, and return their number."""
        cutout, left, top, width, height, mirrored = place
        mask = self._mask(cutout, width, height, mirrored)
        owner[top : top + height, left : left + width][mask] = number
        return int(mask.sum())

    def _mask(self, cutout: Cutout, width: int, height: int, mirrored: bool) -> NDArray[np.bool_]:
        alpha = np.asarray(fitted_image(self._alpha(cutout), width, height, mirrored))
        # Thin objects are nowhere opaque once they are small.
        return alpha >= max(1, (int(alpha.max()) + 1) // 2)

    def _result(
        self, places: list[_Place], owner: NDArray[np.int32], totals: list[int]
    ) -> tuple[tuple[_Place, ...], tuple[Box, ...], tuple[float, ...]]:
        boxes, shares = [], []
        for number, (place, total) in enumerate(zip(places, totals, strict=True)):
            rows, columns = np.nonzero(owner == number)
            boxes.append(
                Box(
                    float(columns.min()),
                    float(rows.min()),
                    float(columns.max() + 1),
                    float(rows.max() + 1),
                    place.cutout.category,
                    place.cutout.name,
                )
            )
            shares.append(len(rows) / total)
        return tuple(places), tuple(boxes), tuple(shares)


def photo_groups(photos: Any, scenes: Sequence[Scene]) -> list[str]:
    """Return the name of the photograph behind each scene, or its number."""
    names: Any = getattr(photos, "ids", range(len(photos)))
    return [str(names[scene.background]) for scene in scenes]


def draw_below(limit: int, source: Random) -> int:
    """Return a number from 0 to `limit` - 1."""
    return int(source.random() * limit)


def _coin(source: Random) -> bool:
    return source.random() < 0.5


def draw_several(values: Sequence[Any], number: int, source: Random) -> list[Any]:
    """Return `number` different ones of the values, in random order."""
    pool = list(values)
    return [pool.pop(draw_below(len(pool), source)) for _ in range(number)]


def cells_on_a_side(objects: int) -> int:
    """Return the number of rows, and of columns, of a grid with a cell for each object."""
    return math.isqrt(objects - 1) + 1
