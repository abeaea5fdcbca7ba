"""One self-contained HTML page of text, figures and tables, which opens from disk anywhere.

Nothing in it is loaded from elsewhere: figures are data URIs, and the page forbids its own
requests. Every text is escaped.
"""

from __future__ import annotations

import base64
import html
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from .._internal.storage.files import replacing
from .._version import __version__
from ..errors import InputError, require

__all__ = ["Figure", "Section", "Table", "figure_to_png", "write_report"]

#: Pixels along the longer side of a figure, at most.
MAX_SIDE = 3200
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CSS_PIXELS = 96  # an inch, in the units of a web page
_LISTED = 8  # entries of a long list that the provenance shows

# The colours of the page, for figures that are drawn for it. Their background is left transparent.
_INK = {"light": "#1f2328", "dark": "#e3e6ea"}


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Attributes
    ----------
    fig : matplotlib.figure.Figure, matplotlib.axes.Axes, callable or bytes
        The figure, or axes in it; or a function that draws and returns one, which is then called
        twice, for light and for dark pages; or the bytes of a PNG file.
    alt : str
        What the figure shows, for those who cannot see it.
    caption : str
        The text below it.
    """

    fig: Any
    alt: str
    caption: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise InputError("alt: expected a description of the figure; got an empty text")
        drawable = callable(self.fig) or hasattr(_whole(self.fig), "savefig")
        png = isinstance(self.fig, bytes) and self.fig[:8] == _SIGNATURE and len(self.fig) > 32
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


def figure_to_png(figure: Any, dpi: float = 192.0, *, max_side: int = MAX_SIDE) -> bytes:
    """Render a figure as a PNG file with a transparent margin.

    Parameters
    ----------
    figure : matplotlib.figure.Figure or matplotlib.axes.Axes
        The figure, or axes in it; it is left as it was, and open.
    dpi : float
        Pixels per inch; 192 is sharp on dense screens too.
    max_side : int
        Pixels along the longer side, at most: larger figures are rendered with fewer per inch.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        If `dpi` or `max_side` is not positive, or `figure` is no figure.
    """
    figure = _whole(figure)
    if not hasattr(figure, "savefig"):
        raise InputError(f"figure: expected a matplotlib figure; got {type(figure).__name__}")
    if not (dpi > 0 and max_side > 0):
        raise InputError(f"dpi, max_side: expected numbers > 0; got {dpi} and {max_side}")
    longest = max(figure.get_size_inches())
    buffer = io.BytesIO()
    figure.savefig(
        buffer,
        format="png",
        dpi=min(dpi, max_side / longest),
        facecolor="none",
        metadata={"Software": None},
    )
    return buffer.getvalue()


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
        What the report holds.
    provenance : mapping
        Where it comes from: model, hash of the weights, preprocessing, versions, command. Mappings
        in it are flattened and long lists are cut short.
    summary : str
        What a reader should know first; below the title.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the suffix is another one, the folder does not exist, or there are no sections.
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
    page = _PAGE.substitute(
        title=html.escape(title),
        style=STYLE,
        summary=paragraphs_html(summary),
        contents=contents,
        sections="\n".join(section_html(n, s) for n, s in enumerate(sections, start=1)),
        provenance=provenance_html(provenance),
        version=html.escape(__version__),
    )
    with replacing(target) as aside:
        aside.write_text(page, encoding="utf-8")
    return target


def _whole(drawn: Any) -> Any:
    """Return the figure of axes, and a figure itself."""
    return getattr(drawn, "figure", drawn)


def section_html(number: int, section: Section) -> str:
    name = f"section-{number}"
    parts = [
        f'<section id="{name}" aria-labelledby="{name}-heading">',
        f'<h2 id="{name}-heading">{html.escape(section.heading)}</h2>',
        paragraphs_html(section.text),
        *(_figure(figure) for figure in section.figures),
        *(_table(f"{name}-table-{n}", t) for n, t in enumerate(section.tables, start=1)),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def paragraphs_html(text: str) -> str:
    parts = (" ".join(part.split()) for part in text.split("\n\n"))
    return "\n".join(f"<p>{html.escape(part)}</p>" for part in parts if part)


def _figure(figure: Figure) -> str:
    if callable(figure.fig):
        light, dark = _draw(figure.fig, "light"), _draw(figure.fig, "dark")
        # Printers get the light one, whatever the screen shows.
        media = "screen and (prefers-color-scheme: dark)"
        picture = (
            f'<picture><source media="{media}" srcset="{_uri(dark)}">'
            f"{_img(light, figure.alt)}</picture>"
        )
    else:
        drawn = isinstance(figure.fig, bytes)
        # Dark ink needs a light ground on a dark page.
        picture = _img(figure.fig if drawn else figure_to_png(figure.fig), figure.alt, "paper")
    caption = html.escape(figure.caption)
    return f"<figure>{picture}" + (
        f"<figcaption>{caption}</figcaption></figure>" if caption else "</figure>"
    )


def _draw(draw: Any, scheme: str) -> bytes:
    """Draw a figure in the colours of the page, without a trace in the user's settings."""
    matplotlib = require("matplotlib", extra="plot", purpose="A report with figures")
    inks = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    colours = dict.fromkeys(inks, _INK[scheme])
    with matplotlib.rc_context({**colours, "axes.facecolor": "none"}):
        figure = _whole(draw())
        png = figure_to_png(figure)
    require("matplotlib.pyplot", extra="plot", purpose="A report").close(figure)
    return png


def _img(png: bytes, alt: str, look: str = "") -> str:
    width, height = struct.unpack(">II", png[16:24])
    density = _pixels_per_inch(png) / _CSS_PIXELS
    size = f'width="{round(width / density)}" height="{round(height / density)}"'
    look = f' class="{look}"' if look else ""
    return f'<img src="{_uri(png)}" alt="{html.escape(alt)}" {size}{look}>'


