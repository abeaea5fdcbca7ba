"""Where the objects of annotated images are: a mask of each image, drawn when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, did_you_mean, require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .reading import Box, ImageFiles

#: The corners of a shape, (x, y) in pixels, and whether it is one of the objects.
Shape = tuple[Sequence[tuple[float, float]], bool]


class Outlines(NamedTuple):
    """The shapes in one image.

    Attributes
    ----------
    size : (int, int)
        Height and width that the shapes refer to.
    shapes : list of Shape
        Later ones hide those before them.
    """

    size: tuple[int, int]
    shapes: list[Shape]


class ObjectMasks:
    """Masks of the objects of a data set, for ``semrsm.extract(..., mask=...)``.

    Parameters
    ----------
    data : ImageFiles
        With boxes, or with outlines of its own.
    names : sequence of str
        Categories, or ids of instances; all objects where it is empty.

    Attributes
    ----------
    ids : tuple of str
        Those of the data set.

    Raises
    ------
    InputError
        If the data set has no boxes, or none of its objects has a name of `names`.
    """

    def __init__(self, data: ImageFiles, names: Sequence[str]) -> None:
        if data.boxes is None:
            raise InputError(
                f"masks: expected a data set with boxes of objects; {type(data).__name__} has none "
                "here"
            )
        known = {name for boxes in data.boxes for box in boxes for name in _names_of(box)}
        for name in names:
            if name not in known:
                raise InputError(
                    f"names: expected objects of the data set; got {name!r}."
                    f"{did_you_mean(str(name), known)}"
                )
        self.ids = data.ids
        self._data = data
        self._names = frozenset(names)

    def __repr__(self) -> str:
        names = ", ".join(sorted(self._names)) or "all objects"
        return f"{type(self).__name__}({type(self._data).__name__}: {names})"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> NDArray[np.bool_]:
        """Return the mask of an image, shape (H, W) of the photograph; True on the objects."""
        return drawn(*self._data.outlines(index, self._names))


def box_shapes(boxes: Iterable[Box], names: frozenset[str]) -> list[Shape]:
    """Return the boxes of the named objects as shapes; of all, where `names` is empty."""
    return [
        (((box.left, box.top), (box.right, box.bottom)), True)
        for box in boxes
        if not names or names & set(_names_of(box))
    ]


def _names_of(box: Any) -> list[str]:
    return [name for name in (box.category, box.instance) if name is not None]


def drawn(size: tuple[int, int], shapes: Iterable[Shape]) -> NDArray[np.bool_]:
    """Return a mask of shapes, each above those before it; two corners are those of a box.

    Parameters
    ----------
    size : (int, int)
        Height and width.
    shapes : iterable of Shape
    """
    pil = require("PIL.Image", extra="features", purpose="Masks of objects")
    draw = require("PIL.ImageDraw", extra="features", purpose="Masks of objects")
    canvas = pil.new("1", size[::-1])
    pen = draw.Draw(canvas)
    for corners, is_object in shapes:
        if len(corners) == 2:
            (left, top), (right, bottom) = corners
            # Pixels whose middle is inside.
            first = (int(np.ceil(left - 0.5)), int(np.ceil(top - 0.5)))
            last = (int(np.ceil(right - 0.5)) - 1, int(np.ceil(bottom - 0.5)) - 1)
            if last[0] >= first[0] and last[1] >= first[1]:
                pen.rectangle((*first, *last), fill=int(is_object))
        else:
            pen.polygon([(float(x), float(y)) for x, y in corners], fill=int(is_object))
    return np.array(canvas, dtype=bool)
