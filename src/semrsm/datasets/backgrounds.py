"""Backgrounds of composed scenes: plain, gradients, noise, or parts of photographs."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean, require
from .cutouts import NEEDS
from .image_folder import ImageFolder, image_files
from .images import upright_rgb
from .layouts import draw_below

if TYPE_CHECKING:
    from PIL.Image import Image


#: Backgrounds that need no photographs.
BACKGROUNDS = ("plain", "gradient", "noise")


#: Cells along each side of a background of noise.
_NOISE = 12


#: The largest distance of a cell from the mean colour, in each channel.
_CONTRAST = 64


def made_background(kind: str, size: tuple[int, int], source: Random) -> Image:
    """Return a background of one of the kinds in :data:`BACKGROUNDS`."""
    pil = require("PIL.Image", **NEEDS)
    first = [draw_below(256, source) for _ in range(3)]
    if kind == "plain":
        plain: Image = pil.new("RGB", size, tuple(first))
        return plain
    if kind == "noise":
        # Around one colour, so that the background does not outshine the objects.
        cells = [
            [
                [value + draw_below(2 * _CONTRAST + 1, source) - _CONTRAST for value in first]
                for _ in range(_NOISE)
            ]
            for _ in range(_NOISE)
        ]
        noise: Image = pil.fromarray(np.clip(cells, 0, 255).astype(np.uint8)).resize(size, 3)
        return noise
    last = [draw_below(256, source) for _ in range(3)]
    share = source.random()  # 0: from top to bottom, 1: from left to right
    corners = [
        [[round(a + (b - a) * part) for a, b in zip(first, last, strict=True)] for part in row]
        for row in ((0.0, share), (1 - share, 1.0))
    ]
    four = pil.fromarray(np.array(corners, dtype=np.uint8))
    # Between the centres of the four pixels, beyond which there is no change; 2: bilinear.
    gradient: Image = four.resize(size, 2, box=(0.5, 0.5, 1.5, 1.5))
    return gradient


def part_of_photo(photo: Any, size: tuple[int, int], source: Random) -> Image:
    """Return a random part of a photograph: the largest with the proportions of a scene."""
    image = upright_rgb(photo)
    factor = min(image.width / size[0], image.height / size[1])
    width = min(max(1, int(size[0] * factor)), image.width)
    height = min(max(1, int(size[1] * factor)), image.height)
    left = draw_below(image.width - width + 1, source)
    top = draw_below(image.height - height + 1, source)
    return image.crop((left, top, left + width, top + height)).resize(size, 3)


def checked_backgrounds(value: Any, max_pixels: int) -> Any:
    """Return a tuple of names of made backgrounds, or a data set that is not empty."""
    if value is None:
        return BACKGROUNDS
    if isinstance(value, str) and value in BACKGROUNDS:
        return (value,)
    if isinstance(value, (str, Path)):
        if not Path(value).is_dir():
            raise InputError(
                f"backgrounds: expected one of {', '.join(BACKGROUNDS)}, a folder of photographs, "
                f"or a data set; there is no folder {str(value)!r}."
                f"{did_you_mean(str(value), BACKGROUNDS)}"
            )
        return _photographs(Path(value), max_pixels)
    if not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise InputError(
            f"backgrounds: expected one of {', '.join(BACKGROUNDS)}, a folder of photographs, or a "
            f"data set; got {type(value).__name__}"
        )
    if not len(value):
        raise InputError("backgrounds: expected at least one photograph; the data set is empty")
    # A tuple stands for made backgrounds, so a tuple of photographs becomes a list.
    return list(value) if isinstance(value, tuple) else value


def _photographs(folder: Path, max_pixels: int) -> ImageFolder:
    if not image_files(folder):
        raise InputError(f"backgrounds: expected photographs in {str(folder)!r}; it holds none")
    return ImageFolder(folder, max_pixels=max_pixels)
