"""The factory of tokens: one pass that checks the features and measures every image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import is_array
from .._internal.checks import is_whole_number
from .._internal.text import as_text
from ..errors import InputError
from .forms import FlatImages, Form, opened
from .masks import MaskedImages, checked_mask, masked_form
from .tokens import PIECE, Measured, Tokens

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .block import Block

#: Entries inside these limits are multiplied as they are; others are first scaled by a power of
#: two, so that products neither overflow nor become denormal.
_SAFE = {4: (1e-12, 1e15), 8: (1e-120, 1e120)}

#: Larger entries would overflow when squared in float64.
_LARGEST = 1e140


def measure(
    x: Any,
    name: str = "x",
    *,
    grid: tuple[int, int] | None = None,
    mask: Any = None,
    measured: Measured | None = None,
) -> Tokens:
    """Check features and measure every image once, for any number of calls.

    Parameters
    ----------
    x : array-like, torch.Tensor, sequence of arrays or Tokens
        ``(N, C, H, W)`` feature maps, ``(N, T, D)`` tokens, or a list of N arrays ``(S_i, C)``;
        tokens that have been measured are returned as they are.
    name : str, default "x"
        The argument's name, for errors.
    grid : (int, int), optional
        Height and width of the grid that the tokens of every image form, row by row. Feature maps
        have their own.
    mask : array-like of bool, shape (N, H, W) or (H, W), optional
        The places that are kept, of each image or of all; the others take no part in anything. S
        differs between images then. Tokens that form no known grid take that of the mask.
    measured : Measured, optional
        The results of an earlier pass over the same data, which is then not repeated.

    Returns
    -------
    Tokens

    Raises
    ------
    InputError
        If `x` has another form, is empty, or holds NaN, infinite or huge values where it is kept;
        or `grid` or `mask` does not fit, or keeps nothing of an image. The check
        reads all of `x` once, in pieces.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> tokens = semrsm.measure(np.random.default_rng(0).normal(size=(5, 8, 4, 4)))
    >>> tokens
    Tokens(5 images of 16 vectors, 8 channels, float64, grid=(4, 4))
    >>> semrsm.gram(tokens), semrsm.rsm(tokens, matcher="none")  # nothing is measured again
    (Gram(5 x 5, ...), RSM(5 x 5, kernel='cosine', matcher='none'))
    """
    if isinstance(x, Tokens):
        if mask is None:
            return x if grid is None else replace(x, grid=_checked_grid(grid, x, name))
        return _masked_again(x, name, grid, mask)
    kept = None
    if isinstance(x, MaskedImages):
        x, kept = x.array, checked_mask(x.kept, *_places(x.array, name), name)
    form = opened(x, name)
    if grid is not None:
        grid = _checked_grid(grid, form, name)
    if mask is not None:
        asked = checked_mask(mask, form.sizes, grid or form.grid, name)
        kept = asked if kept is None else checked_mask(asked & kept, form.sizes, None, name)
    if kept is not None:
        form = masked_form(form, kept)
    raw = Tokens(
        sizes=form.sizes,
        channels=form.channels,
        dtype=form.dtype,
        squared_norms=np.empty(0),
        exponents=np.zeros(len(form.sizes), dtype=np.int64),
        grid=form.grid if grid is None else grid,
        read=form.read,
        # An index stores vectors that are divided already.
        is_scaled=isinstance(x, FlatImages) and measured is not None,
        in_place=form.in_place,
        origin=x if kept is None else MaskedImages(x, kept) if is_array(x) else None,
        kept=kept,
    )
    found = _pass_over(raw, name) if measured is None else measured
    return replace(
        raw,
        ids=_brought(x, len(form.sizes)),
        squared_norms=found.squared_norms,
        exponents=found.exponents,
        in_place=raw.in_place and not found.exponents.any(),
    )


def masked_pair(
    x: Any, y: Any, mask: Any, other_mask: Any, names: tuple[str, str]
) -> tuple[Any, Any]:
    """Return two sides, measured where a mask leaves out some of their places.

    Parameters
    ----------
    x, y : features or tokens
        `y` may be None, or `x` itself.
    mask, other_mask : array-like of bool or None
        The places that are kept; those of `x` hold for `y` too where that is the same object.
    names : (str, str)
        The arguments, for errors.
    """
    if y is x and other_mask is None:
        both = x if mask is None else measure(x, names[0], mask=mask)
        return both, both
    if other_mask is not None:
        y = measure(y, names[1], mask=other_mask)
    return x if mask is None else measure(x, names[0], mask=mask), y


def _brought(x: Any, count: int) -> tuple[str, ...] | None:
    """Return the names of images that a labelled array (xarray) brings on its first axis."""
    dims, coords = getattr(x, "dims", None), getattr(x, "coords", None)
    if not dims or coords is None or dims[0] not in coords:
        return None
    names = tuple(str(name) for name in np.asarray(coords[dims[0]]).tolist())
    return names if len(set(names)) == count else None


def _places(array: Any, name: str) -> tuple[NDArray[np.int64], tuple[int, int] | None]:
    """Return the places of each image of an array, and its grid where it has one."""
    form = opened(array, name)
    return form.sizes, form.grid


def _masked_again(x: Tokens, name: str, grid: tuple[int, int] | None, mask: Any) -> Tokens:
    """Return measured tokens without the places that a mask leaves out."""
    if x.origin is None:
        raise InputError(
            f"mask: expected features, or tokens that were measured from some; {name} is a part of "
            "such tokens, of which images cannot lose places"
        )
    found = measure(x.origin, name, grid=x.grid if grid is None else grid, mask=mask)
    return replace(found, ids=x.ids)


def _checked_grid(grid: Any, form: Form | Tokens, name: str) -> tuple[int, int]:
    known = form.grid
    pair = tuple(grid) if isinstance(grid, (tuple, list)) else ()
    if len(pair) != 2 or not all(is_whole_number(n) and n >= 1 for n in pair):
        raise InputError(f"grid: expected (height, width), both >= 1; got {grid!r}")
    height, width = int(pair[0]), int(pair[1])
    kept = getattr(form, "kept", None)
    sizes = form.sizes if kept is None else np.full(len(kept), kept[0].size)
    if not (sizes == height * width).all():
        raise InputError(
            f"grid: expected height x width = {int(sizes[0])} vectors in every image of {name}; "
            f"got {height} x {width}"
        )
    if known is not None and known != (height, width):
        raise InputError(f"grid: expected that of the feature maps of {name}, {known}; got {grid}")
    return height, width


def _pass_over(tokens: Tokens, name: str) -> Measured:
    """Check and measure in one pass: finiteness, squared norms, the size of the entries."""
    squared_norms = np.empty(tokens.count)
    largest = np.empty(tokens.count)
    for first, last in tokens.pieces(PIECE):
        block = tokens.block(first, last)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = np.einsum("sc,sc->s", block.vectors, block.vectors, dtype=np.float64)
            norms = np.add.reduceat(sums, block.starts[:-1])
        highest = np.max(np.abs(block.vectors), axis=1).astype(np.float64)
        if not highest.max() <= _LARGEST:  # also where it is NaN
            _refuse(block, first, name)
        largest[first:last] = np.maximum.reduceat(highest, block.starts[:-1])
        squared_norms[first:last] = norms
    low, high = _SAFE[tokens.dtype.itemsize]
    unsafe = (largest > 0) & ((largest <= low) | (largest >= high))
    exponents = np.zeros(tokens.count, dtype=np.int64)
    exponents[unsafe] = np.frexp(largest[unsafe])[1]
    return Measured(squared_norms, exponents)


def _refuse(block: Block, first: int, name: str) -> None:
    for i in range(len(block)):
        image = block.image(i)
        bad = np.argwhere(~np.isfinite(image))
        problem = "NaN or infinity"
        if not len(bad):
            bad = np.argwhere(np.abs(image.astype(np.float64)) > _LARGEST)
            problem = f"a value beyond ±{_LARGEST:g}"
        if len(bad):
            vector, channel = bad[0]
            raise InputError(
                f"{name}: expected finite values; got {problem} in image {first + i}, "
                f"vector {vector}, channel {channel}"
            )


def ids_of(tokens: Tokens, given: Sequence[Any] | None, name: str) -> tuple[str, ...]:
    """Return the ids that are given, or those that the images bring, or their indices.

    Raises
    ------
    InputError
        As :func:`image_ids`.
    """
    return image_ids(tokens.ids if given is None else given, tokens.count, name)


def image_ids(ids: Sequence[Any] | None, count: int, name: str) -> tuple[str, ...]:
    """Return the ids of `count` images as distinct strings; by default their indices.

    Ids that are bytes, as HDF5 and NumPy have them, become text.

    Raises
    ------
    InputError
        If there are too few or too many, or two are the same.
    """
    if ids is None:
        return tuple(str(i) for i in range(count))
    if isinstance(ids, (str, bytes)):
        raise InputError(f"{name}: expected a sequence of names; got one text, {ids!r}")
    if isinstance(ids, (set, frozenset)):
        raise InputError(f"{name}: expected a sequence of names; got a set, which has no order")
    try:
        names = tuple(as_text(i) for i in ids)
    except TypeError as error:
        raise InputError(
            f"{name}: expected a sequence of names; got {type(ids).__name__}"
        ) from error
    if len(names) != count:
        raise InputError(f"{name}: expected {count} ids, one for each image; got {len(names)}")
    if len(set(names)) != count:
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise InputError(
            f"{name}: expected distinct ids; got {twice!r} more than once. Classes of images are "
            "labels, which studies and figures take"
        )
    return names
