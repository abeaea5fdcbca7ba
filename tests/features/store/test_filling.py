"""Stores are begun, gone on with, replaced and saved by one process at a time."""

import fcntl

import numpy as np
import pytest

import semrsm
from features.store.store_helpers import LAYERS, Network, Photos, begun, extract, files, same
from semrsm.errors import InputError
from semrsm.features import Features


def test_a_complete_store_is_returned_as_it_is(tmp_path):
    first = extract(Network(), Photos(9), tmp_path / "f.zarr")
    before = files(tmp_path / "f.zarr")
    network, seen = Network(), []
    again = extract(network, Photos(9), tmp_path / "f.zarr", progress=lambda *p: seen.append(p))
    assert network.images == 0
    assert again.ids == first.ids
    assert seen == [(9, 9)]
    assert files(tmp_path / "f.zarr") == before


def test_progress_counts_on(tmp_path):
    begun(tmp_path / "f.zarr", 9)
    seen = []
    extract(Network(), Photos(14), tmp_path / "f.zarr", progress=lambda *p: seen.append(p))
    assert seen == [(8, 14), (9, 14), (12, 14), (14, 14)]


def test_no_image_can_be_read(tmp_path):
    with (
        pytest.warns(UserWarning, match="^3 images were left out"),
        pytest.raises(InputError, match="^images: expected at least one that can be read"),
    ):
        extract(Network(), Photos(3, (0, 1, 2)), tmp_path / "f.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_at_the_beginning_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no spatial extent"):
        extract(Network(), Photos(3), tmp_path / "f.zarr", layers="head")
    assert list(tmp_path.iterdir()) == []


def test_what_has_stored_nothing_binds_nobody(tmp_path):
    begun(tmp_path / "f.zarr", 9)
    for written in (tmp_path / "f.zarr" / ".progress").iterdir():
        written.unlink()
    same(
        extract(Network(), Photos(5), tmp_path / "f.zarr", layers="body"),
        extract(Network(), Photos(5), layers="body"),
    )
    assert not (tmp_path / "f.zarr" / "stem").exists()


def test_an_old_store_stays_until_there_is_something_new(tmp_path):
    out = tmp_path / "f.zarr"
    extract(Network(), Photos(9), out)
    before = files(out)
    with pytest.raises(InputError, match="no spatial extent"):
        extract(Network(), Photos(9), out, layers="head", overwrite=True)
    assert files(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]
    network = Network()
    extract(network, Photos(9), out, overwrite=True)
    assert network.images == 9 + 20  # the layouts are proven anew
    assert files(out) == before


def test_a_lock_that_nobody_holds_is_none(tmp_path):
    out = tmp_path / "f.zarr"
    begun(out)
    with open(out / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"^out: another process writes .*; wait until it has"):
            extract(Network(), Photos(14), out)
        with pytest.raises(InputError, match=r"^out: another process writes"):
            Features({"a": np.ones((2, 3, 4))}).save(out)
    extract(Network(), Photos(14), out)
    assert not (out / ".lock").exists()


def test_save_and_load(tmp_path):
    rng = np.random.default_rng(0)
    features = Features(
        {
            "maps": rng.normal(size=(11, 2, 3, 3)).astype(np.float16),
            "tokens": rng.normal(size=(11, 5, 6)).astype(">f4"),
            "wide": rng.normal(size=(11, 5, 6)),
        },
        ids=[f"ü{n}" for n in range(11)],
        logits=rng.normal(size=(11, 4)).astype(np.float32),
        provenance={"model": "m", "grids": {"tokens": [1, 5]}},
    )
    same(semrsm.load_features(features.save(tmp_path / "f.zarr")), features)
    shorter = semrsm.load_features(tmp_path / "f.zarr").select("wide")
    shorter.save(tmp_path / "f.zarr")  # over itself
    same(semrsm.load_features(tmp_path / "f.zarr"), features.select("wide"))
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "notes.txt").write_text("")
    with pytest.raises(InputError, match="holds something else"):
        features.save(tmp_path / "other.zarr")
    bad = np.ones((11, 5, 6))
    bad[7, 0, 0] = np.nan
    with pytest.raises(InputError, match="^layer 'a': expected finite values; .* image '7'"):
        Features({"a": bad}).save(tmp_path / "bad.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.zarr", "other.zarr"]


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "zarr"])
def test_features_on_disk_are_saved_as_those_in_memory(tmp_path, suffix):
    expected = extract(Network(), Photos(9))
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    again = semrsm.load_features(found.save(tmp_path / f"again.{suffix}"))
    for layer in LAYERS:
        np.testing.assert_array_equal(again[layer][:], expected[layer])
    np.testing.assert_array_equal(again.logits, expected.logits)
    assert again.ids == expected.ids
    assert again.grids == expected.grids
