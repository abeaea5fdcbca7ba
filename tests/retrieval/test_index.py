"""An index and its content, on disk and in memory."""

import os
import shutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import semrsm
from semrsm._internal.storage import folders
from semrsm.errors import InputError


def images(count, seed=0, size=5, channels=4):
    return np.random.default_rng(seed).normal(size=(count, size, channels)).astype("f4")


def ragged(count, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(2 + n % 3, 4)) for n in range(count)]


def same(a, b):
    np.testing.assert_array_equal(a.indices, b.indices)
    np.testing.assert_array_equal(a.values, b.values)


@pytest.mark.parametrize("parts", [[images(4), images(3, 1)], [ragged(4), images(2), ragged(3, 2)]])
def test_growing_is_the_same_as_beginning_with_everything(parts):
    index = semrsm.Index(parts[0])
    for part in parts[1:]:
        grown = index.add(part)
        assert len(grown) == len(index) + len(part)
        index = grown
    everything = [image for part in parts for image in part]
    queries = ragged(3, 9)
    same(semrsm.topk(queries, index, 4), semrsm.topk(queries, everything, 4))
    means = [np.asarray(image, dtype=np.float64).mean(axis=0) for image in everything]
    np.testing.assert_allclose(index.means, means, rtol=1e-5, atol=1e-6)


def test_what_it_was_is_left_as_it_was():
    index = semrsm.Index(images(3), ids=list("abc"), provenance={"layer": "late"})
    grown = index.add(images(2, 1), ids=["d", "e"])
    assert (index.ids, grown.ids) == (tuple("abc"), tuple("abcde"))
    assert grown.provenance == {"layer": "late"}
    with pytest.raises(InputError, match=r"^gallery: expected 4 channels as in the index; got 7"):
        index.add(images(2, channels=7))
    with pytest.raises(InputError, match="'a'"):
        index.add(images(1), ids=["a"])


@pytest.mark.parametrize("gallery", [images(6), ragged(6), images(6).astype("f8") * 1e120])
def test_on_disk_as_in_memory(gallery, tmp_path):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    index = semrsm.Index(gallery, ids=[f"photo {n}" for n in range(6)], provenance={"a": [1]})
    loaded = semrsm.Index.load(index.save(tmp_path / "gallery.zarr"))
    assert loaded.ids == index.ids
    assert loaded.provenance == {"a": [1]}
    np.testing.assert_array_equal(loaded.means, index.means)
    queries = [np.asarray(image, dtype=np.float64) + 0.1 for image in gallery[:2]]
    same(semrsm.topk(queries, loaded, 3), semrsm.topk(queries, index, 3))
    again = semrsm.Index.load(loaded.add(images(1, 5), ids=["more"]).save(tmp_path / "more.zarr"))
    assert again.ids == (*index.ids, "more")


