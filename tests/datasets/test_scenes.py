"""Composed scenes: what they are said to show is what their pixels show."""

import os
import pickle

import numpy as np
import pytest

from semrsm.datasets import ImageFolder
from semrsm.datasets.cutouts import _thing
from semrsm.datasets.scenes import ComposedScenes
from semrsm.errors import InputError

Image = pytest.importorskip("PIL.Image", reason="photographs need Pillow")

COLOURS = {
    "apple": (255, 0, 0),
    "bus": (0, 255, 0),
    "cup": (0, 0, 255),
    "dog": (255, 255, 0),
    "egg": (0, 255, 255),
    "fork": (255, 0, 255),
}


def cutout(path, colour=(200, 30, 30), size=(100, 100), border=10, notch=(0, 0)):
    """Write a rectangle of one colour, with nothing around it nor in its notch, if it has one."""
    pixels = np.zeros((size[1] + 2 * border, size[0] + 2 * border, 4), dtype=np.uint8)
    pixels[border : border + size[1], border : border + size[0]] = (*colour, 255)
    pixels[: border + notch[1], : border + notch[0]] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def root(tmp_path):
    for name, colour in COLOURS.items():
        cutout(tmp_path / "cutouts" / f"{name}.png", colour)
    return tmp_path / "cutouts"


@pytest.fixture
def grey(tmp_path):
    """A background in which no object's colour occurs."""
    path = tmp_path / "grey" / "wall.png"
    path.parent.mkdir()
    Image.new("RGB", (90, 60), (128, 128, 128)).save(path)
    return path.parent


def pixels(scenes):
    return [np.asarray(scenes[i]) for i in range(len(scenes))]


def same(first, second):
    return all(map(np.array_equal, pixels(first), pixels(second))) and first.boxes == second.boxes


def test_the_same_scenes_again(root):
    scenes = ComposedScenes(root, count=6, size=(120, 90))
    assert len(scenes) == 6
    assert scenes.ids[:2] == ("scene-000000", "scene-000001")
    assert scenes[0].size == (120, 90)
    assert scenes[0].mode == "RGB"
    assert same(scenes, scenes)
    assert same(scenes, ComposedScenes(root, count=6, size=(120, 90)))
    assert same(scenes, pickle.loads(pickle.dumps(scenes)))
    assert len({image.tobytes() for image in pixels(scenes)}) == 6
    other = ComposedScenes(root, count=6, size=(120, 90), seed=1)
    assert other.objects != scenes.objects


def test_a_scene_does_not_depend_on_how_many_there_are(root):
    few, many = (ComposedScenes(root, count=n, size=(120, 90)) for n in (3, 7))
    assert same(few, many.take([0, 1, 2]))


def test_the_order_of_listing_does_not_matter(root, monkeypatch):
    scenes = ComposedScenes(root, count=4, size=(120, 90))
    walk = os.walk

    def backwards(top):
        for folder, folders, files in walk(top):
            yield folder, folders, sorted(files, reverse=True)

    monkeypatch.setattr(os, "walk", backwards)
    assert same(scenes, ComposedScenes(root, count=4, size=(120, 90)))


def test_what_a_seed_gives_stays(root):
    scenes = ComposedScenes(root, count=2, objects_per_scene=2, size=(100, 80), seed=3)
    found = [[(box.category, *map(int, box[:4])) for box in boxes] for boxes in scenes.boxes]
    assert found == [
        [("dog", 36, 28, 70, 62), ("cup", 60, 11, 88, 39)],
        [("fork", 70, 34, 92, 56), ("bus", 6, 57, 27, 78)],
    ]


def test_boxes_and_shares_are_those_of_the_pixels(root, grey):
    for name, colour in COLOURS.items():  # not symmetric, since half of them are mirrored
        cutout(root / f"{name}.png", colour, notch=(70, 60))
    scenes = ComposedScenes(
        root, count=25, objects_per_scene=2, size=(220, 200), scale=(0.5, 0.5), backgrounds=grey
    )
    area = 100**2 - 70 * 60  # half of 200 is 100: the cut-outs keep their size
    covered = 0
    for image, names, boxes, shares in zip(
        pixels(scenes), scenes.objects, scenes.boxes, scenes.visible, strict=True
    ):
        assert {box.category for box in boxes} == names
        seen = {name for name, colour in COLOURS.items() if (image == colour).all(axis=2).any()}
        assert seen == names
        assert shares[-1] == 1  # nothing lies over the last one
        for box, share in zip(boxes, shares, strict=True):
            rows, columns = np.nonzero((image == COLOURS[box.category]).all(axis=2))
            edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert (box.left, box.top, box.right, box.bottom) == edges
            assert box.instance == f"{box.category}.png"
            assert share == len(rows) / area
            assert share >= 0.5
            covered += share < 1
    assert covered >= 5  # else this has tested nothing but boxes


