"""A store of another extraction is refused, and so is a path that no store can have."""

import numpy as np
import pytest

from features.store.store_helpers import (
    Network,
    Photos,
    begun,
    extract,
    files,
    preprocess,
    same,
    torch,
    zarr,
)
from semrsm.errors import InputError
from semrsm.features import Features


def other_weights():
    network = Network()
    with torch.no_grad():
        network.head.bias[0] += 1
    return network


class Renamed(Network):
    pass


def darker(image):
    return preprocess(image) / 2


def renamed(count):
    photos = Photos(count)
    photos.ids[7] = "other.jpg"
    return photos


OTHERS = {
    "model": (lambda: (Renamed(), Photos(14), {}), "model: 'Network', now 'Renamed'"),
    "weights": (lambda: (other_weights(), Photos(14), {}), "other weights"),
    "layers": (
        lambda: (Network(), Photos(14), {"layers": "stem"}),
        r"layers: \['stem', 'body'\], now \['stem'\]",
    ),
    "dtype": (
        lambda: (Network(), Photos(14), {"dtype": "float16"}),
        "dtype: 'float32', now 'float16'",
    ),
    "prefix": (
        lambda: (Network(), Photos(14), {"prefix_tokens": 0}),
        "prefix tokens: 'auto', now 0",
    ),
    "preprocess": (
        lambda: (Network(), Photos(14), {"preprocess": darker}),
        "preprocess: '<function preprocess>', now '<function darker>'",
    ),
    "count": (lambda: (Network(), Photos(15), {}), "images: 14, now 15"),
    "ids": (lambda: (Network(), renamed(14), {}), "images: image 7 is 'photo 7.jpg', now 'other"),
    "pixels": (lambda: (Network(), Photos(14, seed=1), {}), "images: the pixels of 'photo 0.jpg'"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("complete", [False, True])
def test_refuses_another_extraction(tmp_path, kind, complete):
    out = tmp_path / "f.zarr"
    if complete:
        extract(Network(), Photos(14), out)
    else:
        begun(out)
    make, message = OTHERS[kind]
    network, photos, options = make()
    before = files(out)
    with pytest.raises(
        InputError, match=rf"^out: .*f\.zarr' holds the features of another .*\({message}.*; overw"
    ):
        extract(network, photos, out, **options)
    assert network.images == 0
    after = files(out)
    after.pop(".lock", None)
    before.pop(".lock", None)
    assert after == before
    same(
        extract(network, photos, out, overwrite=True, **options),
        extract(network, photos, **options),
    )
    assert [p.name for p in tmp_path.iterdir()] == ["f.zarr"]


def test_another_version_matters_only_while_there_is_work(tmp_path, monkeypatch):
    begun(tmp_path / "half.zarr")
    extract(Network(), Photos(14), tmp_path / "whole.zarr")
    monkeypatch.setattr(torch, "__version__", "9.9")
    with pytest.raises(InputError, match=r"torch: '.*', now '9\.9'"):
        extract(Network(), Photos(14), tmp_path / "half.zarr")
    extract(Network(), Photos(14), tmp_path / "whole.zarr")


def test_refuses_paths(tmp_path):
    (tmp_path / "file.zarr").write_text("")
    (tmp_path / "full.zarr").mkdir()
    (tmp_path / "full.zarr" / "notes.txt").write_text("")
    zarr.create_group(tmp_path / "foreign.zarr").create_array("a", shape=(3,), dtype="f4")
    Features({"a": np.ones((2, 3, 4))}).save(tmp_path / "saved.zarr")
    for name, message in (
        ("f.npz", r"^out: expected a name that ends in \.zarr; got"),
        ("no/f.zarr", "^out: expected a folder inside an existing one"),
        ("file.zarr", r"^out: expected a folder; .* is a file"),
        ("full.zarr", "^out: expected a new or empty folder, or a feature store; .*something else"),
        ("foreign.zarr", "^out: expected a new or empty folder, or a feature store"),
        ("saved.zarr", r"^out: .*another extraction \(it was saved, not extracted\)"),
    ):
        network = Network()
        for overwrite in (False, True):
            if name == "saved.zarr" and overwrite:
                continue
            with pytest.raises(InputError, match=message):
                extract(network, Photos(3), tmp_path / name, overwrite=overwrite)
        assert network.images == 0
    with pytest.raises(InputError, match="^out: expected a path; got int"):
        extract(Network(), Photos(3), 7)
    (tmp_path / "empty.zarr").mkdir()
    same(extract(Network(), Photos(3), tmp_path / "empty.zarr"), extract(Network(), Photos(3)))
