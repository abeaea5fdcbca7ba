"""Each family of the paper, with its real architecture at reduced depth, saved and loaded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import InputError
from semrsm.features.loaders import transformers as loader
from semrsm.features.loading import NAMES
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="the networks need torch")
transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not there")

VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
CLIP = {"text_config": {**VIT, "vocab_size": 64}, "projection_dim": 16}
CNN = {"depths": [1, 1, 1, 2], "hidden_sizes": [8, 16, 24, 32], "embedding_size": 8}


def sam(**changes):
    vision = {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 64,
        "output_channels": 16, "image_size": 256, "window_size": 6,
        "global_attn_indexes": [1], "num_pos_feats": 8,
    }  # fmt: skip
    config = transformers.SamConfig(
        vision_config=vision | changes,
        mask_decoder_config={"hidden_size": 16, "mlp_dim": 32, "num_attention_heads": 2,
                                 "iou_head_hidden_dim": 16, "num_hidden_layers": 1},
        prompt_encoder_config={"hidden_size": 16, "image_size": 256, "mask_input_channels": 4,
                                   "image_embedding_size": 16},
    )  # fmt: skip
    return transformers.SamModel(config)


def build(family):
    """Return a network with random weights: the whole of it, as the hub's checkpoints have it."""
    t = transformers
    return {
        "resnet": lambda: t.ResNetForImageClassification(t.ResNetConfig(**CNN, num_labels=7)),
        "convnextv2": lambda: t.ConvNextV2ForImageClassification(
            t.ConvNextV2Config(depths=[1, 1, 2, 1], hidden_sizes=[8, 16, 24, 32], num_labels=7)
        ),
        "vit": lambda: t.ViTForImageClassification(
            t.ViTConfig(**VIT, image_size=64, num_labels=7)
        ),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**VIT, image_size=70, patch_size=14)),
        "dinov2-swiglu": lambda: t.Dinov2Model(
            t.Dinov2Config(**VIT, image_size=70, patch_size=14, use_swiglu_ffn=True)
        ),
        "dinov2-classifier": lambda: t.Dinov2ForImageClassification(
            t.Dinov2Config(**VIT, image_size=70, patch_size=14, num_labels=7)
        ),
        "dinov2-registers": lambda: t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(
                **VIT, image_size=70, patch_size=14, num_register_tokens=4
            )
        ),
        "clip": lambda: t.CLIPModel(
            t.CLIPConfig(**CLIP, vision_config={**VIT, "image_size": 64, "patch_size": 16})
        ),
        "clipseg": lambda: t.CLIPSegForImageSegmentation(
            t.CLIPSegConfig(
                **CLIP, vision_config={**VIT, "image_size": 224, "patch_size": 16},
                extract_layers=[0, 1], reduce_dim=8, decoder_num_attention_heads=2,
                decoder_intermediate_size=16,
            )
        ),
        "sam": sam,
        "bit": lambda: t.BitForImageClassification(
            t.BitConfig(**{**CNN, "hidden_sizes": [128] * 4, "embedding_size": 32},
                        num_groups=32, num_labels=7)
        ),
    }[family]()  # fmt: skip


