"""The table of the documentation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

OUTCOMES = ("proven", "declared", "refused", "wrong", "failed", "not built")


#: Between these lines of a page the table stands.
_MARKS = ("<!-- table of make zoo -->", "<!-- end of the table -->")


def in_page(page: str, table: str) -> str:
    """Return a page with a table between its marks."""
    before, begin, rest = page.partition(_MARKS[0])
    _, end, after = rest.partition(_MARKS[1])
    if not end:
        raise ValueError(f"the page has no lines {_MARKS[0]} and {_MARKS[1]}")
    return f"{before}{begin}\n\n{table}\n{end}{after}"


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one line for each library."""
    lines = []
    for library in dict.fromkeys(row["library"] for row in rows):
        counts = Counter(row["outcome"] for row in rows if row["library"] == library)
        built = sum(counts.values()) - counts["not built"]
        told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
        layers = [
            one for row in rows if row["library"] == library for one in row["layers"].values()
        ]
        held = Counter(right for _, right, _ in layers)
        told += f"; layers by the oracle: {held['right']} right, {held['untold']} not to be told"
        lines.append(f"{library}: {built} families built; {told}")
    return "\n".join(lines)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the tables as Markdown."""
    lines = ["| library | built | " + " | ".join(OUTCOMES[:-1]) + " |"]
    lines.append("|---" * (len(OUTCOMES) + 1) + "|")
    for library in dict.fromkeys(row["library"] for row in rows):
        counts = Counter(row["outcome"] for row in rows if row["library"] == library)
        built = sum(counts.values()) - counts["not built"]
        cells = [library, built, *(counts[outcome] for outcome in OUTCOMES[:-1])]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    for library in dict.fromkeys(row["library"] for row in rows):
        lines += ["", f"**{library}**", ""]
        mine = [row for row in rows if row["library"] == library]
        for outcome in OUTCOMES:
            names = [row["family"] for row in mine if row["outcome"] == outcome]
            if outcome in ("proven", "not built") and names:
                lines += [f"{outcome.capitalize()}: {', '.join(names)}.", ""]
        told = [row for row in mine if row["outcome"] not in ("proven", "not built")]
        if told:
            lines += ["| family | outcome | reason |", "|---|---|---|"]
            for row in told:
                why = row["why"].replace("|", "\\|").replace("\n", " ")
                lines.append(f"| {row['family']} | {row['outcome']} | {why[:240]} |")
    return "\n".join(lines) + "\n"
