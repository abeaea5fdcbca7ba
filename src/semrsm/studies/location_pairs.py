"""The pairs of images whose locations are mapped: given, or those that matching raises most."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import Progress, is_whole_number
from ..api import gram
from ..errors import InputError, did_you_mean
from ..features import Features
from ..matching.base import Matcher
from ..matching.none import NoMatch
from ..matrices.changes import most_raised
from ..tokens import Tokens, measure
from .choices import shifted, vectors_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The largest number of pairs that are chosen where no pairs are given.
CHOSEN_PAIRS = 4


def known_grids(features: Features) -> dict[str, tuple[int, int]]:
    """Return the grid of each layer, or refuse a layer without one."""
    grids = {layer: grid for layer, grid in features.grids.items() if layer in features}
    for layer in features:
        if layer not in grids:
            raise InputError(
                f"layers: expected layers whose grid is known; that of {layer!r} is not. Choose "
                'others, or state it in the features\' provenance: {"grids": {layer: [H, W]}}'
            )
        if layer in features.masks:
            raise InputError(
                f"layers: expected layers of which every patch is kept; a mask leaves out some of "
                f"{layer!r}. Extract with mask=False, or choose others"
            )
        height, width = grids[layer]
        if height * width != vectors_of(features[layer]):
            raise InputError(
                f"features: expected {height} x {width} = {height * width} vectors in {layer!r}, "
                f"as its grid says; got {vectors_of(features[layer])}"
            )
    return grids


def checked_pairs(pairs: Any, ids: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of ids or indices as indices, or refuse pairs that do not name two images."""
    if isinstance(pairs, (str, bytes)) or not isinstance(pairs, Iterable):
        raise InputError(f"pairs: expected a sequence of (left, right); got {pairs!r}")
    found: list[tuple[int, int]] = []
    for pair in pairs:
        if isinstance(pair, (str, bytes)) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise InputError(f"pairs: expected (left, right), two ids or indices; got {pair!r}")
        left, right = (_index(image, ids) for image in pair)
        if (left, right) in found:
            raise InputError(f"pairs: expected each once; got {pair!r} more than once")
        found.append((left, right))
    if not found:
        raise InputError("pairs: expected at least one pair of images; got none")
    return found


def _index(image: Any, ids: Sequence[str]) -> int:
    if isinstance(image, str):
        if image not in ids:
            raise InputError(
                f"pairs: expected ids of the features; there is no {image!r}."
                f"{did_you_mean(image, ids)}"
            )
        return ids.index(image)
    if not is_whole_number(image) or not 0 <= image < len(ids):
        raise InputError(f"pairs: expected ids, or indices from 0 to {len(ids) - 1}; got {image!r}")
    return int(image)


def rising_pairs(
    tokens: Tokens,
    matcher: Matcher,
    *,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
    total: int,
) -> list[tuple[int, int]]:
    """Return a few images, each paired with the one whose similarity the matching raises most."""
    count = tokens.count
    spread = np.linspace(0, count - 1, min(CHOSEN_PAIRS, count)).round().astype(int)
    started = tokens.take(spread)
    cosines = []
    for n, chosen in enumerate((NoMatch(), matcher)):
        found = gram(
            started,
            tokens,
            matcher=chosen,
            workers=workers,
            memory=memory,
            progress=None
            if progress is None
            else shifted(progress, n * len(spread) * count, total),
        )
        cosines.append(found.rsm("cosine").values)
    before, after = cosines
    pairs: list[tuple[int, int]] = []
    for row, left in enumerate(spread.tolist()):
        # Neither the image itself, nor a pair that is already chosen from its other image.
        taken = [left, *(known for known, other in pairs if other == left)]
        others = np.setdiff1d(np.arange(count), taken)
        among = np.full(len(others), row), others
        pairs += [(left, right) for _, right in most_raised(before, after, 1, among=among)]
    return pairs


def vectors_of_pairs(
    features: Features, pairs: Sequence[tuple[int, int]]
) -> dict[tuple[str, int], NDArray[Any]]:
    """Return the concept vectors (S, C) of the images in the pairs, checked, by layer and image."""
    found = {}
    for layer in features:
        for i in sorted({i for pair in pairs for i in pair}):
            values = np.asarray(features[layer][i])
            vectors = values.reshape(len(values), -1).T if values.ndim == 3 else values
            measure([vectors], f"features[{layer!r}], {features.ids[i]!r}")
            found[layer, i] = vectors
    return found
