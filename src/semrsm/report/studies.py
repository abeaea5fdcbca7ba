"""The report of a study: what was asked, the figures with how to read them, the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..plot import matcher_words
from .page import Figure, Section, Table, write_report
from .translation import write_translation_report

if TYPE_CHECKING:
    from ..studies.result import StudyResult

Rows = list[Mapping[str, Any]]


@dataclass(frozen=True)
class _Text:
    """What the report of one study says.

    Attributes
    ----------
    title, question : str
    figures : mapping of str to (str, str)
        Heading and caption by the name of the figure.
    columns : mapping of str to str
        Columns that a reader sees, with their heads.
    shown : mapping of str to value
        Of several kernels, scores … the one that is shown, or the table's first without it.
    """

    title: str
    question: str
    figures: Mapping[str, tuple[str, str]]
    columns: Mapping[str, str]
    shown: Mapping[str, Any]


TEXTS = {
    "translation": _Text(
        "The same photographs, moved",
        "Is a photograph that has moved more similar to itself than to other photographs? AUC is "
        "the probability that it is; a half is chance.",
        {
            "rsms": ("RSMs", "Crops of one photograph are neighbours, framed by white lines."),
            "distributions": (
                "Distributions",
                "Similarity of the same photograph moved, and of different photographs.",
            ),
            "match": ("What matched what", "Patches that were matched share a colour."),
        },
        {
            "model": "Model",
            "layer": "Layer",
            "vectors": "Vectors",
            "kernel": "Kernel",
            "matcher": "RSM",
            "shift": "Shift",
            "same_median": "Same, median",
            "different_median": "Different, median",
            "auc": "AUC",
            "separation": "Separation",
        },
        {"kernel": "cosine"},
    ),
    "class-agreement": _Text(
        "Similarity and predicted classes",
        "Are images that a network finds similar also those that it classifies alike? For every "
        "pair of images the similarity at a layer meets the Jensen–Shannon divergence of the "
        "predicted class probabilities. The more negative their correlation, the better they "
        "agree. Differences are to the spatio-semantic RSM with the same kernel; an interval that "
        "does not contain 0 speaks for a difference that does not hang on the images taken.",
        {
            "scatter": (
                "Similarity against divergence",
                "Every point is a pair of images; the darker, the more pairs.",
            ),
            "correlations": (
                "Correlations",
                "Correlation of similarity with divergence, with intervals from a bootstrap over "
                "images. Further left is better.",
            ),
        },
        {
            "model": "Model",
            "layer": "Layer",
            "vectors": "Vectors",
            "kernel": "Kernel",
            "matcher": "RSM",
            "pearson": "Pearson",
            "pearson_low": "low",
            "pearson_high": "high",
            "pearson_difference": "Difference",
            "pearson_difference_low": "low",
            "pearson_difference_high": "high",
            "spearman": "Spearman",
            "spearman_difference": "Difference",
        },
        {},
    ),
    "retrieval": _Text(
        "Retrieval of images that show the same objects",
        "Each image in turn is the query; the F1 score of its annotated objects with those of the "
        "k most similar images says how well they fit. Chance is a random order of the gallery, "
        "best the best possible one. Differences are to the spatio-semantic RSM. Images excluded "
        "from a query's gallery are itself, or all of its group.",
        {
            "curves": (
                "F1 by the number of results",
                "With intervals from a bootstrap over queries.",
            ),
            "gallery": (
                "What was retrieved",
                "Queries on the left, their three most similar images on the right, with the "
                "objects shared.",
            ),
        },
        {
            "model": "Model",
            "layer": "Layer",
            "matcher": "RSM",
            "excluded": "Excluded",
            "k": "k",
            "f1": "F1",
            "f1_low": "low",
            "f1_high": "high",
            "difference": "Difference",
            "difference_low": "low",
            "difference_high": "high",
            "chance": "Chance",
            "best": "Best",
        },
        {"kernel": "cosine", "score": "mean"},
    ),
    "approximation": _Text(
        "What approximate matchings reach, and what they cost",
        "Quality is the matched similarity divided by the optimal one of the same pair; cost is "
        "the time of one pair on one thread, from features to value.",
        {
            "quality": (
                "Quality",
                "Median over pairs, with the range down to the value that 5 % stay below.",
            ),
            "runtime": ("Runtime", "Milliseconds a pair by the number of concept vectors."),
        },
        {
            "model": "Model",
            "layer": "Layer",
            "vectors": "Vectors",
            "solver": "Solver",
            "matcher": "Matcher",
            "quality_median": "Quality, median",
            "quality_5_percent": "5 %",
            "milliseconds": "Milliseconds",
        },
        {},
    ),
    "locations": _Text(
        "Where similarity sits",
        "How much each place of an image adds to its similarity with another image: aligned, "
        "where every place meets the same place of the other, and matched, where it meets its "
        "partner. What is similar in images that are not aligned lies in places that do not "
        "correspond.",
        {
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
        {
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
        {},
    ),
    "layers": _Text(
        "RSMs of all layers compared",
        "Centred kernel alignment (CKA) of the RSMs of all layers, spatio-semantic and semantic. "
        "Where the two kinds of RSM of one layer differ, space decided what the usual RSM saw.",
        {
            "heatmaps": (
                "CKA of all layers",
                "One colour scale; biased and debiased estimates are both in table.csv.",
            ),
            "diagonal": (
                "The two RSMs of one layer against its spatial extent",
                "CKA of the semantic and the spatio-semantic RSM of the same layer.",
            ),
        },
        {
            "model_a": "Model",
            "layer_a": "Layer",
            "matcher_a": "RSM",
            "model_b": "Model",
            "layer_b": "Layer",
            "matcher_b": "RSM",
            "kernel": "Kernel",
            "cka": "CKA",
            "debiased_cka": "debiased",
        },
        {},
    ),
}


def write_study_report(result: StudyResult, path: str | Path) -> Path:
    """Write the report of a study as one HTML file.

    Parameters
    ----------
    result : StudyResult
        Of one of the studies of :mod:`semrsm.studies`, or several joined.
    path : str or Path
        The file.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the suffix is not ``.html`` or the folder does not exist.
    """
    from ..studies.translation_sensitivity import TranslationResult

    if isinstance(result, TranslationResult):
        return write_translation_report(result, path)
    text = TEXTS[result.name]
    sections = []
    for name, draw in result.figures.items():
        figure, _, model = name.partition("-")
        heading, caption = text.figures[figure]
        heading = f"{heading}: {model}" if model else heading
        sections.append(Section(heading, figures=[Figure(draw, f"{heading}. {caption}", caption)]))
    sections.append(Section("Numbers", tables=[_table(result)]))
    return write_report(
        path,
        title=text.title,
        summary=text.question,
        sections=sections,
        provenance=result.protocol,
    )


def shown_rows(result: StudyResult) -> tuple[Rows, Sequence[str]]:
    """Return the rows and the columns of a study's table that a reader wants to see first.

    Parameters
    ----------
    result : StudyResult

    Returns
    -------
    rows : list of mapping
        Those of one kernel or score where several say the same; of all layers compared, those of
        the two RSMs of one layer.
    columns : sequence of str
    """
    from ..studies.layer_comparison import LayersResult
    from ..studies.object_retrieval import BASELINES

    text = TEXTS[result.name]
    rows = list(result.table)
    if isinstance(result, LayersResult):
        # Two networks are compared layer by layer, in one and the same kind of RSM.
        alike = [row for row in rows if row["matcher_a"] == row["matcher_b"]]
        rows = list(result.diagonal if result.other_grams is None else alike) or rows
    for column, value in _shown(result).items():
        of_all = BASELINES if column == "kernel" else ()  # they have a kernel of their own
        rows = [row for row in rows if row[column] == value or row["matcher"] in of_all]
    present = [column for column in text.columns if rows and column in rows[0]]
    # One network's name in every row says nothing.
    models = [column for column in ("model", "model_a", "model_b") if column in present]
    if len({row[column] for row in rows for column in models}) == 1:
        present = [column for column in present if column not in models]
    return rows, present


def _shown(result: StudyResult) -> dict[str, Any]:
    """Return the values of columns that are shown where there are several."""
    from ..studies.object_retrieval import BASELINES

    found = {}
    for column, value in TEXTS[result.name].shown.items():
        known = [row[column] for row in result.table if row["matcher"] not in BASELINES]
        found[column] = value if value in known else known[0]
    return found


def _table(result: StudyResult) -> Table:
    from ..studies.object_retrieval import BASELINES

    text = TEXTS[result.name]
    rows, columns = shown_rows(result)
    heads = [text.columns[column] for column in columns]

    def cell(row: Mapping[str, Any], column: str) -> Any:
        value = row[column]
        if text.columns[column] == "RSM" and value not in BASELINES:
            return matcher_words(value)
        return None if isinstance(value, float) and math.isnan(value) else value

    caption = "All of it is in table.csv."
    if len(rows) < len(result.table):
        chosen = ", ".join(f"{column} {value}" for column, value in _shown(result).items())
        chosen = f" ({chosen})" if chosen else ""
        caption = f"{len(rows):,} of {len(result.table):,} rows{chosen}; all are in table.csv."
    return Table(heads, [[cell(row, column) for column in columns] for row in rows], caption)
