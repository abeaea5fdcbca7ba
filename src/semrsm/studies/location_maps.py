"""Locations: the contribution of each location of an image to its similarity with another.

Compared location by location, two images are similar only where they show similar things at the
same place. Matched, they are similar wherever similar things are; the contributions show these
places in both images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .._internal.checks import Progress, check_progress
from .._internal.provenance import versions
from ..errors import InputError
from ..features import Features
from ..features.layer_names import middle_layer
from ..features.photographs import Photos
from ..matching.base import Matcher
from ..matching.none import NoMatch
from ..matching.registry import BASELINE, resolve_matchers
from .choices import (
    MATCHER_CHOICE,
    MATCHER_NAMES,
    chosen_features,
    model_of,
    vectors_of,
)
from .contributions import TOP, LocationMap, location_map, summary_of
from .location_figures import draw_displacements, draw_layers, draw_pairs
from .location_pairs import CHOSEN_PAIRS, checked_pairs, known_grids, rising_pairs, vectors_of_pairs
from .result import StudyResult
from .study import Inputs, Option, Options, Study

if TYPE_CHECKING:
    Key = tuple[str, str, str, str]

#: The largest number of pairs that are drawn.
SHOWN_PAIRS = 6


@dataclass(frozen=True)
class LocationsResult(StudyResult):
    """The outcome of :func:`locations`, with the data of its figures.

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
    progress: Progress | bool | None = None,
) -> LocationsResult:
    """Map the contribution of each location to the similarity of images, aligned and matched.

    Parameters
    ----------
    features : Features
        Of N images, at least two, in layers with a known grid (``features.grids``).
    images : data set or sequence of N PIL images, optional
        The photographs, to draw the maps on: an object with ``ids`` and images by index, or images
        in the order of the features. They are cropped by the preprocessing in the features'
        provenance; without it, they are drawn whole. Without photographs the maps are drawn alone.
    pairs : sequence of (left, right), optional
        Ids, or indices as whole numbers. By default four images are taken, evenly spread over the
        data set, each with the image whose cosine rises most from spatio-semantic to semantic in
        the layer of the figures.
    layers : str or sequence of str, optional
        Some of the layers, as names or globs; all by default.
    matchers : sequence of str or objects
        The matchers to compare, at least one besides ``"none"``; the first of those chooses the
        pairs.
    workers, memory
        As for :func:`semrsm.gram`; for the choice of pairs.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in pairs of images matched.

    Returns
    -------
    LocationsResult
        The table has a row per pair × layer × matcher: the cosine (``similarity``), its ``rise``
        over the spatio-semantic one, and three shares of its positive part: from partners at other
        locations (``share_elsewhere``), from partners beyond the eight neighbouring locations
        (``share_beyond_neighbours``), and from the tenth of the locations with the largest
        contributions (``top_share``). Then the mean and median distance of partners from the same
        location and the mean under a random permutation, in widths of the grid; the correlation of
        the map with the spatio-semantic one of the same pair; and the certified relative gap to the
        best matching.

    Raises
    ------
    InputError
        If the grid of a layer is not known, a pair does not name images or is repeated, there is no
        matcher besides ``"none"``, features are not finite, or an option is not known.

    Notes
    -----
    A location s of the left image gives ⟨x_s, y_π(s)⟩ / (‖X‖ ‖Y‖), where π(s) is its partner: s
    itself for ``"none"``. The sum over s is the cosine. Shares are of the sum of the positive
    contributions, and NaN where there are none; correlations are Pearson's over locations, and NaN
    where a map is constant.

    Where neighbouring vectors are much alike, many matchings are nearly as good as the best one,
    and partners at other locations say little by themselves: read them together with ``rise``.

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
    by_matcher = resolve_matchers(matchers)
    moving = [name for name in by_matcher if name != BASELINE]
    if not moving:
        raise InputError("matchers: expected at least one besides 'none', which moves nothing")
    progress = check_progress(progress)
    features = chosen_features(features, layers, fewest=2)
    grids = known_grids(features)
    chosen = None if pairs is None else checked_pairs(pairs, features.ids)
    photos = None
    if images is not None:
        photos = Photos(images, features.ids, provenance=features.provenance)
    shown = middle_layer(grids) or next(iter(grids))

    # The aligned map is always made: the others are compared with it.
    every: dict[str, Matcher] = {BASELINE: NoMatch(), **by_matcher}
    maps_of_a_pair = len(features) * len(every)
    earlier = 0  # pairs matched in order to choose
    if chosen is None:
        started = min(CHOSEN_PAIRS, len(features.ids))
        earlier = 2 * started * len(features.ids)
        chosen = rising_pairs(
            # Refuses values that are not finite, and names the layer.
            features.tokens(shown),
            by_matcher[moving[0]],
            workers=workers,
            memory=memory,
            progress=progress,
            total=earlier + started * maps_of_a_pair,
        )
    total = earlier + len(chosen) * maps_of_a_pair
    vectors = vectors_of_pairs(features, chosen)

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
            aligned = maps[left, right, layer, BASELINE]
            rows += [
                {
                    "model": model_of(features),
                    "layer": layer,
                    "vectors": vectors_of(features[layer]),
                    "left": left,
                    "right": right,
                    "matcher": name,
                    **summary_of(maps[left, right, layer, name], aligned),
                }
                for name in by_matcher
            ]
    figures: dict[str, Any] = {
        "maps": partial(draw_pairs, maps, names[:SHOWN_PAIRS], shown, moving, photos),
        "displacements": partial(draw_displacements, maps, names, list(features), moving),
    }
    if len(features) > 1:
        figures["layers"] = partial(draw_layers, maps, names[0], list(features), moving, photos)
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


def _check(options: Options) -> None:
    if set(resolve_matchers(options["matchers"])) == {BASELINE}:
        raise InputError("--matcher: expected at least one besides 'none', which moves nothing")


def _look(inputs: Inputs, options: Options) -> None:
    if options["pairs"] is None:
        return
    if inputs.data is not None:
        checked_pairs(options["pairs"], inputs.data.ids)
    for features in inputs.features:
        checked_pairs(options["pairs"], features.ids)


def _run(inputs: Inputs, options: Options) -> StudyResult:
    return inputs.each(
        lambda features, progress: locations(features, inputs.data, progress=progress, **options)
    )


STUDY = Study(
    name="locations",
    help="map the contribution of each location to similarity, aligned and matched",
    examples="  semrsm study locations photos/ --pair a.jpg b.jpg --layer _blocks.10 --out "
    "locations/",
    title="Where similarity sits",
    question="How much each place of an image adds to its similarity with another image: aligned, "
    "where every place meets the same place of the other, and matched, where it meets its "
    "partner. In images that are not aligned, similar things lie at places that do not "
    "correspond.",
    columns={
        "model": "Model",
        "left": "Left",
        "right": "Right",
        "layer": "Layer",
        "vectors": "Vectors",
        "matcher": "RSM",
        "similarity": "Cosine",
        "rise": "Rise",
        "share_beyond_neighbours": "From beyond the neighbours",
        "displacement_median": "Median displacement",
        "displacement_random": "of a random one",
    },
    figures={
        "maps": (
            "Similarity by location",
            "Each row is a pair of images, on one colour scale; the contributions add up to "
            "the cosine of the pair.",
        ),
        "displacements": (
            "How far matches reach",
            "Distance between the places of matched concept vectors, in widths of the grid, "
            "beside that of a random permutation.",
        ),
        "layers": ("The first pair at every layer", "As above, from layer to layer."),
    },
    run=_run,
    groups=(MATCHER_CHOICE,),
    options=(
        Option(
            "--pair",
            "two images by id; may be repeated (default: the pairs that gain most by matching)",
            nargs=2,
            metavar=("IMAGE", "IMAGE"),
            repeated=True,
            keyword="pairs",
        ),
    ),
    check=_check,
    look=_look,
)
