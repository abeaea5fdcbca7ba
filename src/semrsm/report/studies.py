"""The report of a study: the question, its figures or the explorer, and the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..studies.registry import resolve_study
from .explorer import Start, write_explorer
from .page import Figure, Section, Table, write_report
from .study_table import study_table

if TYPE_CHECKING:
    from ..studies.result import StudyResult
    from ..studies.study import Explored, Part, Study


def write_study_report(result: StudyResult, path: str | Path) -> Path:
    """Write the report of a study, on one network or several, as one HTML file.

    Parameters
    ----------
    result : StudyResult
        The result of a study of :data:`semrsm.studies.STUDIES`, or several results joined.
    path : str or Path
        The file. Where the study's page is the explorer, also a folder; see
        :func:`semrsm.report.write_explorer`.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    InputError
        If the study is not known, or the page may not be written.
    """
    study = resolve_study(result.name)
    explored = study.explored(result)
    if explored is not None:
        return _write_explored(result, study, explored, path)
    sections = []
    for name, draw in result.figures.items():
        heading, caption = study.told(name)
        sections.append(Section(heading, figures=[Figure(draw, f"{heading}. {caption}", caption)]))
    sections.append(Section("Numbers", tables=[study_table(result, study)]))
    return write_report(
        path,
        title=study.title,
        summary=study.question,
        sections=sections,
        provenance=result.protocol,
    )


def write_translation_report(result: StudyResult, path: str | Path) -> Path:
    """Write the report of a translation study: :func:`write_study_report` by its older name.

    Parameters
    ----------
    result : TranslationResult
        The result of :func:`semrsm.studies.translation`.
    path : str or Path
        A name that ends in ``.html``, or a folder; see :func:`semrsm.report.write_explorer`.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If the page may not be written.
    """
    return write_study_report(result, path)


def _write_explored(
    result: StudyResult, study: Study, explored: Explored, path: str | Path
) -> Path:
    return write_explorer(
        explored.grams,
        path,
        features=explored.features,
        images=explored.images,
        labels=explored.labels,
        pairs=explored.pairs,
        kernels=explored.kernels,
        title=study.title,
        lead=explored.lead,
        sections=[_section(part) for part in explored.parts],
        facts=result.protocol,
        start=Start(layer=explored.layer, order="label"),
    )


def _section(part: Part) -> Section:
    figure = Figure(part.of.figures[part.figure], part.alt, part.caption)
    tables = []
    if part.numbers is not None:
        tables = [Table(part.numbers.heads, part.numbers.rows, part.numbers.caption)]
    return Section(part.heading, part.text, figures=[figure], tables=tables)
