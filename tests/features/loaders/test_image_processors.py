"""Every image processor of the installed transformers, on photographs of several kinds."""

import json
import pickle

import numpy as np
import pytest
from PIL import Image

from semrsm.errors import InputError
from semrsm.features.loaders.image_processors import preprocess_of, processor_beside
from semrsm.features.preprocess import Preprocess

torch = pytest.importorskip("torch", reason="the networks need torch")
transformers = pytest.importorskip("transformers", reason="the extra 'transformers' is not there")

#: Classes whose default is a page, not a photograph: seconds for each, and nothing new.
LARGE = {
    "AriaImageProcessorPil", "DeepseekOcr2ImageProcessorPil", "DeepseekVLHybridImageProcessorPil",
    "DonutImageProcessorPil", "NougatImageProcessorPil", "Owlv2ImageProcessorPil",
    "PPChart2TableImageProcessorPil",
}  # fmt: skip


def classes():
    names = transformers.models.auto.image_processing_auto.IMAGE_PROCESSOR_MAPPING_NAMES
    return sorted({kind["pil"] for kind in names.values() if kind.get("pil")} - LARGE)


def photos():
    random = np.random.default_rng(0)
    for size, mode in (((301, 199), "RGB"), ((187, 333), "L"), ((97, 101), "RGBA")):
        pixels = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        yield Image.fromarray(pixels).resize(size, 3).convert(mode)


def test_every_class_gives_its_own_values_or_is_refused():
    counts = {"same": 0, "refused": 0}
    for name in classes():
        try:
            processor = getattr(transformers, name)()
        except (ImportError, TypeError):  # needs other packages, or the checkpoint of a network
            continue
        try:
            preprocess = preprocess_of(processor, name, None)
        except InputError as error:
            message = str(error)
            assert message.startswith(f"model: expected the preprocessing of {name!r} to give one")
            assert "\n" not in message
            counts["refused"] += 1
            continue
        for photo in photos():
            own = processor(photo.convert("RGB"), return_tensors="pt")["pixel_values"]
            assert own.shape == (1, *preprocess.shape), name
            np.testing.assert_array_equal(preprocess(photo), own[0], err_msg=name)
        counts["same"] += 1
    assert counts["same"] > counts["refused"] / 2 > 5


@pytest.mark.parametrize(
    ("kind", "options", "fit", "resize"),
    [
        ("LevitImageProcessorPil", {}, "crop", 256),
        ("EfficientNetImageProcessorPil", {}, "stretch", 346),
        ("BitImageProcessorPil", {"size": {"shortest_edge": 40}, "crop_size": 32}, "crop", 40),
        ("ViTImageProcessorPil", {"size": {"height": 30, "width": 50}}, "stretch", (30, 50)),
        ("SamImageProcessorPil",
         {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}, "pad", 64),
        ("DeepseekVLImageProcessorPil", {}, "letterbox", 384),
    ],
)  # fmt: skip
def test_geometry_is_measured(kind, options, fit, resize):
    preprocess = preprocess_of(getattr(transformers, kind)(**options), kind, None)
    found = preprocess.geometry
    assert (found.fit, found.resize, found.channels) == (fit, resize, "rgb")
    again = pickle.loads(pickle.dumps(preprocess))
    assert again.geometry == found
    told = json.loads(json.dumps(preprocess.to_dict()))
    assert told["class"] == kind
    assert Preprocess.of({"preprocess": told}) == found


def test_a_tiling_or_turning_processor_has_no_geometry():
    processor = transformers.DonutImageProcessorPil(
        size={"height": 64, "width": 48}, do_align_long_axis=True
    )
    preprocess = preprocess_of(processor, "donut", None)
    assert preprocess.geometry is None
    photo = next(photos())
    assert preprocess.crop(photo).size == photo.size
    assert Preprocess.of({"preprocess": preprocess.to_dict()}) is None


def test_another_size_goes_through_the_processor():
    clip = transformers.CLIPImageProcessorPil()
    assert preprocess_of(clip, "clip", (112, 112)).geometry.resize == 112
    detr = transformers.DetrImageProcessorPil()
    with pytest.raises(InputError, match=r"gives different shapes, .*: pass size$"):
        preprocess_of(detr, "detr", None)
    assert preprocess_of(detr, "detr", (64, 96)).shape == (3, 64, 96)
    with pytest.raises(InputError, match=r"^size: the preprocessing of 'next', .* cannot give"):
        preprocess_of(transformers.LlavaNextImageProcessorPil(), "next", (336, 336))


@pytest.mark.parametrize(
    ("values", "resize", "fit"),
    [
        ({"size": 32, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}, 32, "stretch"),
        ({"size": 40, "crop_size": 32, "do_center_crop": True}, 40, "crop"),
        ({"size": 32, "image_processor_type": "ViTImageProcessor"}, 32, "stretch"),
        ({"size": 40, "crop_size": 32, "feature_extractor_type": "CLIPFeatureExtractor"},
         40, "crop"),
    ],
)  # fmt: skip
def test_files_without_a_network_beside_them(values, resize, fit, tmp_path):
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    found = preprocess_of(processor_beside(transformers, tmp_path), "file", None).geometry
    assert (found.size, found.resize, found.fit) == (32, resize, fit)
