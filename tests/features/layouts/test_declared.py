"""How outputs are read: prefix tokens, nested outputs, channels last, grids."""

import numpy as np
import pytest

import semrsm
from features.networks import Tokens, images
from semrsm.errors import InputError
from semrsm.features.layouts import token_grid

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


@pytest.mark.parametrize(("tokens", "dropped"), [(16, 0), (17, 1), (21, 5), (257, 1), (261, 5)])
def test_prefix_tokens_are_inferred_from_a_square_grid(tokens, dropped):
    found = semrsm.extract(Tokens(tokens), images(2), layers="body")
    assert found["body"].shape == (2, tokens - dropped, 3)
    difference = found["body"][0, 0, 0] - images(2)[0].mean()
    assert difference == pytest.approx(dropped, abs=1e-5)


def test_prefix_tokens_are_taken_from_the_network_or_the_caller():
    network = Tokens(20, prefix=8)
    assert semrsm.extract(network, images(1), layers="body")["body"].shape == (1, 12, 3)
    for given, kept in ((3, 17), ("keep", 20), (0, 20)):
        found = semrsm.extract(network, images(1), layers="body", prefix_tokens=given)
        assert found["body"].shape == (1, kept, 3)


def test_nested_outputs_give_their_first_spatial_tensor():
    class Nested(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = Inner()

        def forward(self, x):
            return self.body(x)["maps"][1]

    class Inner(nn.Module):
        def forward(self, x):
            return {"pooled": x.mean((2, 3)), "maps": (None, x * 2)}

    found = semrsm.extract(Nested(), images(2), layers="body")
    np.testing.assert_array_equal(found["body"], images(2) * 2)


def test_parts_that_work_on_pieces_of_images_are_refused():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Identity()

        def forward(self, x):
            return self.body(x.repeat(4, 1, 1, 1))[: len(x)]

    message = r"^layers: 'body' gives \(20, 3, 11, 11\) for 5 images; expected the images first"
    with pytest.raises(InputError, match=message):
        semrsm.extract(Windows(), images(), layers="body", check=False)
    message = r"^layers: 'body' gives \(4, 3, 11, 11\) for one image and \(8, 3, 11, 11\) for two"
    with pytest.raises(InputError, match=message):
        semrsm.extract(Windows(), images(), layers="body")


def test_layers_that_do_not_keep_images_apart_are_refused():
    class Pieces(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Identity()

        def forward(self, x):
            return self.inner(x.reshape(-1, 3, 4, 4)).mean()

    with pytest.raises(InputError, match="expected an axis that counts the images"):
        semrsm.extract(Pieces(), torch.rand(2, 3, 8, 8), layers="inner")


def test_grids_of_tokens_follow_the_proportions_of_the_input():
    wide = np.zeros((1, 3, 20, 40), np.float32)
    found = semrsm.extract(Tokens(8), wide, layers="body", prefix_tokens=0)
    assert found.provenance["grids"] == {"body": (2, 4)}
    found = semrsm.extract(Tokens(7), wide, layers="body", prefix_tokens=0)
    assert found.provenance["grids"] == {}


def test_token_grids():
    assert token_grid(256, 224, 224) == (16, 16)
    assert token_grid(16 * 24, 224, 336) == (16, 24)
    assert token_grid(7 * 7, 112, 112) == (7, 7)
    assert token_grid(37 * 15, 520, 211) == (37, 15)  # patches of 14 leave pixels over
    for tokens in (30, 197, 257, 20):  # 5 x 6 is no grid of a square
        assert token_grid(tokens, 224, 224) is None
