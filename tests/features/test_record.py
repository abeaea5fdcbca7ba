"""Features and their files."""

import contextlib
import gc
import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return Features(
        {
            "z/conv": rng.normal(size=(3, 4, 2, 2)).astype(np.float32),
            "file": rng.normal(size=(3, 5, 6)).astype(np.float16),
            "allow_pickle": rng.normal(size=(3, 5, 6)),
        },
        ids=["a.jpg", "b/c.jpg", "ü"],
        logits=np.eye(3, dtype=np.float32),
        provenance={"model": "m", "grids": {"file": [1, 5]}},
    )


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_round_trip(features, tmp_path, suffix):
    again = semrsm.load_features(features.save(tmp_path / f"f.{suffix}"))
    assert list(again) == list(features)
    for layer in features:
        np.testing.assert_array_equal(again[layer], features[layer])
        assert again[layer].dtype == features[layer].dtype
    assert again.ids == features.ids
    np.testing.assert_array_equal(again.logits, features.logits)
    assert dict(again.provenance) == dict(features.provenance)
    assert again.grids == {"z/conv": (2, 2), "file": (1, 5)}
    assert [p.name for p in tmp_path.iterdir()] == [f"f.{suffix}"]


def test_npy_is_memory_mapped(tmp_path):
    np.save(tmp_path / "conv1.npy", np.ones((2, 3, 4)))
    found = semrsm.load_features(tmp_path / "conv1.npy")
    assert list(found) == ["conv1"]
    assert isinstance(found["conv1"], np.memmap)
    assert found.ids == ("0", "1")


def test_files_of_others(tmp_path):
    np.savez(tmp_path / "f.npz", a=np.ones((2, 3, 4)), labels=np.arange(2), b=np.ones((2, 3, 4, 5)))
    assert list(semrsm.load_features(tmp_path / "f.npz")) == ["a", "b"]
    numpy = pytest.importorskip("safetensors.numpy", reason="an optional dependency")
    numpy.save_file({"a": np.ones((2, 3, 4), np.float32)}, tmp_path / "f.safetensors")
    assert semrsm.load_features(tmp_path / "f.safetensors")["a"].shape == (2, 3, 4)


def test_bfloat16_is_widened(tmp_path):
    torch = pytest.importorskip("torch", reason="an optional dependency")
    safetensors = pytest.importorskip("safetensors.torch", reason="an optional dependency")
    values = torch.randn(2, 3, 4).bfloat16()
    safetensors.save_file({"a": values}, tmp_path / "f.safetensors")
    found = semrsm.load_features(tmp_path / "f.safetensors")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.float().numpy())


def test_select(features):
    assert list(features.select("z*")) == ["z/conv"]
    with pytest.raises(InputError, match="^layers: 'z/con' fits no layer. Did you mean 'z/conv'"):
        features.select("z/con")


def test_nothing_can_be_changed(features):
    for name in ("ids", "logits", "provenance"):
        with pytest.raises(AttributeError):
            setattr(features, name, None)
    with pytest.raises(TypeError):
        features["x"] = 1
    with pytest.raises(TypeError):
        features.provenance["x"] = 1


