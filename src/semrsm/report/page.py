"""One self-contained HTML page of text, figures and tables, which opens from disk anywhere.

The page loads nothing from elsewhere: figures are data URIs, and its own policy forbids requests.
Every text is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from .._internal.storage.files import replacing
from .._version import __version__
from ..errors import InputError
from .png import MAX_SIDE, SIGNATURE, figure_to_png, whole_figure
from .rendering import page_file, paragraphs_html, provenance_html, section_html

__all__ = ["MAX_SIDE", "Figure", "Section", "Table", "figure_to_png", "write_report"]


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes
    ----------
    fig : matplotlib.figure.Figure, matplotlib.axes.Axes, callable or bytes
        The figure, or axes in it; or a function that draws and returns one, which is then called
        twice, for light and for dark pages; or the bytes of a PNG file.
    alt : str
        A description of the figure, for readers who cannot see it.
    caption : str
        The text below it.
    """

    fig: Any
    alt: str
    caption: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise InputError("alt: expected a description of the figure; got an empty text")
        drawable = callable(self.fig) or hasattr(whole_figure(self.fig), "savefig")
        png = isinstance(self.fig, bytes) and self.fig[:8] == SIGNATURE and len(self.fig) > 32
        if not (drawable or png):
            raise InputError(
                "fig: expected a matplotlib figure, a function that returns one, or the bytes of a "
                f"PNG file; got {type(self.fig).__name__}"
            )


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes
    ----------
    columns : sequence of str
        The heads.
    rows : sequence of sequence
        The cells; the first one names its row. Floats are shown with four digits.
    caption : str
        The text above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise InputError(
                    f"rows: expected {len(self.columns)} cells, as many as columns; row {number} "
                    f"has {len(row)}"
                )

    @classmethod
    def from_records(
        cls,
        records: Sequence[Mapping[str, Any]],
        caption: str,
        columns: Mapping[str, str] | None = None,
    ) -> Table:
        """Make a table from mappings with the same keys.

        Parameters
        ----------
        records : sequence of mapping
            One for each row.
        caption : str
            The text above the table.
        columns : mapping of str to str, optional
            Which keys to show, and under which heads; all under their own names by default.

        Returns
        -------
        Table

        Raises
        ------
        InputError
            If a record lacks a key.

        Examples
        --------
        >>> Table.from_records([{"layer": "a", "auc": 1.0}], "", {"auc": "AUC"}).columns
        ('AUC',)
        """
        heads = columns if columns is not None else {key: key for row in records for key in row}
        for number, record in enumerate(records, start=1):
            missing = [key for key in heads if key not in record]
            if missing:
                raise InputError(f"records: record {number} lacks {missing[0]!r}")
        rows = [tuple(record[key] for key in heads) for record in records]
        return cls(tuple(heads.values()), rows, caption)


@dataclass(frozen=True)
class Section:
    """A part of a report: a heading, text, figures and tables, in this order.

    Attributes
    ----------
    heading : str
        The heading.
    text : str
        Plain text; an empty line begins a paragraph.
    figures : sequence of Figure
        The figures.
    tables : sequence of Table
        The tables.
    """

    heading: str
    text: str = ""
    figures: Sequence[Figure] = ()
    tables: Sequence[Table] = ()


def write_report(
    path: str | Path,
    *,
    title: str,
    sections: Sequence[Section],
    provenance: Mapping[str, Any],
    summary: str = "",
) -> Path:
    """Write a report as one HTML file, aside and then renamed.

    Parameters
    ----------
    path : str or Path
        The file; its suffix must be ``.html``.
    title : str
        The title.
    sections : sequence of Section
        The sections of the report.
    provenance : mapping
        The origin of the results: model, hash of the weights, preprocessing, versions, command.
        Mappings in it are flattened and long lists are cut short.
    summary : str
        A summary, shown below the title.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the suffix is not ``.html``, the folder does not exist, or there are no sections.
    MissingDependencyError
        If there are figures to draw and matplotlib is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "report.html"
    ...     section = Section("Result", tables=[Table(["layer", "AUC"], [["a", 0.9]], "AUC")])
    ...     path = write_report(path, title="Mine", sections=[section], provenance={})
    ...     "0.9</td>" in path.read_text(encoding="utf-8")
    True
    """
    target = Path(path)
    if target.suffix != ".html":
        raise InputError(f"path: expected a name that ends in .html; got {str(target)!r}")
    if not sections:
        raise InputError("sections: expected at least one; got none")
    links = [
        f'<li><a href="#section-{n}">{html.escape(section.heading)}</a></li>'
        for n, section in enumerate(sections, start=1)
    ]
    contents = (
        "" if len(links) < 2 else f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'
    )
    page = Template(page_file("page.html")).substitute(
        title=html.escape(title),
        style=page_file("page.css"),
        summary=paragraphs_html(summary),
        contents=contents,
        sections="\n".join(section_html(n, s) for n, s in enumerate(sections, start=1)),
        provenance=provenance_html(provenance),
        version=html.escape(__version__),
    )
    with replacing(target) as aside:
        aside.write_text(page, encoding="utf-8")
    return target