@pytest.mark.parametrize("least", [0.3, 0.9, 1.0])
def test_crowded_scenes_keep_enough_of_each_object_visible(root, grey, least):
    for name, colour in COLOURS.items():  # not symmetric, since half of them are mirrored
        cutout(root / f"{name}.png", colour, notch=(70, 80))
    scenes = ComposedScenes(
        root,
        count=12,
        objects_per_scene=6,
        size=(90, 70),
        scale=(0.4, 0.8),
        min_visible=least,
        backgrounds=grey,
    )
    assert all(len(shares) == 6 and min(shares) >= least for shares in scenes.visible)
    for image, boxes in zip(pixels(scenes), scenes.boxes, strict=True):
        for box in boxes:
            assert (image == COLOURS[box.category]).all(axis=2).any()
            assert box.left >= 0 <= box.top
            assert box.right <= 90
            assert box.bottom <= 70
    if least < 0.5:  # the others lie beside each other
        assert min(map(min, scenes.visible)) < 1


def test_where_nothing_else_fits_objects_lie_beside_each_other(root):
    scenes = ComposedScenes(
        root, count=5, objects_per_scene=6, size=(48, 60), scale=(1, 1), min_visible=1
    )
    assert scenes.visible == ((1.0,) * 6,) * 5
    assert all(box.right - box.left >= 12 for boxes in scenes.boxes for box in boxes)


def test_objects_are_not_enlarged_into_blur(tmp_path):
    cutout(tmp_path / "pin.png", size=(10, 4))
    scenes = ComposedScenes(tmp_path, count=2, objects_per_scene=1)
    assert {(b.right - b.left, b.bottom - b.top) for boxes in scenes.boxes for b in boxes} == {
        (20, 8)
    }


def test_thin_and_soft_objects_have_boxes_too(tmp_path):
    thin = np.zeros((400, 400, 4), dtype=np.uint8)
    thin[::10] = (255, 255, 255, 255)
    Image.fromarray(thin).save(tmp_path / "blind.png")
    y, x = np.mgrid[-50:50, -50:50]
    soft = np.full((100, 100, 4), 255, dtype=np.uint8)
    soft[..., 3] = np.clip(255 - 5 * np.hypot(x, y), 0, 255)
    Image.fromarray(soft).save(tmp_path / "cloud.png")
    scenes = ComposedScenes(
        tmp_path, count=10, objects_per_scene=1, size=(100, 100), scale=(1, 1), backgrounds="plain"
    )
    for name, box in zip(scenes.labels, (boxes[0] for boxes in scenes.boxes), strict=True):
        width = box.right - box.left
        # The blind fills the scene; the cloud is half opaque within a radius of 25.5 pixels, which
        # are enlarged by 100 / 101 or so, since its frame is as wide as anything of it is seen.
        assert width == 100 if name == "blind" else abs(width - 51) <= 3
    assert {"blind", "cloud"} == set(scenes.labels)


def test_half_of_the_objects_are_mirrored(tmp_path, grey):
    pixels = np.zeros((40, 40, 4), dtype=np.uint8)
    pixels[5:35, 5:20] = (255, 0, 0, 255)
    pixels[5:35, 20:35] = (0, 0, 255, 255)
    (tmp_path / "flags").mkdir()
    Image.fromarray(pixels).save(tmp_path / "flags" / "flag.png")
    options = {"count": 30, "objects_per_scene": 1, "size": (60, 60), "backgrounds": grey}

    def red_is_left(scenes):
        return [
            np.asarray(scenes[i])[int(box.top) + 2, int(box.left) + 1, 0] > 200
            for i, (box,) in enumerate(scenes.boxes)
        ]

    assert 5 < sum(red_is_left(ComposedScenes(tmp_path / "flags", **options))) < 25
    assert all(red_is_left(ComposedScenes(tmp_path / "flags", mirror=False, **options)))


