"""TinyImageNet: its three splits, each laid out in its own way."""

import pytest

from semrsm.datasets import TinyImageNet
from semrsm.errors import InputError

ONE, TWO = "n02124075", "n04067472"


@pytest.fixture
def root(tmp_path, photo):
    (tmp_path / "wnids.txt").write_text(f"{TWO}\n{ONE}\n")
    (tmp_path / "words.txt").write_text(f"n00001740\tentity\n{ONE}\tEgyptian cat, tabby\n")
    for wnid in (ONE, TWO):
        for i in range(2):
            photo(tmp_path / "train" / wnid / "images" / f"{wnid}_{i}.JPEG")
        boxes = "".join(f"{wnid}_{i}.JPEG\t0\t{i}\t44\t62\n" for i in range(2))
        (tmp_path / "train" / wnid / f"{wnid}_boxes.txt").write_text(boxes)
    for i in range(3):
        photo(tmp_path / "val" / "images" / f"val_{i}.JPEG", (0, 0, 80 * i))
        photo(tmp_path / "test" / "images" / f"test_{i}.JPEG")
    annotate(tmp_path, *(f"val_{i}.JPEG\t{(ONE, TWO)[i % 2]}\t1\t2\t3\t{i}" for i in (1, 0, 2)))
    return tmp_path


def annotate(root, *lines):
    (root / "val" / "val_annotations.txt").write_text("".join(f"{line}\n" for line in lines))


def test_train(root):
    data = TinyImageNet(root, "train")
    assert data.ids == tuple(f"{w}/{w}_{i}.JPEG" for w in (TWO, ONE) for i in range(2))
    assert data.labels == (TWO, TWO, ONE, ONE)
    assert data.classes == (TWO, ONE)  # the order of wnids.txt
    assert dict(data.class_names) == {ONE: "Egyptian cat, tabby"}
    assert data.boxes[1] == ((0, 1, 44, 62, TWO, None),)
    assert data[3].size == (8, 6)


def test_val(root):
    data = TinyImageNet(root)
    assert data.ids == ("val_1.JPEG", "val_0.JPEG", "val_2.JPEG")  # the order of the annotations
    assert data.labels == (TWO, ONE, ONE)
    assert data.boxes[2] == ((1, 2, 3, 2, ONE, None),)
    assert data[2].getpixel((0, 0)) == (0, 0, 160)


def test_test(root):
    data = TinyImageNet(root, "test")
    assert data.ids == ("test_0.JPEG", "test_1.JPEG", "test_2.JPEG")
    assert data.labels is None
    assert data.boxes is None


def test_what_is_optional(root):
    (root / "words.txt").unlink()
    (root / "train" / ONE / f"{ONE}_boxes.txt").unlink()
    data = TinyImageNet(root, "train")
    assert data.class_names == {}
    assert data.boxes[2:] == ((), ())


def test_missing_training_images_are_counted_in_one_warning(root, photo):
    (root / "train" / ONE / "images" / f"{ONE}_0.JPEG").unlink()
    with open(root / "wnids.txt", "a") as file:
        file.write("n09999999\n")
    message = rf"2 entries were left out: {ONE}/{ONE}_0.JPEG: no such file; n09999999: no folder"
    with pytest.warns(UserWarning, match=rf"^TinyImageNet train: {message}") as caught:
        data = TinyImageNet(root, "train")
    assert len(caught) == 1
    assert data.ids[2:] == (f"{ONE}/{ONE}_1.JPEG",)
    assert data.boxes[2] == ((0, 1, 44, 62, ONE, None),)


def test_missing_and_unknown_validation_images_are_counted_in_one_warning(root, photo):
    (root / "val" / "images" / "val_0.JPEG").unlink()
    photo(root / "val" / "images" / "val_9.JPEG")
    message = "2 entries were left out: val_0.JPEG: no such file; val_9.JPEG: not in val_annotat"
    with pytest.warns(UserWarning, match=rf"^TinyImageNet val: {message}") as caught:
        assert TinyImageNet(root).ids == ("val_1.JPEG", "val_2.JPEG")
    assert len(caught) == 1


@pytest.mark.parametrize("name", ["../../wnids.txt", "/etc/hostname", "link.JPEG"])
def test_file_names_cannot_leave_the_folder(root, name):
    (root / "val" / "images" / "link.JPEG").symlink_to(root / "test" / "images" / "test_0.JPEG")
    annotate(root, f"{name}\t{ONE}\t1\t2\t3\t4")
    with pytest.raises(
        InputError, match=r"val_annotations.txt: line 1: the file name .* leads out"
    ):
        TinyImageNet(root)
    (root / "train" / ONE / f"{ONE}_boxes.txt").write_text("../x.JPEG\t1\t2\t3\t4\n")
    with pytest.raises(InputError, match=rf"{ONE}_boxes.txt: line 1: the file name .* leads out"):
        TinyImageNet(root, "train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"val_0.JPEG\t{ONE}\t1\t2\t3", "line 2: expected 6 fields between tabs; got 'val_0"),
        (f"val_0.JPEG {ONE} 1 2 3 4", "line 2: expected 6 fields between tabs"),
        (f"val_0.JPEG\t{ONE}\t1\t2\t3\tx", "line 2: expected four whole numbers; got"),
        (
            "val_0.JPEG\tn02124076\t1\t2\t3\t4",
            f"line 2: the class 'n02124076' is not in wnids.txt. Did you mean '{ONE}'",
        ),
    ],
)
def test_malformed_lines(root, line, message):
    annotate(root, f"val_1.JPEG\t{ONE}\t1\t2\t3\t4", line)
    with pytest.raises(InputError, match=rf"val_annotations\.txt: {message}"):
        TinyImageNet(root)


def test_an_image_that_is_annotated_twice(root):
    annotate(root, *(f"val_{i}.JPEG\t{ONE}\t1\t2\t3\t4" for i in (0, 1, 2, 1)))
    with pytest.raises(InputError, match="expected distinct ids; got 'val_1.JPEG' more than once"):
        TinyImageNet(root)


def test_refuses(root):
    for call, message in (
        (lambda: TinyImageNet(root / "no"), "^root: expected a folder with wnids.txt, train and v"),
        (lambda: TinyImageNet(root / "wnids.txt"), "wnids.txt' is a file$"),
        (lambda: TinyImageNet(root, "vali"), r"^split: expected one of .*Did you mean 'val'\?$"),
        (
            lambda: TinyImageNet(root / "val"),
            "^root: expected the file .*wnids.txt', which does no",
        ),
    ):
        with pytest.raises(InputError, match=message):
            call()
    (root / "val" / "val_annotations.txt").unlink()
    with pytest.raises(InputError, match="^root: expected the file .*val_annotations.txt', which"):
        TinyImageNet(root)
    (root / "wnids.txt").write_text(f"{ONE}\n{ONE}\n")
    with pytest.raises(InputError, match=r"wnids\.txt: expected different WordNet ids, one a line"):
        TinyImageNet(root)