def test_repr_and_missing_layers(features):
    assert repr(features).startswith("Features(3 images: z/conv (4, 2, 2), file (5, 6)")
    with pytest.raises(KeyError, match=r"no layer 'z.conv'; there are .*Did you mean 'z/conv'"):
        features["z.conv"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Features({}), "^layers: expected at least one layer"),
        (
            lambda: Features({"a": np.ones((2, 3, 4), int)}),
            r"^layer 'a': expected an array of floats \(NumPy, Zarr or HDF5\); got int64$",
        ),
        (
            lambda: Features({"a": [[[1.0]]]}),
            r"^layer 'a': expected an array of floats \(NumPy, Zarr or HDF5\); got list$",
        ),
        (lambda: Features({"a": np.ones((2, 3))}), r"^layer 'a': .*got shape \(2, 3\)"),
        (
            lambda: Features({"a": np.ones((2, 3, 4)), "b": np.ones((3, 3, 4))}),
            "^layers: expected one number of images in all",
        ),
        (lambda: Features({"__ids__": np.ones((2, 3, 4))}), "^layers: the name '__ids__' is taken"),
        (lambda: Features({"a": np.ones((2, 3, 4))}, ids=["x"]), "^ids: expected 2 ids"),
        (lambda: Features({"a": np.ones((2, 3, 4))}, ids=["x", "x"]), "^ids: expected distinct"),
        (lambda: Features({"a": np.ones((2, 3, 4))}, logits=np.ones((3, 2))), "^logits: expected"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_refuses_files(features, tmp_path):
    good = features.save(tmp_path / "good.npz").read_bytes()
    np.savez(tmp_path / "objects.npz", a=np.array([{}], dtype=object))
    np.savez(tmp_path / "flat.npz", a=np.ones(3))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "integers.npy", np.ones((2, 3, 4), int))
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.safetensors").write_text("text")
    (tmp_path / "text.npy").write_text("text")
    for name in (
        "objects.npz",
        "flat.npz",
        "objects.npy",
        "integers.npy",
        "cut.npz",
        "text.safetensors",
        "text.npy",
    ):
        with pytest.raises(InputError, match=name.replace(".", r"\.")):
            semrsm.load_features(tmp_path / name)
    with pytest.raises(InputError, match=r"^path: expected a file of features \(.npy, .npz, .saf"):
        semrsm.load_features(tmp_path / "f.txt")
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_features(tmp_path / "no.npz")
    with pytest.raises(InputError, match=r"^path: expected a name that ends in .npz, .safet"):
        features.save(tmp_path / "f.npy")
    with pytest.raises(InputError, match="^path: expected a file in an existing folder"):
        features.save(tmp_path / "no" / "f.npz")


def test_provenance_is_plain_json_in_the_file(features, tmp_path):
    with np.load(features.save(tmp_path / "f.npz"), allow_pickle=False) as archive:
        assert json.loads(str(archive["__provenance__"]))["model"] == "m"


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_an_interrupted_save_leaves_the_old_file(features, tmp_path, suffix, monkeypatch):
    old = features.save(tmp_path / f"f.{suffix}").read_bytes()

    def fail(*_args, **_options):
        raise KeyboardInterrupt

    if suffix == "npz":
        monkeypatch.setattr(np.lib.format, "write_array", fail)
    else:
        monkeypatch.setattr(
            pytest.importorskip("safetensors.numpy", reason="an optional dependency"),
            "save_file",
            fail,
        )
    with pytest.raises(KeyboardInterrupt):
        features.select("file").save(tmp_path / f"f.{suffix}")
    assert [p.name for p in tmp_path.iterdir()] == [f"f.{suffix}"]
    assert (tmp_path / f"f.{suffix}").read_bytes() == old


def test_strided_arrays_are_saved_as_they_look(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 3, 2)).astype(np.float32)
    for n, array in enumerate((values[:, :, ::-1], values.T, np.asfortranarray(values))):
        for suffix in ("npz", "safetensors"):
            path = Features({"a": array}).save(tmp_path / f"{n}.{suffix}")
            np.testing.assert_array_equal(semrsm.load_features(path)["a"], array)


@pytest.mark.parametrize(
    "metadata",
    [
        {"layers": "3"},
        {"layers": "{"},
        {"layers": '["other"]'},
        {"__ids__": "5"},
        {"__ids__": '["one"]'},
        {"__ids__": '["one", "one"]'},
        {"__provenance__": "[1]"},
    ],
)
def test_refuses_damaged_metadata(metadata, tmp_path):
    numpy = pytest.importorskip("safetensors.numpy", reason="an optional dependency")
    numpy.save_file({"a": np.ones((2, 3, 4), np.float32)}, tmp_path / "f.safetensors", metadata)
    with pytest.raises(InputError, match=r"f\.safetensors"):
        semrsm.load_features(tmp_path / "f.safetensors")


