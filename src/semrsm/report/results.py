"""The figures and the report of a results folder: RSMs side by side, and a match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..features.layer_names import middle_layer
from ..features.photographs import Photos
from ..features.record import concept_vectors
from ..matching.pair import match
from ..matrices.results import file_names
from ..plot import plot_match, plot_rsms
from .explorer import write_explorer
from .explorer.matches import most_changed
from .explorer.views import views_of

if TYPE_CHECKING:
    from ..features import Features
    from ..matrices.results import Results

#: The largest grid whose overlay can be read.
MOST_PATCHES = 1024


def figures_of(results: Results) -> dict[str, Callable[[], Any]]:
    """Return a function that draws the RSMs side by side for each kernel, by file name.

    Parameters
    ----------
    results : Results
        The results of ``semrsm rsm``.

    Returns
    -------
    dict of str to callable
    """
    names = file_names(results.kernels)
    return {
        f"rsms-{names[kernel]}": partial(_draw_rsms, results, kernel) for kernel in results.kernels
    }


def write_results_report(
    results: Results,
    path: str | Path,
    *,
    features: Features | None = None,
    images: Any = None,
    **options: Any,
) -> Path:
    """Write the report of a results folder: the explorer.

    Parameters
    ----------
    results : Results
        The results of ``semrsm rsm``.
    path : str or Path
        A name that ends in ``.html``, or a folder.
    features : Features, optional
        The features, from which the page shows the matched patches.
    images : str, Path or data set, optional
        The photographs.
    **options
        As for :func:`semrsm.report.write_explorer`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        As :func:`semrsm.report.write_explorer`.
    """
    return write_explorer(results, path, features=features, images=images, **options)


def match_figure(
    results: Results, features: Features, images: str | Path
) -> tuple[Callable[[], Any], str] | None:
    """Return a function that draws the match of the most changed pair, and a caption.

    None where no layer has a grid that can be drawn, or there is one image only.
    """
    grids = {k: g for k, g in results.grids.items() if k in features and np.prod(g) <= MOST_PATCHES}
    layer = middle_layer(grids)
    if layer is None or len(features.ids) < 2:
        return None
    photos = Photos(images, provenance=features.provenance)
    i, j = _most_changed(results, layer) or (0, 1)
    names = (features.ids[i], features.ids[j])
    photos.check(names)
    vectors = [concept_vectors(features[layer][k]) for k in (i, j)]
    mask = features.masks.get(layer)
    kept = [None if mask is None else mask[k] for k in (i, j)]
    found = match(*vectors)

    def draw() -> Any:
        left, right = (photos[name] for name in names)
        ax = plot_match(
            left, right, found, grids[layer], grids[layer], kept=(kept[0], kept[1]), names=names
        )
        return ax.figure

    return draw, f"The match of {features.ids[i]} with {features.ids[j]} at {layer}."


def _draw_rsms(results: Results, kernel: str) -> Any:
    rsms = results.rsms(kernel)
    by_layer = {
        layer: [rsms[layer, matcher] for matcher in results.matchers] for layer in results.layers
    }
    return plot_rsms(by_layer)


def _most_changed(results: Results, layer: str) -> tuple[int, int] | None:
    """Return the pair that the page shows first: the one that matching raises most, if known."""
    grams = {key: gram for key, gram in results.grams.items() if key[0] == layer}
    kernel = results.kernels[0]
    views = views_of(replace(results, grams=grams), kernels=[kernel])
    return next(iter(most_changed(views, layer, kernel, 1)), None)
