"""Every form in which images and preprocessing come, opened as one kind of source."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.arrays import is_array, to_numpy
from .._internal.text import as_text, is_utf8
from ..datasets.image_folder import ImageFolder
from ..datasets.images import ImageReadError, open_image
from ..errors import InputError, require
from ..tokens import image_ids
from .checkpoint import checkpoint_preprocess
from .images import ImageSource, needed
from .items import images_of, pixels_in
from .loaders.image_processors import ImageProcessor
from .streams import LoaderSource, StreamSource, ids_of

_FORMS = "a folder, paths, PIL images, an array, a data set, a DataLoader or an iterable of images"


def usable_preprocess(preprocess: Any) -> Callable[[Any], Any] | None:
    """Return a preprocessing as a function from a PIL image to an array (C, H, W).

    Parameters
    ----------
    preprocess : callable or None
        A function or transform, also of torchvision or timm; an image processor of transformers, or
        a processor that has one; weights of torchvision, for their transforms.

    Raises
    ------
    InputError
        If it is nothing of that.
    """
    if preprocess is None:
        return None
    processor = getattr(preprocess, "image_processor", preprocess)
    if hasattr(processor, "model_input_names") and hasattr(processor, "preprocess"):
        transform = ImageProcessor(processor)
        try:
            return checkpoint_preprocess(transform, type(processor).__name__)
        except InputError:  # several sizes, or several images: an error where images have them
            return transform
    if not callable(preprocess) and callable(getattr(preprocess, "transforms", None)):
        return usable_preprocess(preprocess.transforms())
    if not callable(preprocess):
        raise InputError(
            "preprocess: expected a function from a PIL image to an array (3, H, W), a transform "
            f"or an image processor; got {type(preprocess).__name__}"
        )
    found: Callable[[Any], Any] = preprocess
    return found


def open_images(images: Any, preprocess: Callable[[Any], Any] | None) -> ImageSource:
    """Return an :class:`ImageSource` for anything that :func:`semrsm.extract` takes.

    Raises
    ------
    InputError
        If `images` is nothing of that, or needs a preprocessing that is not given.
    """
    if isinstance(images, (str, Path)):
        images = ImageFolder(images)
        return ImageSource(images.ids, images.__getitem__, needed(preprocess))
    if isinstance(images, Mapping):  # a batch, as image processors give it
        images = pixels_in(images, "images")
    if is_array(images) and getattr(images.dtype, "kind", None) not in ("U", "S", "O"):
        return _from_array(images, preprocess)
    if _is_loader(images):
        return _from_loader(images, preprocess)
    if isinstance(images, (list, tuple)) or is_array(images):
        return _from_sequence(list(images), preprocess)
    if hasattr(images, "__getitem__") and hasattr(images, "__len__") and not _is_stream(images):
        if not len(images):
            raise InputError("images: expected at least one image; got none")
        names = ids_of(images)
        return ImageSource(
            image_ids(names, len(images), "images.ids"), images.__getitem__, preprocess
        )
    if hasattr(images, "__iter__"):
        return StreamSource(images, preprocess)
    raise InputError(f"images: expected {_FORMS}; got {type(images).__name__}")


def _is_loader(images: Any) -> bool:
    """Whether images are a DataLoader of torch; one whose class iterates otherwise is a stream."""
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(images, data.DataLoader)


def _is_stream(images: Any) -> bool:
    data = sys.modules.get("torch.utils.data")
    return data is not None and isinstance(images, data.IterableDataset)


def _from_loader(loader: Any, preprocess: Callable[[Any], Any] | None) -> ImageSource:
    from torch.utils.data import DataLoader, SequentialSampler

    own = type(loader).__iter__ is not DataLoader.__iter__
    in_order = loader.batch_sampler is None and isinstance(loader.sampler, SequentialSampler)
    if own or in_order or _is_stream(loader.dataset):
        return StreamSource(loader, preprocess)
    return LoaderSource(loader, preprocess)


def _from_sequence(items: Sequence[Any], preprocess: Callable[[Any], Any] | None) -> ImageSource:
    flat = [image for i, item in enumerate(items) for image in images_of(item, f"images[{i}]")]
    if not flat:
        raise InputError("images: expected at least one image; got none")
    _check_items(flat)
    if not all(isinstance(item, (str, Path)) for item in flat):
        if not any(is_array(item) for item in flat):
            needed(preprocess)
        return ImageSource(image_ids(None, len(flat), "images"), flat.__getitem__, preprocess)
    names = [Path(item).as_posix() for item in flat]

    def get(place: int) -> Any:
        if not is_utf8(names[place]):
            raise ImageReadError(f"{as_text(names[place])}: the name is not UTF-8")
        return open_image(flat[place])

    return ImageSource(image_ids(names, len(flat), "images"), get, needed(preprocess))


def _check_items(items: Sequence[Any]) -> None:
    """Refuse a sequence with an entry that is no image, before any is read."""
    pil = require("PIL.Image", extra="features", purpose="Reading photographs")
    for i, item in enumerate(items):
        if not (isinstance(item, (str, Path, pil.Image)) or is_array(item)):
            raise InputError(
                f"images[{i}]: expected a path, a PIL image or an array, or a tuple or dictionary "
                f"with one of them; got {type(item).__name__}"
            )


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
        return ImageSource(ids, array.__getitem__, needed(preprocess))
    if array.dtype.kind != "f":
        raise InputError(f"images: expected uint8 or floats; got {array.dtype}")
    return ImageSource(ids, array.__getitem__, None)
