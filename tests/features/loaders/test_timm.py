"""timm's networks with random weights, from files and folders, against timm's own features."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError

torch = pytest.importorskip("torch", reason="the networks need torch")
timm = pytest.importorskip("timm", reason="the extra 'timm' is not there")
save_file = pytest.importorskip("safetensors.torch").save_file

# name: input size, prefix tokens, grids of the recommended layers, options of a small version
FAMILIES = {
    "resnet18": (224, 0, [112, 56, 28, 14, 7], {}),
    "resnetv2_50x1_bit": (224, 0, [112, 56, 28, 14, 7], {}),
    "convnextv2_atto": (224, 0, [56, 28, 14, 7], {}),
    "vit_tiny_patch16_224": (224, 1, [14] * 4, {}),
    "vit_small_patch14_reg4_dinov2": (518, 5, [37] * 4, {}),
    "swin_tiny_patch4_window7_224": (224, 0, [56, 28, 14, 7], {}),
}


def photos(count=2, size=(150, 190)):
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize(size, 3) for pixels in small]


def saved(name, path, **options):
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, **options).eval()
    save_file(network.state_dict(), path)
    return network


def intermediates(network, model, images):
    batch = torch.from_numpy(np.stack([model.preprocess(image) for image in images]))
    with torch.inference_mode():
        features = network.forward_intermediates(
            batch, norm=False, output_fmt="NCHW", intermediates_only=True
        )
        return [feature.numpy() for feature in features], network(batch).numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_family(name, tmp_path):
    side, prefix, grids, options = FAMILIES[name]
    network = saved(name, tmp_path / "weights.safetensors", **options)
    model = semrsm.load_model(f"timm:{name}@{tmp_path / 'weights.safetensors'}")
    assert model.name == f"timm:{name}"
    assert model.preprocess.height_and_width == (side, side)
    assert model.prefix_tokens == prefix
    assert model.has_classes == (network.num_classes > 0)
    images = photos(1 if side > 400 else 2)
    features = semrsm.extract(model, images)
    assert list(features.provenance["grids"].values()) == [(n, n) for n in grids]
    expected, output = intermediates(network, model, images)
    by_layer = [info["module"] for info in network.feature_info]
    for layer, array in features.items():
        state = expected[by_layer.index(layer)]
        if array.ndim == 3:
            state = state.reshape(*state.shape[:2], -1).transpose(0, 2, 1)
        np.testing.assert_allclose(array, state, rtol=1e-3, atol=1e-4)
    if model.has_classes:
        np.testing.assert_allclose(features.logits, output, rtol=1e-3, atol=1e-4)
    else:
        assert features.logits is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # timm's own, when it resizes Swin's tables
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"])
def test_non_square_inputs(name, tmp_path):
    saved(name, tmp_path / "w.safetensors")
    model = semrsm.load_model(f"timm:{name}@{tmp_path / 'w.safetensors'}", size=(224, 448))
    assert list(model.grids().values())[-1] == ((14, 28) if "vit" in name else (7, 14))


def test_sam_is_turned(tmp_path):
    name = "samvit_base_patch16_224"
    options = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_attn_indexes": (1,)}
    torch.manual_seed(0)
    network = timm.create_model(name, pretrained=False, **options).eval()
    from semrsm.features.loaders.timm import _finish

    model = _finish("sam", "sam", timm, network, None, {})
    features = semrsm.extract(model, photos(), layers=["blocks.1", "neck"])
    assert features["blocks.1"].shape == (2, 32, 14, 14)
    assert features["neck"].shape[2:] == (14, 14)


def test_a_head_of_another_size_is_read_from_the_weights(tmp_path):
    saved("resnet18", tmp_path / "ten.safetensors", num_classes=10)
    model = semrsm.load_model(f"timm:resnet18@{tmp_path / 'ten.safetensors'}")
    assert semrsm.extract(model, photos()).logits.shape == (2, 10)


def test_a_state_dict_of_torch_is_read_and_a_pickle_refused(tmp_path):
    network = timm.create_model("resnet18", pretrained=False)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "w.pth")
    assert semrsm.load_model(f"timm:resnet18@{tmp_path / 'w.pth'}").has_classes
    torch.save(network, tmp_path / "whole.pth")
    with pytest.raises(InputError, match="cannot be read as a state dict of tensors alone"):
        semrsm.load_model(f"timm:resnet18@{tmp_path / 'whole.pth'}")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds list, no state dict"):
        semrsm.load_model(f"timm:resnet18@{tmp_path / 'list.pth'}")


def test_weights_of_another_network_are_refused(tmp_path):
    saved("convnextv2_atto", tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="the weights do not fit the network of 'timm:resnet18@"):
        semrsm.load_model(f"timm:resnet18@{tmp_path / 'w.safetensors'}")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="is no safetensors file"):
        semrsm.load_model(f"timm:resnet18@{tmp_path / 'bad.safetensors'}")
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_model(f"timm:resnet18@{tmp_path / 'none.safetensors'}")


def test_a_folder_in_the_layout_of_timm(tmp_path):
    network = saved("resnet18", tmp_path / "model.safetensors", num_classes=5)
    config = {
        "architecture": "resnet18",
        "num_classes": 5,
        "pretrained_cfg": {
            "input_size": [3, 160, 160], "crop_pct": 0.8, "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "num_classes": 5,
            "first_conv": "conv1", "classifier": "fc",
        },
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = semrsm.load_model(tmp_path)
    assert (model.preprocess.geometry.size, model.preprocess.geometry.resize) == (160, 200)
    assert model.preprocess.geometry.interpolation == "bilinear"
    np.testing.assert_allclose(model.preprocess.geometry.mean, 127.5, rtol=1e-5)
    features = semrsm.extract(model, photos())
    _, output = intermediates(network, model, photos())
    np.testing.assert_allclose(features.logits, output, rtol=1e-3, atol=1e-4)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        semrsm.load_model(tmp_path)


def test_preprocessing_is_timms_own(tmp_path):
    from timm.data import create_transform, resolve_model_data_config

    for name in ("resnet18.tv_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"):
        network = saved(name, tmp_path / "w.safetensors")
        model = semrsm.load_model(f"timm:{name}@{tmp_path / 'w.safetensors'}")
        transform = create_transform(**resolve_model_data_config(network), is_training=False)
        # Where an odd number of pixels is cut off, torchvision rounds to the even side.
        for size in ((300, 300), (260, 520)):
            (image,) = photos(1, size)
            np.testing.assert_allclose(model.preprocess(image), transform(image), atol=1e-4)


def test_unknown_names_and_weights_out_of_reach(monkeypatch):
    with pytest.raises(InputError, match=r"no network 'resnet181'\. Did you mean 'resnet18"):
        semrsm.load_model("timm:resnet181")
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"could not be loaded .* 'timm:resnet18@FILE'"):
        semrsm.load_model("timm:resnet18")
