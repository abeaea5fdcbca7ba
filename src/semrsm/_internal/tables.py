"""Files of results: tables as CSV, facts as JSON, figures as PNG."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .storage.files import replacing


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV; floats in full precision."""
    with replacing(path) as aside, open(aside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)


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
