"""The figures and the table in the folder of a study, as a section of the page."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...studies.registry import STUDIES
from ...studies.result import StudyResult
from ..page import Figure, Section
from ..study_table import study_table

#: Rows of a table that a page shows; the rest is in the file.
_MOST_ROWS = 200


def study_section(folder: str | Path) -> Section:
    """Read a folder that ``semrsm study`` wrote.

    Parameters
    ----------
    folder : str or Path
        With ``table.csv``, ``protocol.json`` and figures.

    Returns
    -------
    Section

    Raises
    ------
    InputError
        If the folder was not written by a study.
    """
    root = Path(folder)
    try:
        protocol = json.loads((root / "protocol.json").read_text(encoding="utf-8"))
        with open(root / "table.csv", newline="", encoding="utf-8") as file:
            rows = [
                {key: _value(text) for key, text in row.items()} for row in csv.DictReader(file)
            ]
        study = STUDIES[protocol["study"]]
        result = StudyResult(study.name, tuple(rows), {}, protocol)
        table = study_table(result, study, file=f"{root.name}/table.csv", most=_MOST_ROWS)
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"study: expected a folder written by 'semrsm study'; {str(folder)!r} is not one"
        ) from error
    figures = []
    for path in sorted(root.glob("*.png")):
        text = ". ".join(study.told(path.stem))
        figures.append(Figure(path.read_bytes(), text, text))
    return Section(study.title, study.question, figures=figures, tables=[table])


def _value(text: str | None) -> Any:
    """Return a cell of a CSV file as the number that it is, or as it is."""
    try:
        number = float(text or "")
    except ValueError:
        return text or None
    return int(number) if text is not None and text.lstrip("-").isdigit() else number
