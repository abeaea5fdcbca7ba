"""Photographs by id or by place, cut as the network saw them."""

import numpy as np
import pytest
from PIL import Image

from semrsm.datasets import ImageFolder
from semrsm.errors import InputError
from semrsm.features.photographs import Photos
from semrsm.features.preprocess import Preprocess

PREPROCESS = Preprocess(8, 10, (0, 0, 0), (255, 255, 255))
SEEN = {"preprocess": PREPROCESS.to_dict()}


@pytest.fixture
def folder(tmp_path):
    for place, (kind, n) in enumerate([("cat", 0), ("cat", 1), ("dog", 2)]):
        (tmp_path / kind).mkdir(exist_ok=True)
        pixels = np.random.default_rng(place).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / kind / f"{n}.png")
    return tmp_path


def same(one, other):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_by_id_and_by_place(folder):
    data = ImageFolder(folder)
    for images in (folder, str(folder), data):
        photos = Photos(images)
        assert photos.ids == data.ids
        assert not photos.cut
        same(photos["dog/2.png"], data[2])
        same(photos[2], data[2])
        same(photos[np.int64(1)], data[1])


def test_places_are_those_of_the_features(folder):
    photos = Photos(folder, ["dog/2.png", "cat/0.png"])
    same(photos[0], ImageFolder(folder)[2])
    same(photos["cat/0.png"], ImageFolder(folder)[0])
    same(photos["cat/1.png"], ImageFolder(folder)[1])  # of the data set, though of no features


def test_as_the_network_saw_them(folder):
    photos = Photos(folder, provenance=SEEN)
    assert photos.cut
    same(photos[0], PREPROCESS.crop(ImageFolder(folder)[0]))
    unknown = Photos(folder, provenance={"preprocess": "done before"})
    assert not unknown.cut
    same(unknown[0], ImageFolder(folder)[0])


def test_images_in_the_order_of_the_features():
    images = [Image.new("L", (20, 20), value) for value in (7, 9)]
    photos = Photos(images, ["a", "b"])
    assert photos["b"].mode == "RGB"
    assert photos["b"].getpixel((0, 0)) == (9, 9, 9)
    same(photos[1], photos["b"])
    assert photos.labels is None


def test_labels(folder):
    data = ImageFolder(folder)
    assert Photos(data).labels == {"cat/0.png": "cat", "cat/1.png": "cat", "dog/2.png": "dog"}
    data.groups = ("x", "y", "y")
    assert Photos(data).labels == {"cat/0.png": "x", "cat/1.png": "y", "dog/2.png": "y"}


@pytest.mark.parametrize(
    ("images", "ids", "message"),
    [
        (3, None, "^images: expected a folder of photographs, or a data set with ids; got int$"),
        ([1, 2], None, "^images: expected a folder of photographs, .*; got list$"),
        ([1, 2], ["a"], "^images: expected 1 photographs, one for each image .*; got 2$"),
        (3, ["a"], "^images: expected 1 photographs, one for each image .*; got int$"),
        ("FOLDER", ["cat/9.png"], "^images: expected a data set with .*; 'cat/9.png' is not in it"),
        ("nowhere", None, "^images: expected a folder of images; 'nowhere' does not exist"),
    ],
)
def test_refuses(folder, images, ids, message):
    with pytest.raises(InputError, match=message):
        Photos(folder if images == "FOLDER" else images, ids)


def test_check_names_the_nearest(folder):
    photos = Photos(folder)
    photos.check(["cat/0.png"])
    with pytest.raises(InputError, match=r"'cat/0.pn' is absent\. Did you mean 'cat/0.png'\?"):
        photos.check(["cat/0.png", "cat/0.pn"])
