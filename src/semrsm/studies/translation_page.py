"""The explorer page of the translation study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..features import Features
from ..features.layer_names import middle_layer
from ..kernels import KERNELS
from ..matching.registry import BASELINE, semantic_of
from ..plot import matcher_words
from .study import Explored, Numbers, Part

if TYPE_CHECKING:
    from ..matrices.gram import Gram
    from .translation_sensitivity import TranslationResult

#: Heads of the table, with the columns that they stand over and how numbers are written.
_COLUMNS = (
    ("Layer", "layer", ""),
    ("Vectors", "vectors", ""),
    ("RSM", "matcher", ""),
    ("Shift", "shift", ""),
    ("Same, median", "same_median", ".3f"),
    ("Different, median", "different_median", ".3f"),
    ("AUC", "auc", ".3f"),
    ("Separation", "separation", ".2f"),
)


def explored(results: Mapping[str, TranslationResult]) -> Explored | None:
    """Return the explorer page of the study on one network or several.

    Parameters
    ----------
    results : mapping of str to TranslationResult
        By the name of the network.

    Returns
    -------
    Explored or None
        The layers of several networks are called ``<network>: <layer>``. None where the networks
        had different crops.
    """
    first = next(iter(results.values()))
    if any(result.crops.ids != first.crops.ids for result in results.values()):
        return None
    crops = max((result.crops for result in results.values()), key=lambda found: found.size)
    kernel = first.protocol["kernels"][0]
    shifts = sorted(set(crops.crop_shifts))
    # The first photograph with its second largest shift, which still shares much with it: the pair
    # of the figure too.
    moved = crops.crop_shifts.index(shifts[-2] if len(shifts) > 2 else shifts[-1])
    alone = len(results) == 1
    begins = {name: _first_layer(result) for name, result in results.items()}
    start = next(iter(begins))
    parts = [
        part
        for name, result in results.items()
        for part in _parts(result, kernel, "" if alone else name)
    ]
    return Explored(
        grams=first.grams if alone else _all_grams(results),
        features=first.features if alone else _all_features(results),
        images=crops,
        labels=crops.groups,
        pairs=[(crops.ids[0], crops.ids[moved])],
        # Kernels with options are in the table alone, under their labels.
        kernels=[name for name in first.protocol["kernels"] if name in KERNELS] or None,
        lead=_lead(results, kernel, begins),
        layer=begins[start] if alone else _named(start, begins[start]),
        parts=parts,
    )


def _first_layer(result: TranslationResult) -> str:
    return middle_layer(result.features.grids) or next(iter(result.features))


def _named(model: str, layer: str) -> str:
    return f"{model}: {layer}"


def _all_grams(results: Mapping[str, TranslationResult]) -> dict[tuple[str, str], Gram]:
    return {
        (_named(model, layer), matcher): gram
        for model, result in results.items()
        for (layer, matcher), gram in result.grams.items()
    }


def _all_features(results: Mapping[str, TranslationResult]) -> Features:
    """Return the layers of all networks as those of one record, with whole crops as its images."""
    arrays: dict[str, Any] = {}
    grids: dict[str, tuple[int, int]] = {}
    for model, result in results.items():
        arrays |= {_named(model, layer): array for layer, array in result.features.items()}
        grids |= {_named(model, layer): grid for layer, grid in result.features.grids.items()}
    ids = next(iter(results.values())).features.ids
    return Features(arrays, ids=ids, provenance={"models": list(results), "grids": grids})


def _lead(results: Mapping[str, TranslationResult], kernel: str, layers: Mapping[str, str]) -> str:
    first = next(iter(results.values()))
    photos, shifts = first.protocol["photographs"], first.protocol["shifts"]
    models = [
        str(result.protocol["features"].get("model", "a network")) for result in results.values()
    ]
    through = models[0] if len(models) == 1 else f"{', '.join(models[:-1])} and {models[-1]}"
    text = (
        f"{len(photos)} photographs were each cut {len(shifts)} times, the window moved a little "
        f"further each time, and all crops went through {through}. The usual, spatio-semantic RSM "
        "compares images place by place: to it a photograph that has moved is almost another "
        "photograph, and only the diagonal is bright, where a crop meets itself. The semantic RSM "
        "first matches the places: the crops of one photograph are a bright block, wherever the "
        "window was."
    )
    for name, result in results.items():
        of = "" if len(results) == 1 else f" of {name}"
        text += _numbers_in_words(result, kernel, layers[name], of)
    return text


def _numbers_in_words(result: TranslationResult, kernel: str, layer: str, of: str) -> str:
    moved = sorted({row["shift"] for row in result.table})
    shift = moved[-2] if len(moved) > 1 else moved[-1]
    rows = {
        row["matcher"]: row
        for row in result.table
        if (row["layer"], row["kernel"], row["shift"]) == (layer, kernel, shift)
    }
    matched = semantic_of(rows)
    if BASELINE not in rows or matched is None:
        return ""
    usual, semantic = rows[BASELINE], rows[matched]
    return (
        f" At layer {layer}{of}, a photograph and the same one moved by {_share(shift)} of its "
        f"side have a similarity of {usual['same_median']:.2f} by the first and "
        f"{semantic['same_median']:.2f} by the second; different photographs "
        f"{usual['different_median']:.2f} and {semantic['different_median']:.2f}."
    )


def _share(shift: float) -> str:
    return {0.5: "half", 0.25: "a quarter"}.get(shift, f"{shift:g}")


def _parts(result: TranslationResult, kernel: str, model: str) -> Sequence[Part]:
    shifts = ", ".join(f"{shift:g}" for shift in result.protocol["shifts"])
    of = f": {model}" if model else ""
    return [
        Part(
            f"All layers{of}",
            of=result,
            figure="rsms",
            alt="Heat maps of the spatio-semantic and the semantic RSM of every layer",
            caption=f"RSMs ({kernel}) by layer, on one colour scale: spatio-semantic on the "
            "left, semantic on the right.",
            text="Crops of one photograph are neighbours, framed by white lines; the window was "
            f"moved by {shifts} of its side. Where the RSM recognises a moved photograph, its "
            "whole frame is bright.",
        ),
        Part(
            f"How well moved photographs are told from others{of}",
            of=result,
            figure="distributions",
            alt="Histograms of similarity for the same photograph moved and for different "
            "photographs, by layer and matcher",
            caption=f"Distributions of similarity ({kernel}). AUC is the probability that the "
            "same photograph, moved, is more similar than a different one.",
            numbers=_numbers(result, kernel),
        ),
    ]


def _numbers(result: TranslationResult, kernel: str) -> Numbers:
    def cell(row: Mapping[str, Any], column: str, form: str) -> Any:
        value = row[column]
        if column == "matcher":
            return matcher_words(value)
        return f"{value:{form}}" if form else value

    return Numbers(
        [head for head, _, _ in _COLUMNS],
        [
            [cell(row, column, form) for _, column, form in _COLUMNS]
            for row in result.table
            if row["kernel"] == kernel
        ],
        f"Similarity ({kernel}) of the same photograph moved, and of different photographs. "
        "Separation is the difference of the means in pooled standard deviations.",
    )
