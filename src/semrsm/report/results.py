"""The figures and the report of a results folder: RSMs side by side, what matched what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..matchers import match
from ..plot import matcher_words, plot_match, plot_rsms
from .page import Figure, Section, Table, write_report

if TYPE_CHECKING:
    from ..features import Features
    from ..results import Results

#: Larger grids make an overlay that nobody can read.
MOST_PATCHES = 1024


def figures_of(results: Results) -> dict[str, Callable[[], Any]]:
    """Return a function that draws the RSMs side by side for each kernel, by file name.

    Parameters
    ----------
    results : Results
        What ``semrsm rsm`` computed.

    Returns
    -------
    dict of str to callable
    """
    return {f"rsms-{kernel}": partial(_draw_rsms, results, kernel) for kernel in results.kernels}


def write_results_report(
    results: Results,
    path: str | Path,
    *,
    features: Features | None = None,
    images: str | Path | None = None,
) -> Path:
    """Write the report of a results folder as one HTML file.

    Parameters
    ----------
    results : Results
        What ``semrsm rsm`` computed.
    path : str or Path
        The file.
    features : Features, optional
        The features; with `images`, they give the overlay of one match.
    images : str or Path, optional
        The folder of the photographs.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If `images` does not hold the photographs that the results name.
    """
    sections = [
        Section(
            "RSMs",
            "Spatio-semantic RSMs compare each place of one image with the same place of the "
            "other; semantic RSMs first match the concept vectors of the two images so that "
            "their similarity is largest. All matrices of a kernel share one colour scale.",
            figures=[
                Figure(
                    draw,
                    f"Heat maps of the RSMs of every layer under the {kernel} kernel",
                    f"RSMs ({kernel}) by layer and matcher.",
                )
                for kernel, draw in zip(results.kernels, figures_of(results).values(), strict=True)
            ],
            tables=[_table(results)],
        )
    ]
    changed = _most_changed(results)
    if changed is not None:
        sections.append(_changes(results, *changed))
    if features is not None and images is not None:
        overlay = match_figure(results, features, images)
        if overlay is not None:
            draw, caption = overlay
            text = (
                "Each patch of the left image has a colour by its place; the patch of the right "
                "image that it was matched with has the same colour, the more strongly the more "
                "it adds to the similarity. Lines join the strongest pairs."
            )
            alt = "Two photographs with their matched patches"
            sections.append(
                Section("What matched what", text, figures=[Figure(draw, alt, caption)])
            )
    count = results.facts.get("images", "")
    return write_report(
        path,
        title=f"RSMs of {count} images",
        sections=sections,
        provenance=results.facts,
        summary=f"{len(results.layers)} layers, matchers {', '.join(results.matchers)}, kernels "
        f"{', '.join(results.kernels)}.",
    )


def match_figure(
    results: Results, features: Features, images: str | Path
) -> tuple[Callable[[], Any], str] | None:
    """Return a function that draws the match of the most changed pair, and a caption.

    None where no layer has a grid that can be drawn, or there is one image only.
    """
    from ..datasets import ImageFolder

    grids = {k: g for k, g in results.grids.items() if k in features and np.prod(g) <= MOST_PATCHES}
    if not grids or len(features.ids) < 2:
        return None
    layer = min(grids, key=lambda name: abs(np.log(np.prod(grids[name]) / 196)))
    photos = ImageFolder(images)
    changed = _most_changed(results, layer)
    i, j = (0, 1) if changed is None else changed[1][0]
    for name in (features.ids[i], features.ids[j]):
        if name not in photos.ids:
            raise InputError(f"images: expected the photographs of the results; {name!r} is absent")
    pair = [photos[photos.ids.index(features.ids[k])] for k in (i, j)]
    vectors = [features[layer][k].reshape(features[layer].shape[1], -1).T for k in (i, j)]
    found = match(*vectors)

    def draw() -> Any:
        seen = [_as_seen(photo, features) for photo in pair]
        names = (features.ids[i], features.ids[j])
        ax = plot_match(seen[0], seen[1], found, grids[layer], grids[layer], names=names)
        return ax.figure

    return draw, f"The match of {features.ids[i]} with {features.ids[j]} at {layer}."


def _as_seen(photo: Any, features: Features) -> Any:
    """Return the part of a photograph that the network saw, as far as the features tell."""
    from ..features.preprocess import Preprocess

    preprocess = Preprocess.of(features.provenance)
    return photo if preprocess is None else preprocess.crop(photo)


def _draw_rsms(results: Results, kernel: str) -> Any:
    rsms = results.rsms(kernel)
    by_layer = {
        layer: [rsms[layer, matcher] for matcher in results.matchers] for layer in results.layers
    }
    return plot_rsms(by_layer)


def _most_changed(
    results: Results, layer: str | None = None, most: int = 8
) -> tuple[str, list[tuple[int, int]]] | None:
    """Return a layer and the pairs whose cosine the matching raises most, strongest first."""
    layer = layer or results.layers[-1]
    if (layer, "none") not in results.grams or (layer, "optimal") not in results.grams:
        return None
    gram = results.grams[layer, "optimal"]
    if not gram.is_symmetric or len(gram.row_ids) < 2:
        return None
    gain = gram.rsm("cosine").values - results.grams[layer, "none"].rsm("cosine").values
    rows, columns = np.triu_indices_from(gain, k=1)
    order = np.argsort(-gain[rows, columns], kind="stable")[:most]
    return layer, [(int(rows[k]), int(columns[k])) for k in order]


def _changes(results: Results, layer: str, pairs: list[tuple[int, int]]) -> Section:
    before = results.grams[layer, "none"].rsm("cosine").values
    after = results.grams[layer, "optimal"].rsm("cosine").values
    ids = results.grams[layer, "optimal"].row_ids
    return Section(
        "What matching changes most",
        tables=[
            Table(
                ["Image", "Image", "Spatio-semantic", "Semantic", "Gain"],
                [
                    [
                        ids[i],
                        ids[j],
                        f"{before[i, j]:.3f}",
                        f"{after[i, j]:.3f}",
                        f"{after[i, j] - before[i, j]:.3f}",
                    ]
                    for i, j in pairs
                ],
                f"The pairs whose cosine similarity at {layer} gains most by matching.",
            )
        ],
    )


def _table(results: Results) -> Table:
    return Table(
        ["Layer", "Grid", "RSM", "Kernel", "Lowest", "Median", "Highest", "Largest gap"],
        [
            [
                row["layer"],
                row["grid"],
                matcher_words(row["matcher"]),
                row["kernel"],
                f"{row['lowest']:.4g}",
                f"{row['median']:.4g}",
                f"{row['highest']:.4g}",
                f"{row['largest_gap']:.0e}",
            ]
            for row in results.table()
        ],
        "Similarities of distinct images. The gap is how much, relatively, the best matching could "
        "still exceed the one that was used: the certificate.",
    )
