"""What a study returns: a tidy table, figures, and the protocol that says how they came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._outputs import new_folder, write_figures, write_json, write_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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

    def write(self, out: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``table.csv``, ``protocol.json`` and one PNG for each figure into a new folder.

        Parameters
        ----------
        out : str or Path
            The folder; it appears when everything in it is complete.
        overwrite : bool, default False
            Whether a folder that exists may be replaced.

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
            self.write_into(folder)
        return Path(out)

    def write_into(self, folder: Path) -> None:
        """Write the files into a folder that exists."""
        write_table(folder / "table.csv", self.table)
        write_json(folder / "protocol.json", self.protocol)
        write_figures(folder, self.figures)
