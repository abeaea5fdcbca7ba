"""Features: what they are made of, what they give."""

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features import Features, record


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


def test_a_layer_is_measured_once(features, monkeypatch):
    measured = []
    real = record.measure
    monkeypatch.setattr(record, "measure", lambda *a, **o: measured.append(a[1]) or real(*a, **o))
    tokens = features.tokens("z/conv")
    assert features.tokens("z/conv") is tokens
    assert features.select("z/*").tokens("z/conv") is tokens
    assert measured == ["features['z/conv']"]
    np.testing.assert_array_equal(
        semrsm.gram(tokens).values, semrsm.gram(features["z/conv"]).values
    )


def test_tokens_have_the_grid_of_their_layer(features):
    assert features.tokens("z/conv").grid == (2, 2)
    assert features.tokens("file").grid == (1, 5)
    assert features.tokens("allow_pickle").grid is None
    wrong = Features({"a": np.ones((2, 6, 3))}, provenance={"grids": {"a": [4, 4]}})
    assert wrong.tokens("a").grid is None


def test_tokens_refuse(features):
    with pytest.raises(KeyError, match="no layer 'z'"):
        features.tokens("z")
    bad = Features({"a": np.full((2, 6, 3), np.nan)})
    with pytest.raises(InputError, match=r"^features\['a'\]: expected finite values; got NaN"):
        bad.tokens("a")
