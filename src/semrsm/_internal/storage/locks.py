"""Locks on folders, which end with the process that holds them.

Some cluster file systems have no locks. There every request succeeds at once, and :func:`locked`
yields False. On a disk that is read-only a lock that exists is taken all the same, and one that is
missing cannot be made: then nobody can write.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...errors import InputError

#: The file in a folder that is locked.
LOCK = ".lock"

_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


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
        Whether the lock is held: False on a file system without locks, and on a read-only one
        without the file of the lock.

    Raises
    ------
    BlockingIOError
        If another process holds the lock and `wait` is false.
    InputError
        If something else than the file of the lock has its name.
    """
    try:
        found = _opened(folder / LOCK)
    except OSError as error:
        if error.errno not in _READ_ONLY:
            raise
        try:
            found = open(folder / LOCK)  # noqa: SIM115
        except (FileNotFoundError, PermissionError):
            yield False
            return
    with found as file, _flock(file, shared=shared, wait=wait) as held:
        yield held


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder alone; the folder may be replaced or deleted meanwhile.

    The file of the lock is deleted at the end: a finished folder does not contain one.

    Raises
    ------
    BlockingIOError
        If another process holds the lock, or has just finished or replaced the folder.
    InputError
        As for :func:`locked`.
    """
    path = folder / LOCK
    with _opened(path) as file, _flock(file, shared=False, wait=False):
        if not _is_same(file, path):
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(path))
        try:
            yield
        finally:
            if _is_same(file, path):
                path.unlink()


def _opened(path: Path) -> IO[str]:
    try:
        return open(path, "a")
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
            raise
        raise InputError(
            f"out: expected the file of a lock, or none; {str(path)!r} is something else: delete it"
        ) from error


@contextmanager
def _flock(file: IO[str], *, shared: bool, wait: bool) -> Iterator[bool]:
    held = True
    try:
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(file, how if wait else how | fcntl.LOCK_NB)
    except OSError as error:
        # EBADF: some network file systems lock only what may be written.
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF):
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
