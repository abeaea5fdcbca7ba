"""Files of features: what comes back, and what is refused."""

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
        monkeypatch.setattr("semrsm.features.files.safetensors.pieces", fail)
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


def flipped(whole, count, first=0, last=None):
    """Yield copies of a file with one bit flipped, and the place of its byte."""
    rng = np.random.default_rng(0)
    for place in rng.integers(first, len(whole) if last is None else last, count):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        yield int(place), bytes(broken)


def opened(path, content):
    """Return the features in a damaged file, or None where it is refused."""
    path.write_bytes(content)
    try:
        return semrsm.load_features(path)
    except InputError as error:
        assert path.name in str(error)  # noqa: PT017
        return None


def test_a_flipped_bit_of_an_archive_is_refused_or_changes_no_number(features, tmp_path):
    """Every member has a checksum. Nothing counts the members: damage may hide the last ones."""
    whole = features.save(tmp_path / "good.npz").read_bytes()
    for _, content in flipped(whole, 300):
        found = opened(tmp_path / "bad.npz", content)
        if found is not None:
            assert list(found) == list(features)[: len(found)]
            for layer in found:
                np.testing.assert_array_equal(found[layer], features[layer])
                assert found[layer].dtype == features[layer].dtype
            if found.logits is not None:
                np.testing.assert_array_equal(found.logits, features.logits)
            assert found.ids in (features.ids, ("0", "1", "2"))


def test_a_flipped_bit_of_an_array_in_an_archive_is_refused(features, tmp_path):
    whole = features.save(tmp_path / "good.npz").read_bytes()
    for array in [*features.values(), features.logits]:
        data = array.tobytes()
        place = whole.index(data)
        for _, content in flipped(whole, 30, place, place + len(data)):
            assert opened(tmp_path / "bad.npz", content) is None


def test_an_archive_that_seems_encrypted_is_refused(features, tmp_path):
    whole = features.save(tmp_path / "good.npz").read_bytes()
    flags = whole.index(b"PK\x01\x02") + 8  # in the directory at the end
    broken = bytearray(whole)
    broken[flags] ^= 1
    assert opened(tmp_path / "bad.npz", bytes(broken)) is None


def test_a_flipped_bit_of_a_safetensors_file_is_refused_or_is_one_bit(features, tmp_path):
    """The format has no checksum: only its header can be refused, and a number is one bit off."""
    pytest.importorskip("safetensors.numpy", reason="an optional dependency")
    whole = features.save(tmp_path / "good.safetensors").read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    refused = sum(
        opened(tmp_path / "bad.safetensors", content) is None
        for _, content in flipped(whole, 150, 0, start)
    )
    assert refused > 50
    for _, content in flipped(whole, 100, start):
        found = opened(tmp_path / "bad.safetensors", content)
        assert (list(found), found.ids) == (list(features), features.ids)
        pairs = [(found[layer], features[layer]) for layer in features]
        pairs.append((found.logits, features.logits))
        changed = [
            bin(one ^ other).count("1")
            for new, old in pairs
            for one, other in zip(np.asarray(new).tobytes(), old.tobytes(), strict=True)
        ]
        assert sum(changed) == 1


@pytest.mark.parametrize("kind", ["U", "S"])
def test_ids_in_an_npz_of_others(tmp_path, kind):
    x = np.zeros((2, 4, 3), np.float32)
    np.savez(tmp_path / "f.npz", x=x, ids=np.array(["a.jpg", "b.jpg"]).astype(kind))
    found = semrsm.load_features(tmp_path / "f.npz")
    assert found.ids == ("a.jpg", "b.jpg")
    assert list(found) == ["x"]
    np.savez(tmp_path / "few.npz", x=x, ids=np.array(["a.jpg"]).astype(kind))
    with pytest.raises(
        InputError, match=r"few\.npz: ids: expected 2 ids, one for each image; got 1"
    ):
        semrsm.load_features(tmp_path / "few.npz")


def test_ids_in_a_zarr_group_of_others(tmp_path):
    zarr = pytest.importorskip("zarr", reason="an optional dependency")
    group = zarr.open_group(tmp_path / "f.zarr", mode="w")
    group.create_array("x", data=np.zeros((2, 4, 3), np.float32))
    ids = group.create_array("ids", shape=(2,), dtype=str)
    ids[:] = np.array(["a.jpg", "b.jpg"], dtype=object)
    found = semrsm.load_features(tmp_path / "f.zarr")
    assert found.ids == ("a.jpg", "b.jpg")
    assert list(found) == ["x"]
