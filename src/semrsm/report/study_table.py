"""The table of a study, as every page shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..plot import matcher_words
from .page import Table

if TYPE_CHECKING:
    from ..studies.result import StudyResult
    from ..studies.study import Study


def study_table(
    result: StudyResult, study: Study, *, file: str = "table.csv", most: int | None = None
) -> Table:
    """Return the rows of a study that are shown first.

    Parameters
    ----------
    result : StudyResult
    study : Study
        Its record.
    file : str
        The file that has all rows.
    most : int, optional
        The largest number of rows; all of them by default.

    Returns
    -------
    Table
        Matchers in the words for their RSMs; empty cells and NaN are None.
    """
    shown = study.shown_rows(result)
    rows = shown.rows[:most]

    def cell(row: Mapping[str, Any], column: str) -> Any:
        value = row[column]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if study.columns[column] == "RSM" and value not in study.apart:
            return matcher_words(value)
        return value

    caption = f"All of it is in {file}."
    if len(rows) < len(result.table):
        chosen = ", ".join(f"{column} {value}" for column, value in shown.chosen.items())
        chosen = f" ({chosen})" if chosen else ""
        caption = f"{len(rows):,} of {len(result.table):,} rows{chosen}; all are in {file}."
    heads = [study.columns[column] for column in shown.columns]
    return Table(heads, [[cell(row, column) for column in shown.columns] for row in rows], caption)
