"""Patches that are left out of an extraction: padding, and all that a mask does not cover."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import is_array, to_numpy
from ..datasets.image_folder import image_files
from ..errors import InputError, did_you_mean, require
from ..tokens import MaskedImages
from .checkpoint import geometry_of
from .preprocess import Preprocess
from .provenance import without_addresses

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

Array = np.ndarray[Any, np.dtype[Any]]

#: The share of a patch that must be covered for it to be kept.
LEAST = 0.5

#: So that rounding does not decide about a patch of which exactly half is covered.
_ROUNDING = 1e-6


def coverage(mask: Array, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Return the covered share of each patch of a grid over a mask, by area, shape `grid`.

    Parameters
    ----------
    mask : array, shape (H, W)
        Shares from 0 to 1.
    grid : (int, int)
        Height and width in patches, of any ratio to those of the mask.

    Examples
    --------
    >>> coverage(np.array([[1, 1, 0], [1, 1, 0]]), (1, 2))
    array([[1.        , 0.33333333]])
    """
    down, across = (_overlaps(size, cells) for size, cells in zip(mask.shape, grid, strict=True))
    found: NDArray[np.float64] = down @ mask.astype(np.float64) @ across.T
    return found


def _overlaps(size: int, cells: int) -> NDArray[np.float64]:
    """Return which share of each cell each pixel of a side takes, shape (cells, size)."""
    edges = np.arange(cells + 1) * (size / cells)
    pixels = np.arange(size)
    stop = np.minimum(edges[1:, None], pixels + 1)
    shares: NDArray[np.float64] = np.clip(stop - np.maximum(edges[:-1, None], pixels), 0, None)
    return shares * (cells / size)


@dataclass(frozen=True)
class ImageMask:
    """What of the input of one image is covered, all at once.

    Attributes
    ----------
    shares : tuple of ndarray, each (H, W)
        A patch is kept where each of them covers half of it.
    asked : (int, int) or None
        The size of a mask that is given at the size of a grid, and so of no other.
    """

    shares: tuple[Array, ...] = ()
    asked: tuple[int, int] | None = None

    def kept(self, grid: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the patches of a grid that are kept."""
        kept = np.ones(grid, dtype=bool)
        for shares in self.shares:
            kept &= coverage(shares, grid) >= LEAST - _ROUNDING
        return kept


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of an extraction, found image by image.

    Parameters
    ----------
    given : object
        As :func:`semrsm.extract` takes it: None for padding only, False for nothing.
    preprocess : callable or None
    """

    given: Any
    preprocess: Callable[[Any], Any] | None
    _find: Callable[[int, str], Any] | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, given: Any, preprocess: Callable[[Any], Any] | None, ids: Sequence[str] | None
    ) -> Masks:
        """Open masks in any form; `ids` is None where the images are not known before they come.

        Raises
        ------
        InputError
            If they have another form, or lack an image of `ids`.
        """
        if given is None or given is False:
            return cls(given, preprocess)
        return cls(given, preprocess, _finder(given, ids))

    @cached_property
    def geometry(self) -> Preprocess | None:
        """Which part of a photograph the network gets, where that is known."""
        return geometry_of(self.preprocess)

    @property
    def is_given(self) -> bool:
        """Whether the caller gave masks."""
        return self._find is not None

    @property
    def active(self) -> bool:
        """Whether anything may be left out."""
        return self._find is not None or (self.given is None and self._pads)

    @property
    def _pads(self) -> bool:
        return self.geometry is not None and self.geometry.pads

    def facts(self, preprocessed_here: bool) -> dict[str, Any]:
        """Return the entry of the provenance; empty where nothing can be left out."""
        if self.given is False:
            return {"mask": False}
        padding = {"padding": "left out"} if preprocessed_here and self._pads else {}
        if self._find is None and not padding:
            return {}
        if self._find is None:
            return {"mask": padding}
        return {"mask": {**padding, "given": _described(self.given), "least": LEAST}}

    def image(
        self, place: int, name: str, photo: tuple[int, int] | None, size: tuple[int, int]
    ) -> ImageMask:
        """Return the mask of one image.

        Parameters
        ----------
        place : int
        name : str
            Its id.
        photo : (int, int) or None
            Height and width of the photograph; None where the image is preprocessed already.
        size : (int, int)
            Height and width of the input.

        Raises
        ------
        InputError
            If it is no mask, or the cut of the photograph cannot be found.
        """
        shares = []
        if photo is not None and self._pads and self.given is not False:
            shares.append(self._seen(np.ones(photo, dtype=bool)))
        found = None if self._find is None else self._find(place, name)
        if found is None:
            return ImageMask(tuple(shares))
        mask = as_mask(found, name)
        if photo is not None and mask.shape == photo:
            return ImageMask((*shares, self._seen(mask)))
        at_grid = None if mask.shape == size else (mask.shape[0], mask.shape[1])
        return ImageMask((*shares, mask), at_grid)

    def _seen(self, mask: Array) -> Array:
        """Return how much of each pixel of the input a mask of the photograph covers, (H, W)."""
        pil = require("PIL.Image", extra="features", purpose="Masks of photographs")
        picture = pil.fromarray(mask.astype(np.uint8) * 255)
        if self.geometry is not None:
            return self.geometry.seen(picture)
        if self.preprocess is None:  # photographs are not read without one
            return mask
        return run_through(self.preprocess, picture)


