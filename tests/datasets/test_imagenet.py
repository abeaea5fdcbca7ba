"""ImageNet in the layouts that people keep it in."""

import numpy as np
import pytest

from semrsm.datasets import ImageNet
from semrsm.errors import InputError

FISH, SHARK, CAT = "n01440764", "n01484850", "n02123045"


def devkit(folder, truth="2\n1\n2\n", synsets=((1, FISH, "tench"), (2, SHARK, "great white"))):
    scipy = pytest.importorskip("scipy.io", reason="meta.mat is a MATLAB file")
    (folder / "data").mkdir(parents=True, exist_ok=True)
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O")]
    rows = np.array([(*row, "…") for row in synsets], dtype=fields)
    scipy.savemat(folder / "data" / "meta.mat", {"synsets": rows[:, None]})
    (folder / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(truth)
    return folder


def validation(folder, photo, *numbers):
    for number in numbers:
        photo(folder / f"ILSVRC2012_val_{number:08}.JPEG")


def test_a_folder_for_each_class(tmp_path, photo):
    for name in (f"{SHARK}/b.JPEG", f"{FISH}/ILSVRC2012_val_00000002.JPEG", f"{FISH}/a.jpeg"):
        photo(tmp_path / "val" / name)
    for root in (tmp_path, tmp_path / "val"):
        data = ImageNet(root)
        assert data.ids == (
            f"{FISH}/ILSVRC2012_val_00000002.JPEG",
            f"{FISH}/a.jpeg",
            f"{SHARK}/b.JPEG",
        )
        assert data.labels == (FISH, FISH, SHARK)
        assert data.classes == (FISH, SHARK)
        assert data[0].size == (8, 6)


def test_training_images(tmp_path, photo):
    photo(tmp_path / "train" / FISH / f"{FISH}_10026.JPEG")
    photo(tmp_path / "val" / SHARK / "x.JPEG")
    assert ImageNet(tmp_path, "train").labels == (FISH,)
    assert ImageNet(tmp_path, "val").labels == (SHARK,)


def test_classes_in_the_file_names(tmp_path, photo):
    for name in (f"{FISH}_tench.JPEG", f"{SHARK}_great_white_shark.JPEG", f"{CAT}_17.JPEG"):
        photo(tmp_path / name)
    data = ImageNet(tmp_path)
    assert data.labels == (FISH, SHARK, CAT)
    assert data.class_names == {FISH: "tench", SHARK: "great white shark"}


@pytest.mark.parametrize("place", ["", "ILSVRC2012_devkit_t12", "devkit", "given"])
def test_flat_validation_images_and_the_devkit(tmp_path, photo, place):
    root = tmp_path / "imagenet"
    validation(root / "val", photo, 3, 1)
    given = devkit(tmp_path / "kit" if place == "given" else root / place)
    data = ImageNet(root, devkit=given if place == "given" else None)
    assert data.ids == ("ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000003.JPEG")
    assert data.labels == (SHARK, SHARK)
    assert data.class_names == {FISH: "tench", SHARK: "great white"}


def test_a_devkit_of_one_class(tmp_path, photo):
    validation(tmp_path, photo, 1)
    devkit(tmp_path, "1\n", ((1, FISH, "tench"),))
    assert ImageNet(tmp_path).labels == (FISH,)


def test_other_files_are_counted_in_one_warning(tmp_path, photo):
    photo(tmp_path / f"{FISH}_tench.JPEG")
    photo(tmp_path / "holiday.jpg")
    photo(tmp_path / "fish" / "a.JPEG")
    message = "2 entries were left out: fish/a.JPEG: not in a folder .*; holiday.jpg: not named <wn"
    with pytest.warns(UserWarning, match=rf"^ImageNet: {message}") as caught:
        assert len(ImageNet(tmp_path)) == 1
    assert len(caught) == 1


def test_refuses(tmp_path, photo):
    with pytest.raises(InputError, match="^root: expected a folder with images of ImageNet.* does"):
        ImageNet(tmp_path / "no")
    with pytest.raises(
        InputError, match="^root: expected at least one image of ImageNet; found no"
    ):
        ImageNet(tmp_path)
    validation(tmp_path / "val", photo, 1, 4)
    with pytest.raises(InputError, match=r"^devkit: expected the development kit .*data/meta\.mat"):
        ImageNet(tmp_path)
    with pytest.raises(InputError, match=r"^devkit: .*none of '.*elsewhere' has"):
        ImageNet(tmp_path, devkit=tmp_path / "elsewhere")
    devkit(tmp_path)
    message = (
        r"ground_truth\.txt: expected a line for each .*got 3, and none for 'ILSVRC2012_val_00"
    )
    with pytest.raises(InputError, match=message):
        ImageNet(tmp_path)
    for truth in ("2\n7\n", "2\nx\n", "2\n-1\n"):
        devkit(tmp_path, truth)
        with pytest.raises(
            InputError, match=r"ground_truth\.txt: line 2: expected the number of a"
        ):
            ImageNet(tmp_path)


@pytest.mark.parametrize("damage", ["text", "empty", "other", "cut"])
def test_a_damaged_devkit(tmp_path, photo, damage):
    validation(tmp_path, photo, 1)
    devkit(tmp_path)
    meta = tmp_path / "data" / "meta.mat"
    if damage == "other":
        pytest.importorskip("scipy.io").savemat(meta, {"synsets": np.ones(3)})
    else:
        whole = meta.read_bytes()
        meta.write_bytes({"text": b"text", "empty": b"", "cut": whole[: len(whole) // 2]}[damage])
    with pytest.raises(InputError, match=r"meta\.mat: cannot be read as ImageNet's meta\.mat: "):
        ImageNet(tmp_path)


def test_real_photographs(shared_data):
    data = ImageNet(shared_data / "imagenet")
    assert len(data) == len(set(data.labels)) == 200
    assert data.class_names["n01496331"] == "electric ray"
    assert data[0].mode == "RGB"
