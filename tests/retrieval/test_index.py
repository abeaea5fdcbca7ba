"""An index and its content, on disk and in memory."""

import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import semrsm
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
        patched.setattr(os, "rename", fail)
        with pytest.raises(type(error)):
            semrsm.Index(images(5)).save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["gallery.zarr"]
    assert len(semrsm.Index.load(path)) == 3


@pytest.mark.parametrize("part", ["zarr.json", "vectors", "means", "sizes"])
def test_a_damaged_index_is_refused_by_name(part, tmp_path):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    path = semrsm.Index(images(3)).save(tmp_path / "gallery.zarr")
    target = path / part
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(InputError, match=r"^path: expected a folder that Index.save wrote; .*gall"):
        semrsm.Index.load(path)


def test_flipped_bits_are_found(tmp_path):
    pytest.importorskip("zarr", reason="indices on disk need zarr")
    path = semrsm.Index(images(30)).save(tmp_path / "gallery.zarr")
    chunk = next(file for file in (path / "vectors" / "c").rglob("*") if file.is_file())
    data = bytearray(chunk.read_bytes())
    data[40] ^= 16
    chunk.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        semrsm.topk(images(1), semrsm.Index.load(path), 2)


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
