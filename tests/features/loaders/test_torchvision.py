"""torchvision's networks with random weights from a file."""

from __future__ import annotations

import urllib.error

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError, MissingDependencyError

torch = pytest.importorskip("torch", reason="the networks need torch")
torchvision = pytest.importorskip("torchvision", reason="the extra 'torchvision' is not there")


def photos(count=2, size=(150, 190)):
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize(size, 3) for pixels in small]


@pytest.mark.parametrize(
    ("name", "grids"),
    [
        ("resnet18", [56, 28, 14, 7]),
        ("swin_t", [56, 28, 14, 7]),
        ("squeezenet1_1", [111, 27, 13, 13]),
    ],
)
def test_family(name, grids, tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = semrsm.load_model(f"torchvision:{name}@{tmp_path / 'w.pth'}")
    features = semrsm.extract(model, photos())
    found = features.provenance["grids"]
    assert [found[layer] for layer in model.layers][-1] == (grids[-1], grids[-1])
    assert all(a[0] >= b[0] for a, b in zip(found.values(), list(found.values())[1:], strict=False))
    if name in ("resnet18", "swin_t"):
        assert [found[layer][0] for layer in model.layers] == grids
    if name == "vit_b_32":
        with pytest.raises(InputError, match="takes 224x224 only"):
            semrsm.load_model(f"torchvision:{name}@{tmp_path / 'w.pth'}", size=256)
    if name == "swin_t":  # channels come first: (N, 768, 7, 7)
        assert features[model.layers[-1]].shape[1] == 768
    batch = torch.from_numpy(np.stack([model.preprocess(image) for image in photos()]))
    with torch.inference_mode():
        np.testing.assert_allclose(features.logits, network(batch), rtol=1e-3, atol=1e-4)


def test_vision_transformers(tmp_path, monkeypatch):
    def small(name, weights, num_classes=1000):
        assert (name, weights) == ("vit_b_32", None)
        sizes = {"num_heads": 2, "hidden_dim": 16, "mlp_dim": 32, "num_classes": num_classes}
        return torchvision.models.VisionTransformer(224, 32, num_layers=8, **sizes)

    torch.manual_seed(0)
    torch.save(small("vit_b_32", None, 5).state_dict(), tmp_path / "w.pth")
    monkeypatch.setattr(torchvision.models, "get_model", small)
    model = semrsm.load_model(f"torchvision:vit_b_32@{tmp_path / 'w.pth'}")
    assert model.layers == tuple(f"encoder.layers.encoder_layer_{i}" for i in (1, 3, 5, 7))
    features = semrsm.extract(model, photos())
    assert {a.shape for a in features.values()} == {(2, 49, 16)}
    assert set(features.provenance["grids"].values()) == {(7, 7)}
    assert features.logits.shape == (2, 5)
    with pytest.raises(InputError, match="takes 224x224 only"):
        semrsm.load_model(f"torchvision:vit_b_32@{tmp_path / 'w.pth'}", size=256)


def test_values_and_preprocessing(tmp_path):
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None, num_classes=4).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    model = semrsm.load_model(f"torchvision:resnet18@{tmp_path / 'w.pth'}")
    preset = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    (image,) = photos(1, (290, 260))
    expected = preset(image)
    np.testing.assert_allclose(model.preprocess(image), expected, atol=1e-4)
    with torch.inference_mode():
        x = network.maxpool(network.relu(network.bn1(network.conv1(expected[None]))))
        x = network.layer2(network.layer1(x))
    features = semrsm.extract(model, [image], layers="layer2")
    np.testing.assert_allclose(features["layer2"], x, rtol=1e-3, atol=1e-3)
    assert features.logits.shape == (1, 4)


@pytest.mark.parametrize("name", ["squeezenet1_1", "regnet_y_400mf", "lraspp_mobilenet_v3_large"])
def test_heads_of_other_classes_and_other_names_of_files(name, tmp_path):
    """The keys of safetensors files are sorted: the head is not the last."""
    save_model = pytest.importorskip("safetensors.torch").save_model
    options = {"weights_backbone": None} if name.startswith("lraspp") else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=7, **options).eval()
    save_model(network, str(tmp_path / "w.safetensors"))
    model = semrsm.load_model(f"torchvision:{name}@{tmp_path / 'w.safetensors'}", size=96)
    state, expected = model.module.state_dict(), network.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert model.layers
    assert model.has_classes is not name.startswith("lraspp")


def test_other_sizes(tmp_path):
    torch.save(torchvision.models.resnet18(weights=None).state_dict(), tmp_path / "r.pth")
    model = semrsm.load_model(f"torchvision:resnet18@{tmp_path / 'r.pth'}", size=(128, 256))
    assert model.grids("layer4") == {"layer4": (4, 8)}


def test_unknown_names_and_weights_out_of_reach(monkeypatch):
    with pytest.raises(
        InputError,
        match=r"no network of classification or segmentation 'resnet19'\. Did you mean 'resnet18",
    ):
        semrsm.load_model("torchvision:resnet19")

    def fail(*_arguments, **_options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"could not be loaded .* 'torchvision:resnet18@FILE'"):
        semrsm.load_model("torchvision:resnet18")


def test_a_torchvision_for_another_torch_is_named(monkeypatch):
    from semrsm.features.loaders import weights

    def fail(*_arguments, **_options):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(weights, "require", fail)
    with pytest.raises(MissingDependencyError, match="built for the installed torch"):
        semrsm.load_model("torchvision:resnet18")
