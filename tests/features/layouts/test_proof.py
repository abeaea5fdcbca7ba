"""Proofs: outputs that are arranged by hand are read back, and nothing else passes for proven."""

import json

import numpy as np
import pytest

import semrsm
from semrsm.errors import InputError
from semrsm.features.layouts import Layout, Reading, token_grid
from semrsm.features.layouts.reading import places_of

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


class Arranged(nn.Module):
    """Patches of 8 pixels, mixed a little with their neighbours, in an order of the test's own."""

    def __init__(self, arrange, channels=6, mixing=0.3):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, channels, 8, stride=8)
        self.around = nn.Conv2d(channels, channels, 3, padding=1)
        self.body = nn.Identity()
        self.mixing = mixing
        self.arrange = arrange

    def forward(self, x):
        maps = self.patches(x)
        maps = maps + self.mixing * self.around(maps) + 0.1 * maps.mean((2, 3), keepdim=True)
        return self.body(self.arrange(maps))


def tokens(maps):
    return maps.flatten(2).transpose(1, 2)


def surrounded(before, after):
    """Tokens that stand for the whole image, before and after those of the patches."""

    def arrange(maps):
        mean = maps.mean((2, 3))[:, None]
        return torch.cat([mean.repeat(1, before, 1), tokens(maps), mean.repeat(1, after, 1)], 1)

    return arrange


