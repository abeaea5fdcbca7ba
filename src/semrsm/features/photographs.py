"""The photographs that stand behind features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import InputError


class Photos:
    """The photographs of the features' images, found by id where there are ids."""

    def __init__(self, images: Any, ids: Sequence[str]) -> None:
        self._images = images
        names = getattr(images, "ids", None)
        if names is None:
            if not hasattr(images, "__len__") or len(images) != len(ids):
                got = len(images) if hasattr(images, "__len__") else type(images).__name__
                raise InputError(
                    f"images: expected {len(ids)} photographs, one for each image of the features; "
                    f"got {got}"
                )
            self._places = list(range(len(ids)))
            return
        places = {str(name): i for i, name in enumerate(names)}
        missing = [name for name in ids if name not in places]
        if missing:
            raise InputError(
                f"images: expected a data set with the images of the features; {missing[0]!r} is "
                "not in it"
            )
        self._places = [places[name] for name in ids]

    def __getitem__(self, index: int) -> Any:
        return self._images[self._places[index]]
