"""Folders that appear in one step when they are complete, also in place of an old folder."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError
from .files import to_disk


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
    """Make a folder beside `path`, and rename it to `path` when the block succeeds.

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
    with folder_aside(Path(path)) as aside:
        yield aside
        put_in_place(aside, Path(path))


@contextmanager
def folder_aside(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`, and delete it at the end unless it has been renamed."""
    aside = path.parent / f".{path.name}-{secrets.token_hex(8)}"
    aside.mkdir()
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def put_in_place(aside: Path, target: Path) -> None:
    """Rename a complete folder to `target`; a folder of that name is deleted.

    Where the system can exchange two names in one step (Linux), `target` is the old or the new
    folder at every moment. Elsewhere the old folder is moved away first and deleted afterwards, so
    that `target` is never a partly deleted folder; after a failure or an interrupt before the new
    folder has its name, the old folder gets its name back.

    Raises
    ------
    OSError
        If the folder cannot be renamed.
    """
    if not target.is_dir():
        aside.rename(target)
        return
    if not target.is_symlink() and exchanged(aside, target):
        shutil.rmtree(aside)  # the old one now
        return
    trash = target.parent / f".replaced-{secrets.token_hex(8)}"
    trash.mkdir()
    old = trash / "old"
    try:
        target.rename(old)
        aside.rename(target)
    except BaseException:
        if os.path.lexists(old) and not os.path.lexists(target):
            old.rename(target)
        shutil.rmtree(trash, ignore_errors=True)
        raise
    shutil.rmtree(trash)


def exchanged(a: Path, b: Path) -> bool:
    """Exchange the names of two folders in one step, if the system and the disk can."""
    import ctypes

    exchange, here = 2, -100  # RENAME_EXCHANGE, AT_FDCWD
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)


def put_unless_there(aside: Path, target: Path) -> None:
    """Flush a complete folder to disk and rename it to `target`, unless `target` has appeared.

    Raises
    ------
    OSError
        If the folder cannot be renamed for another reason.
    """
    for part in aside.rglob("*"):
        to_disk(part)
    try:
        aside.rename(target)  # also replaces an empty folder
    except OSError:
        if not (target.is_dir() and any(target.iterdir())):
            raise
    to_disk(target.parent)


def remove_unfinished(path: Path) -> None:
    """Delete the folders that an interrupted :func:`folder_aside` has left beside `path`."""
    ours = re.compile(re.escape(f".{path.name}-") + "[0-9a-f]{16,32}")  # not those of a longer name
    for left in path.parent.glob(".*"):
        if ours.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
