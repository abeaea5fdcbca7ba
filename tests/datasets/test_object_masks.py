"""Masks of the objects that data sets annotate."""

import json

import numpy as np
import pytest

import semrsm
from semrsm.datasets import Cityscapes, EgoObjects, ImageFolder
from semrsm.datasets.object_masks import drawn
from semrsm.errors import InputError


@pytest.fixture
def ego(tmp_path, photo):
    images, annotations = [], []
    for i in (1, 2):
        photo(tmp_path / "images" / f"G_1_{i}.jpg", size=(40, 20))
        images.append(
            {
                "id": i,
                "url": f"G_1_{i}.jpg",
                "width": 40,
                "height": 20,
                "group_id": "G",
                "video_id": 1,
            }
        )
        for category, box in ((7, [10 * i, 0, 10, 10]), (8, [0, 15, 40, 9])):
            annotations.append(
                {"image_id": i, "bbox": box, "category_id": category}
                | {"instance_id": f"{i}{category}"}
            )
    found = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 7, "name": "cup"}, {"id": 8, "name": "table"}],
    }
    (tmp_path / "EgoObjectsV1_unified_eval.json").write_text(json.dumps(found))
    return EgoObjects(tmp_path)


def test_boxes_become_masks(ego):
    cup = np.zeros((20, 40), bool)
    cup[0:10, 20:30] = True
    table = np.zeros((20, 40), bool)
    table[15:20] = True
    np.testing.assert_array_equal(ego.masks("cup")[1], cup)
    np.testing.assert_array_equal(ego.masks()[1], cup | table)
    np.testing.assert_array_equal(ego.masks("cup", "table")[1], cup | table)
    np.testing.assert_array_equal(ego.masks("27")[1], cup)  # an instance
    assert not ego.masks("27")[0].any()
    part = ego.take([1])
    np.testing.assert_array_equal(part.masks("cup")[0], cup)
    assert part.masks("cup").ids == part.ids
    with pytest.raises(InputError, match=r"^names: .*got 'cupp'. Did you mean 'cup'\?"):
        ego.masks("cupp")


def test_data_sets_without_boxes_have_no_masks(tmp_path, photo):
    photo(tmp_path / "a.png")
    with pytest.raises(InputError, match="^masks: expected a data set with boxes.*ImageFolder"):
        ImageFolder(tmp_path).masks()


def test_pixels_belong_to_a_box_by_their_middle():
    box = (((0.4, 0.6), (2.5, 1.6)), True)
    np.testing.assert_array_equal(drawn((2, 4), [box]), [[0, 0, 0, 0], [1, 1, 0, 0]])
    nothing = (((1.6, 0), (1.7, 2)), True)
    assert not drawn((2, 4), [nothing]).any()


def test_polygons_hide_those_before_them(tmp_path, photo):
    name = "ulm_000000_000019"
    photo(tmp_path / f"leftImg8bit/val/ulm/{name}_leftImg8bit.png", size=(30, 20))
    road = [[0, 10], [30, 10], [30, 20], [0, 20]]
    car = [[10, 5], [20, 5], [20, 15], [10, 15]]
    objects = [
        {"label": "road", "polygon": road},
        {"label": "cargroup", "polygon": car},
        {"label": "sky", "polygon": [[0, 0], [1, 0], [0, 1]], "deleted": 1},
    ]
    text = json.dumps({"imgHeight": 20, "imgWidth": 30, "objects": objects})
    path = tmp_path / f"gtFine/val/ulm/{name}_gtFine_polygons.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    data = Cityscapes(tmp_path)
    cars, roads = data.masks("car")[0], data.masks("road")[0]
    assert cars[10, 15]
    assert not roads[12, 15]
    assert roads[18, 15]
    assert not (cars & roads).any()
    np.testing.assert_array_equal(data.masks()[0], cars | roads)
    np.testing.assert_array_equal(Cityscapes(tmp_path, objects="things").masks()[0], cars)
    assert data.take([0]).masks("car")[0].sum() == cars.sum()


def test_features_of_an_object_alone(ego):
    """The line of the documentation."""
    torch = pytest.importorskip("torch", reason="features need torch")

    def preprocess(image):
        return np.asarray(image, np.float32).transpose(2, 0, 1)

    pool = torch.nn.Sequential(torch.nn.AvgPool2d(5))
    found = semrsm.extract(
        pool, ego, layers="0", preprocess=preprocess, mask=ego.masks("cup"), check=False
    )
    assert found.masks["0"].sum(axis=(1, 2)).tolist() == [4, 4]
    assert found.masks["0"][1, :2, 4:6].all()
