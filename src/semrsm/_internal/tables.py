"""Files of results: tables as CSV, facts as JSON, figures as PNG."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .storage.files import replacing

#: Texts that begin so are formulas for spreadsheets, which would run them.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def _plain_cell(cell: Any) -> Any:
    """Return a text that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV; floats in full precision.

    Texts that a spreadsheet would take for formulas get an apostrophe before them.
    """
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows({key: _plain_cell(cell) for key, cell in row.items()} for row in rows)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Write facts as indented JSON; NumPy numbers become numbers, everything else text."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, np.ndarray):
            return value.tolist()
        return str(value)

    with replacing(path) as aside:
        text = json.dumps(dict(facts), indent=2, default=plain, ensure_ascii=False)
        aside.write_text(text + "\n", encoding="utf-8")


def write_figures(folder: Path, figures: Mapping[str, Callable[[], Any]]) -> None:
    """Draw each figure, write it as ``<name>.png``, and close it."""
    from matplotlib import pyplot

    for name, draw in figures.items():
        figure = draw()
        try:
            figure.savefig(folder / f"{name}.png", dpi=150)
        finally:
            pyplot.close(figure)
