"""Opening one image file of any kind as an upright RGB photograph."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .._internal.text import as_text
from ..errors import SemrsmError, require

if TYPE_CHECKING:
    from PIL.Image import Image

#: Images with more pixels are refused before they are decoded. At the limit, RGB takes half a
#: gigabyte. Pillow has the same limit, and warns from half of it on.
MAX_PIXELS = 178_956_970

#: Formats that Pillow recognises without being able to decode them.
_NEVER_DECODED = frozenset(("MPEG",))

#: EXIF's tag of the orientation, and the turn of PIL.Image.Transpose that undoes each value.
_ORIENTATION = 0x0112
_WITH_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}


class ImageReadError(SemrsmError, OSError):
    """An image file cannot be read; the message names the file and the cause."""


def image_suffixes() -> frozenset[str]:
    """Return the suffixes of all files that Pillow opens, in small letters, with the dot.

    Formats of plugins that have been registered with Pillow count as well.

    Raises
    ------
    MissingDependencyError
        If Pillow is not installed.
    """
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    stub = require("PIL.ImageFile", extra="features", purpose="Reading photographs").StubImageFile
    suffixes = set()
    for suffix, kind in pil.registered_extensions().items():  # loads all plugins of Pillow
        if kind in pil.OPEN and kind not in _NEVER_DECODED:
            factory = pil.OPEN[kind][0]
            # Of a stub, Pillow knows the first bytes only: HDF5 files are no photographs.
            if not (isinstance(factory, type) and issubclass(factory, stub)):
                suffixes.add(suffix.lower())
    return frozenset(suffixes)


def open_image(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Open an image file as upright RGB.

    Parameters
    ----------
    path : str or Path
        The file. Of an animation the first frame is taken.
    max_pixels : int
        Refuse images with more pixels.

    Returns
    -------
    PIL.Image.Image
        Mode RGB, turned as its EXIF orientation says; EXIF that is damaged says nothing.
        Transparent pixels are laid over white; 16-bit and floating greyscale is stretched linearly
        from its type's range (its own range where it has none) to 8 bits.

    Raises
    ------
    ImageReadError
        If the file is missing, not a regular file (a folder, a pipe, a device), not an image,
        truncated, or too large.
    MissingDependencyError
        If Pillow is not installed.
    """
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    name = as_text(path)
    try:
        # Opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageReadError(f"{name}: cannot be read as an image: it is not a regular file")
        with pil.open(path) as file:
            width, height = file.size
            if width * height > max_pixels:
                raise ImageReadError(
                    f"{name}: {width} x {height} pixels are more than the limit of {max_pixels}"
                )
            return upright_rgb(file)
    except ImageReadError:
        raise
    # Decoders raise nearly any exception on damaged files; all mean the same to the caller.
    except Exception as error:
        cause = as_text(str(error) or type(error).__name__)
        raise ImageReadError(f"{name}: cannot be read as an image: {cause}") from error


def upright_rgb(image: Image) -> Image:
    """Return any PIL image as upright 8-bit RGB, as :func:`open_image` describes."""
    module = require("PIL.Image", extra="features", purpose="Reading photographs")
    image.load()  # an error of the pixels is raised here, and not taken for one of the EXIF
    turn = _TURNS.get(_orientation(image))
    if turn is not None:
        image = image.transpose(module.Transpose[turn])
        for key in _WITH_ORIENTATION:  # so that it is turned once, however often it comes here
            image.info.pop(key, None)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        stretched: Image = module.fromarray(_to_8_bits(np.asarray(image), image.mode))
        return stretched.convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        background = module.new("RGBA", image.size, (255, 255, 255, 255))
        laid_over: Image = module.alpha_composite(background, with_alpha)
        return laid_over.convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image) -> int:
    """Return the orientation from the EXIF of an image; 1, upright, where it cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises nearly any exception on damaged EXIF
        return 1


def _to_8_bits(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Stretch greyscale of more than 8 bits; Pillow's own conversion clips it to white."""
    values = pixels.astype(np.float64)
    if mode == "F":
        # Such files hold NaN where nothing was measured: it becomes black, and does not count for
        # the range.
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
        values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    else:
        # Pillow opens 16-bit files as mode I too: the range is that of 16 bits if all values fit.
        low, high = 0.0, 65535.0
        if values.min() < low or values.max() > high:
            low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, dtype=np.uint8)
    return np.round((values - low) * (255.0 / (high - low))).astype(np.uint8)
