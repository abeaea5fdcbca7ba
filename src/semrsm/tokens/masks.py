"""Images of which some places are left out: padding, or all but an object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import Array, is_array, to_numpy
from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .forms import Form, Read


@dataclass(frozen=True, eq=False, repr=False)
class MaskedImages:
    """Feature maps or tokens of N images, of which some places are left out.

    Every function that takes features takes them, and matches only the places that are kept.
    ``np.asarray``, and methods of arrays such as ``std``, see all values, with those of the places
    left out; an index gives the concept
    vectors of one image that are kept, and a slice some of the images.

    Attributes
    ----------
    array : array, shape (N, C, H, W) or (N, T, D)
        In memory or on disk; all places of all images.
    kept : ndarray of bool, shape (N, H, W)
        The places that are kept.
    """

    array: Any
    kept: NDArray[np.bool_]

    def __repr__(self) -> str:
        return f"MaskedImages({self.shape}, {self.kept.mean():.0%} of the places kept)"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array with all places."""
        return tuple(self.array.shape)

    @property
    def ndim(self) -> int:
        """3 for tokens, 4 for maps."""
        return len(self.array.shape)

    @property
    def dtype(self) -> Any:
        """The dtype of the array."""
        return self.array.dtype

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def __getattr__(self, name: str) -> Any:
        """Return what the array of all places has, such as ``astype`` and ``std``."""
        if name.startswith("_") or name in ("array", "kept"):  # also while it is unpickled
            raise AttributeError(f"masked images have no {name!r}")
        return getattr(self.array, name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.array, dtype=dtype)

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return MaskedImages(self.array[which], self.kept[which])
        if np.ndim(which) == 1:
            return MaskedImages(np.asarray(self.array)[which], self.kept[which])
        image = np.asarray(self.array[which])
        vectors = image if image.ndim == 2 else image.reshape(len(image), -1).T
        return np.ascontiguousarray(vectors[self.kept[which].ravel()])


def whole_array(array: Any) -> Any:
    """Return the array of all places of masked images, and any other array as it is."""
    return array.array if isinstance(array, MaskedImages) else array


def checked_mask(
    mask: Any, sizes: NDArray[np.int64], grid: tuple[int, int] | None, name: str
) -> NDArray[np.bool_]:
    """Return which places of N images are kept, shape (N, H, W).

    Parameters
    ----------
    mask : array-like of bool, shape (N, H, W) or (H, W)
        The places that are kept, of each image or of all.
    sizes : ndarray, shape (N,)
        The places of each image, H · W.
    grid : (int, int) or None
        Height and width, where they are known; otherwise those of the mask count.
    name : str
        The features, for errors.

    Raises
    ------
    InputError
        If the mask is not of booleans, has another shape, or keeps nothing of an image.
    """
    found = to_numpy(mask, "mask") if is_array(mask) else np.asarray(mask)
    if found.dtype.kind != "b" and not _is_zero_or_one(found):
        raise InputError(
            f"mask: expected booleans, True for the places that are kept; got {found.dtype}"
        )
    count = len(sizes)
    given = f"({grid[0]}, {grid[1]})" if grid is not None else "(H, W)"
    fits = found.ndim in (2, 3) and (found.ndim == 2 or len(found) == count)
    if not fits or (grid is not None and found.shape[-2:] != grid):
        raise InputError(
            f"mask: expected the shape ({count}, {given[1:-1]}) or {given} for {name}; got "
            f"{found.shape}"
        )
    height, width = found.shape[-2:]
    if not (sizes == height * width).all():
        raise InputError(
            f"mask: expected H x W = {int(sizes[0])} places, those of every image of {name}; got "
            f"{height} x {width}"
        )
    kept = np.broadcast_to(found.astype(bool), (count, height, width))
    empty = ~kept.any(axis=(1, 2))
    if empty.any():
        raise InputError(
            f"mask: expected to keep at least one place of every image of {name}; nothing is left "
            f"of image {int(empty.argmax())}"
        )
    return kept


def _is_zero_or_one(values: Array) -> bool:
    return values.dtype.kind in "iuf" and bool(np.isin(values, (0, 1)).all())


def masked_form(form: Form, kept: NDArray[np.bool_]) -> Form:
    """Return a form that reads only the places that are kept.

    Parameters
    ----------
    form : Form
        Of all places.
    kept : ndarray of bool, shape (N, H, W)
    """
    flat = kept.reshape(len(kept), -1)
    return replace(
        form,
        read=partial(_read_kept, form.read, flat, form.channels),
        sizes=flat.sum(axis=1, dtype=np.int64),
        in_place=False,
        grid=(kept.shape[1], kept.shape[2]),
    )


def _read_kept(read: Read, kept: NDArray[np.bool_], channels: int, first: int, last: int) -> Array:
    vectors: Array = read(first, last).reshape(-1, channels)[kept[first:last].ravel()]
    return vectors


def same_places(left: NDArray[np.bool_] | None, right: NDArray[np.bool_] | None) -> bool:
    """Return whether all images of both sides keep the same places, or all of them."""
    if left is None or right is None:
        return left is right
    return left.shape[1:] == right.shape[1:] and bool(
        (left == left[:1]).all() and (right == left[:1]).all()
    )
