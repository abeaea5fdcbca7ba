"""The studies by name: a new one is a module with a record, and a line here."""

from __future__ import annotations

from ..errors import InputError, did_you_mean
from . import (
    agreement,
    approximation_quality,
    layer_comparison,
    location_maps,
    object_retrieval,
    translation_sensitivity,
)
from .study import Study

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        translation_sensitivity.STUDY,
        agreement.STUDY,
        object_retrieval.STUDY,
        approximation_quality.STUDY,
        location_maps.STUDY,
        layer_comparison.STUDY,
    )
}


def register(study: Study) -> Study:
    """Add a study by its name, for ``semrsm study`` and the reports of this process.

    Parameters
    ----------
    study : Study
        One of the same name is replaced.

    Returns
    -------
    Study
        The same study.

    Raises
    ------
    InputError
        If it is not a :class:`semrsm.studies.Study`.
    """
    if not isinstance(study, Study):
        raise InputError(f"study: expected a semrsm.studies.Study; got {type(study).__name__}")
    STUDIES[study.name] = study
    return study


def resolve_study(name: str) -> Study:
    """Return the study of a name.

    Raises
    ------
    InputError
        If no study has that name.
    """
    try:
        return STUDIES[name]
    except KeyError:
        raise InputError(
            f"study: expected one of {', '.join(STUDIES)}; got {name!r}."
            f"{did_you_mean(str(name), STUDIES)}"
        ) from None