@pytest.mark.parametrize(
    "members",
    [
        {"__ids__": np.array(["one"])},
        {"__ids__": np.array(5)},
        {"__ids__": np.array(["one", "one"])},
        {"__logits__": np.ones(2)},
        {"__logits__": np.ones((3, 2))},
        {"__provenance__": np.array("{")},
        {"__provenance__": np.array("5")},
    ],
)
def test_refuses_damaged_members(members, tmp_path):
    np.savez(tmp_path / "f.npz", a=np.ones((2, 3, 4)), **members)
    with pytest.raises(InputError, match=r"f\.npz"):
        semrsm.load_features(tmp_path / "f.npz")


def test_files_with_the_suffix_of_another_kind(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.ones((2, 3, 4)))
    np.save(tmp_path / "b.npy", np.ones((2, 3, 4)))
    (tmp_path / "a.npz").rename(tmp_path / "was_npz.npy")
    (tmp_path / "b.npy").rename(tmp_path / "was_npy.npz")
    for name in ("was_npz.npy", "was_npy.npz"):
        with pytest.raises(InputError, match=name):
            semrsm.load_features(tmp_path / name)


def test_a_folder_is_no_file_of_features(tmp_path):
    (tmp_path / "f.npz").mkdir()
    with pytest.raises(InputError, match="^path: expected a file of features"):
        semrsm.load_features(tmp_path / "f.npz")


def test_every_byte_flip_is_refused_or_harmless(features, tmp_path):
    """Whatever happens to a file: an InputError, or features; never another error, or a crash."""
    for suffix in ("npz", "safetensors"):
        whole = features.save(tmp_path / f"good.{suffix}").read_bytes()
        rng = np.random.default_rng(0)
        for place in rng.integers(0, len(whole), 150):
            broken = bytearray(whole)
            broken[place] ^= 1 << int(rng.integers(8))
            (tmp_path / f"bad.{suffix}").write_bytes(broken)
            with contextlib.suppress(InputError):
                semrsm.load_features(tmp_path / f"bad.{suffix}")


