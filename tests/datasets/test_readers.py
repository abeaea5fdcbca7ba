"""Readers of annotated data sets: real records where they are, small made ones elsewhere."""

import json

import pytest

from semrsm.datasets import Cityscapes, ClassFolders, EgoObjects, ImageNet, TinyImageNet
from semrsm.errors import InputError

Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")


def photo(path, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def ego(root, url="G_01_5.jpg", annotations=()):
    photo(root / "images" / "G_01_5.jpg")
    record = {"id": 1, "height": 6, "width": 8, "url": url, "group_id": "G", "video_id": "01"}
    record |= {"frame_id": 5, "main_category": "cup"}
    found = {"info": {}, "images": [record], "annotations": list(annotations), "categories": []}
    (root / "EgoObjectsV1_unified_eval.json").write_text(json.dumps(found))
    names = {"categories": [{"id": 4, "name": "cup"}, {"id": 5, "name": "fork"}]}
    (root / "EgoObjectsV1_unified_metadata.json").write_text(json.dumps(names))


def annotation(number, **fields):
    return {"id": number, "image_id": 1, "bbox": [-0.5, 0, 4, 4], "area": 16, **fields}


def test_real_egoobjects(shared_data):
    frames = EgoObjects(shared_data / "egoobjects", "sample")
    assert len(frames) == len(frames.ids) == len(frames.objects) == len(frames.groups) == 50
    assert frames[0].mode == "RGB"
    assert "detergent" in frames.objects[0]
    assert all(
        name.startswith(group) for name, group in zip(frames.ids, frames.groups, strict=True)
    )


def test_egoobjects_fields(tmp_path):
    ego(
        tmp_path,
        annotations=[
            annotation(1, category_id=4, instance_id="i1"),
            annotation(2, category_id=5, instance_id="i2"),
            annotation(3, instance_id="i3"),  # no category, as in the real files
        ],
    )
    assert EgoObjects(tmp_path).objects == (frozenset({"cup", "fork"}),)
    assert EgoObjects(tmp_path, objects="instances").objects == (frozenset({"i1", "i2", "i3"}),)
    assert EgoObjects(tmp_path, groups="video").groups == ("G_01",)
    assert len(EgoObjects(tmp_path).boxes[0]) == 3


@pytest.mark.parametrize("url", ["../secret.jpg", "/etc/secret.jpg", "a/../../secret.jpg"])
def test_names_in_annotations_stay_inside(tmp_path, url):
    photo(tmp_path / "secret.jpg")
    ego(tmp_path / "root", url=url)
    with pytest.raises(InputError, match="leads out of the folder"):
        EgoObjects(tmp_path / "root")


def test_a_link_does_not_lead_outside_either(tmp_path):
    photo(tmp_path / "secret.jpg")
    ego(tmp_path / "root", url="link.jpg")
    (tmp_path / "root" / "images" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(InputError, match="leads out of the folder"):
        EgoObjects(tmp_path / "root")


def test_an_image_that_is_not_there_is_counted(tmp_path):
    ego(tmp_path)
    path = tmp_path / "EgoObjectsV1_unified_eval.json"
    found = json.loads(path.read_text())
    found["images"].append({**found["images"][0], "id": 2, "url": "missing.jpg"})
    path.write_text(json.dumps(found))
    with pytest.warns(UserWarning, match=r"1 entry was left out: .*missing\.jpg"):
        assert EgoObjects(tmp_path).ids == ("G_01_5.jpg",)


def test_egoobjects_refuses(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        EgoObjects(tmp_path / "no")
    ego(tmp_path)
    with pytest.raises(InputError, match="^split: expected the file .*there are the splits eval"):
        EgoObjects(tmp_path, "train")
    (tmp_path / "EgoObjectsV1_unified_eval.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        EgoObjects(tmp_path)


def test_cityscapes(tmp_path):
    stem = "bonn_000001_000019"
    photo(tmp_path / "leftImg8bit" / "val" / "bonn" / f"{stem}_leftImg8bit.png")
    polygons = tmp_path / "gtFine" / "val" / "bonn" / f"{stem}_gtFine_polygons.json"
    polygons.parent.mkdir(parents=True)
    square = [[0, 0], [4, 0], [4, 4]]
    objects = [
        {"label": "road", "polygon": square},
        {"label": "cargroup", "polygon": square},
        {"label": "person", "polygon": square, "deleted": 1},
        {"label": "sky", "polygon": square},
        {"label": "parking", "polygon": square},
    ]
    polygons.write_text(json.dumps({"imgHeight": 6, "imgWidth": 8, "objects": objects}))
    assert Cityscapes(tmp_path).objects == (frozenset({"road", "car", "sky"}),)
    assert Cityscapes(tmp_path, objects="things").objects == (frozenset({"car"}),)
    everything = Cityscapes(tmp_path, objects="labels").objects[0]
    assert {"road", "car", "sky", "parking"} == everything
    with pytest.raises(InputError, match="^objects: expected 'classes', 'things' or 'labels'"):
        Cityscapes(tmp_path, objects="thing")


def test_tinyimagenet(tmp_path):
    (tmp_path / "wnids.txt").write_text("n01\nn02\n")
    (tmp_path / "words.txt").write_text("n01\ttench\nn02\tgoldfish, Carassius\n")
    photo(tmp_path / "train" / "n01" / "images" / "n01_0.JPEG")
    photo(tmp_path / "train" / "n02" / "images" / "n02_0.JPEG")
    photo(tmp_path / "val" / "images" / "val_0.JPEG")
    (tmp_path / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn02\t0\t0\t5\t5\n")
    assert TinyImageNet(tmp_path).labels == ("n02",)
    assert TinyImageNet(tmp_path, "train").labels == ("n01", "n02")
    with pytest.raises(InputError, match="^split: expected one of"):
        TinyImageNet(tmp_path, "valid")


def test_imagenet(shared_data, tmp_path):
    flat = ImageNet(shared_data / "imagenet")
    assert len(flat) == 200
    assert flat.labels[0] == "n01440764"
    photo(tmp_path / "val" / "n01440764" / "a.JPEG")
    photo(tmp_path / "val" / "n01443537" / "b.JPEG")
    assert ImageNet(tmp_path).labels == ("n01440764", "n01443537")


def test_class_folders(tmp_path):
    photo(tmp_path / "cats" / "1.png")
    photo(tmp_path / "dogs" / "2.png")
    found = ClassFolders(tmp_path)
    assert found.labels == ("cats", "dogs")
    photo(tmp_path / "3.png")
    with pytest.raises(
        InputError, match="^root: expected every image of .* in the folder of its c"
    ):
        ClassFolders(tmp_path)
