"""Cityscapes: folders, labels and sequences as they are published."""

import json
import shutil

import pytest

from semrsm.datasets import Cityscapes
from semrsm.datasets.cityscapes import CLASSES, THINGS
from semrsm.errors import InputError

SQUARE = [[10, 10], [20, 10], [20, 30], [10, 30]]
FIRST, SECOND, THIRD = "ulm_000000_000019", "ulm_000001_000019", "jena_000000_000019"


def polygon(label, points=SQUARE, **fields):
    return {"label": label, "polygon": points, **fields}


@pytest.fixture
def build(tmp_path, photo):
    """Return a function that writes an image and its polygons, and returns the root."""

    def write(name, objects, split="val", with_photo=True, with_polygons=True, city=None):
        city = city or name.partition("_")[0]
        photos = tmp_path / "leftImg8bit" / split / city
        annotations = tmp_path / "gtFine" / split / city
        photos.mkdir(parents=True, exist_ok=True)
        annotations.mkdir(parents=True, exist_ok=True)
        if with_photo:
            photo(photos / f"{name}_leftImg8bit.png")
        if with_polygons:
            text = json.dumps({"imgHeight": 50, "imgWidth": 100, "objects": objects})
            (annotations / f"{name}_gtFine_polygons.json").write_text(text)
            (annotations / f"{name}_gtFine_color.png").write_bytes(b"")  # other kinds lie beside
        return tmp_path

    return write


def test_labels_count_in_three_ways(build):
    root = build(
        FIRST,
        [
            polygon("road"),
            polygon("cargroup"),
            polygon("polegroup"),
            polygon("person", deleted=1),
            polygon("rider", deleted=0),
            polygon("license plate"),
        ],
    )
    assert Cityscapes(root).objects == ({"road", "car", "pole", "rider"},)
    assert Cityscapes(root, objects="things").objects == ({"car", "rider"},)
    assert Cityscapes(root, objects="labels").objects == (
        {"road", "car", "pole", "rider", "license plate"},
    )
    boxes = Cityscapes(root, objects="things").boxes
    assert boxes == (((10, 10, 20, 30, "car", None), (10, 10, 20, 30, "rider", None)),)


def test_ids_and_groups(build):
    for name in (FIRST, SECOND, THIRD):
        root = build(name, [polygon("road")])
    build("ulm_000000_000020", [])
    data = Cityscapes(root)
    assert data.ids == (
        f"jena/{THIRD}",
        f"ulm/{FIRST}",
        "ulm/ulm_000000_000020",
        f"ulm/{SECOND}",
    )
    assert data.groups == ("jena_000000", "ulm_000000", "ulm_000000", "ulm_000001")
    assert data.objects[2] == frozenset()
    assert data.labels is None
    assert data[0].size == (8, 6)


def test_cities_of_several_words(build):
    root = build("bad-honnef_000000_000000", [polygon("sky")])
    assert Cityscapes(root).groups == ("bad-honnef_000000",)


def test_the_test_split_has_no_public_labels(build):
    root = build(FIRST, [polygon("out of roi")], split="test")
    data = Cityscapes(root, "test")
    assert data.objects is None
    assert data.boxes is None
    assert data.ids == (f"ulm/{FIRST}",)


def test_boxes_are_clipped(build):
    root = build(FIRST, [polygon("car", [[-5, 40], [120, 45.5], [60, 70]])])
    assert Cityscapes(root).boxes[0][0][:4] == (0, 40, 100, 50)


def test_images_and_polygons_without_each_other_are_counted_in_one_warning(build):
    build(FIRST, [polygon("road")])
    build(SECOND, [], with_polygons=False)
    root = build(THIRD, [], with_photo=False)
    message = f"^Cityscapes val: 2 entries were left out: jena/{THIRD}: no image; ulm/{SECOND}: no"
    with pytest.warns(UserWarning, match=message) as caught:
        data = Cityscapes(root)
    assert len(caught) == 1
    assert data.ids == (f"ulm/{FIRST}",)


