"""A name stands for the whole old folder or for the whole new one."""

import os
from pathlib import Path

import pytest

from semrsm._internal.storage import folders
from semrsm._internal.storage.folders import (
    check_new_folder,
    folder_aside,
    new_folder,
    put_in_place,
    put_unless_there,
    remove_unfinished,
)
from semrsm.errors import InputError


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def old(tmp_path):
    folder = tmp_path / "results"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("old")
    return folder


def test_a_new_folder_appears_at_the_end(tmp_path):
    target = tmp_path / "results"
    with new_folder(target, overwrite=False) as aside:
        (aside / "file").write_text("new")
        assert not target.exists()
    assert content(target) == {"file": "new"}
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_as_a_whole(tmp_path, old):
    with new_folder(old, overwrite=True) as aside:
        (aside / "file").write_text("new")
        assert content(old) == {"deep/file": "old"}
    assert content(old) == {"file": "new"}
    assert list(tmp_path.iterdir()) == [old]


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "results").mkdir()
    with new_folder(tmp_path / "results", overwrite=False) as aside:
        (aside / "file").write_text("new")
    assert content(tmp_path / "results") == {"file": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_folder_and_no_other(tmp_path, old, error):
    def write():
        with new_folder(old, overwrite=True) as aside:
            (aside / "file").write_text("half of")
            raise error

    with pytest.raises(type(error)):
        write()
    assert content(old) == {"deep/file": "old"}
    assert list(tmp_path.iterdir()) == [old]


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("error", [OSError("stale file handle"), KeyboardInterrupt()])
def test_an_end_at_any_rename_leaves_one_of_them_whole(
    tmp_path, old, monkeypatch, error, step, done
):
    """Before or after the rename itself: an interrupt may come when it is done."""
    rename, left = os.rename, step

    def fail(source, target):
        nonlocal left
        left -= 1
        if left == -1 and not done:
            raise error
        rename(source, target)
        if left == -1:
            raise error

    with monkeypatch.context() as patched:
        patched.setattr(folders, "exchanged", lambda a, b: False)  # as on other systems
        patched.setattr(os, "rename", fail)
        with pytest.raises(type(error)), new_folder(old, overwrite=True) as aside:
            (aside / "file").write_text("new")
    assert content(old) == ({"file": "new"} if step and done else {"deep/file": "old"})
    assert list(tmp_path.iterdir()) == [old]


def test_an_old_folder_that_cannot_have_its_name_again_is_kept(tmp_path, old, monkeypatch):
    rename, calls = os.rename, []

    def fail(source, target):
        calls.append(source)
        if len(calls) > 1:
            raise OSError("stale file handle")
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(folders, "exchanged", lambda a, b: False)  # as on other systems
        patched.setattr(os, "rename", fail)
        with pytest.raises(OSError, match="stale"), new_folder(old, overwrite=True):
            pass
    (trash,) = tmp_path.glob(".replaced-*")
    assert content(trash) == {"old/deep/file": "old"}


def test_a_link_to_a_folder_is_replaced_and_its_folder_kept(tmp_path, old):
    link = tmp_path / "link"
    link.symlink_to(Path("results"))
    with folder_aside(link) as aside:
        (aside / "file").write_text("new")
        put_in_place(aside, link)
    assert (content(link), content(old)) == ({"file": "new"}, {"deep/file": "old"})
    assert not link.is_symlink()


def test_a_folder_that_has_appeared_meanwhile_stays(tmp_path, old):
    with folder_aside(old) as aside:
        (aside / "file").write_text("new")
        put_unless_there(aside, old)
    assert content(old) == {"deep/file": "old"}
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with folder_aside(tmp_path / name) as aside:
            (aside / "file").write_text("new")
            put_unless_there(aside, tmp_path / name)
        assert content(tmp_path / name) == {"file": "new"}
    (tmp_path / "file").write_text("something else")
    with folder_aside(tmp_path / "file") as aside, pytest.raises(OSError, match="file"):
        put_unless_there(aside, tmp_path / "file")
    assert {path.name for path in tmp_path.iterdir()} == {"results", "empty", "missing", "file"}


def test_only_unfinished_folders_of_the_same_name_are_removed(tmp_path):
    kept = (".greedy-window=8-0123456789abcdef", ".greedy-notes", "greedy-0123456789abcdef")
    for name in (".greedy-0123456789abcdef", f".greedy-{'0' * 32}", *kept):
        (tmp_path / name).mkdir()
    remove_unfinished(tmp_path / "greedy")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_folders_that_cannot_be_made_are_refused(tmp_path, old):
    (tmp_path / "file").write_text("")
    for path, message in (
        (tmp_path / "no" / "results", "^out: expected a folder inside an existing one; .*no'"),
        (tmp_path / "file", "^out: expected a folder; .*file' is a file"),
        (old, "^out: expected a new or empty folder; .* has files in it"),
    ):
        with pytest.raises(InputError, match=message):
            check_new_folder(path, overwrite=False)
    check_new_folder(old, overwrite=True)