def run_through(preprocess: Callable[[Any], Any], mask: Image) -> Array:
    """Return how much of each pixel of the input a mask covers, by preprocessing it.

    A preprocessing that resizes, cuts, pads and normalises is affine in the pixels: with black and
    white photographs of the same size, v(mask) = v(black) + share · (v(white) − v(black)).

    Parameters
    ----------
    preprocess : callable
    mask : PIL.Image.Image
        Of mode L and the size of the photograph, 255 where it covers it.

    Raises
    ------
    InputError
        If the preprocessing is random, or gives the same of black and white.
    """
    black, white = (mask.point([level] * 256) for level in (0, 255))
    pictures = (black, black, white, mask)
    low, again, high, found = (
        to_numpy(preprocess(picture.convert("RGB")), "preprocess").astype(np.float64)
        for picture in pictures
    )
    span = np.abs(high - low).max(axis=0)
    if low.shape != found.shape or not np.array_equal(low, again) or not span.any():
        raise InputError(
            "mask: expected masks of the size of the network's input or of its grid: which part of "
            "a photograph the preprocessing takes cannot be found, since it does not give the same "
            "for the same photograph"
        )
    inside = span > 1e-3 * span.max()
    shares = (np.abs(found - low).max(axis=0) / np.where(inside, span, 1)).clip(0, 1)
    return np.asarray(shares * inside)


def masked_layers(
    layers: Mapping[str, Array],
    grids: Mapping[str, tuple[int, int]],
    masks: Sequence[ImageMask],
    ids: Sequence[str],
    size: Sequence[int],
    *,
    given: bool,
) -> dict[str, Any]:
    """Return the layers of a batch with the patches that masks keep.

    Parameters
    ----------
    layers : mapping of str to ndarray
    grids : mapping of str to (int, int)
        Of the layers whose grid is known; of the others nothing is left out.
    masks : sequence of ImageMask
    ids : sequence of str
        The images, for errors.
    size : (int, int)
        Height and width of the input, for errors.
    given : bool
        Whether the caller gave masks, and so expects every layer to follow them.

    Raises
    ------
    InputError
        If a layer has no known grid and a mask was given for it, a mask has a size that fits
        nothing, or nothing of an image is left.
    """
    sizes = {mask.asked for mask in masks if mask.asked is not None}
    for asked in sizes:
        if asked not in grids.values():
            there = ", ".join(sorted({f"{h} x {w}" for h, w in grids.values()})) or "unknown"
            raise InputError(
                f"mask: expected masks of the size of the photographs, of the input "
                f"({size[0]} x {size[1]}) or of a grid ({there}); got {asked[0]} x {asked[1]}"
            )
    found: dict[str, Any] = {}
    for layer, rows in layers.items():
        if layer not in grids:
            if given:
                raise InputError(
                    f"mask: expected layers whose grid is known; that of {layer!r} is not. Choose "
                    "others, or pass mask=False"
                )
            found[layer] = rows
            continue
        kept = np.stack([mask.kept(grids[layer]) for mask in masks])
        empty = ~kept.any(axis=(1, 2))
        if empty.any():
            raise InputError(
                f"mask: expected to keep at least one patch of each image; nothing is left of "
                f"{ids[int(empty.argmax())]!r} in layer {layer!r}, whose grid is "
                f"{grids[layer][0]} x {grids[layer][1]}"
            )
        found[layer] = MaskedImages(rows, kept)
    return found


