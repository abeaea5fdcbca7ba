"""The parts of a report as HTML. Every text is escaped."""

from __future__ import annotations

import base64
import html
import struct
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from .png import CSS_PIXELS, drawn_png, figure_to_png, pixels_per_inch

if TYPE_CHECKING:
    from .page import Figure, Section, Table

_LISTED = 8  # entries of a long list that the provenance shows


def page_file(name: str) -> str:
    """Return the text of a file beside this module: the frame of a page, or its style sheet."""
    return (files(__package__) / name).read_text(encoding="utf-8")


def section_html(number: int, section: Section) -> str:
    """Return a section, whose place in the page is its number."""
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
    """Return a text whose empty lines begin paragraphs."""
    parts = (" ".join(part.split()) for part in text.split("\n\n"))
    return "\n".join(f"<p>{html.escape(part)}</p>" for part in parts if part)


def _figure(figure: Figure) -> str:
    if callable(figure.fig):
        light, dark = drawn_png(figure.fig, "light"), drawn_png(figure.fig, "dark")
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


def _table(name: str, table: Table) -> str:
    # A column of numbers stays numeric where some are missing.
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
    """Return the table of provenance, or nothing without facts."""
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


def _img(png: bytes, alt: str, look: str = "") -> str:
    width, height = struct.unpack(">II", png[16:24])
    density = pixels_per_inch(png) / CSS_PIXELS
    size = f'width="{round(width / density)}" height="{round(height / density)}"'
    look = f' class="{look}"' if look else ""
    return f'<img src="{_uri(png)}" alt="{html.escape(alt)}" {size}{look}>'


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
