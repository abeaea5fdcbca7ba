"""The report of the translation study: what semantic RSMs see and spatio-semantic ones do not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..kernels import KERNELS
from ..plot import matcher_words
from .explorer import Start, middle_layer, write_explorer
from .page import Figure, Section, Table

if TYPE_CHECKING:
    from ..studies.translation_sensitivity import TranslationResult


def write_translation_report(result: TranslationResult, path: str | Path) -> Path:
    """Write the report of a translation study: the explorer, and below it figures and the table.

    Parameters
    ----------
    result : TranslationResult
        What :func:`semrsm.studies.translation` returned.
    path : str or Path
        A name that ends in ``.html``, or a folder; see :func:`semrsm.report.write_explorer`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the page may not be written.
    """
    protocol, crops = result.protocol, result.crops
    kernel = protocol["kernels"][0]
    layer = middle_layer(result.features.grids) or next(iter(result.features))
    shifts = sorted(set(crops.crop_shifts))
    # The first photograph, moved so far that much of it is still there: the pair of the figure too.
    moved = crops.crop_shifts.index(shifts[-2] if len(shifts) > 2 else shifts[-1])
    return write_explorer(
        result.grams,
        path,
        features=result.features,
        images=crops,
        labels=crops.groups,
        pairs=[(crops.ids[0], crops.ids[moved])],
        # Kernels with options of their own are in the table alone, by what it calls them.
        kernels=[name for name in protocol["kernels"] if name in KERNELS] or None,
        title="The same photographs, moved",
        lead=_lead(result, kernel, layer),
        sections=_sections(result, kernel),
        facts=protocol,
        start=Start(layer=layer, order="label"),
    )


def _lead(result: TranslationResult, kernel: str, layer: str) -> str:
    photos, shifts = result.protocol["photographs"], result.protocol["shifts"]
    model = result.protocol["features"].get("model", "a network")
    text = (
        f"{len(photos)} photographs were each cut {len(shifts)} times, the window moved a little "
        f"further each time, and all crops went through {model}. The usual, spatio-semantic RSM "
        "compares images place by place: to it a photograph that has moved is almost another "
        "photograph, and only the diagonal is bright, where a crop meets itself. The semantic RSM "
        "first finds where each place has gone: the crops of one photograph are a bright block, "
        "wherever the window was."
    )
    moved = sorted({row["shift"] for row in result.table})
    shift = moved[-2] if len(moved) > 1 else moved[-1]
    rows = {
        row["matcher"]: row
        for row in result.table
        if (row["layer"], row["kernel"], row["shift"]) == (layer, kernel, shift)
    }
    if "none" not in rows or "optimal" not in rows:
        return text
    usual, semantic = rows["none"], rows["optimal"]
    return (
        f"{text} At layer {layer}, a photograph and the same one moved by {_share(shift)} of its "
        f"side have a similarity of {usual['same_median']:.2f} by the first and "
        f"{semantic['same_median']:.2f} by the second; different photographs "
        f"{usual['different_median']:.2f} and {semantic['different_median']:.2f}."
    )


def _share(shift: float) -> str:
    return {0.5: "half", 0.25: "a quarter"}.get(shift, f"{shift:g}")


def _sections(result: TranslationResult, kernel: str) -> list[Section]:
    shifts = ", ".join(f"{shift:g}" for shift in result.protocol["shifts"])
    return [
        Section(
            "All layers",
            "Crops of one photograph are neighbours, framed by white lines; the window was moved "
            f"by {shifts} of its side. Where the RSM knows a moved photograph again, its "
            "whole frame is bright.",
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
    ]


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
