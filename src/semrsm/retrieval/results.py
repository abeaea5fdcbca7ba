"""Tables and files of neighbours, for exact and approximate results alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from .._internal.html import table_html
from .._internal.storage.folders import new_folder
from .._internal.tables import write_json, write_table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Neighbours(Protocol):
    """The attributes that :class:`semrsm.TopK` and :class:`semrsm.ApproximateTopK` share."""

    @property
    def indices(self) -> NDArray[np.int64]:
        """Images of the gallery, shape (Q, k)."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Their similarities, shape (Q, k)."""

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The names of the queries."""

    @property
    def gallery_ids(self) -> tuple[str, ...]:
        """The names of the gallery's images."""

    @property
    def kernel(self) -> str:
        """The kernel's name."""

    def certificate(self) -> dict[str, Any]:
        """Return how sure the results are, and how many assignments they took."""

    def certainty(self) -> str:
        """Return the certificate as a sentence."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""


def table_of(found: Neighbours) -> list[dict[str, Any]]:
    """Return one row for each query and rank: names and similarity."""
    return [
        {"query": query, "rank": rank, "result": found.gallery_ids[image], "similarity": value}
        for query, images, values in zip(
            found.query_ids, found.indices.tolist(), found.values.tolist(), strict=True
        )
        for rank, (image, value) in enumerate(zip(images, values, strict=True), start=1)
    ]


#: Queries and results that a notebook shows.
_SHOWN = (10, 5)


def neighbours_html(found: Neighbours) -> str:
    """Return the first queries with their first results as HTML for notebooks."""
    queries, results = _SHOWN
    rows = []
    for query, images, values in zip(
        found.query_ids[:queries], found.indices.tolist(), found.values.tolist(), strict=False
    ):
        row = {"query": query}
        for rank, (image, value) in enumerate(zip(images, values, strict=True), start=1):
            if rank <= results:
                row[f"{rank}"] = f"{found.gallery_ids[image]} ({value:.3f})"
        rows.append(row)
    note = f"<p>{html.escape(found.certainty())}</p>"
    return note + table_html(rows, max(0, len(found.query_ids) - queries))


def entries_of(
    found: Neighbours, more: Mapping[str, NDArray[np.float64]] | None = None
) -> list[dict[str, Any]]:
    """Return one entry for each query, with its results.

    Parameters
    ----------
    found : TopK or ApproximateTopK
    more : mapping of str to ndarray of float64, shape (Q,), optional
        Additional numbers for the entry of each query.
    """
    entries = []
    for n, query in enumerate(found.query_ids):
        entry: dict[str, Any] = {"id": query}
        entry |= {name: float(values[n]) for name, values in (more or {}).items()}
        pairs = zip(found.indices[n].tolist(), found.values[n].tolist(), strict=True)
        entry["results"] = [
            {"rank": rank, "id": found.gallery_ids[image], "similarity": value}
            for rank, (image, value) in enumerate(pairs, start=1)
        ]
        entries.append(entry)
    return entries


def write_neighbours(
    found: Neighbours,
    out: str | Path,
    *,
    facts: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    extra: Callable[[Path], object] | None = None,
) -> Path:
    """Write ``neighbours.json`` and ``neighbours.csv`` into a new folder.

    Parameters
    ----------
    found : TopK or ApproximateTopK
    out : str or Path
        The folder; it appears when it is complete.
    facts : mapping, optional
        Additional entries for the JSON file, such as the command; they come first.
    overwrite : bool, default False
        Whether a folder that has files in it may be replaced.
    extra : callable, optional
        Called with the unfinished folder, to write more files into it.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        If the folder may not be written.
    """
    given = dict(facts or {})
    with new_folder(out, overwrite=overwrite) as folder:
        own = {name: value for name, value in found.to_dict().items() if name not in given}
        write_json(folder / "neighbours.json", {**given, **own})
        write_table(folder / "neighbours.csv", table_of(found))
        if extra is not None:
            extra(folder)
    return Path(out)
