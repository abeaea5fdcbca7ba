"""A slice of benchmarks/zoo: small networks of many kinds against the zoo's own oracle."""

import contextlib
import importlib
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="features need torch")
timm = pytest.importorskip("timm", reason="the extra 'timm' is not there")
transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not there")
torchvision = pytest.importorskip("torchvision", reason="the extra 'torchvision' is not there")


@pytest.fixture(scope="module")
def zoo():
    with contextlib.ExitStack() as stack:
        stack.callback(sys.path.remove, folder := str(Path(__file__).parents[2] / "benchmarks"))
        sys.path.insert(0, folder)
        yield importlib.import_module("zoo.running"), importlib.import_module("zoo.families")


SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64}
VIT = {**SMALL, "intermediate_size": 48, "patch_size": 8}
STAGES = {"image_size": 64, "embed_dim": 16, "depths": [1, 1, 2], "num_heads": [1, 2, 4]}
TEXT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 32}
TEXT |= {"num_attention_heads": 2}

# Each is of another kind: class tokens, tokens after the patches, windows, units, masks, maps.
TRANSFORMERS = {
    "ViTModel": VIT,
    "YolosModel": {**VIT, "image_size": [64, 64], "num_detection_tokens": 7},
    "ViTMAEModel": VIT,
    "Dinov2WithRegistersModel": {**VIT, "num_register_tokens": 3, "mlp_ratio": 2},
    "SwinModel": {**STAGES, "window_size": 4, "patch_size": 4},
    "HieraModel": {"image_size": [64, 64], "embed_dim": 16, "depths": [1, 1, 1, 1],
                   "num_heads": [1, 1, 2, 2]},
    "ConvNextBackbone": {"hidden_sizes": [16, 24, 32], "depths": [1, 1, 1], "num_stages": 3},
    "ResNetBackbone": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1],
                       "layer_type": "basic"},
    "PoolFormerModel": {"hidden_sizes": [8, 8, 12, 16], "depths": [1, 1, 1, 1]},
    "PvtModel": {"image_size": 64, "hidden_sizes": [8, 16, 20, 32], "depths": [1, 1, 1, 1]},
    "BlipModel": {"vision_config": VIT, "text_config": TEXT},
    "AltCLIPModel": {"vision_config": VIT, "text_config": {**TEXT, "project_dim": 16}},
    "Siglip2Model": {"vision_config": {**VIT, "num_patches": 64}, "text_config": TEXT},
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_of_transformers(zoo, name):
    running, families = zoo

    def build():
        torch.manual_seed(0)
        made = getattr(transformers, name)
        return made(made.config_class(**TRANSFORMERS[name])).eval(), name

    row = running.checked(families.Family("transformers", name, build))
    assert row["outcome"] == "proven", row


@pytest.mark.parametrize("name", [
    "test_vit", "test_resnet", "test_convnext", "test_efficientnet", "test_byobnet",
])  # fmt: skip
def test_of_timm(zoo, name):
    running, families = zoo

    def build():
        torch.manual_seed(0)
        return timm.create_model(name, num_classes=7).eval(), name

    row = running.checked(families.Family("timm", name, build))
    assert row["outcome"] == "proven", row


def test_a_network_of_timm_that_transformers_wraps(zoo):
    running, families = zoo

    def build():
        torch.manual_seed(0)
        config = transformers.TimmWrapperConfig(architecture="test_vit", num_labels=3)
        return transformers.TimmWrapperModel(config).eval(), "TimmWrapperModel"

    row = running.checked(families.Family("transformers", "timm_wrapper", build))
    assert row["outcome"] == "proven", row


@pytest.mark.parametrize("name", ["VideoMAEModel", "TimesformerModel"])
def test_networks_of_videos_are_refused(zoo, name):
    running, families = zoo

    def build():
        made = getattr(transformers, name)
        sizes = {**VIT, "num_frames": 2, "image_size": 32}
        return made(made.config_class(**sizes)).eval(), name

    row = running.checked(families.Family("transformers", name, build))
    assert row["outcome"] == "refused"
    assert row["why"].endswith("which takes videos")


def test_the_oracle_tells_what_is_wrong(zoo):
    """Values of the right layer at the wrong places do not pass."""
    oracle = importlib.import_module("zoo.oracle")
    network = torch.nn.Conv2d(3, 8, 8, stride=8)
    images = torch.rand(2, 3, 64, 64, requires_grad=True)
    output = network(images)
    maps = output.detach().numpy()
    assert oracle.verdict(maps, output, [], images)[0] == "right"
    assert oracle.verdict(maps.transpose(0, 1, 3, 2), output, [], images)[0] == "wrong"
    assert oracle.verdict(maps[:, :, ::-1].copy(), output, [], images)[0] == "wrong"
    assert oracle.verdict(maps + 1, output, [], images)[0] == "wrong"