class Lazy:
    """What Features asks of an array on disk, and nothing else."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.largest = 0

    def __getitem__(self, rows):
        self.largest = max(self.largest, len(self._array[rows]))
        return self._array[rows]

    def __array__(self, dtype=None, copy=None):
        return np.array(self._array, dtype=dtype)


def test_anything_that_is_sliced_like_an_array_is_a_layer(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    maps, logits = rng.normal(size=(9, 2, 3, 4)).astype(np.float32), rng.normal(size=(9, 3))
    lazy = Lazy(maps)
    features = Features({"a": lazy, "b": maps}, logits=Lazy(logits))
    assert features["a"] is lazy
    assert repr(features) == "Features(9 images: a (2, 3, 4), b (2, 3, 4))"
    assert features.grids == {"a": (3, 4), "b": (3, 4)}
    assert features.select("a")["a"] is lazy
    np.testing.assert_array_equal(features.logits, logits)
    assert isinstance(features.logits, np.ndarray)
    assert lazy.largest == 0
    np.testing.assert_array_equal(semrsm.gram(lazy).values, semrsm.gram(maps).values)
    for suffix in ("npz", "safetensors"):
        again = semrsm.load_features(features.save(tmp_path / f"f.{suffix}"))
        np.testing.assert_array_equal(again["a"], maps)
        np.testing.assert_array_equal(again.logits, logits)
    # What is copied is read in pieces.
    lazy.largest = 0
    monkeypatch.setattr("semrsm.features.files.npz.PIECE", 3 * 2 * 3 * 4 * 4)
    again = semrsm.load_features(features.save(tmp_path / "f.npz"))
    np.testing.assert_array_equal(again["a"], maps)
    assert lazy.largest == 3


def test_what_only_looks_like_an_array_is_refused():
    torch = pytest.importorskip("torch", reason="an optional dependency")
    with pytest.raises(InputError, match="^layer 'a': expected an array of floats .*got Tensor$"):
        Features({"a": torch.ones(2, 3, 4)})
    with pytest.raises(InputError, match="^layer 'a': expected an array of floats .*got int64$"):
        Features({"a": Lazy(np.ones((2, 3, 4), np.int64))})
    with pytest.raises(InputError, match="^layer 'a': expected an array of floats .*Float32DType$"):
        Features({"a": np.dtype("float32")})


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors_are_memory_mapped(tmp_path, dtype):
    numpy = pytest.importorskip("safetensors.numpy", reason="an optional dependency")
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(5, 3, 4)).astype(dtype) for name in ("a", "b")}
    arrays["labels"] = np.arange(5)
    arrays["none"] = np.ones((5, 0, 4), dtype)
    numpy.save_file(arrays, tmp_path / "f.safetensors")
    found = semrsm.load_features(tmp_path / "f.safetensors")
    assert list(found) == ["a", "b", "none"]
    for name in ("a", "b"):
        assert isinstance(found[name], np.memmap)
        assert found[name].dtype == dtype
        assert not found[name].flags.writeable
        np.testing.assert_array_equal(found[name], arrays[name])


def safetensors_file(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_safetensors_of_any_alignment_and_without_the_package(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    header = {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]}}
    for spaces in range(4):
        text = json.dumps(header).encode() + b" " * spaces
        safetensors_file(tmp_path / "f.safetensors", text, values.tobytes())
        found = semrsm.load_features(tmp_path / "f.safetensors")["a"]
        np.testing.assert_array_equal(found, values)
        np.testing.assert_array_equal(semrsm.gram(found).values, semrsm.gram(values).values)


@pytest.mark.parametrize(
    "entries",
    [
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 92]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [4, 100]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [96, 0]}},
        {"a": {"dtype": "F32", "shape": [-2, -3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2.0, 3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2, 3, True], "data_offsets": [0, 24]}},
        {"a": {"dtype": "F16", "shape": [2, 3, 4], "data_offsets": [0, 96]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0]}},
        {"a": {"dtype": "F32", "shape": [2, 3, 400000], "data_offsets": [0, 9600000]}},
        {"a": {"dtype": "F32", "shape": "234", "data_offsets": [0, 96]}},
        {"a": {"shape": [2, 3, 4], "data_offsets": [0, 96]}},
        {"a": [1]},
        {
            "a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
            "b": {"dtype": "F32", "shape": [2, 3, 2], "data_offsets": [48, 96]},
        },
        {
            "a": {"dtype": "F32", "shape": [2, 3, 2], "data_offsets": [0, 48]},
            "b": {"dtype": "F32", "shape": [2, 3, 1], "data_offsets": [72, 96]},
        },
        {
            "a": {"dtype": "F32", "shape": [2, 3, 4], "data_offsets": [0, 96]},
            "__metadata__": {"__ids__": 3},
        },
        [],
        3,
    ],
)
def test_refuses_damaged_safetensors(tmp_path, entries):
    safetensors_file(tmp_path / "f.safetensors", entries, bytes(96))
    with pytest.raises(InputError, match=r"f\.safetensors"):
        semrsm.load_features(tmp_path / "f.safetensors")


def test_refuses_safetensors_with_a_header_beyond_the_file(tmp_path):
    for content in (b"", b"1234567", b"\xff" * 8 + b"{}", b"\x05" + bytes(7) + b"{}"):
        (tmp_path / "f.safetensors").write_bytes(content)
        with pytest.raises(InputError, match=r"f\.safetensors"):
            semrsm.load_features(tmp_path / "f.safetensors")


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