def test_nothing_fits(build):
    root = build(FIRST, [], with_photo=False)
    with pytest.raises(InputError, match="^root: expected at least one image of Cityscapes val"):
        Cityscapes(root)


def test_the_classes_are_those_of_the_benchmark():
    assert (len(CLASSES), len(THINGS)) == (19, 8)
    assert set(THINGS) == {
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    }


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({}, "expected 'objects' to be a list"),
        ([3], r"objects\[0\]: expected an object; got int"),
        ([{"polygon": SQUARE}], r"objects\[0\]: the field 'label' is missing"),
        ([{"label": "car"}], r"objects\[0\]: the field 'polygon' is missing"),
        ([polygon(3)], r"objects\[0\]: expected 'label' to be text; got 3"),
        ([polygon("car", [])], r"objects\[0\]: expected points \[x, y\] in 'polygon'; got none"),
        (
            [polygon("car", [[1, 2], [3]])],
            r"objects\[0\]: expected points \[x, y\] in 'polygon'; got \[3\]",
        ),
        ([polygon("car", [[1, "2"]])], r"objects\[0\]: expected points \[x, y\] in 'polygon'"),
    ],
)
def test_malformed_polygons(build, objects, message):
    root = build(FIRST, objects)
    with pytest.raises(InputError, match=rf"{FIRST}_gtFine_polygons\.json: {message}"):
        Cityscapes(root)


def test_refuses(build, tmp_path):
    root = build(FIRST, [])
    for call, message in (
        (lambda: Cityscapes(root / "no"), "^root: expected a folder with leftImg8bit and gtFine"),
        (lambda: Cityscapes(root / "gtFine"), "^root: expected a folder of Cityscapes with leftI"),
        (
            lambda: Cityscapes(root, "vall"),
            r"^split: expected a folder .*, which are val; got 'vall'. Did you mean 'val'\?",
        ),
        (lambda: Cityscapes(root, objects="thing"), "^objects: .*Did you mean 'things'"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    polygons = root / "gtFine" / "val" / "ulm" / f"{FIRST}_gtFine_polygons.json"
    polygons.write_text("{")
    with pytest.raises(InputError, match=rf"{FIRST}_gtFine_polygons\.json: is not JSON"):
        Cityscapes(root)


@pytest.mark.parametrize("name", ["ulm_0_1", "jena_000000_000019"])
def test_files_that_are_not_named_like_cityscapes(build, name):
    root = build(name, [], city="ulm")
    with pytest.raises(InputError, match=rf"{name}_leftImg8bit.png: expected a name such as ulm_0"):
        Cityscapes(root)


def test_coarse_annotations(build):
    root = build(FIRST, [polygon("car")])
    coarse = root / "gtCoarse"
    (root / "gtFine").rename(coarse)
    build(SECOND, [polygon("road")], split="train_extra", with_polygons=False)
    shutil.rmtree(root / "gtFine")
    for split, name, label in (("val", FIRST, "bus"), ("train_extra", SECOND, "train")):
        folder = coarse / split / "ulm"
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"imgHeight": 50, "imgWidth": 100, "objects": [polygon(label)]})
        (folder / f"{name}_gtCoarse_polygons.json").write_text(text)
    extra = Cityscapes(root, "train_extra")
    assert extra.ids == (f"ulm/{SECOND}",)
    assert extra.objects == ({"train"},)
    assert extra.groups == ("ulm_000001",)
    assert Cityscapes(root, "val").objects == ({"bus"},)  # gtFine has no such split any more
    build(FIRST, [polygon("car")])
    assert Cityscapes(root, "val").objects == ({"car"},)
    assert Cityscapes(root, "val", annotations="coarse").objects == ({"bus"},)
    with pytest.raises(InputError, match=r"^split: .*gtFine.*got 'train_extra'"):
        Cityscapes(root, "train_extra", annotations="fine")
    with pytest.raises(InputError, match="^annotations: .*Did you mean 'coarse'"):
        Cityscapes(root, annotations="coarce")
