"""Features in pickles, copies and other processes."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features

RNG = np.random.default_rng(0)
MAPS = RNG.normal(size=(3, 4, 2, 2)).astype(np.float32)
TOKENS = RNG.normal(size=(3, 5, 600)).astype(np.float32)


def made():
    return Features(
        {"maps": MAPS, "tokens": TOKENS},
        ids=["a", "b", "c"],
        logits=RNG.normal(size=(3, 7)).astype(np.float32),
        provenance={"model": "m", "grids": {"tokens": [1, 5]}},
    )


def on_disk(kind, folder):
    features = made()
    if kind == "memory":
        return features
    if kind in ("npz", "safetensors", "zarr"):
        if kind == "zarr":
            pytest.importorskip("zarr", reason="an optional dependency")
        return semrsm.load_features(features.save(folder / f"f.{kind}"))
    if kind == "npy":
        np.save(folder / "tokens.npy", TOKENS)
        return semrsm.load_features(folder / "tokens.npy")
    h5py = pytest.importorskip("h5py", reason="an optional dependency")
    with h5py.File(folder / "f.h5", "w") as file:
        file["deep/tokens"] = TOKENS
        file["maps"] = MAPS
    return semrsm.load_features(folder / "f.h5")


def same(a, b):
    assert list(a) == list(b)
    assert a.ids == b.ids
    assert a.grids == b.grids
    assert dict(a.provenance) == dict(b.provenance)
    for layer in a:
        np.testing.assert_array_equal(np.asarray(a[layer][:]), np.asarray(b[layer][:]))
    assert (a.logits is None) == (b.logits is None)
    if a.logits is not None:
        np.testing.assert_array_equal(a.logits, b.logits)


KINDS = ["memory", "npz", "safetensors", "zarr", "npy", "h5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_and_a_copy_are_the_same_features(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # opened by a relative path, and again from elsewhere
    features = on_disk(kind, tmp_path)
    features.tokens(next(iter(features)))  # what has been measured does not travel
    data = pickle.dumps(features)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for found in (pickle.loads(data), copy.deepcopy(features), copy.copy(features)):
        same(found, features)
        assert type(found[next(iter(found))]) is type(features[next(iter(features))])
    if kind not in ("memory", "npz"):
        assert len(data) < TOKENS.nbytes / 4  # paths, not values


def test_a_deep_copy_is_independent():
    values = MAPS.copy()
    features = Features({"maps": values})
    found = copy.deepcopy(features)
    values[:] = 0
    np.testing.assert_array_equal(found["maps"], MAPS)


def test_a_part_of_a_map_is_the_same_part_again(tmp_path):
    np.save(tmp_path / "x.npy", TOKENS)
    part = np.load(tmp_path / "x.npy", mmap_mode="r")[1:]
    found = pickle.loads(pickle.dumps(Features({"x": part})))
    np.testing.assert_array_equal(found["x"], TOKENS[1:])
    assert isinstance(found["x"], np.memmap)


def test_files_that_are_gone_are_named(tmp_path):
    np.save(tmp_path / "x.npy", TOKENS)
    data = pickle.dumps(semrsm.load_features(tmp_path / "x.npy"))
    (tmp_path / "x.npy").unlink()
    with pytest.raises(InputError, match=r"^features: expected their layers in '.*x\.npy'"):
        pickle.loads(data)


def test_in_another_process(tmp_path):
    features = on_disk("zarr", tmp_path)
    (tmp_path / "f.pickle").write_bytes(pickle.dumps(features))
    command = (
        "import pickle, sys; f = pickle.load(open(sys.argv[1], 'rb')); "
        "print([float(f[layer][:].sum(dtype='f8')) for layer in f])"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(tmp_path / "f.pickle")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str([float(features[x][:].sum(dtype="f8")) for x in features])