def windows(maps, side):
    n, c, h, w = maps.shape
    parts = maps.reshape(n, c, h // side, side, w // side, side)
    return parts.permute(0, 2, 4, 3, 5, 1).reshape(n, h * w, c)


def corners(maps, times):
    """The order of Hiera: all first corners of cells, all second ones, and so on."""
    parts = [maps]
    for _ in range(times):
        parts = [p[:, :, i::2, j::2] for p in parts for i in (0, 1) for j in (0, 1)]
    return torch.cat([tokens(part) for part in parts], 1)


ARRANGED = {
    "maps": lambda m: m,
    "channels last": lambda m: m.permute(0, 2, 3, 1),
    "columns first": lambda m: m.permute(0, 1, 3, 2),
    "tokens": tokens,
    "a class token": surrounded(1, 0),
    "registers": surrounded(5, 0),
    "detection tokens": surrounded(1, 10),
    "a class token at the end": surrounded(0, 1),
    "two and three": surrounded(2, 3),
    "channels before tokens": lambda m: m.flatten(2),
    "images second": lambda m: tokens(m).transpose(0, 1),
    "images second, class token": lambda m: surrounded(1, 0)(m).transpose(0, 1),
    "by columns": lambda m: tokens(m.transpose(2, 3)),
    "windows of 2": lambda m: windows(m, 2),
    "windows of 4": lambda m: windows(m, 4),
    "corners": lambda m: corners(m, 1),
    "corners of corners": lambda m: corners(m, 2),
}


@pytest.mark.parametrize("size", [(64, 64), (64, 128), (128, 64)], ids=str)
@pytest.mark.parametrize("arranged", ARRANGED)
def test_every_arrangement_is_found(arranged, size):
    network = Arranged(ARRANGED[arranged])
    images = torch.rand(3, 3, *size)
    found = semrsm.extract(network, images, layers=["around", "body"])
    layout = found.layouts["body"]
    assert layout.known == "proven", layout
    expected = Arranged(lambda m: m)(images).detach().numpy()
    values = found["body"]
    if values.ndim == 3:
        values = values.transpose(0, 2, 1).reshape(expected.shape)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    assert found.grids["body"] == (size[0] // 8, size[1] // 8)


def test_as_many_images_as_tokens():
    """The batch is found by its length, and not by its place."""
    images = torch.rand(64, 3, 64, 64)
    found = semrsm.extract(Arranged(ARRANGED["images second"]), images, layers="body")
    expected = Arranged(tokens)(images).detach().numpy()
    np.testing.assert_allclose(found["body"], expected, rtol=1e-5, atol=1e-6)


def test_a_declaration_that_is_wrong_stops_the_extraction():
    network = Arranged(surrounded(1, 0))
    images = torch.rand(2, 3, 64, 64)
    message = (
        r"^layers: 'body' is declared as tokens NTC, 5 before .*\(prefix_tokens says so\), and "
        r"patches that change in the input prove tokens NTC, 1 before and 0 after the patches, 8 x"
    )
    with pytest.raises(InputError, match=message):
        semrsm.extract(network, images, layers="body", prefix_tokens=5)
    asked = semrsm.extract(network, images, layers="body", prefix_tokens=5, check=False)
    assert asked["body"].shape == (2, 60, 6)
    assert str(asked.layouts["body"]).endswith("not proven: not checked, as asked)")
    assert asked.provenance["check"] is False


def test_the_network_is_asked_only_where_its_number_fits():
    """A class token that joins late: 64 tokens at first, 65 at the end, and one number for all."""

    class Late(Arranged):
        num_prefix_tokens = 1

        def __init__(self):
            super().__init__(tokens)
            self.end = nn.Identity()

        def forward(self, x):
            early = super().forward(x)
            return self.end(torch.cat([early.mean(1, keepdim=True), early], 1))

    images = torch.rand(2, 3, 64, 64)
    for check in (True, False):
        found = semrsm.extract(Late(), images, layers=["body", "end"], check=check)
        assert found["body"].shape == found["end"].shape == (2, 64, 6)
        np.testing.assert_array_equal(found["body"], found["end"])


def test_outputs_without_places_are_only_declared():
    class Global(Arranged):
        def forward(self, x):
            maps = super().forward(x)
            return maps + 0  # the body is what is extracted

    network = Global(lambda m: m.mean((2, 3), keepdim=True).expand(-1, -1, 8, 8))
    layout = semrsm.extract(network, torch.rand(2, 3, 64, 64), layers="body").layouts["body"]
    assert (layout.known, layout.reading.axes) == ("declared", "NCHW")
    assert "not proven: " in layout.reason


SHUFFLED = {
    "shuffled": torch.randperm(64, generator=torch.Generator().manual_seed(0)),
    "reversed": torch.arange(64).flip(0),
}


@pytest.mark.parametrize("kind", SHUFFLED)
def test_tokens_in_an_unknown_order_have_no_grid(kind):
    network = Arranged(lambda m: tokens(m)[:, SHUFFLED[kind]])
    found = semrsm.extract(network, torch.rand(2, 3, 64, 64), layers="body")
    layout = found.layouts["body"]
    assert layout.known == "declared"
    assert found.grids == {}
    assert found["body"].shape == (2, 64, 6)


@pytest.mark.parametrize("turn", [lambda m: m.flip(2), lambda m: m.flip(3), lambda m: m.roll(3, 3)])
def test_maps_that_are_turned_are_refused(turn):
    with pytest.raises(
        InputError, match="^layers: 'body' gives maps .* that are not laid out as the"
    ):
        semrsm.extract(Arranged(turn), torch.rand(2, 3, 64, 64), layers="body")


def test_many_tokens_on_both_sides():
    found = semrsm.extract(Arranged(surrounded(12, 5)), torch.rand(2, 3, 64, 64), layers="body")
    reading = found.layouts["body"].reading
    assert (found.layouts["body"].known, reading.prefix, reading.suffix) == ("proven", 12, 5)


def test_what_was_made_in_inference_mode():
    with torch.inference_mode():
        network = Arranged(tokens)
    found = semrsm.extract(network, torch.rand(2, 3, 64, 64), layers="body")
    assert found.layouts["body"].known == "proven"


@pytest.mark.parametrize("count", [3, 16])
def test_images_second_without_a_proof(count):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 16, 16)
            self.encoder = nn.TransformerEncoder(
                nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False
            )

        def forward(self, x):
            return self.encoder(self.patches(x).flatten(2).permute(2, 0, 1))

    torch.manual_seed(0)
    network, images = Encoder().eval(), torch.rand(count, 3, 64, 64)
    expected = network(images).detach().numpy().transpose(1, 0, 2)
    for check in (True, False):
        found = semrsm.extract(network, images, layers="encoder", check=check)
        np.testing.assert_allclose(found["encoder"], expected, rtol=1e-4, atol=1e-5)


def test_networks_that_are_random_or_mix_images_are_refused():
    images = torch.rand(2, 3, 64, 64)
    random = Arranged(lambda m: m + torch.rand_like(m))
    with pytest.raises(InputError, match="^model: layer 'body' gives other values when the same"):
        semrsm.extract(random, images, layers="body")
    masked = Arranged(lambda m: tokens(m)[:, torch.randperm(64)[:16]])
    with pytest.raises(InputError, match="^model: layer 'body' gives other values when the same"):
        semrsm.extract(masked, images, layers="body")
    mixing = Arranged(lambda m: m - m.mean(0, keepdim=True))
    with pytest.raises(InputError, match="^model: layer 'body' gives an image other values in a b"):
        semrsm.extract(mixing, images, layers="body")


def test_several_outputs_have_addresses():
    network = Arranged(lambda m: [m, nn.functional.avg_pool2d(m, 2)])
    images = torch.rand(2, 3, 64, 64)
    message = r"^layers: 'body' has 2 outputs; .* body:0 .*\(1, 6, 8, 8\), body:1 \(1, 6, 4, 4\)"
    with pytest.raises(InputError, match=message):
        semrsm.extract(network, images, layers="body")
    found = semrsm.extract(network, images, layers=["body:1", "around", "body:0"])
    assert {k: v.shape[1:] for k, v in found.items()} == {
        "around": (6, 8, 8), "body:1": (6, 4, 4), "body:0": (6, 8, 8)
    }  # fmt: skip
    pooled = nn.functional.avg_pool2d(torch.from_numpy(found["body:0"]), 2)
    np.testing.assert_allclose(found["body:1"], pooled, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match=r"^layers: 'body' has no spatial output '7'; there are b"):
        semrsm.extract(network, images, layers="body:7")
    with pytest.raises(InputError, match="^layers: 'boddy:0' fits no layer. Did you mean 'body'"):
        semrsm.extract(network, images, layers="boddy:0")


def test_attention_weights_beside_the_tokens_are_no_second_output():
    network = Arranged(lambda m: (tokens(m), torch.zeros(len(m), 2, 64, 64)))
    found = semrsm.extract(network, torch.rand(2, 3, 64, 64), layers="body")
    assert found["body"].shape == (2, 64, 6)


def test_layouts_are_kept_in_files(tmp_path):
    pytest.importorskip("zarr")
    images = torch.rand(2, 3, 64, 64)
    network = Arranged(surrounded(1, 10))
    found = semrsm.extract(network, images, layers=["around", "body"], out=tmp_path / "a.zarr")
    assert {k: v.known for k, v in found.layouts.items()} == dict.fromkeys(found, "proven")
    for kind in (".npz", ".safetensors", ".zarr"):
        path = found.save(tmp_path / f"copy{kind}")
        assert semrsm.load_features(path).layouts == found.layouts
    assert found.select("body").layouts.keys() == {"body"}


def test_proofs_are_made_once():
    seen = []
    network = Arranged(tokens)
    network.patches.register_forward_hook(lambda m, i, o: seen.append(len(o)))
    images = torch.rand(2, 3, 64, 64)
    for _ in range(2):
        semrsm.extract(network, images, layers="body")
    assert sum(seen) == 20 + 2 + 2
    semrsm.extract(network, images, layers="around")  # other layers
    semrsm.extract(network, torch.rand(2, 3, 64, 128), layers="body")  # another size
    with torch.no_grad():
        network.around.weight *= 2  # other weights
    semrsm.extract(network, images, layers="body")
    assert sum(seen) == 24 + 3 * 22


def test_layouts_are_plain_values():
    layout = Layout(Reading("NTC", 1, 10, "windows:2x2", (8, 8)), "declared", "because")
    assert Layout.from_dict(json.loads(json.dumps(layout.to_dict()))) == layout
    assert str(layout) == (
        "declared: tokens NTC, 1 before and 10 after the patches, 8 x 8 in the order windows:2x2 "
        "(because)"
    )
    with pytest.raises(ValueError, match="axes"):
        Layout.from_dict({**layout.to_dict(), "axes": "XYZ"})


@pytest.mark.parametrize("order", ["rows", "columns", "windows:2x2", "windows:4x2", "units:2"])
def test_orders_are_permutations(order):
    assert sorted(places_of(order, (8, 12))) == list(range(96))


def test_a_grid_in_the_proportions_of_the_input():
    assert token_grid(50, 224, 224) is None
    assert token_grid(49, 224, 224) == (7, 7)
