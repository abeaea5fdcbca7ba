"""Layers of networks whose names nobody knows: listed, and the last one at each grid size taken."""

import json

import numpy as np
import pytest

import semrsm
from semrsm.cli import main
from semrsm.errors import InputError
from semrsm.features import Model, register_loader
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


class Pyramid(nn.Module):
    """Two sizes of maps, attention weights, a part that runs twice, and pooled scores."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.ReLU())
        self.down = nn.Conv2d(6, 8, 2, stride=2)
        self.weights = nn.Softmax(-1)
        self.shared = nn.ReLU()
        self.late = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        maps = self.shared(self.down(self.shared(self.stem(x))))
        tokens = maps.flatten(2).transpose(1, 2)
        weights = self.weights((tokens @ tokens.transpose(1, 2))[:, None])
        tokens = tokens + 0.1 * (weights[:, 0] @ tokens)
        return self.head(self.late(tokens.transpose(1, 2).reshape(maps.shape)).mean((2, 3)))


def test_every_spatial_layer_is_listed():
    found = semrsm.layers(Pyramid(), size=64)
    rows = {layer.name: (layer.channels, layer.grid, layer.stride) for layer in found}
    assert rows.pop("weights", None) in (None, (1, (64, 64), (1.0, 1.0)))
    assert rows == {
        "stem.0": (6, (16, 16), (4.0, 4.0)),
        "stem.1": (6, (16, 16), (4.0, 4.0)),
        "stem": (6, (16, 16), (4.0, 4.0)),
        "down": (8, (8, 8), (8.0, 8.0)),
        "late": (8, (8, 8), (8.0, 8.0)),
    }
    known = {layer.name: layer.layout.known for layer in found}
    assert known.pop("weights", "declared") == "declared"
    assert set(known.values()) == {"proven"}
    unchecked = semrsm.layers(Pyramid(), size=(64, 96), check=False)
    assert {layer.layout.known for layer in unchecked} == {"declared"}
    assert unchecked[0].grid == (16, 24)


def test_the_last_layer_at_each_grid_is_taken_by_default():
    images = torch.rand(3, 3, 64, 64)
    found = semrsm.extract(Pyramid(), images)
    assert {name: found.grids[name] for name in found} == {"stem": (16, 16), "late": (8, 8)}
    np.testing.assert_array_equal(
        found["late"], semrsm.extract(Pyramid(), images, layers="late")["late"]
    )


def test_a_model_without_recommended_layers(tmp_path, capsys):
    def load(spec, rest, size):
        preprocess = Preprocess(64, 64, (0, 0, 0), (255, 255, 255))
        return Model(spec, Pyramid(), preprocess, layers=())

    register_loader("pyramid", load)
    assert semrsm.load_model("pyramid:x").layers == ("stem", "late")
    assert main(["layers", "pyramid:x", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in told["layers"] if row["recommended"]} == {"stem", "late"}
    assert main(["layers", "pyramid:x", "--no-check"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["name", "channels", "grid", "stride"]
    assert any(line.split()[:4] == ["late", "8", "8x8", "8x8"] for line in lines)


def test_a_network_without_places_says_so():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    with pytest.raises(InputError, match="^layers: expected a network with spatial layers; none"):
        semrsm.extract(network, torch.rand(2, 3, 8, 8))
    assert semrsm.layers(network, size=8) == []
    with pytest.raises(InputError, match="^model: expected a name, a Model or a torch"):
        semrsm.layers(3)
    with pytest.raises(InputError, match="^size: expected pixels"):
        semrsm.layers(network, size="big")


def test_random_networks_are_refused():
    class Random(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return self.body(x + torch.rand_like(x))

    with pytest.raises(InputError, match="^model: layer 'body' gives other values"):
        semrsm.extract(Random(), torch.rand(2, 3, 16, 16))
