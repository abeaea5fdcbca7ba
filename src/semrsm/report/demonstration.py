"""The demonstration: the paper's translation figure on real photographs and a real network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._internal.storage.folders import check_new_folder
from ..datasets.samples import sample_photos
from ..studies.translation_sensitivity import TranslationResult, translation


def demo(
    out: str | Path,
    model: str = "efficientnet-lite0",
    *,
    layers: Sequence[str] | None = None,
    overwrite: bool = False,
    workers: int | None = None,
    progress: Any = None,
) -> TranslationResult:
    """Run the translation study on the photographs of scikit-image and write a report.

    Parameters
    ----------
    out : str or Path
        The folder to be written: ``table.csv``, ``protocol.json``, the figures, ``report.html``.
    model : str, default "efficientnet-lite0"
        The network; ``"thin-resnet50"`` and ``"vit-s14-saliency"`` are
        real ones of other kinds.
    layers : sequence of str, optional
        Its recommended ones by default.
    overwrite : bool, default False
        Whether a folder that has files in it may be replaced.
    workers : int, optional
        Threads of the matching.
    progress : callable, optional
        Called as ``progress(done, total)`` during extraction.

    Returns
    -------
    TranslationResult

    Raises
    ------
    InputError
        If the folder may not be written.
    MissingDependencyError
        If a package of the extra ``demo`` is missing.
    """
    from . import write_translation_report

    check_new_folder(out, overwrite=overwrite)
    result = translation(sample_photos(), model, layers=layers, workers=workers, progress=progress)
    result.write(
        out,
        overwrite=overwrite,
        extra=lambda folder: write_translation_report(result, folder / "report.html"),
    )
    return result
