"""``extract``: what it keeps, and what it refuses."""

import numpy as np
import pytest

import semrsm
from features.networks import Counted, Small, Tokens, as_array, images
from semrsm.errors import InputError

torch = pytest.importorskip("torch", reason="features need torch")
nn = torch.nn


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


def test_values_are_those_of_the_network(network):
    x = images()
    found = semrsm.extract(network, x, layers=["stem", "blocks.0"], batch_size=2)
    network.eval()
    with torch.no_grad():
        stem = network.stem(torch.from_numpy(x))
        first = network.blocks[0](stem)
        logits = network(torch.from_numpy(x))
    np.testing.assert_allclose(found["stem"], stem.numpy(), rtol=1e-5, atol=1e-6)
    # The ReLU behind this layer writes in place; what is kept came before it.
    np.testing.assert_allclose(found["blocks.0"], first.numpy(), rtol=1e-5, atol=1e-6)
    assert (found["blocks.0"] < 0).any()
    np.testing.assert_allclose(found.logits, logits.numpy(), rtol=1e-5, atol=1e-6)
    assert found.ids == ("0", "1", "2", "3", "4")
    assert found["stem"].dtype == np.float32


def test_a_last_small_batch_is_not_lost(network):
    whole = semrsm.extract(network, images(7), layers="stem", batch_size=7)
    for size in (1, 3, 4, 100):
        found = semrsm.extract(network, images(7), layers="stem", batch_size=size)
        np.testing.assert_allclose(found["stem"], whole["stem"], rtol=1e-5, atol=1e-6)


def test_progress_counts_images(network):
    seen = []
    semrsm.extract(
        network, images(5), layers="stem", batch_size=2, progress=lambda *p: seen.append(p)
    )
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_float16(network):
    found = semrsm.extract(network, images(), layers="stem", dtype="float16")
    assert found["stem"].dtype == np.float16
    with pytest.raises(InputError, match="^dtype: layer 'stem' leaves the range of float16"):
        semrsm.extract(network, images() * 1e6, layers="stem", dtype="float16")


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 1)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        return self.body(self.body(x))


NAN = images()
NAN[3, 0, 0, 0] = np.nan


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: semrsm.extract(3, images(), layers="a"), "^model: expected a name, a Model or a"),
        (lambda: semrsm.extract("effnet", images(), layers="a"), "^model: "),
        (lambda: semrsm.extract(Small(), images(), layers=[]), "^layers: expected at least one"),
        (
            lambda: semrsm.extract(Small(), images(), layers="block.0"),
            r"^layers: 'block.0' fits no layer. Did you mean 'blocks.0'\? There are stem, blocks",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="head"),
            r"^layers: 'head' has no spatial extent; expected feature maps \(N, C, H, W\) or tok",
        ),
        (
            lambda: semrsm.extract(Twice(), images(), layers="body"),
            "^layers: the network runs 'body' more than once for one image",
        ),
        (
            lambda: semrsm.extract(Twice(), images(), layers="unused"),
            "^layers: 'unused' exists, but the network does not run it",
        ),
        (
            lambda: semrsm.extract(Tokens(23), images(), layers="body"),
            "^prefix_tokens: layer 'body' has 23 tokens, which are no square grid after 0, 1, 5",
        ),
        (
            lambda: semrsm.extract(Tokens(9), images(), layers="body", prefix_tokens=9),
            "^prefix_tokens: layer 'body' has 9 tokens; 9 cannot be dropped",
        ),
        (
            lambda: semrsm.extract(Tokens(9), images(), layers="body", prefix_tokens="some"),
            "^prefix_tokens: expected a number >= 0, 'auto' or 'keep'; got 'some'",
        ),
        (
            lambda: semrsm.extract(Small(), NAN, layers="stem"),
            "^model: layer 'stem' gives NaN or infinite values for image '3'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", batch_size=0),
            "^batch_size: expected a whole number >= 1; got 0",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", dtype="int8"),
            "^dtype: expected 'float32' or 'float16'; got 'int8'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", on_error="pass"),
            "^on_error: expected 'skip' or 'raise'; got 'pass'",
        ),
        (
            lambda: semrsm.extract(Small(), images(), layers="stem", device="warp"),
            "^device: 'warp' cannot be used here",
        ),
        (
            lambda: semrsm.extract(Small(), images(0), layers="stem"),
            "^images: expected uint8 .* with at least one image",
        ),
        (
            lambda: semrsm.extract(Small(), images()[0], layers="stem"),
            r"^images: .*got shape \(3, 11, 11\)",
        ),
        (lambda: semrsm.extract(Small(), [], layers="stem"), "^images: expected at least one im"),
        (lambda: semrsm.extract(Small(), 7, layers="stem"), "^images: expected a folder, paths"),
        (
            lambda: semrsm.extract(Small(), ["a.png"], layers="stem"),
            "^preprocess: expected a function from a PIL image",
        ),
        (
            lambda: semrsm.extract(Small(), "no such folder", layers="stem"),
            "^images: expected a folder of images; 'no such folder' does not exist",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_the_network_is_not_run_ahead_of_a_mistake(network):
    """Names, sizes and options are looked at before any image is."""
    data = Counted()
    for wrong in (
        {"layers": "stems"},
        {"layers": "stem", "batch_size": 0},
        {"layers": "stem", "dtype": "f"},
        {"layers": "stem", "device": "warp"},
        {"layers": "stem", "prefix_tokens": -1},
        {"layers": "stem", "on_error": "ignore"},
    ):
        with pytest.raises(InputError):
            semrsm.extract(network, data, preprocess=as_array, **wrong)
    assert data.read == []


def test_a_cat_is_a_cat():
    """The network in the package sees what is in a photograph (classes 281–285 are cats)."""
    photos = [photo for name, photo in semrsm.datasets.sample_photos() if name == "cat"]
    found = semrsm.extract("efficientnet-lite0", photos, layers=["_blocks.10", "_blocks.15"])
    assert found["_blocks.10"].shape == (1, 112, 14, 14)
    assert found["_blocks.15"].shape == (1, 320, 7, 7)
    assert found.logits.argmax() in range(281, 286)
