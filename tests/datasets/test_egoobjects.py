"""EgoObjects: the fields as they are published, and what a reader does about broken ones."""

import copy
import json
import warnings

import pytest

from semrsm.datasets import EgoObjects
from semrsm.errors import InputError

CATEGORIES = [{"id": 7, "name": "mug"}, {"id": 9, "name": "cat food"}]


def image(number, group="G1", video="01", **fields):
    return {
        "id": 100 + number,
        "width": 100,
        "height": 50,
        "url": f"{group}_{video}_{number}.jpg",
        "group_id": group,
        "video_id": video,
        "frame_id": number,
        "main_category": "mug",
        **fields,
    }


def annotation(image_id, **fields):
    return {"id": 1, "image_id": image_id, "bbox": [10.0, 5.0, 20.0, 15.0], "area": 300, **fields}


@pytest.fixture
def found():
    """A whole annotation file: two frames of one video, one of another, one of another group."""
    return {
        "info": {},
        "categories": CATEGORIES,
        "images": [
            image(1, subset="val"),
            image(2, subset="test"),
            image(3, video="02", subset="val"),
            image(4, group="G2", main_category="cat food", subset="val"),
        ],
        "annotations": [
            annotation(101, category_id=7, _category_id=7, instance_id=55),
            annotation(101, category_id=9, instance_id=56),
            annotation(101, category_id=7),  # another mug, of no known instance
            annotation(102, _category_id=9, instance_id=57),  # instance only: no category_id
            annotation(103, category_id=7, instance_id=55),
        ],
    }


@pytest.fixture
def build(tmp_path, photo):
    """Return a function that writes a data set of these annotations and returns its root."""

    def write(found, split="eval", metadata=None, photos=(1, 2, 3, 4)):
        for record in found.get("images", []):
            if isinstance(record, dict) and record.get("id", 0) - 100 in photos:
                photo(tmp_path / "images" / record["url"])
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / f"EgoObjectsV1_unified_{split}.json").write_text(json.dumps(found))
        if metadata is not None:
            (tmp_path / "EgoObjectsV1_unified_metadata.json").write_text(json.dumps(metadata))
        return tmp_path

    return write


def test_all_fields(build, found):
    data = EgoObjects(build(found))
    assert data.ids == ("G1_01_1.jpg", "G1_01_2.jpg", "G1_02_3.jpg", "G2_01_4.jpg")
    assert data.objects == ({"mug", "cat food"}, set(), {"mug"}, set())
    assert data.groups == ("G1", "G1", "G1", "G2")
    assert data.labels == ("mug", "mug", "mug", "cat food")
    assert data.classes == ("cat food", "mug")
    assert [len(boxes) for boxes in data.boxes] == [3, 1, 1, 0]
    assert data.boxes[0][0] == (10.0, 5.0, 30.0, 20.0, "mug", "55")
    assert data.boxes[1][0].category is None
    assert data[3].size == (8, 6)
    assert repr(data).endswith(": 4 images)")


def test_instances_and_videos(build, found):
    data = EgoObjects(build(found), objects="instances", groups="video")
    assert data.objects == ({"55", "56"}, {"57"}, {"55"}, set())
    assert data.groups == ("G1_01", "G1_01", "G1_02", "G2_01")


def test_subsets_are_those_of_the_images(build, found):
    root = build(found)
    assert EgoObjects(root, subset="val").ids == ("G1_01_1.jpg", "G1_02_3.jpg", "G2_01_4.jpg")
    assert EgoObjects(root, subset="test").objects == (frozenset(),)
    message = r"has no image of 'vall'; its subsets are test, val. Did you mean 'val'\?$"
    with pytest.raises(InputError, match=rf"^subset: .*{message}"):
        EgoObjects(root, subset="vall")


def test_names_come_from_the_metadata_where_the_annotations_have_none(build, found):
    expected = EgoObjects(build(found)).objects
    found["categories"] = []
    root = build(found)
    with pytest.raises(InputError, match=r"names no categories, .*unified_metadata.json', does no"):
        EgoObjects(root)
    build(found, metadata={"categories": CATEGORIES, "cat_det_cats": []})
    assert EgoObjects(root).objects == expected
    del found["categories"]
    assert EgoObjects(build(found)).objects == expected


