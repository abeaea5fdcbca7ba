"""The result of a study: a tidy table, figures, and the protocol of every choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from .._internal.storage.folders import new_folder
from .._internal.tables import write_figures, write_json, write_table
from ..errors import InputError
from ..matrices.results import file_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = TypeVar("Result", bound="StudyResult")


@dataclass(frozen=True)
class StudyResult:
    """The outcome of one study.

    Attributes
    ----------
    name : str
        The study's name.
    table : tuple of mapping
        Long form: one row per model × layer × kernel × matcher, all rows with the same keys.
    figures : mapping of str to callable
        Each draws one figure and returns it; nothing is drawn before it is asked for.
    protocol : mapping
        Every choice that was made: model and weights, layers, preprocessing, images, seeds,
        versions.
    """

    name: str
    table: tuple[Mapping[str, Any], ...]
    figures: Mapping[str, Callable[[], Figure]] = field(repr=False)
    protocol: Mapping[str, Any] = field(repr=False)

    def write(
        self,
        out: str | Path,
        *,
        overwrite: bool = False,
        extra: Callable[[Path], object] | None = None,
    ) -> Path:
        """Write ``table.csv``, ``protocol.json`` and one PNG for each figure into a new folder.

        Parameters
        ----------
        out : str or Path
            The folder; it appears when everything in it is complete.
        overwrite : bool, default False
            Whether a folder that exists may be replaced.
        extra : callable, optional
            Given the unfinished folder, writes more into it, such as a report.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If the folder exists and `overwrite` is false, or its parent does not exist.
        """
        with new_folder(out, overwrite=overwrite) as folder:
            write_table(folder / "table.csv", self.table)
            write_json(folder / "protocol.json", self.protocol)
            write_figures(folder, self.figures)
            if extra is not None:
                extra(folder)
        return Path(out)

    @property
    def parts(self) -> tuple[StudyResult, ...]:
        """The results of each network: this one, or those that were joined."""
        return (self,)

    def with_facts(self: Result, **facts: Any) -> Result:
        """Return the same result with more facts in its protocol, such as the command."""
        return replace(self, protocol={**self.protocol, **facts})


@dataclass(frozen=True)
class JoinedResult(StudyResult):
    """The results of one study on several networks.

    Attributes
    ----------
    models : tuple of str
        The names of the networks, all different.
    results : tuple of StudyResult
        Of each network.
    """

    models: tuple[str, ...]
    results: tuple[StudyResult, ...] = field(repr=False)

    @property
    def parts(self) -> tuple[StudyResult, ...]:
        """The results of each network."""
        return self.results


def joined(results: Sequence[StudyResult]) -> StudyResult:
    """Return the results of one study on several networks as one.

    Parameters
    ----------
    results : sequence of StudyResult
        Of the same study; a single one is returned as it is.

    Returns
    -------
    StudyResult
        All rows; figures by their name and the network's, ``<figure>-<model>``; and the protocols
        under ``runs``.

    Raises
    ------
    InputError
        If there are no results, or they are of different studies.
    """
    names = {result.name for result in results}
    if len(names) != 1:
        raise InputError(
            f"results: expected results of one study; got {', '.join(sorted(names)) or 'none'}"
        )
    if len(results) == 1:
        return results[0]
    models = [str(result.table[0].get("model", "")) or "model" for result in results]
    if len(set(models)) < len(models):  # the same network with other layers or sizes
        models = [f"{model}-{n}" for n, model in enumerate(models, start=1)]
    suffixes = file_names(models)
    return JoinedResult(
        name=results[0].name,
        table=tuple(row for result in results for row in result.table),
        figures={
            f"{figure}-{suffixes[model]}": draw
            for model, result in zip(models, results, strict=True)
            for figure, draw in result.figures.items()
        },
        protocol={
            "study": results[0].name,
            "runs": {
                model: dict(result.protocol) for model, result in zip(models, results, strict=True)
            },
        },
        models=tuple(models),
        results=tuple(results),
    )
