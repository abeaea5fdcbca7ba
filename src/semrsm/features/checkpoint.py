"""The preprocessing that a checkpoint brings: run as it is, and measured rather than read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..errors import InputError, first_line
from .geometry import PROBES, measured_geometry
from .preprocess import Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image

#: Sizes of photographs that tell whether the input has one shape: large and long ones are cut into
#: tiles by processors that take small ones whole.
_PHOTOS = (*PROBES, (1280, 853), (97, 403))

Pixels = np.ndarray[Any, np.dtype[np.float32]]


class Transform(Protocol):
    """What a package makes of a photograph, wrapped by the loader of its networks."""

    def __call__(self, image: Image) -> Any:
        """Return the array or tensor that the network takes for an image in RGB."""

    def at(self, size: tuple[int, int], own: tuple[int, int] | None) -> Iterator[Transform]:
        """Yield transforms that may give the size (H, W) instead of their own, best first."""

    def describe(self) -> Mapping[str, Any]:
        """Return the class and its configuration in plain values."""


class CheckpointPreprocess:
    """From a photograph to the input of a network, by the code that its package has for that.

    Parameters
    ----------
    transform : Transform
        Picklable.
    shape : (int, int, int)
        Channels, height and width of what it gives, for every photograph.

    Attributes
    ----------
    transform, shape
        The parameters.
    """

    def __init__(self, transform: Transform, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self.transform = transform

    def __repr__(self) -> str:
        return f"CheckpointPreprocess({self.transform.describe()['class']}, {self.shape})"

    @property
    def height_and_width(self) -> tuple[int, int]:
        """What the network gets, (H, W) in pixels."""
        return self.shape[1:]

    def __call__(self, image: Image) -> Pixels:
        """Return the image as the network takes it, float32 of shape (C, H, W)."""
        values = np.ascontiguousarray(self.transform(image.convert("RGB")), dtype=np.float32)
        if values.shape != self.shape:
            raise InputError(
                f"images: expected the preprocessing of the checkpoint to give {self.shape} for "
                f"every photograph; got {values.shape} for one of {image.height} x {image.width}"
            )
        return values

    @cached_property
    def geometry(self) -> Preprocess | None:
        """Which part of a photograph becomes the input, found by running ramps; None if unknown.

        Its normalisation and filter are the closest ones that :class:`Preprocess` has.
        """
        return measured_geometry(self)

    def crop(self, image: Image) -> Image:
        """Return the image as the network sees it, or whole where that part is not known."""
        return image.convert("RGB") if self.geometry is None else self.geometry.crop(image)

    def to_dict(self) -> dict[str, Any]:
        """Return the class, its configuration, the input size and the geometry, as plain values."""
        geometry = None if self.geometry is None else self.geometry.to_dict()
        return {**self.transform.describe(), "size": self.shape[1:], "geometry": geometry}


def checkpoint_preprocess(
    transform: Transform, spec: str, size: tuple[int, int] | None = None
) -> CheckpointPreprocess:
    """Wrap a transform that gives every photograph the same size, or can be made to.

    Parameters
    ----------
    transform : Transform
    spec : str
        The network, for errors.
    size : (int, int), optional
        Height and width of the input; by default the transform's own.

    Raises
    ------
    InputError
        If the transform gives anything but one image of one size, or cannot give `size`.
    """
    found, reason = _shape_of(transform)
    name = transform.describe()["class"]
    if size is None:
        if found is None:
            raise InputError(
                f"model: expected the preprocessing of {spec!r} to give one image (3, H, W) of one "
                f"size; its {name} {reason}"
            )
        return CheckpointPreprocess(transform, found)
    if found is not None and found[1:] == size:
        return CheckpointPreprocess(transform, found)
    for other in transform.at(size, None if found is None else found[1:]):
        shape, _ = _shape_of(other)
        if shape is not None and shape[1:] == size:
            return CheckpointPreprocess(other, shape)
    raise InputError(
        f"size: the preprocessing of {spec!r}, {name}, cannot give {size[0]} x {size[1]} pixels "
        f"for every photograph; by itself it "
        f"{reason or f'gives {found[1]} x {found[2]}' if found else reason}"
    )


def _shape_of(transform: Transform) -> tuple[tuple[int, int, int] | None, str]:
    """Return the one shape that a transform gives photographs of several sizes, or the reason."""
    from PIL import Image

    shapes: list[tuple[int, int, int]] = []
    for width, height in _PHOTOS:
        if len(set(shapes)) > 1:
            break
        try:
            shape = np.shape(transform(Image.new("RGB", (width, height), (90, 120, 150))))
        except InputError as error:
            return None, str(error)
        except Exception as error:  # of any package below
            return None, f"fails on a photograph ({first_line(error)})"
        if len(shape) != 3 or shape[0] not in (1, 3):
            return None, f"gives an array of shape {shape} for one photograph"
        shapes.append((int(shape[0]), int(shape[1]), int(shape[2])))
    if len(set(shapes)) > 1:
        return None, f"gives different shapes, such as {shapes[0]} and {shapes[-1]}: pass size"
    return shapes[0], ""


def geometry_of(preprocess: Any) -> Preprocess | None:
    """Return the geometry of any preprocessing, where it is known."""
    if isinstance(preprocess, Preprocess):
        return preprocess
    return preprocess.geometry if isinstance(preprocess, CheckpointPreprocess) else None


def whole_square(preprocess: Any) -> tuple[Any, int]:
    """Return a preprocessing that cuts nothing from square images of a side, and that side."""
    found = geometry_of(preprocess)
    if found is None:
        return preprocess, max(getattr(preprocess, "height_and_width", (224,)))
    return replace(found, resize=found.size, fit="crop"), max(found.height_and_width)
