"""The photographs of a page as JPEG files, small enough for all of them to fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import require

if TYPE_CHECKING:
    from PIL.Image import Image

    from ...features.photographs import Photos

#: Pixels of the longer side; the largest that fits is taken.
SIDES = (320, 256, 192, 128, 96, 64)

#: Bytes of all JPEG files inside a page; base64 makes a third more of them.
BUDGET = 5_500_000

_QUALITY = 82
_SAMPLED = 24


def jpegs(photos: Photos, ids: Sequence[str], *, budget: int | None) -> list[bytes]:
    """Return photographs as JPEG files, together not more than `budget` bytes if possible.

    The side is chosen from a sample. If the files are still too large, all are made smaller.
    """
    photos.check(ids)
    sides = list(SIDES)
    if budget is not None:
        step = max(1, len(ids) // _SAMPLED)
        sample = [photos[name] for name in ids[::step]]
        while len(sides) > 1:
            mean = sum(len(_jpeg(image, sides[0])) for image in sample) / len(sample)
            if mean * len(ids) <= budget:
                break
            sides.pop(0)
    found = [_jpeg(photos[name], sides[0]) for name in ids]
    pil = require("PIL.Image", extra="features", purpose="A report with photographs")
    while budget is not None and len(sides) > 1 and sum(map(len, found)) > budget:
        sides.pop(0)
        found = [_jpeg(pil.open(io.BytesIO(file)), sides[0]) for file in found]
    return found


def _jpeg(image: Image, side: int) -> bytes:
    image = image.convert("RGB")  # a copy, which thumbnail() may change
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()


def jpeg_uri(file: bytes) -> str:
    """Return a JPEG file as a data URI."""
    return "data:image/jpeg;base64," + base64.b64encode(file).decode("ascii")
