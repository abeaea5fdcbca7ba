"""The image in what data sets, loaders and generators give: tuples, dictionaries, tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.arrays import is_array, to_numpy
from ..datasets.images import open_image, upright_rgb
from ..errors import InputError, require

Array = np.ndarray[Any, np.dtype[Any]]

#: Where dictionaries hold the image, or the batch; the first that is there counts.
KEYS = ("pixel_values", "image", "images", "img", "inputs")


def pixels_in(item: Mapping[Any, Any], name: str) -> Any:
    """Return the image, or the batch, of a dictionary.

    Raises
    ------
    InputError
        If it has none.
    """
    for key in KEYS:
        if key in item:
            return item[key]
    there = ", ".join(repr(key) for key in list(item)[:6]) or "nothing"
    raise InputError(f"{name}: expected a dictionary with one of {', '.join(KEYS)}; got {there}")


def image_of(item: Any, name: str) -> Any:
    """Return the one image of an item: upright PIL in RGB, or floats (C, H, W).

    Parameters
    ----------
    item : object
        A path; a PIL image; uint8 (H, W, 3) or (3, H, W); floats (C, H, W) or (1, C, H, W); a
        dictionary with one of them; or a tuple or list that begins with one.
    name : str
        The item, for errors.

    Raises
    ------
    InputError
        If it is nothing of that.
    ImageReadError
        If a path cannot be read.
    """
    if isinstance(item, Mapping):
        return image_of(pixels_in(item, name), name)
    if isinstance(item, (tuple, list)) and item:
        return image_of(item[0], name)
    if isinstance(item, (str, Path)):
        return open_image(item)
    if is_array(item):
        array = to_numpy(item, name)
        if array.ndim == 4 and len(array) == 1:
            array = array[0]
        if array.ndim != 3:
            raise InputError(
                f"{name}: expected one image, floats (C, H, W) or uint8 (H, W, 3); got an array of "
                f"shape {array.shape}"
            )
        if array.dtype == np.uint8:
            return _photo(array, name)
        if array.dtype.kind != "f":
            raise InputError(f"{name}: expected uint8 or floats; got {array.dtype}")
        return array
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    if isinstance(item, pil.Image):
        return upright_rgb(item)
    raise InputError(
        f"{name}: expected a path, a PIL image, an array or tensor (C, H, W), or a tuple or a "
        f"dictionary with one of them; got {type(item).__name__}"
    )


def _photo(array: Array, name: str) -> Any:
    """Return 8-bit pixels as a photograph, whichever axis holds the colours."""
    last, first = array.shape[2] == 3, array.shape[0] == 3
    if last == first:
        raise InputError(
            f"{name}: expected uint8 (H, W, 3) or (3, H, W), with three colours on one of these "
            f"axes; got shape {array.shape}"
        )
    pil = require("PIL.Image", extra="features", purpose="Preprocessing photographs")
    return pil.fromarray(np.ascontiguousarray(array if last else array.transpose(1, 2, 0)))


def images_of(item: Any, name: str) -> list[Any]:
    """Return the items, one for each image, of what may be an image or a batch of them.

    Parameters
    ----------
    item : object
        As for :func:`image_of`; an array of four dimensions is a batch, and so is a list of images.
    name : str
        The item, for errors.

    Raises
    ------
    InputError
        If it is nothing of that.
    """
    if isinstance(item, Mapping):
        return images_of(pixels_in(item, name), name)
    if isinstance(item, (tuple, list)):
        if not item:
            raise InputError(f"{name}: expected at least one image; got an empty batch")
        several = isinstance(item, list) and _dimensions(item[0]) != 4
        if several and all(_looks_like_image(part) for part in item):
            return [image for part in item for image in images_of(part, name)]
        return images_of(item[0], name)
    return list(item) if _dimensions(item) == 4 else [item]


def _dimensions(item: Any) -> int:
    return len(item.shape) if is_array(item) else 0


def _looks_like_image(item: Any) -> bool:
    """Whether an entry of a list is an image by itself, and not the label beside one."""
    if is_array(item):
        return _dimensions(item) >= 3
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    return isinstance(item, (Mapping, tuple, Path, str, pil.Image))
