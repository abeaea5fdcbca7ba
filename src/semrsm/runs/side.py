"""The images on the sides of a Gram, as its manifest describes them: ids, norms, digests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..matching.base import Matcher
from ..tokens import Measured, Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


class Side:
    """The images on one side of a Gram, as a run records them.

    Attributes
    ----------
    ids : tuple of str
    squared_norms, exponents : ndarray, shape (N,)
        See :class:`semrsm.tokens.Tokens`.
    digests : ndarray of uint8, shape (N, 16)
    own_norms : ndarray of float64, shape (N,), or None
        The squared norms that the Gram holds, where the matcher has norms of its own.
    """

    def __init__(
        self,
        ids: tuple[str, ...],
        squared_norms: Array,
        exponents: NDArray[np.int64],
        digests: NDArray[np.uint8],
        own_norms: Array | None = None,
    ) -> None:
        self.ids = ids
        self.squared_norms = squared_norms
        self.exponents = exponents
        self.digests = digests
        self.own_norms = own_norms

    @classmethod
    def of(cls, tokens: Tokens, ids: tuple[str, ...]) -> Side:
        """Return the record of images that have been measured; digests take one pass over them."""
        return cls(ids, tokens.squared_norms, tokens.exponents, tokens.digests())

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self.squared_norms)

    @property
    def gram_norms(self) -> Array:
        """The squared norms that the Gram holds."""
        return self.squared_norms if self.own_norms is None else self.own_norms

    def seen_by(self, matcher: Matcher, tokens: Tokens) -> Side:
        """Return the same images with the norms of a matcher."""
        norms = matcher.squared_norms(tokens)
        if norms is tokens.squared_norms:
            return self
        return Side(self.ids, self.squared_norms, self.exponents, self.digests, norms)

    @property
    def measured(self) -> Measured:
        """The measures that :func:`semrsm.tokens.measure` need not take again."""
        return Measured(self.squared_norms, self.exponents)

    def differs(self, other: Side) -> str | None:
        """Describe the first difference to a side of as many images or more, or return None."""
        count = self.count
        if other.count < count:
            return f"there were {count} images, and there are {other.count}"
        if self.ids != other.ids[:count]:
            i = next(n for n in range(count) if self.ids[n] != other.ids[n])
            return f"image {i} is {other.ids[i]!r}, and was {self.ids[i]!r}"
        same = (self.digests == other.digests[:count]).all(axis=1)
        if not same.all():
            i = int(np.argmin(same))
            return f"the features of image {i} ({self.ids[i]!r}) are not what they were"
        return None


def sides_of(
    rows: Tokens, columns: Tokens | None, ids: tuple[str, ...], column_ids: tuple[str, ...]
) -> tuple[Side, Side]:
    """Return the record of the images on both sides, digests included."""
    left = Side.of(rows, ids)
    return left, left if columns is None else Side.of(columns, column_ids)


def check_content(tokens: Tokens, digests: NDArray[np.uint8], first: int, path: Path) -> None:
    """Refuse images in memory that are not the images of the run.

    Raises
    ------
    InputError
        If an image differs.
    """
    same = (tokens.digests() == digests[first : first + tokens.count]).all(axis=1)
    if not same.all():
        raise InputError(
            f"features: expected those that the run {str(path)!r} was made from; those of image "
            f"{first + int(np.argmin(same))} are others"
        )


def arrays_of(rows: Side, columns: Side, is_symmetric: bool) -> dict[str, NDArray[Any]]:
    """Return the arrays beside a manifest by name; for one set of images only the row arrays."""
    sides = {"row": rows} if is_symmetric else {"row": rows, "column": columns}
    return {
        f"{name}_{what}": getattr(side, what)
        for name, side in sides.items()
        for what in ("squared_norms", "exponents", "digests", "own_norms")
        if getattr(side, what) is not None
    }


def stored_side(group: Any, manifest: Mapping[str, Any], name: str) -> Side:
    """Read one side, "row" or "column", from the group of a Gram.

    Raises
    ------
    KeyError, ValueError
        If an array is missing, or not of the length that the manifest says.
    """
    ids = tuple(manifest[f"{name}_ids"])
    count = len(ids)  # the arrays may be longer already, after an interrupted growth
    side = Side(
        ids=ids,
        squared_norms=group[f"{name}_squared_norms"][:count],
        exponents=group[f"{name}_exponents"][:count],
        digests=group[f"{name}_digests"][:count],
        own_norms=group[f"{name}_own_norms"][:count] if f"{name}_own_norms" in group else None,
    )
    arrays = (side.gram_norms, side.squared_norms, side.exponents, side.digests)
    if any(len(array) != count for array in arrays):
        raise ValueError(f"{name}: arrays of another length")
    return side
