"""Image files of every kind, and folders of them."""

import os

import numpy as np
import pytest

from semrsm.datasets import ImageFolder, ImageReadError, ShiftedCrops, open_image, sample_photos
from semrsm.errors import InputError

Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")


def saved(image, path, **options):
    image.save(path, **options)
    return open_image(path)


def test_exif_orientation(tmp_path):
    image = Image.new("RGB", (4, 2), (0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    found = saved(image, tmp_path / "a.png", exif=exif)
    assert found.size == (2, 4)
    assert found.getpixel((1, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(mode, tmp_path):
    image = Image.new(mode, (2, 1), (10, 10, 10, 0) if mode == "RGBA" else (10, 0))
    image.putpixel((1, 0), (10, 10, 10, 255) if mode == "RGBA" else (10, 255))
    found = saved(image, tmp_path / "a.png")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (10, 10, 10)]


def test_a_palette_with_a_transparent_colour(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.putpixel((1, 0), 1)
    found = saved(image, tmp_path / "a.png", transparency=0)
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (200, 0, 0)]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "RGB", "YCbCr"])
def test_modes_become_rgb(mode, tmp_path):
    suffix = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    assert saved(Image.new("RGB", (3, 3), (9, 9, 9)).convert(mode), tmp_path / f"a.{suffix}").mode
    assert open_image(tmp_path / f"a.{suffix}").mode == "RGB"


def test_16_bits_are_stretched_and_not_clipped(tmp_path):
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    found = saved(Image.fromarray(values), tmp_path / "a.png")
    assert [found.getpixel((x, 0))[0] for x in range(4)] == [0, 1, 128, 255]


def test_floating_greyscale_is_stretched_from_its_own_range(tmp_path):
    values = np.array([[-1.0, 0.0, 1.0]], dtype=np.float32)
    found = saved(Image.fromarray(values), tmp_path / "a.tiff")
    assert [found.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    flat = saved(Image.fromarray(values * 0 + 7), tmp_path / "b.tiff")
    assert flat.getpixel((0, 0)) == (0, 0, 0)


def test_the_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (3, 3), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").getpixel((1, 1)) == (255, 0, 0)


def test_refuses_what_it_cannot_read(tmp_path):
    Image.new("RGB", (50, 50)).save(tmp_path / "good.jpg")
    data = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("text")
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "none.jpg"):
        with pytest.raises(ImageReadError, match=rf"{name}: cannot be read as an image: "):
            open_image(tmp_path / name)
    with pytest.raises(ImageReadError, match=r"50 x 50 pixels are more than the limit of 2499"):
        open_image(tmp_path / "good.jpg", max_pixels=2499)
    assert issubclass(ImageReadError, OSError)


def test_folder(tmp_path):
    for name in ("b/2.PNG", "a/1.jpg", "b/.hidden.png", ".git/3.png", "a/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix != ".txt":
            Image.new("RGB", (2, 2)).save(path)
        else:
            path.write_text("")
    folder = ImageFolder(tmp_path)
    assert folder.ids == ("a/1.jpg", "b/2.PNG")
    assert folder.labels == ("a", "b")
    assert len(folder) == 2
    assert folder[1].size == (2, 2)
    Image.new("RGB", (2, 2)).save(tmp_path / "top.webp")
    assert ImageFolder(tmp_path).labels is None
    assert ImageFolder(tmp_path, recursive=False).ids == ("top.webp",)
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    assert len(ImageFolder(tmp_path)) == 3


def test_folder_refuses(tmp_path):
    with pytest.raises(InputError, match="^images: expected a folder of images; .* does not exist"):
        ImageFolder(tmp_path / "no")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file$"):
        ImageFolder(tmp_path / "file")
    with pytest.raises(InputError, match=r"^images: expected a folder with images .*holds none"):
        ImageFolder(tmp_path)


def test_crops_move_along_the_longer_side():
    values = np.zeros((40, 100, 3), np.uint8)
    values[..., 0] = np.arange(100)[None, :] * 2
    wide, tall = Image.fromarray(values), Image.fromarray(values.transpose(1, 0, 2).copy())
    crops = ShiftedCrops([("wide", wide), ("tall", tall)], [0, 0.5], size=40)
    assert crops.ids == ("wide +0", "wide +1/2", "tall +0", "tall +1/2")
    assert crops.groups == ("wide", "wide", "tall", "tall")
    first, moved = (np.asarray(crops[i])[..., 0].astype(int) for i in (0, 1))
    assert (moved - first == 40).all()  # half of 40 pixels, two units each
    np.testing.assert_array_equal(np.asarray(crops[3])[..., 0], np.asarray(crops[1])[..., 0].T)


def test_crops_refuse():
    photo = [("a", Image.new("RGB", (9, 9)))]
    with pytest.raises(InputError, match="^images: expected at least one photograph"):
        ShiftedCrops([], [0, 1])
    for shifts in ([0], [0, 0], [0, -1]):
        with pytest.raises(InputError, match="^shifts: expected two or more different numbers"):
            ShiftedCrops(photo, shifts)


def test_sample_photos():
    photos = sample_photos()
    assert len(photos) == 9
    assert [name for name, _ in photos] == sorted(name for name, _ in photos)
    assert all(photo.mode == "RGB" and min(photo.size) >= 300 for _, photo in photos)
