"""Folders of results: made aside and renamed, with tables as CSV and facts as JSON."""

from __future__ import annotations

import csv
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..errors import InputError
from .files import replacing


def check_new_folder(path: str | Path, *, overwrite: bool) -> None:
    """Refuse a folder that :func:`new_folder` could not make.

    Raises
    ------
    InputError
        If `path` has files in it and may not be replaced, is a file, or its parent does not exist.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(
            f"out: expected a folder inside an existing one; {str(target.parent)!r} is not one"
        )
    if target.is_file():
        raise InputError(f"out: expected a folder; {str(path)!r} is a file")
    if not overwrite and target.is_dir() and any(target.iterdir()):
        raise InputError(
            f"out: expected a new or empty folder; {str(path)!r} has files in it (allow "
            "overwriting to replace it)"
        )


@contextmanager
def new_folder(path: str | Path, *, overwrite: bool) -> Iterator[Path]:
    """Make a folder aside and rename it to `path` when the block succeeds.

    Parameters
    ----------
    path : str or Path
        The folder to be made; its parent must exist.
    overwrite : bool
        Whether a folder of this name may be replaced.

    Yields
    ------
    Path
        The unfinished folder.

    Raises
    ------
    InputError
        As :func:`check_new_folder`.
    """
    check_new_folder(path, overwrite=overwrite)
    target = Path(path)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        yield aside
        aside.chmod(0o755)
        if target.is_dir():
            # Moved away first, so that the name never stands for a half-deleted folder.
            old = Path(tempfile.mkdtemp(dir=target.parent, prefix=".replaced-"))
            target.rename(old / "old")
            aside.rename(target)
            shutil.rmtree(old)
        else:
            aside.rename(target)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


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
    """Draw each figure, write it as ``<name>.png``, and let it go."""
    from matplotlib import pyplot

    for name, draw in figures.items():
        figure = draw()
        try:
            figure.savefig(folder / f"{name}.png", dpi=150)
        finally:
            pyplot.close(figure)


def versions() -> dict[str, str]:
    """Return the versions that a protocol records."""
    found = {"semrsm": __version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in ("torch", "PIL", "matplotlib"):
        module = sys.modules.get(name)
        if module is not None:
            found[name] = str(getattr(module, "__version__", "unknown"))
    return found
