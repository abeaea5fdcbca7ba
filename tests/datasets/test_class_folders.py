"""One folder for each class."""

import pytest

from semrsm.datasets import ClassFolders, ImageFolder
from semrsm.errors import InputError


def test_the_outermost_folder_is_the_class(tmp_path, photo):
    for name in ("dog/1.png", "cat/old/1.jpg", "cat/2.JPG", "cat/.hidden.png"):
        photo(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("")
    with pytest.warns(
        UserWarning, match=r"^ClassFolders: 1 entry was left out: cat/notes\.txt: no "
    ):
        data = ClassFolders(tmp_path)
    (tmp_path / "cat" / "notes.txt").unlink()
    assert data.ids == ("cat/2.JPG", "cat/old/1.jpg", "dog/1.png")
    assert data.labels == ("cat", "cat", "dog")
    assert data.classes == ("cat", "dog")
    assert data[2].size == (8, 6)
    assert ImageFolder(tmp_path).labels == ("cat", "cat/old", "dog")
    assert [image.size for image in data] == [(8, 6)] * 3  # ends where the images end


def test_refuses(tmp_path, photo):
    with pytest.raises(InputError, match="^root: expected a folder with one folder of images for"):
        ClassFolders(tmp_path / "no")
    with pytest.raises(InputError, match=r"^root: expected folders of images .*there are none$"):
        ClassFolders(tmp_path)
    photo(tmp_path / "cat" / "1.png")
    photo(tmp_path / "top.png")
    with pytest.raises(InputError, match="; 1 are not, such as 'top.png'$"):
        ClassFolders(tmp_path)


def test_too_many_pixels(tmp_path, photo):
    photo(tmp_path / "cat" / "1.png")
    for reader in (ClassFolders, ImageFolder):
        with pytest.raises(OSError, match="8 x 6 pixels are more than the limit of 47"):
            reader(tmp_path, max_pixels=47)[0]
