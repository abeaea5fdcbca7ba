"""A loader of one file, registered in process, goes through every door."""

import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.features import Model, loading, register_loader
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="the networks need torch")


def load(spec, rest, size):
    """A convolution with as many channels as `rest` says."""
    if not rest.isdigit():
        raise InputError(f"model: expected channels after 'toy:'; got {spec!r}")
    torch.manual_seed(0)
    side = (16, 24) if size is None else size
    return Model(
        name=spec,
        module=torch.nn.Sequential(torch.nn.Conv2d(3, int(rest), 4, stride=4), torch.nn.ReLU()),
        preprocess=Preprocess(side, side, (127.0,) * 3, (128.0,) * 3),
        layers=("0", "1"),
        provenance={"toy": int(rest)},
    )


@pytest.fixture(autouse=True)
def registered():
    register_loader("toy", load, form="toy:CHANNELS")
    yield
    del loading.LOADERS["toy"]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), dtype=np.uint8)
    for n, each in enumerate(pixels):
        Image.fromarray(each).save(folder / f"{n}.png")
    return folder


def test_the_library_loads_it(photos):
    model = semrsm.load_model("toy:8", size=(8, 12))
    assert model.grids() == {"0": (2, 3), "1": (2, 3)}
    found = semrsm.extract("toy:8", photos, layers="1")
    assert found["1"].shape == (3, 8, 4, 6)
    assert (found.provenance["model"], found.provenance["toy"]) == ("toy:8", 8)
    assert found.tokens("1").grid == (4, 6)


def test_errors_name_it(photos):
    with pytest.raises(InputError, match="expected channels after 'toy:'; got 'toy:many'"):
        semrsm.load_model("toy:many")
    with pytest.raises(InputError, match="expected a name after 'toy:'; got 'toy:'"):
        semrsm.load_model("toy:")
    with pytest.raises(InputError, match=r"Did you mean 'toyy?:8'\?.*, toy:CHANNELS; or an exist"):
        semrsm.load_model("tooy:8")


def test_the_command_takes_it(photos, tmp_path, capsys):
    stored = tmp_path / "features.zarr"
    assert main(["extract", str(photos), "--model", "toy:8", "--out", str(stored)]) == 0
    expected = semrsm.extract("toy:8", photos)
    found = semrsm.load_features(stored)
    for layer in expected:
        np.testing.assert_array_equal(found[layer][:], expected[layer])
    capsys.readouterr()
    assert main(["info", str(stored), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["provenance"]["toy"] == 8
    assert main(["info", "--json"]) == 0
    assert "toy:CHANNELS" in json.loads(capsys.readouterr().out)["networks"]
    out = tmp_path / "results"
    assert main(["rsm", str(photos), "--model", "toy:4", "--out", str(out), "--no-figures"]) == 0


@pytest.mark.parametrize("scheme", ["", "a b", "a:b", "-toy", 3, None])
def test_schemes_that_no_name_can_begin_with(scheme):
    with pytest.raises(InputError, match="scheme: expected a word of letters, digits"):
        register_loader(scheme, load)


def test_a_loader_can_be_called():
    with pytest.raises(InputError, match=r"load: expected a function of \(spec, rest, size\)"):
        register_loader("toy", "load")