def as_mask(mask: Any, name: str) -> NDArray[np.bool_]:
    """Return a mask as booleans (H, W): what is not zero is kept.

    Of an image with transparency, what is not fully transparent is kept.

    Raises
    ------
    InputError
        If it is no image, file of one or array of two dimensions.
    """
    if isinstance(mask, (str, Path)):
        pil = require("PIL.Image", extra="features", purpose="Reading masks")
        try:
            with pil.open(mask) as file:
                file.load()
                mask = file.copy()
        except Exception as error:  # decoders raise nearly any
            raise InputError(f"mask: {mask} cannot be read as an image: {error}") from error
    values: Array
    if is_array(mask):
        values = to_numpy(mask, f"mask of {name!r}")
    elif hasattr(mask, "getbands"):
        bands = mask.getbands()
        pixels = np.asarray(mask.getchannel("A") if "A" in bands else mask)
        values = np.asarray(pixels.any(axis=2)) if pixels.ndim == 3 else pixels
    else:
        values = np.asarray(mask)
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values[0] if values.shape[0] == 1 else values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise InputError(
            f"mask: expected an image or an array (H, W) for {name!r}; got "
            f"{type(mask).__name__} of shape {values.shape}"
        )
    found: NDArray[np.bool_] = values != 0
    return found


def _finder(given: Any, ids: Sequence[str] | None) -> Callable[[int, str], Any]:
    """Return a function of the place and the id of an image that returns its mask."""
    if isinstance(given, (str, Path)):
        return _in_folder(Path(given), ids)
    if isinstance(given, Mapping):
        _check_names(given, ids)
        return lambda _, name: _named(given, name)
    if hasattr(given, "ids") and hasattr(given, "__getitem__"):
        places = {str(name): place for place, name in enumerate(given.ids)}
        _check_names(places, ids)
        return lambda _, name: given[_named(places, name)]
    if callable(given) and not is_array(given):
        return lambda _, name: given(name)
    if is_array(given):
        array = to_numpy(given, "mask")
        if array.ndim == 2:
            return lambda *_: array
        if array.ndim != 3:
            raise InputError(f"mask: expected an array (N, H, W) or (H, W); got {array.shape}")
        given = list(array)
    if isinstance(given, (list, tuple)):
        if ids is not None and len(given) != len(ids):
            raise InputError(
                f"mask: expected {len(ids)} masks, one for each image; got {len(given)}"
            )
        return partial(_by_place, given)
    if hasattr(given, "getbands"):
        return lambda *_: given
    raise InputError(
        "mask: expected None, False, an array, an image, a folder, a dictionary or a function of "
        f"the id; got {type(given).__name__}"
    )


def _by_place(masks: Sequence[Any], place: int, _name: str) -> Any:
    if place >= len(masks):
        raise InputError(f"mask: expected one for each image; there are {len(masks)}")
    return masks[place]


def _in_folder(folder: Path, ids: Sequence[str] | None) -> Callable[[int, str], Any]:
    if not folder.is_dir():
        raise InputError(f"mask: expected a folder of masks; {str(folder)!r} is not one")
    files = {str(PurePosixPath(name).with_suffix("")): name for name in image_files(folder)}

    def stem(name: str) -> str:
        return str(PurePosixPath(name).with_suffix(""))

    _check_names(files, None if ids is None else [stem(name) for name in ids])
    return lambda _, name: folder / _named(files, stem(name))


def _named(known: Mapping[str, Any], name: str) -> Any:
    _check_names(known, [name])
    return known[name]


def _check_names(known: Any, ids: Sequence[str] | None) -> None:
    if ids is None:  # each is looked for when it comes
        return
    missing = [name for name in ids if name not in known]
    if missing:
        raise InputError(
            f"mask: expected a mask for each image; {len(missing)} are missing, such as that of "
            f"{missing[0]!r}.{did_you_mean(missing[0], [str(name) for name in known])}"
        )


def _described(given: Any) -> str:
    """Return the masks as they were given, for the provenance."""
    if isinstance(given, (str, Path)):
        return Path(given).name
    if is_array(given):
        return f"array {tuple(given.shape)}"
    if isinstance(given, (list, tuple, Mapping)):
        return f"{type(given).__name__} of {len(given)}"
    return without_addresses(repr(given))
