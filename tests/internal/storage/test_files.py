"""Files appear when they are complete, or not at all."""

import os

import pytest

from semrsm._internal.storage import files
from semrsm._internal.storage.files import free_bytes, replacing, to_disk
from semrsm.errors import InputError


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "facts.json"
    path.write_text("old")
    with replacing(path) as aside:
        assert (aside.parent, aside.suffix) == (tmp_path, ".json")
        assert aside.name.startswith(".facts-")
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(tmp_path, error):
    path = tmp_path / "facts.json"
    path.write_text("old")

    def write(target):
        with replacing(target) as aside:
            aside.write_text("half of")
            raise error

    for target in (path, tmp_path / "other"):
        with pytest.raises(type(error)):
            write(target)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path = tmp_path / "record"
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda handle: (steps.append("fsync"), fsync(handle)))
    monkeypatch.setattr(files.os, "replace", lambda a, b: (steps.append("name"), replace(a, b)))
    with replacing(path, durable=True) as aside:
        aside.write_text("new")
    assert steps == ["fsync", "name"]
    with replacing(path) as aside:
        aside.write_text("newer")
    assert steps == ["fsync", "name", "name"]


def test_the_umask_decides_who_may_read(tmp_path):
    old = os.umask(0o027)
    try:
        with replacing(tmp_path / "file") as aside:
            aside.write_text("")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_places_for_no_file_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"^path: expected a file in an existing folder; .*no'"):
        replacing(tmp_path / "no" / "file").__enter__()
    with pytest.raises(InputError, match=r"^path: expected a file; .* is a folder$"):
        replacing(tmp_path).__enter__()


def test_files_and_folders_go_to_the_disk(tmp_path):
    (tmp_path / "file").write_text("content")
    to_disk(tmp_path / "file")
    to_disk(tmp_path)
    with pytest.raises(FileNotFoundError):
        to_disk(tmp_path / "no")


def test_the_free_bytes_under_a_folder_to_come(tmp_path):
    found = os.statvfs(tmp_path)
    assert 0 < free_bytes(tmp_path / "not" / "yet") <= found.f_blocks * found.f_frsize