def test_boxes_that_stick_out_are_clipped(build, found):
    for box, inside in (
        ([-4.4, -17.2, 20, 30], (0, 0, 15.6, 12.8)),
        ([90, 40, 20, 20], (90, 40, 100, 50)),
        ([200, 200, 5, 5], (100, 50, 100, 50)),
        ([3, 3, 0, 0], (3, 3, 3, 3)),
    ):
        found["annotations"] = [annotation(101, category_id=7) | {"bbox": box}]
        data = EgoObjects(build(found))
        assert data.boxes[0][0][:4] == pytest.approx(inside)
        assert data.objects[0] == {"mug"}


def test_what_is_left_out_is_counted_in_one_warning(build, found):
    found["annotations"] += [annotation(999, category_id=7), annotation(103, category_id=8)]
    root = build(found, photos=(1, 3))
    with pytest.warns(UserWarning, match=r"^EgoObjects eval: 4 entries were left out: ") as caught:
        data = EgoObjects(root)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    text = str(caught[0].message)
    assert "G1_01_2.jpg: no such file; G2_01_4.jpg: no such file" in text
    assert "annotations[5]: there is no image 999" in text
    assert "annotations[6]: the category 8 has no name" in text
    assert data.ids == ("G1_01_1.jpg", "G1_02_3.jpg")
    assert data.objects == ({"mug", "cat food"}, {"mug"})
    with pytest.raises(InputError, match=r"^root: expected at least one image .* 6 left out: G1_0"):
        EgoObjects(build(found, photos=()), images=_empty(root / "none"))


def _empty(folder):
    folder.mkdir()
    return folder


def test_no_warning_where_nothing_is_left_out(build, found):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        EgoObjects(build(found))


@pytest.mark.parametrize(
    "name",
    [
        "../secret.jpg",
        "a/../../secret.jpg",
        "/etc/hostname",
        "C:\\secret.jpg",
        "..\\secret.jpg",
        "\\\\host\\share\\secret.jpg",
        "link.jpg",
        "folder/secret.jpg",
        "circle.jpg",
        "circle.jpg/photo.jpg",
        "nul\0l.jpg",
        "",
        ".",
    ],
)
def test_file_names_cannot_leave_the_folder_of_images(build, found, photo, name):
    root = build(found)
    photo(root / "secret.jpg")
    photo(root / "elsewhere" / "secret.jpg")
    (root / "images" / "link.jpg").symlink_to(root / "secret.jpg")
    (root / "images" / "folder").symlink_to(root / "elsewhere")
    (root / "images" / "circle.jpg").symlink_to("circle.jpg")
    found["images"][1]["url"] = name
    build(found, photos=())
    with pytest.raises(InputError, match=r"image 102: the file name .* leads out of the folder"):
        EgoObjects(root)


