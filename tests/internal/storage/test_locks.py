"""Locks of folders, with and without help of the file system."""

import errno
import os

import pytest

from semrsm._internal.storage.locks import LOCK, locked, only_process


def test_many_may_share_a_lock_and_one_may_have_it_alone(tmp_path):
    with locked(tmp_path, shared=True) as one, locked(tmp_path, shared=True, wait=False) as other:
        assert one is other is True
        with pytest.raises(BlockingIOError):
            locked(tmp_path, wait=False).__enter__()
    with locked(tmp_path), pytest.raises(BlockingIOError):
        locked(tmp_path, shared=True, wait=False).__enter__()
    with locked(tmp_path, wait=False) as held:
        assert held


def test_the_only_process_leaves_no_lock(tmp_path):
    with only_process(tmp_path):
        assert (tmp_path / LOCK).exists()
        with pytest.raises(BlockingIOError):
            only_process(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_folder_that_has_just_been_replaced_is_refused(tmp_path, monkeypatch):
    """It was opened before, and got after, the file had lost its name."""
    import fcntl

    folder, plain = tmp_path / "store", fcntl.flock
    folder.mkdir()

    def replaced(file, how):
        plain(file, how)
        if how & fcntl.LOCK_EX:
            folder.rename(tmp_path / "old")
            folder.mkdir()

    monkeypatch.setattr("fcntl.flock", replaced)
    with pytest.raises(BlockingIOError):
        only_process(folder).__enter__()
    assert list(folder.iterdir()) == []


def test_the_lock_of_another_folder_of_the_same_name_stays(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    with only_process(folder):
        folder.rename(tmp_path / "old")
        folder.mkdir()
        (folder / LOCK).write_text("of another process")
    assert (folder / LOCK).exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with locked(tmp_path) as held, locked(tmp_path, wait=False) as other:
        assert held is other is False
    with only_process(tmp_path), only_process(tmp_path):
        pass


def test_other_errors_arrive(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(OSError, match="Input/output error"):
        locked(tmp_path).__enter__()
