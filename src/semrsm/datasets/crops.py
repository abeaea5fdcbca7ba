"""Overlapping crops of photographs: the same scene, moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image


class ShiftedCrops:
    """Square crops of each photograph, the later ones moved along its longer side.

    The crop is the largest for which all shifted crops lie inside the photograph.

    Parameters
    ----------
    photos : sequence of (str, PIL.Image.Image)
        Names and photographs.
    shifts : sequence of float
        The shift of each crop, in units of the crop's side. A crop with the shift 0.5 shares half
        of its area with the crop at 0.
    size : int
        The side to which crops are resized, in pixels.

    Attributes
    ----------
    ids : tuple of str
        ``"name +1/4"`` and the like, all crops of one photograph together.
    groups : tuple of str
        The photograph of each crop.
    crop_shifts : tuple of float
        The shift of each crop.
    size : int
        The side of each crop, in pixels.

    Raises
    ------
    InputError
        If there are no photographs, a shift is negative, not finite or repeated, `size` is not a
        number of pixels, or a photograph is too small for the largest shift.
    """

    def __init__(
        self, photos: Sequence[tuple[str, Image]], shifts: Sequence[float], size: int = 224
    ) -> None:
        if len(photos) == 0:
            raise InputError("images: expected at least one photograph; got none")
        numbers = all(isinstance(s, (int, float)) and math.isfinite(s) and s >= 0 for s in shifts)
        if len(shifts) < 2 or not numbers or len(set(shifts)) < len(shifts):
            raise InputError(
                f"shifts: expected two or more different numbers >= 0; got {list(shifts)}"
            )
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"size: expected a number of pixels >= 1; got {size!r}")
        for name, photo in photos:
            if max(photo.size) < 1 + max(shifts):
                raise InputError(
                    f"shifts: the photograph {name!r}, {photo.width} x {photo.height}, has no room "
                    f"for a shift by {max(shifts)} times the crop's side"
                )
        self._photos = list(photos)
        self._shifts = [float(shift) for shift in shifts]
        self.size = size
        self.ids = tuple(f"{name} +{_text(s)}" for name, _ in photos for s in self._shifts)
        self.groups = tuple(name for name, _ in photos for _ in self._shifts)
        self.crop_shifts = tuple(s for _ in photos for s in self._shifts)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        photo = self._photos[index // len(self._shifts)][1]
        shift = self._shifts[index % len(self._shifts)]
        width, height = photo.size
        short, long = min(width, height), max(width, height)
        side = min(short, int(long / (1 + max(self._shifts))))
        # The path of the crop is centred, so that crops do not show the border alone.
        along = round((long - side * (1 + max(self._shifts))) / 2 + shift * side)
        across = (short - side) // 2
        left, top = (along, across) if width >= height else (across, along)
        box = (left, top, left + side, top + side)
        return photo.crop(box).resize((self.size, self.size), 3)  # 3: bicubic


def _text(shift: float) -> str:
    """Return a shift as a short fraction, or in full if it has none."""
    fraction = Fraction(shift).limit_denominator(64)
    return str(fraction) if abs(fraction - Fraction(shift)) < 1e-9 else repr(shift)
