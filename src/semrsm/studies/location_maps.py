"""Where similarity sits: what each location of an image gives to its similarity with another.

Compared location by location, two images are similar only where they show alike things at the same
place. Matched, they are similar wherever alike things are, and the contributions show where that is
in either image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.outputs import versions
from ..api import gram
from ..errors import InputError, did_you_mean
from ..features import Features
from ..features.photographs import Photos
from ..features.preprocess import Preprocess
from ..matching.assignment import relative_gap
from ..matching.base import Matcher
from ..matching.none import NoMatch
from ..matching.pair import match
from ..tokens import measure
from .choices import (
    MATCHER_NAMES,
    Progress,
    _shifted,
    chosen_features,
    chosen_matchers,
    model_of,
    vectors_of,
)
from .result import StudyResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..plot.locations import ContributionPanel

    Array = NDArray[np.float64]
    Key = tuple[str, str, str, str]

#: Pairs that are chosen where none are given, and drawn, at most.
CHOSEN_PAIRS, SHOWN_PAIRS = 4, 6

#: The part of the locations whose share of the similarity says how concentrated it is.
TOP = 0.1

#: The figures show the layer whose number of locations is nearest: few enough to be seen one by
#: one, small enough to tell things apart.
_SHOWN_VECTORS = 196


@dataclass(frozen=True, eq=False)
class LocationMap:
    """Where the similarity of a pair of images sits, under one matching.

    Attributes
    ----------
    left : ndarray of float64, shape (H, W)
        What each location of the left image gives to the cosine; the sum is the cosine.
    right : ndarray of float64, shape (H, W)
        The same contributions at the locations of their partners in the right image.
    partner : ndarray of int64, shape (H * W,)
        The location in the right image that each one of the left is matched with, counted row by
        row; −1 where it stayed free.
    similarity : float
        The cosine.
    gap : float
        How much larger the cosine of the best matching can be, relative to the larger of the two; 0
        where this one is certainly the best.
    """

    left: Array = field(repr=False)
    right: Array = field(repr=False)
    partner: NDArray[np.int64] = field(repr=False)
    similarity: float
    gap: float

    def displacements(self) -> Array:
        """Return how far each partner is from the same location, in cells, NaN where free.

        Returns
        -------
        ndarray of float64, shape (H * W,)
        """
        offsets = self._offsets()
        return np.where(self.partner >= 0, np.hypot(*offsets), np.nan)

    def beyond(self, cells: int) -> NDArray[np.bool_]:
        """Return whether each partner is more than so many rows or columns away.

        Parameters
        ----------
        cells : int
            0: at any other location; 1: not among the eight neighbours either.

        Returns
        -------
        ndarray of bool, shape (H * W,)
        """
        rows, columns = self._offsets()
        far: NDArray[np.bool_] = np.maximum(np.abs(rows), np.abs(columns)) > cells
        return far & (self.partner >= 0)

    def _offsets(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        width = self.left.shape[1]
        own = np.arange(len(self.partner))
        return self.partner // width - own // width, self.partner % width - own % width


@dataclass(frozen=True)
class LocationsResult(StudyResult):
    """The outcome of :func:`locations`, with what the figures were drawn from.

    Attributes
    ----------
    pairs : tuple of (str, str)
        The ids of the left and the right image of each pair.
    maps : mapping of (str, str, str, str) to LocationMap
        By left image, right image, layer and matcher. The matcher ``"none"`` is always there.
    """

    pairs: tuple[tuple[str, str], ...]
    maps: Mapping[Key, LocationMap] = field(repr=False)


def locations(
    features: Features,
    images: Any = None,
    *,
    pairs: Sequence[tuple[str | int, str | int]] | None = None,
    layers: str | Sequence[str] | None = None,
    matchers: Sequence[str | Matcher] = MATCHER_NAMES,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | None = None,
) -> LocationsResult:
    """Map what each location gives to the similarity of two images, aligned and matched.

    Parameters
    ----------
    features : Features
        Of N images, at least two, in layers with a known grid (``features.grids``).
    images : data set or sequence of N PIL images, optional
        The photographs, to draw the maps on: an object with ``ids`` and images by index, or images
        in the order of the features. They are cut as the preprocessing in the features' provenance
        says; where it says nothing, they are taken as what the network saw. Without photographs the
        maps are drawn alone.
    pairs : sequence of (left, right), optional
        Ids, or indices as whole numbers. By default four images are taken, evenly spread over the
        data set, each with the image whose cosine rises most from spatio-semantic to semantic in
        the layer of the figures.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    matchers : sequence of str or objects
        What is compared, at least one besides ``"none"``. The first one besides it chooses pairs.
    workers, memory
        As for :func:`semrsm.gram`; for the choice of pairs.
    progress : callable, optional
        Called as ``progress(done, total)`` in pairs of images matched.

    Returns
    -------
    LocationsResult
        The table has a row per pair × layer × matcher: the cosine (``similarity``), its ``rise``
        over the spatio-semantic one, and of its positive part, the share that comes from partners
        at other locations (``share_elsewhere``), that from partners beyond the eight neighbouring
        locations too (``share_beyond_neighbours``), and that of the tenth of the locations that
        give most (``top_share``). Then the mean and median distance of partners from the same
        location and the mean under a random permutation, in widths of the grid; the correlation of
        the map with the spatio-semantic one of the same pair; and the relative gap to the best
        matching, of which the bound is known.

    Raises
    ------
    InputError
        If the grid of a layer is not known, a pair names no images or stands there twice, there is
        no matcher that moves anything, features are not finite, or an option is not known.

    Notes
    -----
    A location s of the left image gives ⟨x_s, y_π(s)⟩ / (‖X‖ ‖Y‖), where π(s) is its partner: s
    itself for ``"none"``. The sum over s is the cosine. Shares are of the sum of the positive
    contributions, and NaN where there are none; correlations are Pearson's over locations, and NaN
    where a map is constant.

    Where neighbouring vectors are much alike, many matchings are nearly as good as the best one,
    and partners at other locations say little by themselves: look at ``rise`` with them.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(2, 8, 4, 4))
    >>> maps[1] = np.roll(maps[0], 2, axis=2)  # the same scene, moved by half its width
    >>> study = locations(semrsm.Features({"last": maps}))
    >>> [round(row["similarity"], 2) for row in study.table]  # none, optimal
    [0.1, 1.0]
    >>> [round(row["share_elsewhere"], 2) for row in study.table]
    [0.0, 1.0]
    """
    by_matcher = chosen_matchers(matchers)
    moving = [name for name, matcher in by_matcher.items() if matcher.name != "none"]
    if not moving:
        raise InputError("matchers: expected at least one besides 'none', which moves nothing")
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
    features = chosen_features(features, layers, fewest=2)
    grids = _known_grids(features)
    chosen = None if pairs is None else _checked_pairs(pairs, features.ids)
    photos = None if images is None else _Seen(images, features)
    shown = min(grids, key=lambda name: abs(np.log(np.prod(grids[name]) / _SHOWN_VECTORS)))

    # The aligned map is what the others are compared with: it is made in any case.
    every: dict[str, Matcher] = {"none": NoMatch(), **by_matcher}
    maps_of_a_pair = len(features) * len(every)
    earlier = 0  # pairs matched in order to choose
    if chosen is None:
        started = min(CHOSEN_PAIRS, len(features.ids))
        earlier = 2 * started * len(features.ids)
        chosen = _rising_pairs(
            features[shown],
            by_matcher[moving[0]],
            shown,
            workers=workers,
            memory=memory,
            progress=progress,
            total=earlier + started * maps_of_a_pair,
        )
    total = earlier + len(chosen) * maps_of_a_pair
    vectors = _vectors(features, chosen)

    maps: dict[Key, LocationMap] = {}
    rows: list[dict[str, Any]] = []
    names = tuple((features.ids[i], features.ids[j]) for i, j in chosen)
    for layer in features:
        for (i, j), (left, right) in zip(chosen, names, strict=True):
            for name, matcher in every.items():
                maps[left, right, layer, name] = location_map(
                    vectors[layer, i], vectors[layer, j], grids[layer], matcher=matcher
                )
                if progress is not None:
                    progress(earlier + len(maps), total)
            aligned = maps[left, right, layer, "none"]
            rows += [
                {
                    "model": model_of(features),
                    "layer": layer,
                    "vectors": vectors_of(features[layer]),
                    "left": left,
                    "right": right,
                    "matcher": name,
                    **_summary(maps[left, right, layer, name], aligned),
                }
                for name in by_matcher
            ]
    figures: dict[str, Any] = {
        "maps": partial(_draw_pairs, maps, names[:SHOWN_PAIRS], shown, moving, photos),
        "displacements": partial(_draw_displacements, maps, names, list(features), moving),
    }
    if len(features) > 1:
        figures["layers"] = partial(_draw_layers, maps, names[0], list(features), moving, photos)
    return LocationsResult(
        name="locations",
        table=tuple(rows),
        figures=figures,
        protocol={
            "study": "locations",
            "features": dict(features.provenance),
            "images": len(features.ids),
            "pairs": [list(pair) for pair in names],
            "choice_of_pairs": "given"
            if pairs is not None
            else f"at most {CHOSEN_PAIRS} images, evenly spread over the data set, each with the "
            f"image whose cosine at {shown} rises most from 'none' to {moving[0]!r}; each pair "
            "once",
            "layers": {layer: list(grids[layer]) for layer in features},
            "shown_layer": shown,
            "matchers": {name: repr(matcher) for name, matcher in by_matcher.items()},
            "contribution": "<x_s, y_partner(s)> / (|X| |Y|) of each location s of the left image; "
            "they sum to the cosine",
            "shares": "of the sum of the positive contributions",
            "elsewhere": "partner at another location; beyond neighbours: more than one row or "
            "column away",
            "top_share": f"of the {TOP:.0%} of the locations that give most, rounded up",
            "displacement": "Euclidean distance from the same location, in widths of the grid; "
            "random: the mean over all permutations",
            "correlation": "Pearson, over the locations of the left image, with the map of 'none'",
            "rise": "cosine minus that of 'none'",
            "gap": "(upper bound - value) / the larger of the two in size",
            "versions": versions(),
        },
        pairs=names,
        maps=maps,
    )


def location_map(
    a: Any, b: Any, grid: tuple[int, int], *, matcher: str | Matcher = "optimal"
) -> LocationMap:
    """Map what each location gives to the cosine of two images.

    Parameters
    ----------
    a, b : array-like, shape (H * W, C)
        The concept vectors of the left and the right image, row by row of their grid.
    grid : (int, int)
        H and W.
    matcher : str or Matcher, default "optimal"
        As for :func:`semrsm.match`.

    Returns
    -------
    LocationMap

    Raises
    ------
    InputError
        As :func:`semrsm.match`, or if the grid does not fit.

    Examples
    --------
    >>> a = np.eye(4)
    >>> found = location_map(a, a[::-1], (2, 2))
    >>> found.partner, found.similarity
    (array([3, 2, 1, 0]), 1.0)
    >>> found.left
    array([[0.25, 0.25],
           [0.25, 0.25]])
    """
    found = match(a, b, matcher=matcher)
    left, right = (measure([x], name) for x, name in ((a, "a"), (b, "b")))
    size = grid[0] * grid[1]
    for name, tokens in (("a", left), ("b", right)):
        if tokens.sizes[0] != size:
            raise InputError(
                f"{name}: expected {grid[0]} x {grid[1]} = {size} concept vectors; got "
                f"{tokens.sizes[0]}"
            )
    # One root each: the product of two squared norms can leave the range of float64.
    norm = float(np.sqrt(left.squared_norms[0]) * np.sqrt(right.squared_norms[0]))
    contributions = found.contributions / norm if norm > 0 else np.zeros(size)
    moved = np.zeros(size)
    matched = found.permutation >= 0
    moved[found.permutation[matched]] = contributions[matched]
    return LocationMap(
        left=contributions.reshape(grid),
        right=moved.reshape(grid),
        partner=found.permutation,
        similarity=float(contributions.sum()),
        gap=float(relative_gap(found.value, found.upper_bound)),
    )


def random_displacements(grid: tuple[int, int]) -> tuple[Array, Array]:
    """Return how far a uniformly random permutation moves a location.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    distances, probabilities : ndarray of float64, shape (H * W,)
        In cells, for each number of rows and columns moved; distances repeat.

    Examples
    --------
    >>> random_displacements((1, 2))
    (array([0., 1.]), array([0.5, 0.5]))
    """
    rows, columns = (np.arange(n) for n in grid)
    # Of n places in a line, n - d have a place d further on, and as many one d before.
    ways = [
        (n - d) * np.where(d == 0, 1, 2) / n**2 for n, d in zip(grid, (rows, columns), strict=True)
    ]
    distances: Array = np.hypot(rows[:, None], columns[None, :]).ravel()
    return distances, np.outer(*ways).ravel()


def _summary(found: LocationMap, aligned: LocationMap) -> dict[str, float]:
    """Return the numbers of one row of the table."""
    width = found.left.shape[1]
    gained = np.maximum(found.left.ravel(), 0.0)
    moved = found.displacements() / width
    random, probabilities = random_displacements((found.left.shape[0], width))
    top = np.sort(gained)[::-1][: int(np.ceil(TOP * len(gained)))]
    return {
        "similarity": found.similarity,
        "rise": found.similarity - aligned.similarity,
        "share_elsewhere": _share(gained[found.beyond(0)], gained),
        "share_beyond_neighbours": _share(gained[found.beyond(1)], gained),
        "top_share": _share(top, gained),
        "displacement_mean": float(np.nanmean(moved)),
        "displacement_median": float(np.nanmedian(moved)),
        "displacement_random": float(random @ probabilities) / width,
        "correlation": _correlation(found.left.ravel(), aligned.left.ravel()),
        "gap": found.gap,
    }


def _share(part: Array, whole: Array) -> float:
    total = float(whole.sum())
    return float(part.sum()) / total if total > 0 else float("nan")


def _correlation(x: Array, y: Array) -> float:
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


# ------------------------------------------------------------------------------------ arguments


def _known_grids(features: Features) -> dict[str, tuple[int, int]]:
    grids = {layer: grid for layer, grid in features.grids.items() if layer in features}
    for layer in features:
        if layer not in grids:
            raise InputError(
                f"layers: expected layers whose grid is known; that of {layer!r} is not. Choose "
                'others, or state it in the features\' provenance: {"grids": {layer: [H, W]}}'
            )
        height, width = grids[layer]
        if height * width != vectors_of(features[layer]):
            raise InputError(
                f"features: expected {height} x {width} = {height * width} vectors in {layer!r}, "
                f"as its grid says; got {vectors_of(features[layer])}"
            )
    return grids


def _checked_pairs(pairs: Any, ids: Sequence[str]) -> list[tuple[int, int]]:
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
    whole = isinstance(image, (int, np.integer)) and not isinstance(image, bool)
    if not whole or not 0 <= image < len(ids):
        raise InputError(f"pairs: expected ids, or indices from 0 to {len(ids) - 1}; got {image!r}")
    return int(image)


def _rising_pairs(
    array: Any,
    matcher: Matcher,
    layer: str,
    *,
    workers: int | None,
    memory: int | str | None,
    progress: Progress | None,
    total: int,
) -> list[tuple[int, int]]:
    """Return a few images, each with the one whose similarity the matching raises most."""
    count = int(array.shape[0])
    spread = np.linspace(0, count - 1, min(CHOSEN_PAIRS, count)).round().astype(int)
    measure(array, f"features[{layer!r}]")  # refuses what is not finite, by the layer's name
    cosines = []
    for n, chosen in enumerate((NoMatch(), matcher)):
        found = gram(
            array[spread],
            array,
            matcher=chosen,
            workers=workers,
            memory=memory,
            progress=None
            if progress is None
            else _shifted(progress, n * len(spread) * count, total),
        )
        cosines.append(found.rsm("cosine").values)
    rise = cosines[1] - cosines[0]
    pairs: list[tuple[int, int]] = []
    for row, left in enumerate(spread.tolist()):
        rise[row, left] = -np.inf
        for known, other in pairs:
            if left == other:
                rise[row, known] = -np.inf  # the same pair, seen from its other side
        if rise[row].max() > -np.inf:
            pairs.append((left, int(rise[row].argmax())))
    return pairs


def _vectors(
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


# ------------------------------------------------------------------------------------ figures


def _draw_pairs(
    maps: Mapping[Key, LocationMap],
    pairs: Sequence[tuple[str, str]],
    layer: str,
    moving: Sequence[str],
    photos: _Seen | None,
) -> Figure:
    """Draw a row for each pair: the photographs where there are any, and the maps."""
    from ..plot.common import shortened
    from ..plot.locations import ContributionPanel, plot_contributions

    rows = []
    for left, right in pairs:
        panels = _panels(maps, (left, right, layer), moving, photos)
        name = f"{shortened(left, 15)}\n{shortened(right, 15)}"
        if photos is not None:
            name = ""
            panels = [
                ContributionPanel(None, side, shortened(image, 26), photos.of(image))
                for side, image in (("left image", left), ("right image", right))
            ] + panels
        rows.append((name, panels))
    return plot_contributions(rows, title=layer)


def _draw_layers(
    maps: Mapping[Key, LocationMap],
    pair: tuple[str, str],
    layers: Sequence[str],
    moving: Sequence[str],
    photos: _Seen | None,
) -> Figure:
    """Draw a row for each layer, all of one pair."""
    from ..plot.locations import plot_contributions

    rows = [(layer, _panels(maps, (*pair, layer), moving, photos)) for layer in layers]
    return plot_contributions(rows, title=" and ".join(pair))


def _panels(
    maps: Mapping[Key, LocationMap],
    which: tuple[str, str, str],
    moving: Sequence[str],
    photos: _Seen | None,
) -> list[ContributionPanel]:
    from ..plot import matcher_words
    from ..plot.locations import ContributionPanel

    left, right, layer = which
    images = [None if photos is None else photos.of(name) for name in (left, right)]
    panels = []
    for matcher in ("none", *moving):
        found = maps[left, right, layer, matcher]
        # Aligned, the right image's map is the left one's.
        sides = [("left", found.left, images[0]), ("right", found.right, images[1])]
        panels += [
            ContributionPanel(
                values,
                f"{matcher_words(matcher)}\non the {side} image",
                f"cosine {found.similarity:.2f}",
                image,
            )
            for side, values, image in sides[: 1 if matcher == "none" else 2]
        ]
    return panels


class _Seen:
    """The photographs as the network saw them, as far as the features tell."""

    def __init__(self, images: Any, features: Features) -> None:
        self._photos = Photos(images, features.ids)
        self._ids = features.ids
        self._preprocess = Preprocess.of(features.provenance)

    def of(self, name: str) -> Any:
        image = self._photos[self._ids.index(name)]
        if self._preprocess is None:
            return image.convert("RGB")
        return self._preprocess.crop(image)


def _draw_displacements(
    maps: Mapping[Key, LocationMap],
    pairs: Sequence[tuple[str, str]],
    layers: Sequence[str],
    moving: Sequence[str],
) -> Figure:
    from ..plot.locations import DisplacementPanel, plot_displacements

    panels = {}
    for layer in layers:
        for matcher in moving:
            found = [maps[left, right, layer, matcher] for left, right in pairs]
            distances = np.concatenate([each.displacements() for each in found])
            matched = ~np.isnan(distances)
            gained = []
            for each in found:  # every pair counts the same
                positive = np.maximum(each.left.ravel(), 0.0)
                gained.append(positive / (positive.sum() or 1.0))
            grid = (found[0].left.shape[0], found[0].left.shape[1])
            panels[layer, matcher] = DisplacementPanel(
                distances[matched],
                np.concatenate(gained)[matched],
                random_displacements(grid),
                grid[1],
            )
    return plot_displacements(panels)
