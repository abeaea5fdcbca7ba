"""Files that appear when they are complete, flushing to disk, and free space."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError


@contextmanager
def replacing(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    A failure or an interrupt inside the block leaves `path` as it was, and no temporary file.

    Parameters
    ----------
    path : str or Path
        The file to be written; its folder must exist.
    durable : bool, default False
        Whether the content is flushed to disk before the file is renamed: a power failure then
        leaves the old file or the new one, and never an empty one.

    Yields
    ------
    Path
        Where to write: a hidden file with the same suffix as `path`.

    Raises
    ------
    InputError
        If the folder of `path` does not exist, or `path` is itself a folder.
    OSError
        If it cannot be written, for example because the disk is full. It names `path`.
    """
    target = Path(path)
    if not target.parent.is_dir():
        raise InputError(
            f"path: expected a file in an existing folder; {str(target.parent)!r} is not one"
        )
    if target.is_dir():
        raise InputError(f"path: expected a file; {str(path)!r} is a folder")
    aside = target.parent / f".{target.stem}-{secrets.token_hex(8)}{target.suffix}"
    # Not by tempfile, whose files are private: files that stay follow the user's umask, which
    # cannot be asked for without changing it for all threads.
    os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield aside
        if durable:
            to_disk(aside)
        os.replace(aside, target)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path)
        raise
    finally:
        aside.unlink(missing_ok=True)


def to_disk(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_bytes(path: Path) -> int:
    """Return the free bytes on the disk of a folder, which may not exist yet."""
    existing = path.resolve()
    while not existing.exists():
        existing = existing.parent
    found = os.statvfs(existing)
    return found.f_bavail * found.f_frsize
