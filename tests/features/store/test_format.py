"""What a store looks like to others, and the names and records in it."""

import warnings

import numpy as np
import pytest

import semrsm
from features.store.store_helpers import Network, Photos, begun, extract, same, zarr
from semrsm.features import Features, store


def test_others_can_open_it(tmp_path):
    """It is plain Zarr v3: no warning about foreign files, and a checksum over each chunk."""
    extract(Network(), Photos(5), tmp_path / "f.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(tmp_path / "f.zarr", mode="r")
        assert sorted(group.keys()) == ["body", "logits", "stem"]
    facts = group.attrs["semrsm"]
    assert facts["format"] == "semrsm.features/1"
    assert facts["ids"] == list(Photos(5).ids)
    assert facts["provenance"]["model"] == "Network"
    assert [type(c).__name__ for c in group["stem"].compressors] == ["Crc32cCodec"]


def test_names_of_layers_that_are_no_names_of_files(tmp_path):
    rng = np.random.default_rng(0)
    names = ["/up/conv", "a", "A", "a/b", "..", "__x", "logits", "zarr.json", "c", "ü" * 90, "a~2"]
    layers = {name: rng.normal(size=(3, 2, 2)).astype(np.float32) for name in names}
    path = Features(layers, logits=np.eye(3, dtype=np.float32)).save(tmp_path / "f.zarr")
    found = semrsm.load_features(path)
    assert list(found) == names
    for name in names:
        np.testing.assert_array_equal(found[name][:], layers[name])
    np.testing.assert_array_equal(found.logits, np.eye(3))
    stored = store.attributes_of(path)["arrays"].values()
    assert len({name.lower() for name in stored}) == len(names)
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]


@pytest.mark.parametrize("text", ["", "{", '{"images": [0]}'])
def test_a_torn_record_records_nothing(tmp_path, text):
    out = tmp_path / "f.zarr"
    begun(out, 13)
    (out / ".progress" / "1.json").write_text(text)
    assert store.progress_of(out) == (4, 14)
    same(extract(Network(), Photos(14), out), extract(Network(), Photos(14)))