@pytest.mark.parametrize(
    ("file", "thing"),
    [
        ("apple.png", "apple"),
        ("Apple-2.png", "apple"),
        ("apple_03.PNG", "apple"),
        ("apple_mirror.png", "apple"),
        ("apple-2_flip.png", "apple"),
        ("apple_mirror 2.png", "apple"),
        ("Candy_cane-photo_1.png", "candy cane photo"),
        ("0_sun.png", "sun"),
        ("001penny.png", "penny"),
        ("f22_raptor.png", "f22 raptor"),
        ("mirror.png", "mirror"),
        ("mirrors.png", "mirrors"),
        ("747.png", "747"),
        ("apple.v2.png", "apple.v"),
    ],
)
def test_the_thing_in_a_name(file, thing):
    assert _thing(file) == thing


def test_variants_of_one_thing(tmp_path):
    for name in ("apple-1", "apple-2", "other/apple_mirror", "pear"):
        cutout(tmp_path / f"{name}.png")
    scenes = ComposedScenes(tmp_path, count=40, objects_per_scene=2, size=(60, 60))
    assert set(scenes.objects) == {frozenset({"apple", "pear"})}  # never two apples
    instances = {box.instance for boxes in scenes.boxes for box in boxes}
    assert instances == {"apple-1.png", "apple-2.png", "other/apple_mirror.png", "pear.png"}


def test_folders_as_objects(tmp_path):
    for name in ("animals/cow", "animals/birds/hen", "food/egg"):
        cutout(tmp_path / f"{name}.png")
    scenes = ComposedScenes(tmp_path, count=3, objects_per_scene=3, objects="folders")
    assert scenes.objects == (frozenset({"animals", "animals/birds", "food"}),) * 3
    cutout(tmp_path / "cow.png")
    with pytest.raises(InputError, match=r"^objects: expected all cut-outs in folders.*'cow\.png'"):
        ComposedScenes(tmp_path, objects_per_scene=3, objects="folders")


def test_names_that_are_not_used(tmp_path):
    for name in ("a/cartoon/ant", "a/bee", "b/bat_mirror", "symbols/cross"):
        cutout(tmp_path / f"{name}.png")
    shown = lambda **options: set().union(  # noqa: E731
        *ComposedScenes(tmp_path, count=20, objects_per_scene=1, size=(32, 32), **options).objects
    )
    assert shown() == {"bee", "bat"}
    assert shown(exclude=[]) == {"ant", "bee", "bat", "cross"}
    assert shown(exclude=["?", "*_mirror.png"]) == {"cross"}
    with pytest.raises(InputError, match="^exclude: expected to leave some of the 4 PNG files"):
        shown(exclude=["*"])
    with pytest.raises(InputError, match="^exclude: expected a sequence of names or globs"):
        shown(exclude="cartoon")


