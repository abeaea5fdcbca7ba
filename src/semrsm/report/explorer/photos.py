"""The photographs of a page, as the network saw them, small enough for all of them to fit."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...datasets import ImageFolder
from ...errors import InputError, did_you_mean, require
from ...features.preprocess import Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

#: Pixels of the longer side, the largest that fits.
SIDES = (320, 256, 192, 128, 96, 64)

#: Bytes of all JPEG files inside a page; base64 makes a third more of them.
BUDGET = 5_500_000

_QUALITY = 82
_SAMPLED = 24


class Photos:
    """Photographs by id, cut as the network saw them.

    Parameters
    ----------
    images : str, Path or data set
        A folder, or anything with ``ids`` and ``images[i]`` (a PIL image).
    provenance : mapping
        Of the features: its preprocessing says what part of a photograph the network saw.

    Raises
    ------
    InputError
        If it is neither.
    """

    def __init__(self, images: Any, provenance: Mapping[str, Any]) -> None:
        if isinstance(images, (str, Path)):
            images = ImageFolder(images)
        if not hasattr(images, "ids") or not hasattr(images, "__getitem__"):
            raise InputError(
                "images: expected a folder of photographs, or a data set with ids; got "
                f"{type(images).__name__}"
            )
        self._images = images
        self._places = {str(name): place for place, name in enumerate(images.ids)}
        self._preprocess = Preprocess.of(provenance)
        labels = getattr(images, "groups", None)
        labels = getattr(images, "labels", None) if labels is None else labels
        self.labels = None if labels is None else dict(zip(self._places, labels, strict=True))

    @property
    def cut(self) -> bool:
        """Whether it is known which part of each photograph the network saw."""
        return self._preprocess is not None

    def check(self, ids: Sequence[str]) -> None:
        """Refuse ids that have no photograph."""
        missing = [name for name in ids if name not in self._places]
        if missing:
            near = did_you_mean(missing[0], self._places)
            raise InputError(
                f"images: expected the photographs of the results; {missing[0]!r} is absent.{near}"
            )

    def __getitem__(self, name: str) -> Image:
        image: Image = self._images[self._places[name]]
        return image if self._preprocess is None else self._preprocess.crop(image)

    def jpegs(self, ids: Sequence[str], *, budget: int | None) -> list[bytes]:
        """Return the photographs as JPEG files, together not more than `budget` bytes if possible.

        The side is chosen by a sample, and all are made smaller again should that have been wrong.
        """
        self.check(ids)
        sides = list(SIDES)
        if budget is not None:
            step = max(1, len(ids) // _SAMPLED)
            sample = [self[name] for name in ids[::step]]
            while len(sides) > 1:
                mean = sum(len(_jpeg(image, sides[0])) for image in sample) / len(sample)
                if mean * len(ids) <= budget:
                    break
                sides.pop(0)
        found = [_jpeg(self[name], sides[0]) for name in ids]
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
