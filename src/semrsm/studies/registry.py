"""The studies by name: a new one is a module with a record, and a line here."""

from __future__ import annotations

import re

from ..datasets.registry import all_options
from ..errors import InputError, did_you_mean
from . import (
    agreement,
    approximation_quality,
    layer_comparison,
    location_maps,
    object_retrieval,
    translation_sensitivity,
)
from .study import Option, Study

#: Options that the command has for every study, and names that it keeps with the parsed ones.
RESERVED = frozenset(
    {
        "h",
        "help",
        "json",
        "source",
        "dataset",
        "limit",
        "model",
        "size",
        "layer",
        "layers",
        "batch_size",
    }
    | {
        "device",
        "prefix_tokens",
        "mask",
        "keep_padding",
        "features",
        "workers",
        "memory",
        "out",
        "overwrite",
        "run",
    }
    | {"command", "command_line", "default_model", "study"}
)

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
        If it is not a :class:`semrsm.studies.Study`, its name has other characters than small
        letters, digits, ``-`` and ``_``, it has no help, or an option of it is not an
        :class:`semrsm.studies.Option` with a flag of its own.
    """
    if not isinstance(study, Study):
        raise InputError(f"study: expected a semrsm.studies.Study; got {type(study).__name__}")
    name = study.name
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise InputError(f"name: expected small letters, digits, '-' and '_'; got {name!r}")
    if not isinstance(study.help, str) or not study.help:
        raise InputError(f"help: expected one line for the study {name!r}; got {study.help!r}")
    _check_options(study)
    STUDIES[name] = study
    return study


def _check_options(study: Study) -> None:
    """Refuse options that the command cannot have beside its own."""
    taken = RESERVED | {option.name for option in all_options()}
    attributes: set[str] = set()
    keys: set[str] = set()
    for option in study.all_options:
        if not isinstance(option, Option) or not re.fullmatch(
            r"-[a-z]|--[a-z][a-z0-9-]*", str(option.flag)
        ):
            raise InputError(
                "options: expected semrsm.studies.Option with a flag in small letters such as "
                f"'--shifts'; got {option!r}"
            )
        if option.attribute in taken:
            raise InputError(
                f"options: expected a flag that 'semrsm study' does not have; got {option.flag!r}"
            )
        if option.attribute in attributes or option.key in keys | {"workers", "memory"}:
            raise InputError(
                "options: expected each flag and keyword once, and neither 'workers' nor "
                f"'memory'; got {option.flag!r} for {option.key!r}"
            )
        attributes.add(option.attribute)
        keys.add(option.key)


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
