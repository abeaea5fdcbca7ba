"""Small tables of facts for notebooks."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any


def facts_html(facts: Mapping[str, Any]) -> str:
    """Return a table of names and values as HTML, without style sheets or scripts.

    Examples
    --------
    >>> facts_html({"images": 3})[:32]
    '<table><tbody><tr><th style="tex'
    """
    rows = "".join(
        f'<tr><th style="text-align: left">{html.escape(str(name))}</th>'
        f'<td style="text-align: left">{html.escape(str(value))}</td></tr>'
        for name, value in facts.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"


def table_html(rows: Sequence[Mapping[str, Any]], left_out: int = 0) -> str:
    """Return rows with the same keys as an HTML table.

    Parameters
    ----------
    rows : sequence of mapping
    left_out : int
        How many further rows there are, which the table says.
    """
    if not rows:
        return ""
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(v))}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    more = f"<p>… and {left_out} more</p>" if left_out else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
