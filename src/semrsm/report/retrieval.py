"""The figure and the report of a search: queries with their nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..plot import plot_neighbours
from .page import Figure, Section, Table, write_report

if TYPE_CHECKING:
    import matplotlib.figure

    from ..features.photographs import Photos
    from ..retrieval.results import Neighbours

#: Queries and neighbours in the figure; queries in the table.
SHOWN_QUERIES, SHOWN_NEIGHBOURS, TABLED = 6, 6, 200


def draw_neighbours(
    found: Neighbours, queries: Photos, gallery: Photos
) -> matplotlib.figure.Figure:
    """Draw the first queries with their nearest neighbours.

    Parameters
    ----------
    found : TopK or ApproximateTopK
    queries, gallery : Photos
        The photographs of both sides, in the order of the images.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    entries = []
    for n, query in enumerate(found.query_ids[:SHOWN_QUERIES]):
        near = [
            (gallery[int(image)], Path(found.gallery_ids[image]).stem, float(value))
            for image, value in zip(
                found.indices[n, :SHOWN_NEIGHBOURS], found.values[n, :SHOWN_NEIGHBOURS], strict=True
            )
        ]
        entries.append((queries[n], Path(query).stem, near))
    return plot_neighbours(entries)


def write_retrieval_report(
    found: Neighbours,
    path: str | Path,
    *,
    figure: Any = None,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a search as one HTML file.

    Parameters
    ----------
    found : TopK or ApproximateTopK
        The result of :func:`semrsm.topk` or :func:`semrsm.approximate_topk`.
    path : str or Path
        The file; its suffix must be ``.html``.
    figure : matplotlib figure, callable or bytes, optional
        The gallery of neighbours, as :class:`semrsm.report.Figure` takes it; without it the page is
        the table. The bytes of a PNG file are best: photographs that are drawn for light and for
        dark pages take megabytes.
    facts : mapping, optional
        Provenance, such as the command.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the suffix is not ``.html``, or the folder does not exist.
    """
    rows = [
        [query, *(found.gallery_ids[i] for i in images)]
        for query, images in zip(found.query_ids, found.indices.tolist(), strict=True)
    ][:TABLED]
    heads = ["query", *map(str, range(1, found.indices.shape[1] + 1))]
    shown = min(SHOWN_QUERIES, len(found.query_ids))
    certainty = found.certainty()
    sections = [
        Section(
            "Results",
            tables=[Table(heads, rows, "Neighbours by rank; all values in neighbours.csv")],
        )
    ]
    if figure is not None:
        drawn = Figure(
            figure,
            f"{shown} queries, each with its nearest neighbours to the right",
            "On each neighbour, its similarity to the query.",
        )
        sections.insert(0, Section("Gallery", figures=[drawn]))
    return write_report(
        path,
        title="Nearest neighbours",
        summary="The images that are most like each query by their concept vectors, wherever "
        f"these stand in the image. Kernel: {found.kernel}. {certainty[:1].upper()}"
        f"{certainty[1:]}.",
        sections=sections,
        provenance=facts or {},
    )
