"""From a photograph to the array that a network takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean

if TYPE_CHECKING:
    from PIL.Image import Image

#: The filters of Pillow by name; the numbers are its own.
INTERPOLATIONS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

FITS = ("crop", "stretch", "pad", "letterbox")

#: The channels that a network takes, and what Pillow calls them.
CHANNELS = {"rgb": "RGB", "bgr": "RGB", "gray": "L"}


@dataclass(frozen=True)
class Preprocess:
    """Resize, cut out the centre or pad, normalise: a photograph to float32 (C, H, W).

    Parameters
    ----------
    size : int or (int, int)
        What the network gets, in pixels: the side of a square, or height and width.
    resize : int or (int, int)
        The box that the image is resized to before the centre of `size` is cut out; not used
        where `fit` is ``"pad"`` or ``"letterbox"``.
    mean, std : (float, float, float) or (float,)
        Of each channel that the network takes, in units of the 8-bit range 0–255.
    interpolation : {"bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"}
        The filter of the resizing.
    fit : {"crop", "stretch", "pad", "letterbox"}
        ``"crop"`` keeps the proportions and covers the box; ``"stretch"`` makes the image exactly
        the box; ``"pad"`` keeps the proportions, fits the image into `size`, in the upper left
        corner, and leaves zeros after normalisation elsewhere; ``"letterbox"`` is the same with the
        image in the middle.
    channels : {"rgb", "bgr", "gray"}
        What the network takes; ``"gray"`` is one channel, the luminance of ITU-R 601.

    Raises
    ------
    InputError
        If a size is not positive, or a name is not known.

    Examples
    --------
    >>> from PIL import Image
    >>> preprocess = Preprocess(224, 256, (127.5,) * 3, (127.5,) * 3)
    >>> preprocess(Image.new("RGB", (640, 480))).shape
    (3, 224, 224)
    """

    size: int | tuple[int, int]
    resize: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    fit: str = "crop"
    channels: str = "rgb"

    def __post_init__(self) -> None:
        for name in ("size", "resize"):
            object.__setattr__(self, name, _plain_size(getattr(self, name), name))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        for name, choices in (
            ("interpolation", tuple(INTERPOLATIONS)), ("fit", FITS), ("channels", tuple(CHANNELS))
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in choices:
                raise InputError(
                    f"{name}: expected one of {', '.join(choices)}; got {value!r}."
                    f"{did_you_mean(str(value), choices)}"
                )

        count = 1 if self.channels == "gray" else 3
        for name in ("mean", "std"):
            if len(getattr(self, name)) != count:
                raise InputError(
                    f"{name}: expected a number for each of {count} channels; got "
                    f"{getattr(self, name)}"
                )

    @property
    def geometry(self) -> Preprocess:
        """Itself, as preprocessing by the code of a checkpoint has its measured geometry here."""
        return self

    @property
    def height_and_width(self) -> tuple[int, int]:
        """What the network gets, (H, W) in pixels."""
        return as_pair(self.size)

    def at(self, size: int | tuple[int, int]) -> Preprocess:
        """Return the same preprocessing for another input size; the cut keeps its share."""
        old, new, box = self.height_and_width, as_pair(size), as_pair(self.resize)
        resize = tuple(
            max(n, round(b * n / o)) if b >= o else round(b * n / o)
            for b, n, o in zip(box, new, old, strict=True)
        )
        return replace(self, size=size, resize=(resize[0], resize[1]))

    def __call__(self, image: Image) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the image as the network takes it, shape (C, H, W)."""
        cut = self._cut(image.convert("RGB").convert(CHANNELS[self.channels]))
        pixels = np.atleast_3d(np.asarray(cut, dtype=np.float32))
        pixels = pixels[..., ::-1] if self.channels == "bgr" else pixels
        normal = (pixels - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        values = np.zeros((len(self.mean), *self.height_and_width), dtype=np.float32)
        top, left = self._corner(cut)
        values[:, top : top + cut.height, left : left + cut.width] = normal.transpose(2, 0, 1)
        return values

    def crop(self, image: Image) -> Image:
        """Return the image as the network sees it, H × W pixels, before normalisation."""
        cut = self._cut(image.convert("RGB"))
        height, width = self.height_and_width
        if cut.size == (width, height):
            return cut
        from PIL import Image as pillow

        # What is zero after normalisation is the mean colour.
        levels = [min(255, max(0, round(value))) for value in self.mean]
        red, green, blue = levels * 3 if len(levels) == 1 else levels
        colour = (blue, green, red) if self.channels == "bgr" else (red, green, blue)
        canvas = pillow.new("RGB", (width, height), colour)
        canvas.paste(cut, self._corner(cut)[::-1])
        return canvas

    @property
    def pads(self) -> bool:
        """Whether the input of some photographs has places without photograph."""
        sizes = zip(as_pair(self.resize), self.height_and_width, strict=True)
        return self.fit in ("pad", "letterbox") or any(box < side for box, side in sizes)

    def seen(self, mask: Image) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return how much of each pixel of the input a mask of the photograph covers, (H, W).

        Parameters
        ----------
        mask : PIL.Image.Image
            Of mode L and the size of the photograph, 255 where it covers it. The padding is not
            covered.
        """
        cut = replace(self, interpolation="bilinear")._cut(mask)
        values = np.zeros(self.height_and_width, dtype=np.float32)
        top, left = self._corner(cut)
        values[top : top + cut.height, left : left + cut.width] = np.asarray(cut, np.float32) / 255
        return values

    def _corner(self, cut: Image) -> tuple[int, int]:
        """Return the first row and column of the input that hold the photograph."""
        if self.fit != "letterbox":
            return 0, 0
        height, width = self.height_and_width
        return (height - cut.height) // 2, (width - cut.width) // 2

    def _cut(self, image: Image) -> Image:
        """Return the pixels that the network sees; smaller than `size` only where it is padded."""
        height, width = self.height_and_width
        if self.fit in ("pad", "letterbox"):
            scale = min(height / image.height, width / image.width)
            # Halves are rounded up, as by the networks that pad.
            rows = max(1, min(height, int(image.height * scale + 0.5)))
            columns = max(1, min(width, int(image.width * scale + 0.5)))
            return self._resized(image, rows, columns)
        rows, columns = as_pair(self.resize)
        if self.fit == "crop":
            if rows * image.width >= columns * image.height:
                columns = max(columns, int(rows * image.width / image.height))
            else:
                rows = max(rows, int(columns * image.height / image.width))
        resized = self._resized(image, rows, columns)
        left, top = (columns - width) // 2, (rows - height) // 2
        return resized.crop((left, top, left + width, top + height))

    def _resized(self, image: Image, height: int, width: int) -> Image:
        if image.size == (width, height):
            return image
        return image.resize((width, height), INTERPOLATIONS[self.interpolation])

    def to_dict(self) -> dict[str, Any]:
        """Return the parameters as plain values, from which ``Preprocess(**values)`` is the same.

        Examples
        --------
        >>> preprocess = Preprocess(224, 256, (0, 0, 0), (255, 255, 255))
        >>> Preprocess(**preprocess.to_dict()) == preprocess
        True
        """
        return asdict(self)

    @staticmethod
    def of(provenance: Mapping[str, Any]) -> Preprocess | None:
        """Return the preprocessing that the provenance of features describes, if it does.

        Parameters
        ----------
        provenance : mapping
            Of :class:`semrsm.Features`, extracted just now or loaded from a file.
        """
        values = provenance.get("preprocess")
        if isinstance(values, Mapping) and "geometry" in values:  # of a checkpoint's own code
            values = values["geometry"]
        return Preprocess(**values) if isinstance(values, Mapping) else None


def as_pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return a size as (height, width)."""
    return size if isinstance(size, tuple) else (size, size)


def _plain_size(value: Any, name: str) -> int | tuple[int, int]:
    """Return an int for a square and a pair otherwise, so that equal sizes compare equal."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in pair)
    if len(pair) != 2 or not whole or min(pair) < 1:
        raise InputError(
            f"{name}: expected a number of pixels >= 1, or (height, width); got {value!r}"
        )
    return pair[0] if pair[0] == pair[1] else (pair[0], pair[1])


#: The usual preprocessing of classifiers of ImageNet.
IMAGENET = Preprocess(224, 256, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
