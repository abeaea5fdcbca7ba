"""Locks on folders, which end with the process that holds them.

Some cluster file systems have no locks. There everybody gets every lock, and :func:`locked` says
that it is not held.
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
    """Hold the lock of a folder together with others, or alone.

    Parameters
    ----------
    folder : Path
        It exists.
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
    """Be the only process that writes a folder, which may be replaced or deleted meanwhile.

    The file of the lock is deleted at the end: a finished folder has none.

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
        if held:  # not only by closing: processes that were forked meanwhile have it open too
            fcntl.flock(file, fcntl.LOCK_UN)


def _is_same(file: IO[str], path: Path) -> bool:
    """Whether the name still stands for the file that is open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False