def _pixels_per_inch(png: bytes) -> float:
    """Return the resolution that a PNG file declares, 96 where it does not."""
    place = png.find(b"pHYs", 0, 4096)
    if place < 0:
        return _CSS_PIXELS
    per_metre, _, unit = struct.unpack(">IIB", png[place + 4 : place + 13])
    return per_metre * 0.0254 if unit == 1 and per_metre > 0 else _CSS_PIXELS


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _table(name: str, table: Table) -> str:
    # A column of numbers stays one where some are missing.
    filled = [
        [row[j] for row in table.rows if row[j] not in (None, "", "–")]
        for j in range(len(table.columns))
    ]
    numeric = [bool(cells) and all(map(_is_number, cells)) for cells in filled]
    marks = [' class="number"' if n else "" for n in numeric]
    heads = "".join(
        f'<th scope="col"{mark}>{html.escape(str(column))}</th>'
        for column, mark in zip(table.columns, marks, strict=True)
    )
    lines = []
    for row in table.rows:
        texts = [html.escape(_text(cell)) for cell in row]
        cells = [f'<th scope="row"{marks[0]}>{texts[0]}</th>'] if texts else []
        cells += [f"<td{mark}>{text}</td>" for text, mark in zip(texts[1:], marks[1:], strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    # A wide table scrolls by itself, by keyboard too, and the page does not.
    return (
        f'<div class="scroll" role="region" aria-labelledby="{name}" tabindex="0"><table>'
        f'<caption id="{name}">{html.escape(table.caption)}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _is_number(cell: Any) -> bool:
    return isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool)


def _text(cell: Any) -> str:
    if isinstance(cell, (float, np.floating)):
        return f"{cell:.4g}".replace("-", "−")
    if isinstance(cell, (int, np.integer)) and not isinstance(cell, bool):
        return f"{cell:,}".replace("-", "−")
    return "–" if cell is None else str(cell)


def provenance_html(facts: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(value)}</td></tr>'
        for name, value in _flattened(facts, "")
    )
    if not rows:
        return ""
    caption = "<caption>Provenance</caption>"
    return f'<table class="facts">{caption}\n<tbody>\n{rows}\n</tbody></table>'


def _flattened(facts: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in facts.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{name} · ")
        elif isinstance(value, (list, tuple)):
            shown = ", ".join(str(entry) for entry in value[:_LISTED])
            more = len(value) - _LISTED
            yield name, shown + (f" and {more:,} more" if more > 0 else "")
        else:
            yield name, "–" if value is None else str(value)


_PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header>
<h1>$title</h1>
$summary
</header>
$contents
<main>
$sections
</main>
<footer>
$provenance
<h2>Citation</h2>
<p>Wald et al., “Decoupling Semantic Similarity from Spatial Alignment for Neural Networks”,
NeurIPS 2024, <a href="https://arxiv.org/abs/2410.23107">arXiv:2410.23107</a>.</p>
<p>Computed with semrsm $version: exact semantic representational similarity matrices.</p>
</footer>
</body>
</html>
""")

STYLE = """\
:root {
  --ground: #ffffff; --ink: #1f2328; --quiet: #57606a; --line: #d8dee4; --shade: #f4f6f8;
  --link: #0a5cc2;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #14171b; --ink: #e3e6ea; --quiet: #9aa4af; --line: #343b43; --shade: #1d2228;
    --link: #79b4ff;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2.5rem clamp(1rem, 4vw, 2.5rem) 4rem; max-width: 68rem;
  background: var(--ground); color: var(--ink);
  font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
h1 { font-size: clamp(1.6rem, 4vw, 2.2rem); line-height: 1.2; margin: 0 0 0.75rem; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 0.75rem; }
h1, h2, th, td, figcaption { overflow-wrap: anywhere; }
p { max-width: 44rem; margin: 0 0 1rem; }
header p { font-size: 1.1rem; color: var(--quiet); }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.5rem; margin: 1rem 0 0; padding: 0; }
nav li { list-style: none; }
section { margin-top: 2.5rem; padding-top: 2rem; border-top: 1px solid var(--line); }
figure { margin: 1.5rem 0 2rem; }
img { display: block; max-width: 100%; height: auto; }
img.paper { padding: 0.5rem; background: #ffffff; border-radius: 6px; }
figcaption { max-width: 44rem; margin-top: 0.75rem; font-size: 0.9rem; color: var(--quiet); }
.scroll { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
caption {
  max-width: min(44rem, calc(100vw - 2rem)); padding-bottom: 0.6rem;
  text-align: left; color: var(--quiet);
}
th, td { padding: 0.35rem 0.9rem 0.35rem 0; text-align: left; vertical-align: top; }
.scroll th, .scroll td { overflow-wrap: normal; padding-left: 0.6rem; }
.scroll tbody th { white-space: nowrap; }
thead th { border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody tr { border-bottom: 1px solid var(--line); }
.scroll tbody tr:hover { background: var(--shade); }
tbody th { font-weight: 500; }
.number { text-align: right; }
footer { margin-top: 3rem; padding-top: 2rem; border-top: 1px solid var(--line); }
footer, .facts { font-size: 0.85rem; color: var(--quiet); }
footer h2 { font-size: 1rem; margin-top: 1.5rem; color: var(--ink); }
.facts caption { font-size: 1rem; font-weight: bold; color: var(--ink); }
.facts th { white-space: nowrap; }
.facts td { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
@media (max-width: 40rem) {
  .facts th, .facts td { display: block; white-space: normal; padding: 0.2rem 0; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  .scroll { overflow: visible; }
  figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
