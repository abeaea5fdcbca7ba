"""Every form of input turned into images of concept vectors; the checks of features live here.

An image's response at one layer is a set of S concept vectors of C channels. Four forms are taken:
feature maps ``(N, C, H, W)``, tokens ``(N, T, D)``, a list of ``(S_i, C)`` arrays of unequal S, and
anything of the first two kinds that is sliced like an array (memory maps, Zarr, HDF5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from ._internal.arrays import (
    Array,
    compute_dtype,
    is_array,
    is_array_in_memory,
    is_torch_tensor,
    to_numpy,
)
from .errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Features are read in pieces of about this many bytes.
PIECE = 8 << 20

#: Returns the concept vectors of the images first:last, (n, S, C) or (sum of S, C), in any dtype.
Read = Callable[[int, int], Array]

#: Bytes of the digest of an image.
DIGEST = 16

#: Entries inside these limits are multiplied as they are; others are first scaled by a power of
#: two, so that products neither overflow nor become denormal.
_SAFE = {4: (1e-12, 1e15), 8: (1e-120, 1e120)}

#: Larger entries would overflow when squared in float64.
_LARGEST = 1e140


@dataclass(frozen=True, eq=False)
class Block:
    """The concept vectors of a few neighbouring images, in memory.

    Attributes
    ----------
    vectors : ndarray, shape (sum of S, C), float32 or float64, contiguous
        One image after the other.
    starts : ndarray of int64, shape (n + 1,)
        Image i holds the rows ``starts[i]:starts[i + 1]``.
    order : ndarray of int64, shape (sum of S,), or None
        Where each vector stood in its image, if a matcher has sorted them.
    norms : ndarray of float64, shape (n, largest S), or None
        The norms of the vectors in descending order, padded with zeros.
    """

    vectors: Array
    starts: NDArray[np.int64]
    order: NDArray[np.int64] | None = None
    norms: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """S of each image, shape (n,)."""
        return np.diff(self.starts)

    def part(self, first: int, last: int) -> Block:
        """Return the images ``first:last`` as views."""
        starts = self.starts[first : last + 1]
        rows = slice(starts[0], starts[-1])
        return Block(
            self.vectors[rows],
            starts - starts[0],
            None if self.order is None else self.order[rows],
            None if self.norms is None else self.norms[first:last],
        )

    def image(self, i: int) -> Array:
        """Return the concept vectors of image `i`, shape (S, C)."""
        image: Array = self.vectors[self.starts[i] : self.starts[i + 1]]
        return image


@dataclass(frozen=True, eq=False)
class Measured:
    """What one pass over N images finds out; see the attributes of :class:`Tokens`."""

    squared_norms: NDArray[np.float64]
    exponents: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FlatImages:
    """Images of any sizes whose vectors follow each other in one array, on disk or in memory.

    Attributes
    ----------
    vectors : array, shape (sum of S, C)
        Anything that is sliced like an array; as :meth:`Tokens.block` returned them, each image
        divided by two to the power of its exponent.
    sizes : ndarray of int64, shape (N,)
        S of each image.
    """

    vectors: Any
    sizes: NDArray[np.int64]


class Tokens:
    """N images of concept vectors, checked once and read on demand.

    Parameters
    ----------
    x : array-like, torch.Tensor or sequence of arrays
        ``(N, C, H, W)`` feature maps, ``(N, T, D)`` tokens, or a list of N arrays ``(S_i, C)``.
    name : str
        The argument's name, for errors.
    measured : Measured, optional
        What an earlier pass over the same data found; it is not made again then.

    Attributes
    ----------
    count, channels : int
        N and C.
    sizes : ndarray of int64, shape (N,)
        S of each image.
    dtype : numpy.dtype
        What is computed in: float64 for float64 and integers, float32 for everything else.
    squared_norms : ndarray of float64, shape (N,)
        The squared Frobenius norm of each image.
    exponents : ndarray of int64, shape (N,)
        :meth:`block` returns each image divided by two to this power; 0 for ordinary values.

    Raises
    ------
    InputError
        If `x` has another form, is empty, or holds NaN, infinite or huge values. The whole of `x`
        is read once to find out, in pieces.
    """

    def __init__(self, x: Any, name: str = "x", *, measured: Measured | None = None) -> None:
        self._name = name
        # A bfloat16 tensor is widened block by block: as a whole it would double.
        lazy = is_torch_tensor(x) and str(x.dtype) == "torch.bfloat16"
        sliced = hasattr(x, "__getitem__") or isinstance(x, FlatImages)
        if (is_torch_tensor(x) and not lazy) or not sliced:
            x = to_numpy(x, name)
        if isinstance(x, FlatImages):
            self._open_flat(x)
        elif is_array(x):
            self._open_array(x)
        else:
            self._open_list(x)
        if self.count == 0:
            raise InputError(f"{name}: expected at least one image; got none")
        if self.channels == 0 or (self.sizes == 0).any():
            raise InputError(
                f"{name}: expected images with at least one vector of at least one channel; got "
                f"shape {self._shape}"
            )
        self.uniform = bool((self.sizes == self.sizes[0]).all())
        self.exponents = np.zeros(self.count, dtype=np.int64)
        # Whether what is read has been divided already.
        self._scaled = isinstance(x, FlatImages) and measured is not None
        if measured is None:
            self._measure()
        else:
            self.squared_norms = measured.squared_norms
            self.exponents = measured.exponents
            if self.exponents.any():
                self.in_place = False

    def _open_array(self, x: Any) -> None:
        shape = tuple(int(n) for n in x.shape)
        if len(shape) not in (3, 4):
            raise InputError(
                f"{self._name}: expected feature maps (N, C, H, W), tokens (N, T, D) or a list of "
                f"(S, C) arrays; got an array of shape {shape}"
            )
        dtype = to_numpy(x[:0], self._name).dtype  # also refuses what is not numbers
        is_map = len(shape) == 4
        self._shape: Any = shape
        self._read: Read = partial(_read_maps if is_map else _read_tokens, x, self._name)
        self.dtype = compute_dtype(dtype)
        self.count = shape[0]
        self.channels = shape[1] if is_map else shape[2]
        size = shape[2] * shape[3] if is_map else shape[1]
        self.sizes = np.full(self.count, size, dtype=np.int64)
        #: Whether a block is a view of the caller's array, which costs no memory.
        self.in_place = (
            not is_map
            and isinstance(x, np.ndarray)
            and is_array_in_memory(x)
            and x.dtype == self.dtype
            and x.flags.c_contiguous
        )

    def _open_list(self, x: Any) -> None:
        try:
            items = list(x)
        except TypeError as error:
            raise InputError(
                f"{self._name}: expected an array or a list of arrays; got {type(x).__name__}"
            ) from error
        arrays = [to_numpy(item, f"{self._name}[{i}]") for i, item in enumerate(items)]
        for i, array in enumerate(arrays):
            if array.ndim != 2:
                raise InputError(
                    f"{self._name}[{i}]: expected an array (S, C) in a list of images; got shape "
                    f"{array.shape}"
                )
            if array.shape[1] != arrays[0].shape[1]:
                raise InputError(
                    f"{self._name}[{i}]: expected {arrays[0].shape[1]} channels as in "
                    f"{self._name}[0]; got shape {array.shape}"
                )
        self._shape = [array.shape for array in arrays[:3]]
        self._read = partial(_read_list, arrays)
        wide = any(compute_dtype(a.dtype) == np.float64 for a in arrays)
        self.dtype = np.dtype(np.float64 if wide else np.float32)
        self.count = len(arrays)
        self.channels = arrays[0].shape[1] if arrays else 0
        self.sizes = np.array([len(a) for a in arrays], dtype=np.int64)
        self.in_place = False

    def _open_flat(self, x: FlatImages) -> None:
        self._shape = x.vectors.shape
        starts = np.concatenate([[0], np.cumsum(x.sizes)])
        self._read = partial(_read_flat, x.vectors, starts)
        self.dtype = compute_dtype(np.dtype(x.vectors.dtype))
        self.count = len(x.sizes)
        self.channels = int(x.vectors.shape[1])
        self.sizes = np.asarray(x.sizes, dtype=np.int64)
        self.in_place = False

    def _measure(self) -> None:
        """One pass over the data: finiteness, squared norms, the size of the entries."""
        self.squared_norms = np.empty(self.count)
        largest = np.empty(self.count)
        for first, last in self.pieces(PIECE):
            block = self.block(first, last)
            with np.errstate(over="ignore", invalid="ignore"):
                sums = np.einsum("sc,sc->s", block.vectors, block.vectors, dtype=np.float64)
                norms = np.add.reduceat(sums, block.starts[:-1])
            highest = np.max(np.abs(block.vectors), axis=1).astype(np.float64)
            if not highest.max() <= _LARGEST:  # also where it is NaN
                self._refuse(block, first)
            largest[first:last] = np.maximum.reduceat(highest, block.starts[:-1])
            self.squared_norms[first:last] = norms
        low, high = _SAFE[self.dtype.itemsize]
        unsafe = (largest > 0) & ((largest <= low) | (largest >= high))
        self.exponents[unsafe] = np.frexp(largest[unsafe])[1]
        if unsafe.any():
            self.in_place = False

    def _refuse(self, block: Block, first: int) -> None:
        for i in range(len(block)):
            image = block.image(i)
            bad = np.argwhere(~np.isfinite(image))
            what = "NaN or infinity"
            if not len(bad):
                bad = np.argwhere(np.abs(image.astype(np.float64)) > _LARGEST)
                what = f"a value beyond ±{_LARGEST:g}"
            if len(bad):
                vector, channel = bad[0]
                raise InputError(
                    f"{self._name}: expected finite values; got {what} in image {first + i}, "
                    f"vector {vector}, channel {channel}"
                )

    def digests(self) -> NDArray[np.uint8]:
        """Return a digest of the content of each image, shape (N, 16): another pass.

        Of the concept vectors in the dtype that is computed in, so that the form in which they were
        given, feature maps or tokens, does not count.
        """
        found = []
        for first, last in self.pieces(PIECE):
            block = self.block(first, last)
            for i in range(len(block)):
                digest = blake2b(block.image(i).data, digest_size=DIGEST)
                if exponent := int(self.exponents[first + i]):
                    digest.update(str(exponent).encode())
                found.append(digest.digest())
        return np.frombuffer(b"".join(found), dtype=np.uint8).reshape(-1, DIGEST)

    @property
    def fingerprint(self) -> str:
        """A digest of all images in their order, as hexadecimal text: another pass."""
        return fingerprint(self.digests())

    def part(self, first: int, last: int) -> Tokens:
        """Read the images ``first:last`` into memory, as tokens of their own."""
        return self._holding(self.block(first, last), np.arange(first, last))

    def take(self, images: NDArray[np.int64]) -> Tokens:
        """Read some images, in ascending order, into memory, as tokens of their own.

        What lies close together is read together: stores on disk are cut into large chunks.
        """
        vectors = []
        for first, last in self._spans(images):
            block = self.block(int(images[first]), int(images[last - 1]) + 1)
            vectors += [block.image(i) for i in (images[first:last] - images[first]).tolist()]
        starts = np.concatenate([[0], np.cumsum(self.sizes[images])])
        return self._holding(Block(np.concatenate(vectors), starts), images)

    def _spans(self, images: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Yield ranges of `images` that are read together: a piece of data, or one image."""
        most = PIECE // (int(self.sizes.max()) * self.channels * self.dtype.itemsize)
        first = 0
        while first < len(images):
            last = int(np.searchsorted(images, images[first] + max(1, most)))
            yield first, last
            first = last

    def followed_by(self, more: Tokens) -> Tokens:
        """Return these images and others after them, as one; nothing is read."""
        count = self.count

        def read(first: int, last: int) -> Array:
            parts = [
                tokens.block(max(0, first - at), last - at).vectors
                for tokens, at in ((self, 0), (more, count))
                if max(0, first - at) < min(last - at, tokens.count)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        both = self._like(np.concatenate([self.sizes, more.sizes]))
        both.dtype = np.promote_types(self.dtype, more.dtype)
        both.squared_norms = np.concatenate([self.squared_norms, more.squared_norms])
        both.exponents = np.concatenate([self.exponents, more.exponents])
        both._read = read
        both._scaled = True
        both.in_place = False
        return both

    def _holding(self, block: Block, images: NDArray[np.int64]) -> Tokens:
        taken = self._like(self.sizes[images])
        taken.squared_norms = self.squared_norms[images]
        taken.exponents = self.exponents[images]
        taken._read = partial(_read_flat, block.vectors, block.starts)
        taken._scaled = True
        taken.in_place = True
        return taken

    def _like(self, sizes: NDArray[np.int64]) -> Tokens:
        """Return tokens of other images of the same kind, which have been checked already."""
        other = object.__new__(Tokens)
        other.__dict__.update(self.__dict__)
        other.sizes = sizes
        other.count = len(sizes)
        other.uniform = bool((sizes == sizes[0]).all())
        return other

    def pieces(self, size: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of images of about `size` bytes each."""
        limit = max(1, size // (self.channels * self.dtype.itemsize))
        first, vectors = 0, 0
        for i, count in enumerate(self.sizes.tolist()):
            if i > first and vectors + count > limit:
                yield first, i
                first, vectors = i, 0
            vectors += count
        yield first, self.count

    def block(self, first: int, last: int) -> Block:
        """Read the images ``first:last``.

        Returns
        -------
        Block
            In the compute dtype, each image divided by two to the power of its exponent.
        """
        last = min(last, self.count)
        data = self._read(first, last)
        vectors = np.ascontiguousarray(data, dtype=self.dtype).reshape(-1, self.channels)
        sizes, exponents = self.sizes[first:last], self.exponents[first:last]
        if exponents.any() and not self._scaled:
            vectors = np.ldexp(vectors, -np.repeat(exponents, sizes)[:, None])
        starts = np.zeros(last - first + 1, dtype=np.int64)
        np.cumsum(sizes, out=starts[1:])
        return Block(vectors, starts)


def _read_maps(x: Any, name: str, first: int, last: int) -> Array:
    maps = to_numpy(x[first:last], name)
    vectors: Array = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
    return vectors


def _read_tokens(x: Any, name: str, first: int, last: int) -> Array:
    tokens: Array = to_numpy(x[first:last], name)
    return tokens


def _read_list(arrays: Sequence[Array], first: int, last: int) -> Array:
    return np.concatenate(arrays[first:last])


def _read_flat(vectors: Any, starts: NDArray[np.int64], first: int, last: int) -> Array:
    return np.asarray(vectors[int(starts[first]) : int(starts[last])])


def fingerprint(digests: NDArray[np.uint8]) -> str:
    """Return one digest for the digests of images, as hexadecimal text."""
    return blake2b(digests.tobytes(), digest_size=DIGEST).hexdigest()


def image_ids(ids: Sequence[Any] | None, count: int, name: str) -> tuple[str, ...]:
    """Return the ids of `count` images as distinct strings; the indices where none are given.

    Raises
    ------
    InputError
        If there are too few or too many, or two are the same.
    """
    if ids is None:
        return tuple(str(i) for i in range(count))
    try:
        names = tuple(str(i) for i in ids)
    except TypeError as error:
        raise InputError(
            f"{name}: expected a sequence of names; got {type(ids).__name__}"
        ) from error
    if len(names) != count:
        raise InputError(f"{name}: expected {count} ids, one for each image; got {len(names)}")
    if len(set(names)) != count:
        twice = next(n for i, n in enumerate(names) if n in names[:i])
        raise InputError(f"{name}: expected distinct ids; got {twice!r} more than once")
    return names
