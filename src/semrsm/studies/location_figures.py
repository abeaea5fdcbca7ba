"""The figures of the study of locations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..features.photographs import Photos
from ..matching.registry import BASELINE
from .contributions import LocationMap, random_displacements

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..plot.locations import ContributionPanel

    Key = tuple[str, str, str, str]


def draw_pairs(
    maps: Mapping[Key, LocationMap],
    pairs: Sequence[tuple[str, str]],
    layer: str,
    moving: Sequence[str],
    photos: Photos | None,
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
                ContributionPanel(None, side, shortened(image, 26), photos[image])
                for side, image in (("left image", left), ("right image", right))
            ] + panels
        rows.append((name, panels))
    return plot_contributions(rows, title=layer)


def draw_layers(
    maps: Mapping[Key, LocationMap],
    pair: tuple[str, str],
    layers: Sequence[str],
    moving: Sequence[str],
    photos: Photos | None,
) -> Figure:
    """Draw a row for each layer, all of one pair."""
    from ..plot.locations import plot_contributions

    rows = [(layer, _panels(maps, (*pair, layer), moving, photos)) for layer in layers]
    return plot_contributions(rows, title=" and ".join(pair))


def _panels(
    maps: Mapping[Key, LocationMap],
    which: tuple[str, str, str],
    moving: Sequence[str],
    photos: Photos | None,
) -> list[ContributionPanel]:
    from ..plot import matcher_words
    from ..plot.locations import ContributionPanel

    left, right, layer = which
    images = [None if photos is None else photos[name] for name in (left, right)]
    panels = []
    for matcher in (BASELINE, *moving):
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
            for side, values, image in sides[: 1 if matcher == BASELINE else 2]
        ]
    return panels


def draw_displacements(
    maps: Mapping[Key, LocationMap],
    pairs: Sequence[tuple[str, str]],
    layers: Sequence[str],
    moving: Sequence[str],
) -> Figure:
    """Draw the distances of partners, a panel for each layer and matcher, all pairs together."""
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
