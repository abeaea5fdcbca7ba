"""Stores are read as features; whatever is damaged is refused, or changes no number."""

import numpy as np
import pytest

import semrsm
from features.store.store_helpers import (
    LAYERS,
    Network,
    Photos,
    extract,
    flip,
    zarr,
)
from semrsm.errors import InputError


def test_a_gram_is_the_same_from_disk(tmp_path):
    expected = extract(Network(), Photos(9))
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    for layer in LAYERS:
        np.testing.assert_array_equal(
            semrsm.gram(found[layer]).values, semrsm.gram(expected[layer]).values
        )
    np.testing.assert_array_equal(
        semrsm.rsm(found["body"], kernel="cosine").values,
        semrsm.rsm(expected["body"], kernel="cosine").values,
    )


def test_damage_of_a_complete_store_is_found(tmp_path):
    found = extract(Network(), Photos(9), tmp_path / "f.zarr")
    flip(tmp_path / "f.zarr/stem/c/1/0/0/0")
    assert np.isfinite(found["stem"][:4]).all()
    with pytest.raises(ValueError, match="checksum"):
        found["stem"][4:8]
    (tmp_path / "f.zarr/stem/c/1/0/0/0").unlink()
    with pytest.raises(InputError, match=r"stem/c/1/0/0/0' is missing"):
        semrsm.gram(found["stem"])


def test_groups_and_arrays_of_others(tmp_path):
    rng = np.random.default_rng(0)
    maps, tokens = rng.normal(size=(4, 2, 3, 3)), rng.normal(size=(4, 5, 6)).astype(np.float32)
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=3)
    group.create_array("late/maps", data=maps)
    group.create_array("tokens", data=tokens)
    group.create_array("labels", data=np.arange(4))
    group.create_array("cube", data=np.ones((2, 2, 2), int))
    (tmp_path / "g.zarr" / "README").write_text("notes of theirs")
    found = semrsm.load_features(tmp_path / "g.zarr")
    assert list(found) == ["late/maps", "tokens"]
    np.testing.assert_array_equal(found["late/maps"][:], maps)
    assert found.ids == ("0", "1", "2", "3")
    assert found.logits is None
    zarr.create_array(tmp_path / "one.zarr", data=tokens, zarr_format=3)
    found = semrsm.load_features(tmp_path / "one.zarr")
    assert list(found) == ["one"]
    np.testing.assert_array_equal(found["one"][:], tokens)


def test_refuses_folders_without_features(tmp_path):
    (tmp_path / "empty.zarr").mkdir()
    zarr.create_group(tmp_path / "v2.zarr", zarr_format=2)
    zarr.create_group(tmp_path / "nothing.zarr", zarr_format=3)
    run = zarr.create_group(tmp_path / "run.zarr", zarr_format=3)
    run.create_array("gram", data=np.ones((2, 3, 3)))
    run.attrs["semrsm"] = {"format": "semrsm.run.gram/1"}
    (tmp_path / "torn.zarr").mkdir()
    (tmp_path / "torn.zarr" / "zarr.json").write_text('{"zarr_format": 3,')
    for name, message in (
        ("empty", "expected a Zarr v3 group or array"),
        ("v2", "expected a Zarr v3 group or array"),
        ("nothing", "expected feature maps"),
        ("run", r"holds 'semrsm\.run\.gram/1'"),
        ("torn", "expected a Zarr v3 group or array"),
    ):
        with pytest.raises(InputError, match=rf"{name}\.zarr.*{message}"):
            semrsm.load_features(tmp_path / f"{name}.zarr")
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_features(tmp_path / "no.zarr")


def test_a_flipped_bit_of_a_description_is_refused_or_changes_no_number(tmp_path):
    """Descriptions are plain JSON without a checksum: a name or a shape may be another one then.

    The numbers have a checksum for each chunk: those of a layer in its own shape are what they
    were, cannot be read, or are NaN, which every later step refuses.
    """
    extract(Network(), Photos(3), tmp_path / "f.zarr")
    saved = {
        values.shape: values[:] for values in semrsm.load_features(tmp_path / "f.zarr").values()
    }
    rng = np.random.default_rng(0)
    for path in (tmp_path / "f.zarr/zarr.json", tmp_path / "f.zarr/stem/zarr.json"):
        whole = path.read_bytes()
        refused = 0
        for place in rng.integers(0, len(whole), 100):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            try:
                found = semrsm.load_features(tmp_path / "f.zarr")
            except InputError:
                refused += 1
                continue
            for values in found.values():
                try:
                    numbers = values[:]
                except (ValueError, ZeroDivisionError):  # of Zarr: not what the chunks hold
                    continue
                if path.parent.name == "stem" and numbers.shape not in saved:
                    continue
                assert np.isnan(numbers).all() or np.array_equal(numbers, saved[numbers.shape])
        path.write_bytes(whole)
        assert refused > 10


def test_every_flipped_bit_of_a_chunk_is_found(tmp_path):
    extract(Network(), Photos(3), tmp_path / "f.zarr")
    chunk = tmp_path / "f.zarr/stem/c/0/0/0/0"
    whole = chunk.read_bytes()
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 50):  # its checksum at the end among them
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        chunk.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum"):
            semrsm.load_features(tmp_path / "f.zarr")["stem"][:]
