"""Locks on folders, which end with the process that holds them.

Some cluster file systems have no locks. There every request succeeds at once, and :func:`locked`
yields False.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

#: The file in a folder that is locked.
LOCK = ".lock"


@contextmanager
def locked(folder: Path, *, shared: bool = False, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a folder, shared with other processes or alone.

    Parameters
    ----------
    folder : Path
        An existing folder.
    shared : bool, default False
        Whether other processes may hold the lock too, shared as well.
    wait : bool, default True
        Whether to wait for others.

    Yields
    ------
    bool
        Whether the lock is held: False on a file system without locks.

    Raises
    ------
    BlockingIOError
        If another process holds the lock and `wait` is false.
    """
    with open(folder / LOCK, "a") as file, _flock(file, shared=shared, wait=wait) as held:
        yield held


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder alone; the folder may be replaced or deleted meanwhile.

    The file of the lock is deleted at the end: a finished folder does not contain one.

    Raises
    ------
    BlockingIOError
        If another process holds the lock, or has just finished or replaced the folder.
    """
    path = folder / LOCK
    with open(path, "a") as file, _flock(file, shared=False, wait=False):
        if not _is_same(file, path):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
        try:
            yield
        finally:
            if _is_same(file, path):
                path.unlink()


@contextmanager
def _flock(file: IO[str], *, shared: bool, wait: bool) -> Iterator[bool]:
    held = True
    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        held = False
    try:
        yield held
    finally:
        if held:  # closing is not enough: processes forked meanwhile have the file open too
            fcntl.flock(file, fcntl.LOCK_UN)


def _is_same(file: IO[str], path: Path) -> bool:
    """Return whether `path` is still the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
