"""The contract of a matcher: how the concept vectors of two images are paired.

A matcher gets a tile of pairs and returns, for each pair, the matched inner product of *its*
matching and an upper bound: the most that a better matching could still gain is known for each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .._internal.labels import label_of
from .._internal.workers import Cancellation
from ..tokens import Block, Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._internal.arrays import Array

#: Concept vectors on the side of a tile: enough for a product at full speed, few enough that its
#: affinities (about a megabyte) stay in cache until the assignments have read them.
TILE_VECTORS = 576

#: Images on the side of a tile, at most.
TILE_IMAGES = 64


class Workspace:
    """The state of a thread from tile to tile: a buffer for products, and the way to stop."""

    def __init__(self, cancellation: Cancellation, product_guard: Any) -> None:
        self.cancellation = cancellation
        self._guard = product_guard
        self._buffer: Array = np.empty(0, dtype=np.float32)

    def product(self, left: Array, right: Array) -> Array:
        """Return ``left @ right.T``, shape (len(left), len(right)); valid until the next call."""
        size = len(left) * len(right)
        if self._buffer.size < size or self._buffer.dtype != left.dtype:
            # The solver reads rows in place; they can start on cache lines only if the buffer does.
            raw = np.empty(size * left.itemsize + 64, dtype=np.uint8)
            first = -raw.ctypes.data % 64
            self._buffer = raw[first : first + size * left.itemsize].view(left.dtype)
        out = self._buffer[:size].reshape(len(left), len(right))
        with self._guard:
            return np.matmul(left, right.T, out=out)


@dataclass(frozen=True, eq=False)
class PairTile:
    """Pairs of images to be matched, from two blocks.

    Attributes
    ----------
    rows, columns : Block
        As :meth:`Matcher.prepare` returned them.
    left, right : ndarray of int64, shape (P,)
        Image ``left[p]`` of `rows` is matched with image ``right[p]`` of `columns`.
    workspace : Workspace
        The buffers of the calling thread.
    keep_matchings : bool
        Whether the matchings are wanted too; all `rows` must have one S then.
    """

    rows: Block
    columns: Block
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    workspace: Workspace
    keep_matchings: bool = False

    def __len__(self) -> int:
        return len(self.left)

    def affinities(self) -> Array:
        """Return the inner products of all vectors of both blocks: one matrix product."""
        return self.workspace.product(self.rows.vectors, self.columns.vectors)


@dataclass(frozen=True, eq=False)
class Matched:
    """The matches of P pairs.

    Attributes
    ----------
    values, upper_bounds : ndarray of float64, shape (P,)
        The matched inner products, and their upper bounds (see :attr:`Matcher.bounds`).
    matchings : ndarray of int32, shape (P, S), or None
        For each vector of the left image the matched vector of the right image, in the order of the
        blocks, −1 where it stays free; None unless matchings are kept.
    extras : mapping of str to ndarray
        Further results with one entry for each pair, such as its shift, by name. Those that only
        :func:`semrsm.match` shows may be left out unless matchings are kept.
    """

    values: NDArray[np.float64]
    upper_bounds: NDArray[np.float64]
    matchings: NDArray[np.int32] | None = None
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)


class Matcher(ABC):
    """The base of all matchers. A new one is a frozen dataclass in one file.

    Attributes
    ----------
    name : str
        The public name.
    solves : bool
        Whether an assignment is solved or approximated for each pair.
    is_matched : bool
        Whether vectors of different places may meet; False where each location is compared with the
        same location.
    costs_one_pass : bool
        Whether a pair costs about as much as reading both images, and not as the product of all
        vectors; decides the sides of the tiles of a run.
    bounds : {"optimal", "own"}
        Whether the upper bounds are those of the optimal matching, or of the best one that the
        matcher's own constraints allow.
    needs_equal_sizes : bool
        Whether all images must have the same S.
    needs_positions : bool
        Whether images must have a grid: one and the same if they must have the same S too.
    rescales : bool
        Whether images or vectors are scaled to a norm of the matcher's own, so that its values do
        not depend on the unit of the features.
    solves_self : bool
        Whether an image must be matched with itself like any other pair; if not,
        :meth:`self_values` returns these values.
    engines : tuple of str
        The names of the engines that run it. Naming ``"cuda"`` brings no kernel: the GPU runs
        matchers whose :meth:`prepare` and :meth:`pairs` are those of ``"none"`` or ``"optimal"``.
    copies_blocks : bool
        Whether :meth:`prepare` needs memory for a copy.
    searched_by : {"bounds", "values"} or None
        How :func:`semrsm.topk` finds the best images: "bounds" if the matcher is the optimal
        matching of the images that :meth:`searched` returns, and "values" if a pair costs no more
        than a bound would; None where it does not.
    """

    name: ClassVar[str]
    solves: ClassVar[bool] = True
    is_matched: ClassVar[bool] = True
    costs_one_pass: ClassVar[bool] = False
    bounds: ClassVar[str] = "optimal"
    needs_equal_sizes: ClassVar[bool] = False
    needs_positions: ClassVar[bool] = False
    rescales: bool = False
    solves_self: ClassVar[bool] = False
    engines: ClassVar[tuple[str, ...]] = ("cpu",)
    copies_blocks: ClassVar[bool] = False
    searched_by: str | None = None

    @property
    def label(self) -> str:
        """The name with the options that differ from their defaults: the key in runs and tables."""
        return label_of(self)

    @property
    def is_searched(self) -> bool:
        """Whether :func:`semrsm.topk` ranks images as this matcher does."""
        return self.searched_by is not None

    def searched(self, tokens: Tokens) -> Tokens:
        """Return images whose optimal matching orders images as this matcher does.

        Its V is that of this matcher, and its squared norms those of :meth:`squared_norms`, plus
        one number that is the same for all images: :meth:`searched_constant`.
        """
        return tokens

    def searched_constant(self, tokens: Tokens) -> float:
        """Return the number that :meth:`searched` images add to V and to squared norms."""
        return 0.0

    def resolved(self, rows: Tokens, columns: Tokens | None) -> Matcher:
        """Return the matcher with every rule over the data set turned into a number, once.

        Gram, results and manifests keep the number, and a run that grows keeps it too.

        Parameters
        ----------
        rows, columns : Tokens
            All images; `columns` is None where `rows` are compared with themselves.

        Returns
        -------
        Matcher
            One of the same class; this one where there is no such rule.
        """
        return self

    def refusal(self, tokens: Tokens) -> str | None:
        """Return why images of this form cannot be matched, as the end of a sentence, or None."""
        return None

    def squared_norms(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return the squared norms that a Gram holds beside the values, shape (N,).

        These are those of the images. Kernels take them: a matcher whose values are on another
        scale returns norms of its own.
        """
        return tokens.squared_norms

    def prepare(self, block: Block) -> Block:
        """Return `block` in the order of vectors that :meth:`pairs` expects."""
        return block

    @abstractmethod
    def pairs(self, tile: PairTile) -> Matched:
        """Match the pairs of a tile.

        Parameters
        ----------
        tile : PairTile
            Its blocks are prepared.

        Returns
        -------
        Matched
        """

    def self_values(self, tokens: Tokens) -> NDArray[np.float64]:
        """Return V(X, X) of every image without solving, shape (N,).

        This is the squared norm, since the identity is the best matching of an image with itself
        (Cauchy–Schwarz).
        """
        return self.squared_norms(tokens)

    def tile_side(self, size: int, channels: int) -> int:
        """Return how many images of `size` vectors make a good side of a tile of pairs."""
        return clipped_side(TILE_VECTORS / size)

    def prepared_bytes(self, size: int, channels: int, item: int) -> int:
        """Return the bytes that :meth:`prepare` adds for an image, besides copied vectors."""
        return 0

    def tile_bytes(
        self, images: tuple[int, int], sizes: tuple[int, int], channels: int, item: int
    ) -> int:
        """Return the bytes that a thread allocates for a tile of images of so many vectors."""
        tile = images[0] * images[1] * sizes[0] * sizes[1] * item
        return tile + 4 * sizes[0] * sizes[1] * 8  # two matrices abreast, and one in float64


def numbers_found(asked: Matcher, resolved: Matcher) -> dict[str, Any]:
    """Return the options in which a resolved matcher differs from the one that was asked for."""
    if not is_dataclass(asked):
        return {}
    values = {one.name: getattr(resolved, one.name) for one in fields(asked)}
    return {name: found for name, found in values.items() if found != getattr(asked, name)}


def with_numbers(asked: Matcher, numbers: Mapping[str, Any]) -> Matcher:
    """Return a matcher with the numbers that :func:`numbers_found` has kept."""
    if not numbers:
        return asked
    made: Any = asked
    resolved: Matcher = replace(made, **numbers)
    return resolved


def as_dtype(block: Block, dtype: np.dtype[Any]) -> Block:
    """Return a block in a dtype."""
    return replace(block, vectors=np.ascontiguousarray(block.vectors, dtype=dtype))


def clipped_side(images: float) -> int:
    """Return a number of images, rounded and clipped, as the side of a tile."""
    return max(1, min(TILE_IMAGES, round(images)))