# family: input (H, W), prefix tokens, classes, the grid of each recommended layer
FAMILIES = {
    "resnet": (224, 0, True, [56, 28, 14, 7]),
    "convnextv2": (224, 0, True, [56, 28, 14, 7]),
    "vit": (64, 1, True, [4, 4]),
    "dinov2": (70, 1, False, [5, 5]),
    "dinov2-swiglu": (70, 1, False, [5, 5]),
    "dinov2-classifier": (70, 1, True, [5, 5]),
    "dinov2-registers": (70, 5, False, [5, 5]),
    "clip": (64, 1, False, [4, 4]),
    "clipseg": (352, 1, False, [22, 22]),
    "sam": (256, 0, False, [16, 16, 16]),
    "bit": (224, 0, True, [56, 28, 14, 7]),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every family, saved once."""
    torch.manual_seed(0)
    made = {}

    def folder(family):
        if family not in made:
            network = build(family).eval()
            with torch.no_grad():  # what starts as zero or one would hide a part that is lost
                for parameter in network.parameters():
                    parameter.add_(0.02 * torch.randn_like(parameter))
            path = tmp_path_factory.mktemp("models") / family
            network.save_pretrained(path)
            made[family] = path, network
        return made[family]

    return folder


def photos(count=2, size=(300, 260)):
    random = np.random.default_rng(3)
    small = random.integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)
    return [Image.fromarray(pixels).resize(size, 3) for pixels in small]


def hidden_states(network, images, **options):
    """Return the hidden states after each block by the network's own account."""
    network = getattr(network, "vision_model", getattr(network, "vision_encoder", network))
    network = getattr(network, "clip", network)  # CLIPSeg holds a whole CLIP
    network = getattr(network, "vision_model", network)
    with torch.inference_mode():
        output = network(torch.from_numpy(images), output_hidden_states=True, **options)
    return [state.numpy() for state in output.hidden_states[1:]], output


def inputs(model, images):
    return np.stack([model.preprocess(image) for image in images])


@pytest.mark.parametrize("family", FAMILIES)
def test_family(family, folders):
    side, prefix, classes, grids = FAMILIES[family]
    path, network = folders(family)
    model = semrsm.load_model(path)
    assert model.name == path.name
    assert model.preprocess.height_and_width == (side, side)
    assert model.prefix_tokens == prefix
    assert model.has_classes == classes
    assert not model.module.training
    images = photos()
    features = semrsm.extract(model, images)
    assert list(features) == list(model.layers)
    assert features.provenance["grids"] == {
        layer: (n, n) for layer, n in zip(model.layers, grids, strict=True)
    }
    states, output = hidden_states(network, inputs(model, images))
    if family == "sam":
        states = [state.transpose(0, 3, 1, 2) for state in states]
        states.append(output.last_hidden_state.numpy())
    for layer, state, n in zip(features, states, grids, strict=True):
        if prefix:
            assert state.shape[1] == prefix + n * n
            state = state[:, prefix:]
        np.testing.assert_allclose(features[layer], state, rtol=1e-4, atol=1e-4)
        assert features[layer].std() > 1e-3
    if classes:
        assert features.logits.shape == (2, 7)
        np.testing.assert_allclose(features.logits, output.logits, rtol=1e-4, atol=1e-4)
    else:
        assert features.logits is None


@pytest.mark.parametrize("family", ["vit", "dinov2", "dinov2-registers", "clip", "clipseg"])
def test_other_sizes_and_non_square_grids(family, folders):
    path, network = folders(family)
    patch = 14 if "dino" in family else 16
    size = (4 * patch, 7 * patch)
    model = semrsm.load_model(path, size=size)
    features = semrsm.extract(model, photos())
    layer = model.layers[-1]
    assert features.provenance["grids"][layer] == (4, 7)
    assert features[layer].shape == (2, 28, 32)
    options = {} if "dino" in family else {"interpolate_pos_encoding": True}
    states, _ = hidden_states(network, inputs(model, photos()), **options)
    np.testing.assert_allclose(
        features[layer], states[-1][:, model.prefix_tokens :], rtol=1e-4, atol=1e-4
    )
    with pytest.raises(InputError, match=f"size: expected multiples .* {patch} pixels"):
        semrsm.load_model(path, size=4 * patch + 1)


def test_sam_at_another_size(folders):
    model = semrsm.load_model(folders("sam")[0], size=(160, 320))
    features = semrsm.extract(model, photos())
    assert {a.shape[2:] for a in features.values()} == {(10, 20)}
    assert features["vision_encoder.neck"].shape[1] == 16
    # An image at the trained size goes through the same weights: the positions are the same.
    same = semrsm.load_model(folders("sam")[0], size=256)
    plain = semrsm.load_model(folders("sam")[0])
    for name, value in same.module.state_dict().items():
        torch.testing.assert_close(value, plain.module.state_dict()[name])


def test_sam_at_its_own_resolution_has_64_by_64_vectors(tmp_path):
    sam(
        image_size=1024, num_hidden_layers=1, global_attn_indexes=[], hidden_size=8
    ).save_pretrained(tmp_path / "sam")
    model = semrsm.load_model(tmp_path / "sam")
    neck = semrsm.extract(model, photos(1), layers="vision_encoder.neck")["vision_encoder.neck"]
    assert neck.shape == (1, 16, 64, 64)


def test_sam_turns_the_parts_of_its_blocks_too(folders):
    model = semrsm.load_model(folders("sam")[0])
    features = semrsm.extract(model, photos(1), layers=["vision_encoder.layers.1.mlp"])
    assert features["vision_encoder.layers.1.mlp"].shape == (1, 32, 16, 16)
    with pytest.raises(InputError, match="expected an axis that counts the images"):
        semrsm.extract(model, photos(1), layers="vision_encoder.layers.0.attn")


def test_deep_networks_recommend_four_blocks(tmp_path):
    config = transformers.ViTConfig(**{**VIT, "num_hidden_layers": 12}, image_size=32)
    transformers.ViTModel(config).save_pretrained(tmp_path / "deep")
    model = semrsm.load_model(tmp_path / "deep")
    assert model.layers == ("layers.2", "layers.5", "layers.8", "layers.11")
    assert len(semrsm.extract(model, photos(1), layers="layers.*")) == 12
    assert model.grids() == dict.fromkeys(model.layers, (2, 2))


def test_other_networks_load_by_their_structure(tmp_path):
    """Families without a line of their own: blocks and prefix tokens are found by their names."""
    t, small = transformers, {**VIT, "image_size": 64, "patch_size": 16}
    swin = t.SwinConfig(embed_dim=16, depths=[1, 1], num_heads=[1, 2], image_size=64, window_size=4)
    others = {
        "deit": (t.DeiTModel(t.DeiTConfig(**small)), 2, (4, 4)),
        "convnext": (t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8] * 4)), 0, (7, 7)),
        "swin": (t.SwinModel(swin), 0, (8, 8)),
        "siglip": (
            t.SiglipModel(
                t.SiglipConfig(text_config={**VIT, "vocab_size": 64}, vision_config=small)
            ),
            0,
            (4, 4),
        ),
    }
    for name, (network, prefix, grid) in others.items():
        network.save_pretrained(tmp_path / name)
        model = semrsm.load_model(tmp_path / name)
        assert model.prefix_tokens == prefix
        assert model.grids()[model.layers[-1]] == grid, name