def test_what_is_no_cutout_is_counted(tmp_path, photo):
    cutout(tmp_path / "ant.png")
    photo(tmp_path / "opaque.png")
    Image.new("RGBA", (9, 9)).save(tmp_path / "void.png")
    corners = np.zeros((99, 99, 4), dtype=np.uint8)
    corners[[0, -1], [0, -1]] = 255
    Image.fromarray(corners).save(tmp_path / "corners.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "ant.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.warns(UserWarning, match="4 entries were left out") as caught:
        scenes = ComposedScenes(tmp_path, count=2, objects_per_scene=1)
    assert scenes.labels == ("ant", "ant")
    (warning,) = caught
    message = str(warning.message)
    assert "opaque.png: nothing in it is transparent" in message
    assert "void.png: everything in it is transparent" in message
    assert "corners.png: nearly everything in it is transparent" in message
    assert "torn.png: cannot be read" in message
    assert warning.filename == __file__
    (tmp_path / "ant.png").unlink()
    with pytest.raises(InputError, match=r"^root: .*found none; 4 left out"):
        ComposedScenes(tmp_path, objects_per_scene=1)


def test_palettes_and_grey_cutouts(tmp_path):
    palette = Image.new("P", (40, 40), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.paste(1, (10, 10, 30, 30))
    palette.save(tmp_path / "red.png", transparency=0)
    grey = Image.new("LA", (40, 40))
    grey.paste((200, 255), (10, 10, 30, 30))
    grey.save(tmp_path / "grey.png")
    scenes = ComposedScenes(tmp_path, count=8, objects_per_scene=1, size=(40, 40))
    assert set(scenes.labels) == {"red", "grey"}
    for name, image, (box,) in zip(scenes.labels, pixels(scenes), scenes.boxes, strict=True):
        inside = image[int(box.top) : int(box.bottom), int(box.left) : int(box.right)]
        assert (inside == ((255, 0, 0) if name == "red" else (200, 200, 200))).all()


def test_made_backgrounds(root):
    options = {"count": 12, "objects_per_scene": 1, "size": (64, 48), "scale": (0.2, 0.2)}

    def around(kind):
        """The images with NaN where their object is, grown by the pixels that it shades."""
        scenes = ComposedScenes(root, backgrounds=kind, **options)
        assert scenes.groups is None
        for image, (box,) in zip(pixels(scenes), scenes.boxes, strict=True):
            values = image.astype(float)
            values[
                max(0, int(box.top) - 2) : int(box.bottom) + 2,
                max(0, int(box.left) - 2) : int(box.right) + 2,
            ] = np.nan
            yield values

    for image in around("plain"):
        assert np.nanstd(image, axis=(0, 1)).max() == 0
    for image in around("gradient"):
        assert np.nanstd(image, axis=(0, 1)).max() > 3
        bends = np.diff(image, 2, axis=0), np.diff(image, 2, axis=1)
        assert all(np.nanmax(np.abs(bend)) <= 2 for bend in bends)  # straight, but for rounding
    for image in around("noise"):
        assert np.nanstd(image, axis=(0, 1)).min() > 5
        assert np.nanmax(np.abs(np.diff(image, axis=1))) < 100  # smooth
    mixed = ComposedScenes(root, **options)
    kinds = {kind: ComposedScenes(root, backgrounds=kind, **options) for kind in BACKGROUNDS}
    chosen = [
        [kind for kind in BACKGROUNDS if np.array_equal(image, np.asarray(kinds[kind][i]))]
        for i, image in enumerate(pixels(mixed))
    ]
    assert all(len(kind) == 1 for kind in chosen)
    assert {kind for (kind,) in chosen} == set(BACKGROUNDS)


BACKGROUNDS = ("plain", "gradient", "noise")


def test_photographs_behind(root, tmp_path, photo):
    colours = {"left.png": (10, 20, 30), "right.png": (60, 50, 40)}
    for name, colour in colours.items():
        photo(tmp_path / "walls" / name, colour, (31, 17))
    scenes = ComposedScenes(
        root, count=10, objects_per_scene=1, size=(64, 48), backgrounds=tmp_path / "walls"
    )
    assert set(scenes.groups) == set(colours)
    for image, group in zip(pixels(scenes), scenes.groups, strict=True):
        assert (image == colours[group]).all(axis=2).mean() > 0.5
    options = {"count": 10, "objects_per_scene": 1, "size": (64, 48)}
    walls = ImageFolder(tmp_path / "walls")
    assert same(scenes, ComposedScenes(root, backgrounds=walls, **options))
    plain = ComposedScenes(root, backgrounds=[walls[0], walls[1]], **options)
    assert same(scenes, plain)
    assert set(plain.groups) == {"0", "1"}
    assert same(plain, ComposedScenes(root, backgrounds=(walls[0], walls[1]), **options))


def test_a_part_of_a_photograph_keeps_its_proportions(root, tmp_path):
    stripes = np.zeros((40, 200, 3), dtype=np.uint8)
    stripes[:, :, 0] = np.arange(200)
    Image.fromarray(stripes).save(tmp_path / "ramp.png")
    scenes = ComposedScenes(
        root,
        count=8,
        objects_per_scene=1,
        size=(80, 80),
        scale=(0.1, 0.1),
        backgrounds=ImageFolder(tmp_path, recursive=False),
    )
    starts = set()
    for image in pixels(scenes):
        row = image[0 if (image[0, :, 1:] == 0).all() else -1, :, 0].astype(int)
        assert row[-1] - row[0] in (38, 39, 40)  # 40 of 200 columns, as high as the photograph
        starts.add(row[0])
    assert len(starts) > 3


def test_options_change_only_what_they_name(root, grey):
    scenes = ComposedScenes(root, count=8, size=(96, 96))
    for options in ({"size": (120, 70)}, {"scale": (0.1, 0.2)}, {"mirror": False}):
        other = ComposedScenes(root, count=8, **{"size": (96, 96), **options})
        assert other.objects == scenes.objects
        if "mirror" not in options:  # the rectangles are symmetric
            assert other.boxes != scenes.boxes
    assert ComposedScenes(root, count=8, size=(96, 96), backgrounds=grey).boxes == scenes.boxes


def test_the_numbers_of_objects_and_of_different_ones(root):
    scenes = ComposedScenes(root, count=60, objects_per_scene=(1, 4), size=(64, 64))
    assert {len(names) for names in scenes.objects} == {1, 2, 3, 4}
    assert scenes.labels is None
    assert set().union(*scenes.objects) == set(COLOURS)
    few = ComposedScenes(root, count=30, objects_per_scene=2, size=(64, 64), vocabulary=3)
    assert len(set().union(*few.objects)) == 3
    assert len({frozenset(names) for names in few.objects}) == 3
    every = ComposedScenes(root, count=60, objects_per_scene=2, size=(64, 64), vocabulary=None)
    assert set().union(*every.objects) == set(COLOURS)


def test_some_of_the_scenes(root):
    scenes = ComposedScenes(root, count=9, objects_per_scene=2, size=(64, 64))
    taken = scenes.take([7, 2])
    assert taken.ids == ("scene-000007", "scene-000002")
    assert taken.objects == (scenes.objects[7], scenes.objects[2])
    assert taken.boxes == (scenes.boxes[7], scenes.boxes[2])
    assert taken.visible == (scenes.visible[7], scenes.visible[2])
    assert np.array_equal(np.asarray(taken[1]), np.asarray(scenes[2]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "^count: expected a whole number >= 1; got 0"),
        ({"count": 2.5}, "^count: "),
        ({"count": True}, "^count: "),
        ({"seed": -1}, "^seed: expected a whole number >= 0; got -1"),
        ({"seed": "1"}, "^seed: "),
        ({"objects_per_scene": 0}, "^objects_per_scene: expected a whole number >= 1"),
        ({"objects_per_scene": (4, 2)}, "^objects_per_scene: expected the fewest before the most"),
        ({"objects_per_scene": (1, 2, 3)}, "^objects_per_scene: expected a whole number or two"),
        ({"objects_per_scene": 7}, "^objects_per_scene: expected at most 6, the different objects"),
        ({"objects_per_scene": 4, "vocabulary": 3}, "^objects_per_scene: expected at most 3"),
        ({"size": 480}, "^size: expected width and height"),
        ({"size": (480, 40)}, "^size: expected at least 48 pixels .* 6 objects"),
        ({"size": (480, 1.5)}, "^size: "),
        ({"size": (10**5, 10**5)}, "^size: expected at most"),
        ({"objects": "thing"}, "^objects: expected .* Did you mean 'things'"),
        ({"vocabulary": 0}, "^vocabulary: "),
        ({"scale": 0.3}, "^scale: expected two numbers"),
        ({"scale": (0.5, 0.3)}, "^scale: expected the smallest before the largest"),
        ({"scale": (0.5, 1.1)}, "^scale: expected a number above 0 and up to 1; got 1.1"),
        ({"scale": (float("nan"), 1)}, "^scale: "),
        ({"min_visible": 0}, "^min_visible: expected a number above 0"),
        ({"mirror": 1}, "^mirror: expected True or False"),
        ({"exclude": 3}, "^exclude: "),
        ({"backgrounds": "noises"}, "^backgrounds: .* no folder 'noises'. Did you mean 'noise'"),
        ({"backgrounds": 3}, "^backgrounds: .* got int"),
        ({"backgrounds": []}, "^backgrounds: expected at least one photograph"),
    ],
)
def test_refusals(root, options, message):
    with pytest.raises(InputError, match=message):
        ComposedScenes(root, **options)


def test_folders_that_are_missing_or_empty(root, tmp_path):
    with pytest.raises(InputError, match="^root: expected a folder of cut-outs.*does not exist"):
        ComposedScenes(tmp_path / "no")
    with pytest.raises(InputError, match="is a file"):
        ComposedScenes(root / "cup.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="^root: expected a folder with PNG files"):
        ComposedScenes(tmp_path / "empty")
    with pytest.raises(InputError, match="^backgrounds: expected photographs in .* holds none"):
        ComposedScenes(root, backgrounds=tmp_path / "empty")
    cutout(root / "large.png", size=(101, 101))
    with pytest.warns(UserWarning, match=r"large\.png: .* more than the limit of 14500"):
        ComposedScenes(root, count=1, max_pixels=14500)
