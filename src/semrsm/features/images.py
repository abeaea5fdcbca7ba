"""Named images, read and preprocessed on demand as batches of float32 (n, C, H, W)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._internal.arrays import to_numpy
from ..datasets.images import ImageReadError
from ..errors import InputError
from .items import image_of

Array = np.ndarray[Any, np.dtype[Any]]
Batch = tuple[list[str], Array]


@dataclass(frozen=True)
class Read:
    """A batch as far as it could be read.

    Attributes
    ----------
    images : list of int
        The n images that could be read, by their place among all.
    ids : list of str
        Their ids.
    batch : ndarray of float32, shape (n, C, H, W), or None
        None where no image could be read.
    left_out : list of (int, str)
        The other images, by their place among all, and the cause.
    """

    images: list[int]
    ids: list[str]
    batch: Array | None
    left_out: list[tuple[int, str]]


class ImageSource:
    """Named images in a fixed order, each of which can be read at any time.

    Parameters
    ----------
    ids : sequence of str
    get : callable
        Returns an image by its place, in any form that :func:`semrsm.features.items.image_of`
        takes.
    preprocess : callable or None
        From a PIL image to an array (C, H, W).

    Attributes
    ----------
    ids : sequence of str
    total : int or None
        How many images there are; None where that is not known.
    batch_size : int or None
        The size of the batches that the images come in, where they bring one.
    failed : list of str
        What :meth:`read` has left out so far, with the causes.
    preprocessed_here : bool
        Whether photographs have been preprocessed when they were read.
    """

    batch_size: int | None = None

    def __init__(
        self,
        ids: Sequence[str],
        get: Callable[[int], Any],
        preprocess: Callable[[Any], Any] | None,
    ) -> None:
        self.ids: Sequence[str] = tuple(ids)
        self.failed: list[str] = []
        self.preprocessed_here = False
        self._get = get
        self._preprocess = preprocess

    @property
    def total(self) -> int | None:
        """How many images there are."""
        return len(self.ids)

    def check_repeatable(self) -> None:
        """Refuse images that another call would not bring in the same order.

        Raises
        ------
        InputError
            If an extraction that was interrupted could not go on with them.
        """

    def read(self, first: int, last: int, on_error: str) -> Batch | None:
        """Read the images ``first:last``; None where none of them can be read."""
        ids: list[str] = []
        images: list[Array] = []
        for i in range(first, min(last, len(self.ids))):
            try:
                image = image_of(self._get(i), f"images[{i}]")
            except OSError as error:  # of a file, or of a data set of the caller's own
                if on_error == "raise":
                    raise
                told = isinstance(error, ImageReadError)
                self.failed.append(str(error) if told else f"{self.ids[i]}: {error}")
                continue
            array = self._as_input(image, f"images[{i}]")
            if array.ndim != 3 or (images and array.shape != images[0].shape):
                expected = images[0].shape if images else "(channels, H, W)"
                raise InputError(
                    f"images: expected one shape {expected} after preprocessing; got {array.shape} "
                    f"for image {self.ids[i]!r}"
                )
            ids.append(self.ids[i])
            images.append(array)
        return (ids, np.stack(images)) if images else None

    def _as_input(self, image: Any, name: str) -> Array:
        """Return an image as the network takes it; arrays are preprocessed already."""
        if not isinstance(image, np.ndarray):
            image = preprocessed(image, needed(self._preprocess))
            self.preprocessed_here = True
        return to_numpy(image, name).astype(np.float32, copy=False)

    def reads(self, size: int, on_error: str, first: int) -> Iterator[Read]:
        """Yield batches from that of image `first` on.

        They are the same wherever one begins: what a network gives may depend, in the last bits, on
        what else is in a batch.
        """
        total = len(self.ids)
        for start in range(first // size * size, total if first < total else 0, size):
            yield self._told(start, min(start + size, total), on_error)

    def _told(self, start: int, stop: int, on_error: str) -> Read:
        """Read the images ``start:stop``, with the causes of those that are left out."""
        ids, batch = self.read(start, stop, on_error) or ([], None)
        why, self.failed = self.failed, []
        readable = set(ids)
        images: list[int] = []
        missing: list[int] = []
        for image in range(start, stop):
            (images if self.ids[image] in readable else missing).append(image)
        return Read(images, ids, batch, list(zip(missing, why, strict=True)))


def preprocessed(image: Any, preprocess: Callable[[Any], Any]) -> Any:
    """Return what a preprocessing makes of a photograph, as far as that is an array.

    Raises
    ------
    InputError
        If it gives an image of PIL.
    """
    found = preprocess(image)
    if isinstance(found, type(image)):
        raise InputError(
            "preprocess: expected to get an array or tensor (C, H, W) from it; it gives a PIL "
            "image. Its last step, to a tensor, may be missing"
        )
    return found


def needed(preprocess: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    """Return a preprocessing, which photographs cannot do without.

    Raises
    ------
    InputError
        If there is none.
    """
    if preprocess is None:
        raise InputError(
            "preprocess: expected a function from a PIL image to an array (3, H, W), since the "
            "model brings none; or pass preprocessed images (N, 3, H, W)"
        )
    return preprocess
