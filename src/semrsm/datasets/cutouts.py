"""Cut-outs: photographs of single things with an alpha channel, found in a folder and read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import InputError, require
from .image_folder import image_files
from .images import ImageReadError
from .reading import LeftOut

if TYPE_CHECKING:
    from PIL.Image import Image


#: The alpha from which a pixel is more opaque than transparent.
_OPAQUE = 128


#: The smallest filled share of a cut-out's bounding box: with less, hardly anything is visible.
_FEWEST_FILLED = 0.02


#: The largest enlargement of a cut-out: beyond it, blur would identify the cut-out.
_LARGEST_ENLARGEMENT = 2.0


NEEDS = {"extra": "features", "purpose": "Composing scenes"}


class Cutout(NamedTuple):
    """One file; `frame` encloses all pixels of the upright image that are not fully transparent."""

    name: str
    path: str
    category: str
    frame: tuple[int, int, int, int]


def read_cutouts(
    root: Path, exclude: Sequence[str], objects: str, max_pixels: int, left_out: LeftOut
) -> list[Cutout]:
    """Return all usable cut-outs below a folder."""
    names = [name for name in image_files(root, left_out) if name.lower().endswith(".png")]
    if not names:
        raise InputError(f"root: expected a folder with PNG files; {str(root)!r} holds none")
    used = [
        name
        for name in names
        if not any(fnmatchcase(part, glob) for part in name.split("/") for glob in exclude)
    ]
    if not used:
        raise InputError(
            f"exclude: expected to leave some of the {len(names)} PNG files of {str(root)!r}; "
            f"{list(exclude)} leaves none"
        )
    found = []
    for name in used:
        above, _, file = name.rpartition("/")
        if objects == "folders" and not above:
            raise InputError(
                f"objects: expected all cut-outs in folders, to name objects by them; {name!r} "
                f"lies in {str(root)!r} itself"
            )
        path = os.fspath(root / name)
        try:
            alpha = opened_cutout(path, max_pixels).getchannel("A")
        except ImageReadError as error:
            left_out.add(name, str(error))
            continue
        problem = _problem(alpha)
        if problem:
            left_out.add(name, problem)
        else:
            category = above if objects == "folders" else _thing(file)
            found.append(Cutout(name, path, category, alpha.getbbox() or (0, 0, 0, 0)))
    return found


def _problem(alpha: Image) -> str | None:
    """Return the reason why an alpha channel is not that of a cut-out, or None."""
    pixels = np.asarray(alpha)
    least, most = int(pixels.min()), int(pixels.max())
    if least >= _OPAQUE:
        return "nothing in it is transparent"
    if most < _OPAQUE:
        return "everything in it is transparent"
    filled = (np.asarray(alpha.crop(alpha.getbbox())) >= _OPAQUE).mean()
    return "nearly everything in it is transparent" if filled < _FEWEST_FILLED else None


def _thing(file: str) -> str:
    """Return the thing that a file shows, according to the file's name.

    Examples
    --------
    >>> [_thing(name) for name in ("Apple-2.png", "apple_mirror.png", "3_earth.png", "747.png")]
    ['apple', 'apple', 'earth', '747']
    """
    words = re.sub(r"[\s_-]+", " ", os.path.splitext(file)[0]).strip().lower()
    core = re.sub(r"^[\d ]+|(?:[\d ]| (?:mirror|mirrored|flip|flipped)\b)+$", "", words)
    return core or words


def opened_cutout(path: str, max_pixels: int) -> Image:
    """Return an image file as upright RGBA."""
    pil = require("PIL.Image", **NEEDS)
    ops = require("PIL.ImageOps", **NEEDS)
    try:
        with pil.open(path) as file:
            width, height = file.size
            if width * height > max_pixels:
                raise ImageReadError(
                    f"{path}: {width} x {height} pixels are more than the limit of {max_pixels}"
                )
            upright: Image = ops.exif_transpose(file).convert("RGBA")
            return upright
    except ImageReadError:
        raise
    # Decoders raise nearly any exception on damaged files; all mean the same to the caller.
    except Exception as error:
        cause = str(error) or type(error).__name__
        raise ImageReadError(f"{path}: cannot be read as an image: {cause}") from error


def scaled_size(cutout: Cutout, side: float) -> tuple[int, int]:
    """Return width and height of a cut-out whose longer side is `side`, or less."""
    left, top, right, bottom = cutout.frame
    width, height = right - left, bottom - top
    factor = min(side / max(width, height), _LARGEST_ENLARGEMENT)
    return max(1, int(width * factor)), max(1, int(height * factor))


def fitted_image(image: Image, width: int, height: int, mirrored: bool) -> Image:
    """Return a cut-out at another size, mirrored or not."""
    # Pillow weights colours by alpha here, and its bicubic filter is exact whole-number arithmetic.
    fitted = image.resize((width, height), 3)
    if not mirrored:
        return fitted
    turned: Image = require("PIL.ImageOps", **NEEDS).mirror(fitted)
    return turned
