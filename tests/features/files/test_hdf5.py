"""Features in HDF5 files."""

import gc

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError


@pytest.mark.parametrize("suffix", ["h5", "hdf5"])
def test_hdf5(tmp_path, suffix):
    h5py = pytest.importorskip("h5py", reason="an optional dependency")
    rng = np.random.default_rng(0)
    maps, tokens = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(4, 5, 6)).astype(np.float16)
    with h5py.File(tmp_path / f"f.{suffix}", "w") as file:
        file["late/maps"] = maps
        file.create_dataset("tokens", data=tokens, chunks=(2, 5, 6), compression="gzip")
        file["labels"] = np.arange(4)
        file["cube"] = np.ones((2, 2, 2), int)
        file["ids"] = ["a.jpg", "b.jpg", "ü", "d"]
    found = semrsm.load_features(tmp_path / f"f.{suffix}")
    gc.collect()
    assert list(found) == ["late/maps", "tokens"]
    assert isinstance(found["tokens"], h5py.Dataset)
    assert found.ids == ("a.jpg", "b.jpg", "ü", "d")
    assert found["tokens"].dtype == np.float16
    np.testing.assert_array_equal(found["late/maps"][:], maps)
    np.testing.assert_array_equal(semrsm.gram(found["tokens"]).values, semrsm.gram(tokens).values)
    again = semrsm.load_features(found.save(tmp_path / "f.npz"))
    np.testing.assert_array_equal(again["tokens"], tokens)


def test_hdf5_of_others_and_damaged(tmp_path):
    h5py = pytest.importorskip("h5py", reason="an optional dependency")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["a"] = np.ones((2, 3, 4))
        file["ids"] = np.arange(2)
    assert semrsm.load_features(tmp_path / "f.h5").ids == ("0", "1")
    with h5py.File(tmp_path / "few.h5", "w") as file:
        file["a"] = np.ones((2, 3, 4))
        file["ids"] = ["one"]
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["a"] = np.ones(3)
    whole = (tmp_path / "f.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("text")
    for name in ("few.h5", "flat.h5", "cut.h5", "text.h5"):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            semrsm.load_features(tmp_path / name)


def test_ids_of_fixed_length_are_text(tmp_path):
    h5py = pytest.importorskip("h5py", reason="an optional dependency")
    names = np.array(["café.jpg".encode(), b"b.jpg"])
    for kind in (names, names.astype("O")):
        with h5py.File(tmp_path / "f.h5", "w") as file:
            file["x"] = np.zeros((2, 4, 3), np.float32)
            file["ids"] = kind
        assert semrsm.load_features(tmp_path / "f.h5").ids == ("café.jpg", "b.jpg")
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["x"] = np.zeros((2, 4, 3), np.float32)
        file["ids"] = [7, 8]  # not text: they may be anything
    assert semrsm.load_features(tmp_path / "f.h5").ids == ("0", "1")
