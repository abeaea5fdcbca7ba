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


def test_nan_in_floating_greyscale_is_black(tmp_path):
    values = np.array([[np.nan, 2.0, 4.0, np.inf, -np.inf]], dtype=np.float32)
    found = saved(Image.fromarray(values), tmp_path / "a.tiff")
    assert [found.getpixel((x, 0))[0] for x in range(5)] == [0, 0, 255, 255, 0]
    nothing = saved(Image.fromarray(values[:, :1]), tmp_path / "b.tiff")
    assert nothing.getpixel((0, 0)) == (0, 0, 0)


def test_32_bits_are_stretched_from_their_own_range_where_16_do_not_suffice(tmp_path):
    values = np.array([[-5, 50000, 100005]], dtype=np.int32)
    found = saved(Image.fromarray(values), tmp_path / "a.tiff")
    assert [found.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    values = np.array([[0, 257]], dtype=np.int32)
    assert saved(Image.fromarray(values), tmp_path / "b.tiff").getpixel((1, 0))[0] == 1


@pytest.mark.parametrize("mode", ["1", "L", "RGB"])
def test_one_colour_may_be_transparent(mode, tmp_path):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), 1 if mode == "1" else (5, 5, 5) if mode == "RGB" else 5)
    clear = {"1": 0, "L": 0, "RGB": (0, 0, 0)}[mode]
    found = saved(image, tmp_path / "a.png", transparency=clear)
    assert found.getpixel((0, 0)) == (255, 255, 255)
    assert found.getpixel((1, 0)) == ((255,) * 3 if mode == "1" else (5, 5, 5))


def test_half_transparency_is_half_white(tmp_path):
    found = saved(Image.new("RGBA", (1, 1), (10, 10, 10, 128)), tmp_path / "a.png")
    assert found.getpixel((0, 0)) == (132, 132, 132)


def test_colours_of_print(tmp_path):
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = saved(image, tmp_path / "a.jpg", quality=100).getpixel((4, 4))
    assert (red > 245, green < 10, blue < 10) == (True, True, True)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation(orientation, tmp_path):
    """What is stored is turned back to what was seen, as the standard tabulates it."""
    seen = np.array([[10, 20], [30, 40], [50, 60]], dtype=np.uint8)
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.T,
        6: np.rot90(seen),
        7: seen[::-1, ::-1].T,
        8: np.rot90(seen, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = saved(Image.fromarray(np.ascontiguousarray(stored)), tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(np.asarray(found)[..., 0], seen)


def test_damaged_exif_does_not_cost_the_image(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0garbage and more of it")
    assert open_image(tmp_path / "a.jpg").size == (4, 4)


def test_files_are_closed(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    image = open_image(str(tmp_path / "a.png"))
    (tmp_path / "a.png").unlink()
    assert image.getpixel((3, 3)) == (0, 0, 0)  # all of it has been read


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
    (tmp_path / "folder.jpg").mkdir()
    Image.effect_noise((50, 50), 90).save(tmp_path / "good.png")
    whole = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    for name in ("cut.jpg", "cut.png", "empty.jpg", "text.jpg", "none.jpg", "folder.jpg"):
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
    with pytest.warns(
        UserWarning, match=r"^ImageFolder: 1 entry was left out: a/notes\.txt: no suf"
    ):
        folder = ImageFolder(tmp_path)
    (tmp_path / "a" / "notes.txt").unlink()
    assert folder.ids == ("a/1.jpg", "b/2.PNG")
    assert folder.labels == ("a", "b")
    assert len(folder) == 2
    assert folder[1].size == (2, 2)
    Image.new("RGB", (2, 2)).save(tmp_path / "top.webp")
    assert ImageFolder(tmp_path).labels is None
    assert ImageFolder(tmp_path, recursive=False).ids == ("top.webp",)
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    with pytest.warns(UserWarning, match=r"1 entry was left out: a/loop: a link to a folder"):
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
    for shifts in ([0], [0, 0], [0, -1], [0, np.nan], [0, np.inf], [0, "1"]):
        with pytest.raises(InputError, match="^shifts: expected two or more different numbers"):
            ShiftedCrops(photo, shifts)
    with pytest.raises(
        InputError, match="^shifts: the photograph 'a', 9 x 9, has no room for a sh"
    ):
        ShiftedCrops(photo, [0, 8.5])
    assert ShiftedCrops(photo, [0, 8])[1].size == (224, 224)
    for size in (0, -3, 2.5, True):
        with pytest.raises(InputError, match="^size: expected a number of pixels >= 1; got"):
            ShiftedCrops(photo, [0, 1], size=size)


def test_crops_of_close_shifts_have_names_of_their_own():
    crops = ShiftedCrops([("a", Image.new("RGB", (9, 9)))], [0, 1 / 3, 0.5, 0.501, 1.25])
    assert crops.ids == ("a +0", "a +1/3", "a +1/2", "a +0.501", "a +5/4")


def test_crops_are_those_of_their_index_and_stay_inside():
    values = np.random.default_rng(0).integers(0, 255, (30, 70, 3), dtype=np.uint8)
    crops = ShiftedCrops([("a", Image.fromarray(values))], [0, 0.25, 1.0], size=30)
    assert [image.size for image in crops] == [(30, 30)] * 3
    first, moved = np.asarray(crops[0]), np.asarray(crops[2])
    np.testing.assert_array_equal(first, values[:, 5:35])
    np.testing.assert_array_equal(moved, values[:, 35:65])


def test_sample_photos():
    photos = sample_photos()
    assert len(photos) == 9
    assert [name for name, _ in photos] == sorted(name for name, _ in photos)
    assert all(photo.mode == "RGB" and min(photo.size) >= 300 for _, photo in photos)
