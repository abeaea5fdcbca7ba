"""Folders as they are found: files of all kinds, of which some are images."""

import os
import socket
import warnings

import numpy as np
import pytest

from semrsm.datasets import ImageFolder, ImageReadError, open_image
from semrsm.datasets.images import image_suffixes
from semrsm.errors import InputError

Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")

#: Not an EXIF block: the offset of its first directory lies outside.
BROKEN = b"Exif\0\0MM\0\x2a\xff\xff\xff\xff"
OTHERS_BROKEN = [
    BROKEN,
    b"Exif\0\0garbage and more of it",
    b"",
    b"II",
    b"Exif\0\0II\x2a\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0" * 9,
]


@pytest.mark.parametrize("suffix", ["png", "webp", "jpg", "tiff"])
@pytest.mark.parametrize("exif", OTHERS_BROKEN)
@pytest.mark.filterwarnings("ignore")  # Pillow tells of some
def test_broken_exif_does_not_cost_the_image(suffix, exif, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    options = {"lossless": True} if suffix == "webp" else {}
    if suffix != "tiff":
        options["exif"] = exif
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}", **options)
    found = np.asarray(open_image(tmp_path / f"a.{suffix}"))
    assert found.shape == (5, 7, 3)
    if suffix != "jpg":
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_an_orientation_beside_what_is_broken_counts(tmp_path):
    """A directory with an orientation and an entry whose value lies outside of the block."""
    entries = (0x0112).to_bytes(2, "big") + b"\0\x03\0\0\0\x01\0\x06\0\0"
    entries += (0x9003).to_bytes(2, "big") + b"\0\x02\0\0\0\x14\xff\xff\0\0"
    exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02" + entries + b"\0\0\0\0"
    Image.new("RGB", (4, 2)).save(tmp_path / "a.png", exif=exif)
    assert open_image(tmp_path / "a.png").size == (2, 4)


def test_pixels_that_are_cut_off_are_still_an_error(tmp_path):
    Image.effect_noise((50, 50), 90).save(tmp_path / "a.png", exif=BROKEN)
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ImageReadError, match="cannot be read as an image"):
        open_image(tmp_path / "a.png")


@pytest.mark.parametrize(
    "suffix", ["jfif", "JPE", "avif", "jp2", "tga", "ico", "qoi", "pcx", "sgi", "ppm", "PNG"]
)
def test_whatever_pillow_opens_is_read(suffix, tmp_path):
    kind = Image.registered_extensions().get(f".{suffix.lower()}")
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {suffix}")
    Image.new("RGB", (16, 16), (255, 0, 0)).save(tmp_path / "x", format=kind)
    (tmp_path / "x").rename(tmp_path / f"x.{suffix}")
    folder = ImageFolder(tmp_path)
    assert folder.ids == (f"x.{suffix}",)
    red, green, blue = folder[0].getpixel((8, 8))
    assert (red > 200, green < 50, blue < 50) == (True, True, True)


def test_formats_of_which_pillow_knows_the_name_only_are_no_images():
    assert {".h5", ".hdf", ".grib", ".mpg", ".pdf"}.isdisjoint(image_suffixes())
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".gif", ".bmp"} <= image_suffixes()


def test_all_that_is_passed_over_is_counted_in_one_warning(tmp_path):
    for name in ("good.jpg", "sub.jpg/inside.PNG", "._good.jpg", ".hidden/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    os.mkfifo(tmp_path / "fifo.jpg")
    with socket.socket(socket.AF_UNIX) as end:
        here = os.getcwd()
        os.chdir(tmp_path)  # the path of a socket must be short
        try:
            end.bind("socket.png")
        finally:
            os.chdir(here)
    os.symlink("/dev/zero", tmp_path / "device.jpg")
    os.symlink("nowhere", tmp_path / "broken.jpg")
    os.symlink("circle.jpg", tmp_path / "circle.jpg")
    (tmp_path / "movie.heics").write_bytes(b"")
    (tmp_path / "none").write_bytes(b"")
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb") as file:
        file.write((tmp_path / "good.jpg").read_bytes())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        folder = ImageFolder(tmp_path)
    assert folder.ids == ("good.jpg", "sub.jpg/inside.PNG")
    assert [image.size for image in folder] == [(4, 4)] * 2
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("ImageFolder: 8 entries were left out: ")
    message.encode("utf-8")  # can be printed and logged
    for name in ("broken.jpg: a link that leads nowhere", "device.jpg: not a regular file"):
        assert name in message


@pytest.mark.parametrize("name", ["fifo.jpg", "device.jpg"])
def test_what_is_no_regular_file_is_not_opened(name, tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    os.symlink("/dev/zero", tmp_path / "device.jpg")
    with pytest.raises(
        ImageReadError, match=f"{name}: cannot be read as an image: it is not a reg"
    ):
        open_image(tmp_path / name)


def test_a_folder_of_nothing_but_others_says_so(tmp_path):
    os.mkfifo(tmp_path / "fifo.jpg")
    with pytest.raises(InputError, match=r"holds none; 1 left out: fifo\.jpg: not a regular file$"):
        ImageFolder(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind the superuser")
def test_folders_that_cannot_be_read_are_told(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.warns(UserWarning, match="closed/: the folder cannot be read: Permission denied"):
        assert ImageFolder(tmp_path).ids == ("a.jpg",)