def test_links_inside_are_followed(build, found, tmp_path):
    root = build(found)
    (root / "images").rename(tmp_path / "disk")
    (root / "images").symlink_to(tmp_path / "disk")
    (root / "disk" / "G1_01_1.jpg").rename(root / "disk" / "other.jpg")
    (root / "disk" / "G1_01_1.jpg").symlink_to("other.jpg")
    assert len(EgoObjects(root)) == 4


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("images", 1), 3, r"images\[1\]: expected an object; got int$"),
        (("images",), {}, r"expected 'images' to be a list; got \{\}$"),
        (("images", 1, "url"), None, r"images\[1\]: expected 'url' to be text; got None$"),
        (("images", 1, "url"), ..., r"images\[1\]: the field 'url' is missing$"),
        (("images", 1, "group_id"), ..., r"images\[1\]: the field 'group_id' is missing$"),
        (("images", 1, "id"), 101, r"images\[1\]: the id 101 is that of an earlier image too$"),
        (("images", 1, "id"), True, r"images\[1\]: expected 'id' to be a whole number or text"),
        (("images", 1, "width"), 0, r"images\[1\]: expected 'width' >= 1; got 0$"),
        (("annotations", 2), [], r"annotations\[2\]: expected an object; got list$"),
        (("annotations", 2, "image_id"), ..., r"annotations\[2\]: the field 'image_id' is missing"),
        (("annotations", 2, "image_id"), [1], r"annotations\[2\]: expected 'image_id' to be a who"),
        (("annotations", 2, "category_id"), {}, r"\[2\]: expected 'category_id' to be a whole num"),
        (("annotations", 2, "instance_id"), 1.5, r"expected 'instance_id' to be a whole number or"),
        (("annotations", 2, "bbox"), [1, 2, 3], r"annotations\[2\]: expected 'bbox' to be \[x, y"),
        (("annotations", 2, "bbox"), [1, 2, -3, 4], r"the last two >= 0; got \[1, 2, -3, 4\]$"),
        (("annotations", 2, "bbox"), [1, 2, 3, "4"], "expected 'bbox'"),
        (("annotations", 2, "bbox"), [1, 2, 3, float("nan")], "expected 'bbox'"),
        (("annotations", 2, "bbox"), [1, 2, 3, 10**400], "expected 'bbox'"),
        (("categories", 0, "name"), ..., r"categories\[0\]: the field 'name' is missing$"),
        (("annotations",), ..., "the field 'annotations' is missing$"),
    ],
)
def test_malformed_records(build, found, path, value, message):
    broken = copy.deepcopy(found)
    place = broken
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    root = build(found)
    (root / "EgoObjectsV1_unified_eval.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match=rf"EgoObjectsV1_unified_eval\.json: .*{message}"):
        EgoObjects(root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"[]", "expected a JSON object; got list"),
        (b'{"images": "\xff"}', "cannot be read as text"),
        (b"[" * 100_000, "is not JSON"),
    ],
)
def test_damaged_files(build, found, content, message):
    root = build(found)
    (root / "EgoObjectsV1_unified_eval.json").write_bytes(content)
    with pytest.raises(InputError, match=rf"EgoObjectsV1_unified_eval\.json: {message}"):
        EgoObjects(root)


def test_refuses(build, found, tmp_path):
    root = build(found)
    for call, message in (
        (lambda: EgoObjects(root / "no"), "^root: expected a folder with .*'.*no' does not exist$"),
        (
            lambda: EgoObjects(root, "evil"),
            r"^split: expected the file .* there are the splits eval. Did you mean 'eval'\?$",
        ),
        (lambda: EgoObjects(root, objects="category"), "^objects: .*Did you mean 'categories'"),
        (lambda: EgoObjects(root, groups="scene"), "^groups: expected 'group' or 'video'"),
        (lambda: EgoObjects(root, images=root / "no"), "^root: expected a folder of EgoObjects im"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_take(build, found):
    data = EgoObjects(build(found))
    taken = data.take([3, 0])
    assert taken.ids == ("G2_01_4.jpg", "G1_01_1.jpg")
    assert taken.objects == (data.objects[3], data.objects[0])
    assert taken.groups == ("G2", "G1")
    assert (len(taken), len(taken.boxes), taken[1].size) == (2, 2, (8, 6))
    assert len(data) == 4
    for indices, message in (
        ([], "^indices: expected one or more different numbers; got 0"),
        ([1, 1], "^indices: expected one or more different numbers; got 2"),
        ([4], "^indices: expected numbers from 0 to 3; got 4"),
        ([-1], "^indices: expected numbers from 0 to 3; got -1"),
    ):
        with pytest.raises(InputError, match=message):
            data.take(indices)


def test_real_frames(shared_data):
    data = EgoObjects(shared_data / "egoobjects", "sample")
    assert len(data) == 50
    assert sum(map(len, data.boxes)) == 287
    assert len(set(data.groups)) == 50
    assert data.objects[0] == {
        "container",
        "detergent",
        "fork",
        "plate",
        "table",
        "water glass",
    }
    assert data.labels[0] == "detergent"
    assert data[0].size == (1920, 1080)
    assert all(0 <= b.left <= b.right and 0 <= b.top <= b.bottom for bs in data.boxes for b in bs)
    instances = EgoObjects(shared_data / "egoobjects", "sample", objects="instances")
    assert sum(box.instance is None for boxes in instances.boxes for box in boxes) == 27
    assert 3 < sum(map(len, data.objects)) / 50 < 7
