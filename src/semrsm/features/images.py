"""Every form in which images come, read as batches of float32 (n, 3, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.arrays import is_array, to_numpy
from ..datasets.image_folder import ImageFolder
from ..datasets.images import ImageReadError, open_image, upright_rgb
from ..errors import InputError, require
from ..tokens import image_ids

Batch = tuple[list[str], np.ndarray[Any, Any]]


class ImageSource:
    """Named images, read and preprocessed on demand.

    Attributes
    ----------
    ids : tuple of str
    failed : list of str
        What :meth:`read` has left out so far, with the causes.
    preprocessed_here : bool
        Whether images are preprocessed when they are read.
    """

    def __init__(
        self,
        ids: Sequence[str],
        get: Callable[[int], Any],
        preprocess: Callable[[Any], Any] | None,
    ) -> None:
        self.ids = tuple(ids)
        self.failed: list[str] = []
        self.preprocessed_here = preprocess is not None
        self._get = get
        self._preprocess = preprocess

    def read(self, first: int, last: int, on_error: str) -> Batch | None:
        """Read the images ``first:last``; None where none of them can be read."""
        ids: list[str] = []
        images: list[np.ndarray[Any, Any]] = []
        for i in range(first, min(last, len(self.ids))):
            try:
                image = self._get(i)
            except OSError as error:  # of a file, or of a data set of the caller's own
                if on_error == "raise":
                    raise
                told = isinstance(error, ImageReadError)
                self.failed.append(str(error) if told else f"{self.ids[i]}: {error}")
                continue
            if self._preprocess is not None:
                image = self._preprocess(image)
            array = to_numpy(image, f"images[{i}]").astype(np.float32, copy=False)
            if array.ndim != 3 or (images and array.shape != images[0].shape):
                expected = images[0].shape if images else "(channels, H, W)"
                raise InputError(
                    f"images: expected one shape {expected} after preprocessing; got {array.shape} "
                    f"for image {self.ids[i]!r}"
                )
            ids.append(self.ids[i])
            images.append(array)
        return (ids, np.stack(images)) if images else None


def open_images(images: Any, preprocess: Callable[[Any], Any] | None) -> ImageSource:
    """Return an :class:`ImageSource` for anything that :func:`semrsm.extract` takes.

    Raises
    ------
    InputError
        If `images` is nothing of that, or needs a preprocessing that is not given.
    """
    if isinstance(images, (str, Path)):
        images = ImageFolder(images)
    if is_array(images):
        return _from_array(images, preprocess)
    if hasattr(images, "ids") and hasattr(images, "__getitem__"):
        ids = image_ids(images.ids, len(images), "images.ids")
        return ImageSource(ids, images.__getitem__, _needed(preprocess))
    try:
        items = list(images)
    except TypeError as error:
        raise InputError(
            "images: expected a folder, paths, PIL images, an array or a data set; got "
            f"{type(images).__name__}"
        ) from error
    if not items:
        raise InputError("images: expected at least one image; got none")
    if all(isinstance(item, (str, Path)) for item in items):
        ids = image_ids([Path(item).as_posix() for item in items], len(items), "images")
        return ImageSource(ids, lambda i: open_image(items[i]), _needed(preprocess))
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    for i, item in enumerate(items):
        if not isinstance(item, pil.Image):
            raise InputError(
                f"images[{i}]: expected a path or a PIL image as in the rest of the sequence; got "
                f"{type(item).__name__}"
            )
    ids = image_ids(None, len(items), "images")
    return ImageSource(ids, lambda i: upright_rgb(items[i]), _needed(preprocess))


def _from_array(images: Any, preprocess: Callable[[Any], Any] | None) -> ImageSource:
    array = to_numpy(images, "images")
    if array.ndim != 4 or len(array) == 0:
        raise InputError(
            "images: expected uint8 (N, H, W, 3), or preprocessed floats (N, C, H, W), with at "
            f"least one image; got shape {array.shape}"
        )
    ids = image_ids(None, len(array), "images")
    if array.dtype == np.uint8:
        if array.shape[-1] != 3:
            raise InputError(f"images: expected uint8 of shape (N, H, W, 3); got {array.shape}")
        pil = require("PIL.Image", extra="features", purpose="Preprocessing photographs")
        return ImageSource(ids, lambda i: pil.fromarray(array[i]), _needed(preprocess))
    if array.dtype.kind != "f":
        raise InputError(f"images: expected uint8 or floats; got {array.dtype}")
    return ImageSource(ids, lambda i: array[i], None)


def _needed(preprocess: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    if preprocess is None:
        raise InputError(
            "preprocess: expected a function from a PIL image to an array (3, H, W), since the "
            "model brings none; or pass preprocessed images (N, 3, H, W)"
        )
    return preprocess