def test_a_save_that_fails_leaves_nothing_and_keeps_what_was_there(tmp_path, monkeypatch):
    zarr = pytest.importorskip("zarr", reason="indices on disk need zarr")
    path = semrsm.Index(images(3)).save(tmp_path / "gallery.zarr")

    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(zarr.Group, "create_array", fail)
    with pytest.raises(OSError, match="no space"):
        semrsm.Index(images(5)).save(path, overwrite=True)
    with pytest.raises(OSError, match="no space"):
        semrsm.Index(images(5)).save(tmp_path / "other.zarr")
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["gallery.zarr"]
    assert len(semrsm.Index.load(path)) == 3


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
def test_a_save_that_ends_at_its_last_step_keeps_what_was_there(tmp_path, monkeypatch, error):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    path = semrsm.Index(images(3)).save(tmp_path / "gallery.zarr")
    rename = os.rename

    def fail(source, target):
        if Path(target) == path and Path(source).name.startswith(".gallery.zarr-"):
            raise error
        rename(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(folders, "exchanged", lambda a, b: False)  # as on other systems
        patched.setattr(os, "rename", fail)
        with pytest.raises(type(error)):
            semrsm.Index(images(5)).save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gallery.zarr"]
    assert len(semrsm.Index.load(path)) == 3


def test_an_index_is_old_or_new_whenever_the_process_is_killed(tmp_path):
    """kill -9 at random moments while an index of 3 images and one of 5 replace each other."""
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    path = semrsm.Index(images(3)).save(tmp_path / "gallery.zarr")
    code = (
        "import numpy as np, semrsm\n"
        "both = [semrsm.Index(np.ones((n, 4, 4))) for n in (3, 5)]\n"
        "print('ready', flush=True)\n"
        f"while True:\n    for one in both: one.save({str(path)!r}, overwrite=True)\n"
    )
    for wait in (0.0, 0.05, 0.13):
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(wait)
        process.kill()
        process.wait()
        process.stdout.close()
        assert len(semrsm.Index.load(path)) in (3, 5)
    semrsm.Index(images(4)).save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gallery.zarr"]


def changed(path, how):
    if how == "removed":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 4
        path.write_bytes(data)


@pytest.mark.parametrize("how", ["removed", "empty", "cut", "a folder", "flipped"])
def test_every_file_of_an_index_that_is_missing_or_damaged_is_refused(tmp_path, how):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    whole = semrsm.Index(images(30)).save(tmp_path / "gallery.zarr")
    files = [file.relative_to(whole) for file in sorted(whole.rglob("*")) if file.is_file()]
    assert len(files) > 8
    queries = images(1)
    for file in files:
        broken = tmp_path / "broken.zarr"
        shutil.copytree(whole, broken)
        changed(broken / file, how)
        with pytest.raises(InputError, match=r"^(path|gallery): .*broken\.zarr"):
            semrsm.topk(queries, semrsm.Index.load(broken), 2)
        semrsm.Index(images(3)).save(broken, overwrite=True) if file.name != "zarr.json" else None
        shutil.rmtree(broken)


def test_an_index_without_a_seal_opens_as_before(tmp_path):
    zarr = pytest.importorskip("zarr", reason="indices on disk need zarr")
    index = semrsm.Index(images(4))
    path = index.save(tmp_path / "gallery.zarr")
    group = zarr.open_group(path, mode="r+")
    facts = {k: v for k, v in group.attrs["semrsm"].items() if k not in ("seal", "digest")}
    group.attrs["semrsm"] = facts
    same(semrsm.topk(images(1), semrsm.Index.load(path), 2), semrsm.topk(images(1), index, 2))


def test_a_search_on_disk_keeps_to_its_memory(tmp_path):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    gallery = images(3000, size=49, channels=64)  # 38 MB
    queries = gallery[:2] + 0.1
    exact = semrsm.topk(queries, gallery, 3)
    index = semrsm.Index.load(semrsm.Index(gallery).save(tmp_path / "gallery.zarr"))
    del gallery
    needs = r"at least (\d+\.\d+) MB"
    with pytest.raises(InputError, match=needs) as refused:
        semrsm.topk(queries, index, 3, memory="1MB", workers=1)
    least = float(__import__("re").search(needs, str(refused.value))[1])
    budget = int((least + 2) * 2**20)
    tracemalloc.start()
    found = semrsm.topk(queries, index, 3, memory=budget, workers=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    same(found, exact)
    assert peak < budget


def test_the_grid_of_feature_maps_stays_with_an_index_and_comes_back_from_the_disk(tmp_path):
    maps = np.random.default_rng(0).normal(size=(5, 4, 2, 3))
    tokens = semrsm.measure(maps.reshape(5, 4, 6).transpose(0, 2, 1), grid=(2, 3))
    for gallery in (maps, tokens):
        index = semrsm.Index(gallery)
        assert index.tokens.grid == (2, 3)
        path = index.save(tmp_path / "index.zarr", overwrite=True)
        assert semrsm.Index.load(path).tokens.grid == (2, 3)
    flat = semrsm.Index(tokens.block(0, 5).vectors.reshape(5, 6, 4))
    flat.save(tmp_path / "flat.zarr")
    assert semrsm.Index.load(tmp_path / "flat.zarr").tokens.grid is None


def test_maps_that_have_been_measured_are_copied_in_the_order_of_the_search_too():
    maps = np.random.default_rng(0).normal(size=(5, 4, 2, 3))
    index = semrsm.Index(semrsm.measure(maps))
    queries = maps[:2].copy()
    before = semrsm.topk(queries, index, k=3)
    maps[:] = 0
    same(semrsm.topk(queries, index, k=3), before)
