"""The report of the translation study: what semantic RSMs see and spatio-semantic ones do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..plot import matcher_words
from .page import Figure, Section, Table, write_report

if TYPE_CHECKING:
    from ..studies.translation import TranslationResult


def write_translation_report(result: TranslationResult, path: str | Path) -> Path:
    """Write the report of a translation study as one HTML file.

    Parameters
    ----------
    result : TranslationResult
        What :func:`semrsm.studies.translation` returned.
    path : str or Path
        The file.

    Returns
    -------
    Path
        The file written.
    """
    protocol = result.protocol
    kernel = protocol["kernels"][0]
    photos, shifts = protocol["photographs"], protocol["shifts"]
    return write_report(
        path,
        title="The same photographs, moved",
        summary=_summary(result, kernel),
        sections=[
            Section(
                "What the matrices show",
                f"{len(photos)} photographs were each cut {len(shifts)} times, the window moved by "
                f"{', '.join(f'{s:g}' for s in shifts)} of its side, and all crops went through "
                f"{protocol['features'].get('model', 'the network')}. A spatio-semantic RSM "
                "compares each place of one image with the same place of the other; a semantic RSM "
                "first matches the concept vectors of the two images so that their similarity is "
                "largest. Crops of one photograph are neighbours, framed by white lines: where "
                "the RSM knows a moved photograph again, its whole frame is bright.",
                figures=[
                    Figure(
                        result.figures["rsms"],
                        "Heat maps of the spatio-semantic and the semantic RSM of every layer",
                        f"RSMs ({kernel}) by layer, on one colour scale: spatio-semantic on the "
                        "left, semantic on the right.",
                    )
                ],
            ),
            Section(
                "How well moved photographs are told from others",
                figures=[
                    Figure(
                        result.figures["distributions"],
                        "Histograms of similarity for the same photograph moved and for different "
                        "photographs, by layer and matcher",
                        f"Distributions of similarity ({kernel}). AUC is the probability that the "
                        "same photograph, moved, is more similar than a different one.",
                    )
                ],
                tables=[_table(result, kernel)],
            ),
            Section(
                "What matched what",
                "Each patch of the left crop has a colour by its place; the patch of the right "
                "crop that it was matched with has the same colour, the more strongly the more "
                "it adds to the similarity. Lines join the strongest pairs.",
                figures=[
                    Figure(
                        result.figures["match"],
                        "Two overlapping crops of one photograph with their matched patches",
                        "The matching moves with the scene: the lines are parallel to the shift.",
                    )
                ],
            ),
        ],
        provenance=protocol,
    )


def _rows(result: TranslationResult, kernel: str, shift: float) -> dict[tuple[str, str], float]:
    return {
        (row["layer"], row["matcher"]): row["auc"]
        for row in result.table
        if row["kernel"] == kernel and row["shift"] == shift
    }


def _summary(result: TranslationResult, kernel: str) -> str:
    largest = max(row["shift"] for row in result.table)
    found = _rows(result, kernel, largest)
    layers = list(dict.fromkeys(layer for layer, _ in found))
    sentences = [
        f"at {layer} from {found[layer, 'none']:.2f} to {found[layer, 'optimal']:.2f}"
        for layer in layers
        if (layer, "none") in found and (layer, "optimal") in found
    ]
    if not sentences:
        return ""
    return (
        f"Matching concept vectors raises the probability that a photograph moved by {largest:g} "
        f"of its side is found more similar than a different photograph: {'; '.join(sentences)}."
    )


def _table(result: TranslationResult, kernel: str) -> Table:
    rows = [
        [
            row["layer"],
            row["vectors"],
            matcher_words(row["matcher"]),
            row["shift"],
            f"{row['same_median']:.3f}",
            f"{row['different_median']:.3f}",
            f"{row['auc']:.3f}",
            f"{row['separation']:.2f}",
        ]
        for row in result.table
        if row["kernel"] == kernel
    ]
    return Table(
        [
            "Layer",
            "Vectors",
            "RSM",
            "Shift",
            "Same, median",
            "Different, median",
            "AUC",
            "Separation",
        ],
        rows,
        f"Similarity ({kernel}) of the same photograph moved, and of different photographs. "
        "Separation is the difference of the means in pooled standard deviations.",
    )
