"""The accepted forms of images, each opened as a function that reads concept vectors.

An image's response at one layer is a set of S concept vectors of C channels. Four forms are taken:
feature maps ``(N, C, H, W)``, tokens ``(N, T, D)``, a list of ``(S_i, C)`` arrays of unequal S, and
anything of the first two kinds that is sliced like an array (memory maps, Zarr, HDF5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import (
    Array,
    compute_dtype,
    is_array,
    is_array_in_memory,
    is_torch_tensor,
    to_numpy,
)
from .._internal.storage.seals import UNREADABLE
from ..errors import InputError, first_line

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Returns the concept vectors of the images first:last, (n, S, C) or (sum of S, C), in any dtype.
Read = Callable[[int, int], Array]


@dataclass(frozen=True, eq=False)
class FlatImages:
    """Images of any sizes whose vectors follow each other in one array, on disk or in memory.

    Attributes
    ----------
    vectors : array, shape (sum of S, C)
        Anything that is sliced like an array. The vectors are those of
        :meth:`semrsm.tokens.Tokens.block`: each image divided by two to the power of its exponent.
    sizes : ndarray of int64, shape (N,)
        S of each image.
    """

    vectors: Any
    sizes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Form:
    """Images that have been opened, and not yet measured.

    Attributes
    ----------
    read : callable
    sizes : ndarray of int64, shape (N,)
    channels : int
    dtype : numpy.dtype
        The dtype of the computation.
    in_place : bool
        Whether reading gives a view of the caller's array, which costs no memory.
    grid : (int, int) or None
        Height and width of feature maps.
    """

    read: Read
    sizes: NDArray[np.int64]
    channels: int
    dtype: np.dtype[Any]
    in_place: bool = False
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class MappedFile:
    """A read-only memory map as a file that is read slice by slice.

    Pages of a map that have been touched count as memory of the process, whatever the budget;
    buffers that were read do not stay.
    """

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, x: Any) -> MappedFile | None:
        """Return the file of a map that is read-only and contiguous; None for any other array."""
        if not isinstance(x, np.memmap) or x.mode != "r" or not x.flags.c_contiguous or not x.ndim:
            return None
        root: Any = x
        while isinstance(root.base, np.memmap):  # a slice says the offset of the whole map
            root = root.base
        if root.filename is None:
            return None
        offset = int(root.offset) + int(x.ctypes.data) - int(root.ctypes.data)
        return cls(str(root.filename), offset, x.shape, x.dtype)

    def __getitem__(self, part: slice) -> Array:
        first, last, _ = part.indices(self.shape[0])
        each = math.prod(self.shape[1:])
        count = max(0, last - first) * each
        start = self.offset + first * each * self.dtype.itemsize
        found = np.fromfile(self.path, self.dtype, count, offset=start) if count else None
        shape = (max(0, last - first), *self.shape[1:])
        return np.empty(shape, self.dtype) if found is None else found.reshape(shape)


def opened(x: Any, name: str) -> Form:
    """Open images in any form.

    Raises
    ------
    InputError
        If `x` has another form, does not hold numbers, or is empty. Nothing has been read then.
    """
    check_kind(x, name)
    # A bfloat16 tensor is widened block by block: as a whole it would double in size.
    lazy = is_torch_tensor(x) and str(x.dtype) == "torch.bfloat16"
    sliced = hasattr(x, "__getitem__") or isinstance(x, FlatImages)
    if (is_torch_tensor(x) and not lazy) or not sliced:
        x = to_numpy(x, name)
    if isinstance(x, FlatImages):
        form, shape = _flat(x), x.vectors.shape
    elif is_array(x):
        form, shape = _array(x, name), tuple(int(n) for n in x.shape)
    else:
        form, shape = _list(x, name)
    if len(form.sizes) == 0:
        raise InputError(f"{name}: expected at least one image; got none")
    if form.channels == 0 or (form.sizes == 0).any():
        raise InputError(
            f"{name}: expected images with at least one vector of at least one channel; got "
            f"shape {shape}"
        )
    return form


def check_kind(x: Any, name: str) -> None:
    """Refuse what is often passed in place of features, with the sentence that helps.

    Raises
    ------
    InputError
    """
    if isinstance(x, str):
        raise InputError(
            f"{name}: expected features; got the text {x!r}. kernel= and matcher= are keywords; "
            "semrsm.load_features opens files"
        )
    if isinstance(x, Mapping):
        layers = ", ".join(map(repr, list(x)[:3])) + (", …" if len(x) > 3 else "")
        raise InputError(
            f"{name}: expected the features of one layer; got {len(x)} layers by name ({layers}): "
            f"pass {name}[{next(iter(x), 'layer')!r}]"
        )
    if hasattr(x, "ntotal") and hasattr(x, "search"):
        raise InputError(
            f"{name}: expected features or a semrsm.Index; got {type(x).__name__}, which holds "
            "pooled vectors. semrsm.Index(features) makes an index; approximate_topk uses FAISS "
            "inside"
        )
    if hasattr(x, "row_ids"):
        raise InputError(f"{name}: expected features; got {x!r}, which was made of some already")


def _array(array: Any, name: str) -> Form:
    x = MappedFile.of(array) or array
    shape = tuple(int(n) for n in x.shape)
    if len(shape) not in (3, 4):
        hint = (
            f". Pooled vectors (N, D) are images of one vector: {name}[:, None]"
            if len(shape) == 2
            else ""
        )
        raise InputError(
            f"{name}: expected feature maps (N, C, H, W), tokens (N, T, D) or a list of "
            f"(S, C) arrays; got an array of shape {shape}{hint}"
        )
    given = to_numpy(x[:0], name).dtype  # also refuses data that is not numeric
    dtype = compute_dtype(given)
    if len(shape) == 4:
        count, channels, height, width = shape
        sizes = np.full(count, height * width, dtype=np.int64)
        return Form(partial(_read_maps, x, name), sizes, channels, dtype, grid=(height, width))
    in_place = (
        isinstance(x, np.ndarray)
        and is_array_in_memory(x)
        and x.dtype == dtype
        and bool(x.flags.c_contiguous)
    )
    sizes = np.full(shape[0], shape[1], dtype=np.int64)
    return Form(partial(_read_tokens, x, name), sizes, shape[2], dtype, in_place)


def _list(x: Any, name: str) -> tuple[Form, Any]:
    try:
        items = list(x)
    except TypeError as error:
        raise InputError(
            f"{name}: expected an array or a list of arrays; got {type(x).__name__}"
        ) from error
    arrays = [to_numpy(item, f"{name}[{i}]") for i, item in enumerate(items)]
    for i, array in enumerate(arrays):
        if array.ndim != 2:
            hint = ""
            if array.ndim == 3:
                same = len({one.shape for one in arrays}) == 1
                hint = (
                    f". Feature maps (C, H, W) of one size: numpy.stack({name})"
                    if same
                    else ". Feature maps (C, H, W) of several sizes: [a.reshape(len(a), -1).T "
                    f"for a in {name}]"
                )
            raise InputError(
                f"{name}[{i}]: expected an array (S, C) in a list of images; got shape "
                f"{array.shape}{hint}"
            )
        if array.shape[1] != arrays[0].shape[1]:
            raise InputError(
                f"{name}[{i}]: expected {arrays[0].shape[1]} channels as in {name}[0]; got shape "
                f"{array.shape}"
            )
    wide = any(compute_dtype(a.dtype) == np.float64 for a in arrays)
    form = Form(
        partial(_read_list, arrays),
        np.array([len(a) for a in arrays], dtype=np.int64),
        arrays[0].shape[1] if arrays else 0,
        np.dtype(np.float64 if wide else np.float32),
    )
    return form, [array.shape for array in arrays[:3]]


def _flat(x: FlatImages) -> Form:
    starts = np.concatenate([[0], np.cumsum(x.sizes)])
    return Form(
        partial(read_flat, x.vectors, starts),
        np.asarray(x.sizes, dtype=np.int64),
        int(x.vectors.shape[1]),
        compute_dtype(np.dtype(x.vectors.dtype)),
    )


def _read_maps(x: Any, name: str, first: int, last: int) -> Array:
    maps = _sliced(x, name, first, last)
    vectors: Array = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    return vectors


def _read_tokens(x: Any, name: str, first: int, last: int) -> Array:
    return _sliced(x, name, first, last)


def _sliced(x: Any, name: str, first: int, last: int) -> Array:
    """Read some images; those on disk may be damaged.

    Raises
    ------
    InputError
    """
    if isinstance(x, np.ndarray):
        return to_numpy(x[first:last], name)
    try:
        found = to_numpy(x[first:last], name)
    except UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name}: images {first} to {last - 1} cannot be read: {first_line(error)}"
        ) from error
    if len(found) != last - first:
        raise InputError(
            f"{name}: expected images {first} to {last - 1}; {len(found)} of them can be read"
        )
    return found


def _read_list(arrays: Sequence[Array], first: int, last: int) -> Array:
    return np.concatenate(arrays[first:last])


def read_flat(vectors: Any, starts: NDArray[np.int64], first: int, last: int) -> Array:
    """Read images whose vectors follow each other; `starts` has N + 1 entries."""
    return np.asarray(vectors[int(starts[first]) : int(starts[last])])
