"""Measured images of concept vectors: a plain record that is read on demand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from .block import Block
from .forms import Read, read_flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

#: Features are read in pieces of about this many bytes.
PIECE = 8 << 20

#: Bytes of the digest of an image.
DIGEST = 16


@dataclass(frozen=True, eq=False)
class Measured:
    """The results of one pass over N images; see the attributes of :class:`Tokens`."""

    squared_norms: NDArray[np.float64]
    exponents: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Tokens:
    """N images of concept vectors, measured once by :func:`semrsm.measure` and read on demand.

    Can be passed wherever features can, any number of times: nothing is measured again.

    Attributes
    ----------
    sizes : ndarray of int64, shape (N,)
        S of each image.
    channels : int
        C.
    dtype : numpy.dtype
        The dtype of the computation: float64 for float64 and integers, float32 for everything else.
    squared_norms : ndarray of float64, shape (N,)
        The squared Frobenius norm of each image.
    exponents : ndarray of int64, shape (N,)
        :meth:`block` returns each image divided by two to this power; 0 for ordinary values.
    grid : (int, int) or None
        Height and width of the grid that the vectors of every image form, row by row; None where it
        is not known.
    kept : ndarray of bool, shape (N, H, W), or None
        The places of the grid that the vectors stand for, row by row, where a mask has left out
        others.
    read : callable
        Returns the vectors of the images ``first:last``.
    is_scaled : bool
        Whether the data that is read has been divided by the exponents already.
    in_place : bool
        Whether a block is a view of the caller's array, which costs no memory.
    origin : object
        The object that was measured; None for a part of it.
    ids : tuple of str or None
        The names of the images, where the object that was measured has them.
    """

    sizes: NDArray[np.int64]
    channels: int
    dtype: np.dtype[Any]
    squared_norms: NDArray[np.float64]
    exponents: NDArray[np.int64]
    grid: tuple[int, int] | None
    read: Read = field(repr=False)
    is_scaled: bool = False
    in_place: bool = False
    origin: Any = field(default=None, repr=False)
    kept: NDArray[np.bool_] | None = field(default=None, repr=False)
    ids: tuple[str, ...] | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        sizes = sorted({int(self.sizes.min()), int(self.sizes.max())})
        grid = "" if self.grid is None else f", grid={self.grid}"
        grid += "" if self.kept is None else f", {self.kept.mean():.0%} of it kept"
        return (
            f"Tokens({self.count} images of {' to '.join(map(str, sizes))} vectors, "
            f"{self.channels} channels, {self.dtype.name}{grid})"
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def count(self) -> int:
        """N."""
        return len(self.sizes)

    @cached_property
    def uniform(self) -> bool:
        """Whether all images have one S."""
        return bool((self.sizes == self.sizes[0]).all())

    def block(self, first: int, last: int) -> Block:
        """Read the images ``first:last``.

        Returns
        -------
        Block
            In the compute dtype, each image divided by two to the power of its exponent.
        """
        last = min(last, self.count)
        data = self.read(first, last)
        vectors = np.ascontiguousarray(data, dtype=self.dtype).reshape(-1, self.channels)
        sizes, exponents = self.sizes[first:last], self.exponents[first:last]
        if exponents.any() and not self.is_scaled:
            vectors = np.ldexp(vectors, -np.repeat(exponents, sizes)[:, None])
        starts = np.zeros(last - first + 1, dtype=np.int64)
        np.cumsum(sizes, out=starts[1:])
        # Vectors that do not fill the grid are not what matchers with positions expect of one.
        return Block(vectors, starts, grid=self.grid if self.kept is None else None)

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

    def part(self, first: int, last: int) -> Tokens:
        """Read the images ``first:last`` into memory, as tokens of their own."""
        return self._holding(self.block(first, last), np.arange(first, last))

    def take(self, images: NDArray[np.int64]) -> Tokens:
        """Read some images, in ascending order, into memory, as tokens of their own.

        Neighbouring images are read together, since stores on disk have large chunks.
        """
        vectors: list[Array] = []
        for first, last in self._spans(images):
            block = self.block(int(images[first]), int(images[last - 1]) + 1)
            # Copies: views would keep all that was read between these images.
            places = (images[first:last] - images[first]).tolist()
            vectors += [block.image(i).copy() for i in places]
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

    def _holding(self, block: Block, images: NDArray[np.int64]) -> Tokens:
        """Return tokens of some of these images, whose vectors are in memory."""
        return replace(
            self,
            sizes=self.sizes[images],
            squared_norms=self.squared_norms[images],
            exponents=self.exponents[images],
            read=partial(read_flat, block.vectors, block.starts),
            is_scaled=True,
            in_place=True,
            origin=None,
            kept=None if self.kept is None else self.kept[images],
            ids=None if self.ids is None else tuple(self.ids[i] for i in images.tolist()),
        )

    def followed_by(self, more: Tokens) -> Tokens:
        """Return these images followed by others, as one record; nothing is read."""
        count = self.count

        def read(first: int, last: int) -> Array:
            parts = [
                tokens.block(max(0, first - at), last - at).vectors
                for tokens, at in ((self, 0), (more, count))
                if max(0, first - at) < min(last - at, tokens.count)
            ]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)

        return Tokens(
            sizes=np.concatenate([self.sizes, more.sizes]),
            channels=self.channels,
            dtype=np.promote_types(self.dtype, more.dtype),
            squared_norms=np.concatenate([self.squared_norms, more.squared_norms]),
            exponents=np.concatenate([self.exponents, more.exponents]),
            grid=self.grid if self.grid == more.grid else None,
            read=read,
            is_scaled=True,
            kept=self._kept_with(more),
        )

    def _kept_with(self, more: Tokens) -> NDArray[np.bool_] | None:
        """Return the places that these images and others keep."""
        if self.grid is None or self.grid != more.grid or (self.kept is more.kept is None):
            return None
        sides = (self, more)
        return np.concatenate(
            [np.ones((s.count, *self.grid), bool) if s.kept is None else s.kept for s in sides]
        )

    def digests(self) -> NDArray[np.uint8]:
        """Return a digest of the content of each image, shape (N, 16); takes another pass.

        The digests are of the concept vectors in the dtype of the computation, so they do not
        depend on the form of the features (feature maps or tokens).
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
        """A digest of all images in their order, as hexadecimal text; takes another pass."""
        return fingerprint(self.digests())


def fingerprint(digests: NDArray[np.uint8]) -> str:
    """Return one digest for the digests of images, as hexadecimal text."""
    return blake2b(digests.tobytes(), digest_size=DIGEST).hexdigest()
