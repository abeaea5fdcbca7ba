"""The photographs that stand behind features, as the network saw them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..datasets.image_folder import ImageFolder
from ..errors import InputError, did_you_mean
from .preprocess import Preprocess

if TYPE_CHECKING:
    from PIL.Image import Image


class Photos:
    """Photographs, found by id or by place, cut as the network saw them where that is known.

    Parameters
    ----------
    images : str, Path, data set or sequence of N PIL images
        A folder; an object with ``ids`` and PIL images by index; or, where `ids` are given, images
        in their order.
    ids : sequence of N str, optional
        The images of the features; by default those of the data set.
    provenance : mapping, optional
        Of the features: its preprocessing says which part of a photograph the network saw. By
        default photographs are whole.

    Attributes
    ----------
    ids : tuple of str
        The photographs in the order of their places.

    Raises
    ------
    InputError
        If there are too few or too many images, or one of `ids` is not among them.
    """

    def __init__(
        self,
        images: Any,
        ids: Sequence[str] | None = None,
        *,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(images, (str, Path)):
            images = ImageFolder(images)
        names = getattr(images, "ids", None)
        if ids is None:
            if names is None or not hasattr(images, "__getitem__"):
                raise InputError(
                    "images: expected a folder of photographs, or a data set with ids; got "
                    f"{type(images).__name__}"
                )
            ids = [str(name) for name in names]
        elif names is None and (not hasattr(images, "__len__") or len(images) != len(ids)):
            got = len(images) if hasattr(images, "__len__") else type(images).__name__
            raise InputError(
                f"images: expected {len(ids)} photographs, one for each image of the features; "
                f"got {got}"
            )
        self.ids = tuple(ids)
        self._images = images
        #: Where each photograph is among `images`.
        self._places = {
            str(name): place for place, name in enumerate(self.ids if names is None else names)
        }
        missing = [name for name in self.ids if name not in self._places]
        if missing:
            raise InputError(
                f"images: expected a data set with the images of the features; {missing[0]!r} is "
                "not in it"
            )
        self._preprocess = None if provenance is None else Preprocess.of(provenance)

    @property
    def labels(self) -> dict[str, Any] | None:
        """The group of each photograph by id, or its label where the data set has no groups."""
        found = getattr(self._images, "groups", None)
        found = getattr(self._images, "labels", None) if found is None else found
        return None if found is None else dict(zip(self._places, found, strict=True))

    @property
    def cut(self) -> bool:
        """Whether it is known which part of each photograph the network saw."""
        return self._preprocess is not None

    def check(self, ids: Sequence[str]) -> None:
        """Refuse ids that have no photograph.

        Raises
        ------
        InputError
            Naming the first one.
        """
        missing = [name for name in ids if name not in self._places]
        if missing:
            near = did_you_mean(missing[0], self._places)
            raise InputError(
                f"images: expected the photographs of the results; {missing[0]!r} is absent.{near}"
            )

    def __getitem__(self, which: str | int) -> Image:
        """Return a photograph in RGB, by its id or its place among `ids`."""
        name = which if isinstance(which, str) else self.ids[which]
        image: Image = self._images[self._places[name]]
        return image.convert("RGB") if self._preprocess is None else self._preprocess.crop(image)