# The processors that the checkpoints of the paper come with.
PROCESSORS = {
    "resnet": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "convnext-384": ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}}),
    "vit": ("ViTImageProcessorPil", {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
    "dinov2": (
        "BitImageProcessorPil",
        {
            "size": {"shortest_edge": 256},
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    ),
    "clip": ("CLIPImageProcessorPil", {}),
    "clipseg": ("ViTImageProcessorPil", {"size": {"height": 352, "width": 352}}),
    "bit": ("BitImageProcessorPil", {"size": {"shortest_edge": 448}, "crop_size": 448}),
    "sam": ("SamImageProcessorPil", {}),
    "not-normalised": ("ViTImageProcessorPil", {"do_normalize": False, "resample": 0}),
}


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("size", [(300, 260), (257, 401), (600, 600), (90, 50)])
def test_preprocessing_is_the_checkpoints_own(name, size, folders, tmp_path):
    kind, options = PROCESSORS[name]
    processor = getattr(transformers, kind)(**options)
    path = tmp_path / "model"
    folders("resnet")[1].save_pretrained(path)
    processor.save_pretrained(path)
    model = semrsm.load_model(path)
    assert model.provenance["preprocess_from"] == "checkpoint"
    (image,) = photos(1, size)
    # Where torchvision is installed, transformers takes another class, which rounds in other ways.
    own = transformers.AutoImageProcessor.from_pretrained(path)
    expected = np.asarray(own(image, return_tensors="np")["pixel_values"][0])
    np.testing.assert_allclose(model.preprocess(image), expected, atol=2e-3)
    seen = np.asarray(model.preprocess.crop(image), dtype=float).transpose(2, 0, 1)
    mean = np.reshape(model.preprocess.geometry.mean, (3, 1, 1))
    std = np.reshape(model.preprocess.geometry.std, (3, 1, 1))
    same = type(own) is type(processor)
    np.testing.assert_allclose(seen, expected * std + mean, atol=0.6 if same else 3.5)


def test_an_old_preprocessing_file_is_understood(folders, tmp_path):
    folders("resnet")[1].save_pretrained(tmp_path / "old")
    (tmp_path / "old" / "preprocessor_config.json").write_text(
        json.dumps({
            "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "resample": 3, "size": 224,
            "feature_extractor_type": "ConvNextFeatureExtractor",
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
        })
    )  # fmt: skip
    preprocess = semrsm.load_model(tmp_path / "old").preprocess.geometry
    assert (preprocess.size, preprocess.resize, preprocess.fit) == (224, 256, "crop")


def test_what_was_seen_can_be_told_from_the_features(folders, tmp_path):
    model = semrsm.load_model(folders("vit")[0])
    path = semrsm.extract(model, photos(1)).save(tmp_path / "f.safetensors")
    assert Preprocess.of(semrsm.load_features(path).provenance) == model.preprocess.geometry
    assert Preprocess.of({"preprocess": "done before"}) is None


def test_weights_that_lack_parameters_are_refused(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    folders("vit")[1].save_pretrained(tmp_path / "part")
    file = tmp_path / "part" / "model.safetensors"
    state = load_file(file)
    save_file({k: v for k, v in state.items() if "classifier" not in k}, file, {"format": "pt"})
    with pytest.raises(InputError, match=r"lack 2 parameters of the network \(classifier\.bias"):
        semrsm.load_model(tmp_path / "part")


def test_pickled_weights_are_not_read(folders, tmp_path):
    path = tmp_path / "pickled"
    folders("vit")[1].save_pretrained(path)
    (path / "model.safetensors").unlink()
    torch.save(folders("vit")[1].state_dict(), path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"needs config.json and model.safetensors .* only"):
        semrsm.load_model(path)


def test_damaged_folders_are_refused_in_one_line(folders, tmp_path):
    path = tmp_path / "model"
    with pytest.raises(InputError, match=r"the folder .* does not exist"):
        semrsm.load_model(path)
    path.mkdir()
    with pytest.raises(InputError, match=r"has no config\.json"):
        semrsm.load_model(path)
    (path / "config.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        semrsm.load_model(path)
    (path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="neither a 'model_type'"):
        semrsm.load_model(path)
    folders("vit")[1].save_pretrained(path)
    (path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="could not be loaded"):
        semrsm.load_model(path)
    with pytest.raises(InputError, match="does not exist"):
        semrsm.load_model(f"transformers:{path}/nowhere")


def test_networks_of_text_are_refused(tmp_path):
    config = transformers.BertConfig(**VIT, vocab_size=32, max_position_embeddings=16)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match="expected a network of images"):
        semrsm.load_model(tmp_path / "bert")


@pytest.mark.parametrize("name", [n for n, (load, _) in NAMES.items() if load is loader.load])
def test_the_names_of_the_paper_ask_the_hub(name, monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(transformers.utils.hub.constants, "HF_HUB_CACHE", str(tmp_path))
    _, full = NAMES[name]
    with pytest.raises(
        InputError, match=f"'{name}' needs the weights '{full}'.*hf download {full}"
    ):
        semrsm.load_model(name)
