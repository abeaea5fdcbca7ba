"""Scenes composed of cut-outs: the objects of each image and their places are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.checks import whole_number
from ..errors import InputError, did_you_mean
from .backgrounds import checked_backgrounds, made_background, part_of_photo
from .cutouts import Cutout, fitted_image, opened_cutout, read_cutouts
from .images import MAX_PIXELS
from .layouts import (
    SMALLEST_CELL,
    Layout,
    Scene,
    cells_on_a_side,
    draw_below,
    draw_several,
    photo_groups,
)
from .object_masks import Outlines, box_shapes
from .reading import ImageFiles, LeftOut, existing_folder
from .registry import Option

if TYPE_CHECKING:
    from PIL.Image import Image

#: The options of the command.
OPTIONS = (
    Option("objects", "things, folders (scenes)"),
    Option("count", "how many scenes are composed", int),
    Option("seed", "of the scenes", int),
    Option(
        "exclude",
        "folders and files of cut-outs that are left out, as names or globs (scenes)",
        several=True,
    ),
)


class ComposedScenes(ImageFiles):
    """Scenes composed of cut-outs, with known objects at known places.

    A cut-out is a PNG file with transparency. Each scene shows cut-outs of different objects on a
    background; later ones may cover a part of earlier ones.

    Parameters
    ----------
    root : str or Path
        A folder tree of cut-outs. Hidden files and folders are skipped; links to folders are not
        followed.
    count : int, default 200
        The number of scenes.
    objects_per_scene : int or (int, int), default (3, 6)
        The number of objects in each scene, or the fewest and the most.
    size : (int, int), default (480, 480)
        Width and height of the scenes in pixels.
    seed : int, default 0
        The seed of all random choices.
    objects : {"things", "folders"}, default "things"
        The names of objects. ``"things"``: the file's name, in lower case, with spaces between
        words, without numbers around it and without ``mirror`` or ``flip`` after it, so that
        ``fruit/Apple-2.png`` and ``seasonal/apple_mirror.png`` are both ``"apple"``. ``"folders"``:
        the folder of the file, such as ``"animals/birds"``.
    vocabulary : int or None, default 40
        The largest number of different objects, drawn once by the seed; None for all. With more of
        them, two scenes share fewer.
    exclude : sequence of str, default ("cartoon", "symbols")
        Names of folders and files that are not used, or globs of them, at any depth. Collections
        that mix photographs and drawings have such folders.
    scale : (float, float), default (0.25, 0.45)
        The smallest and the largest longer side of an object, in units of the scene's shorter side.
        Objects are smaller where their cut-out would have to be enlarged more than twice, or where
        there is no room.
    min_visible : float, default 0.5
        The smallest share of each object that stays visible; 1 forbids overlap.
    mirror : bool, default True
        Whether half of the objects are mirrored.
    backgrounds : {"plain", "gradient", "noise"}, folder, or data set, optional
        The background of the objects: one colour, a gradient between two colours, smooth coloured
        noise, or random parts of photographs in a folder or of a data set. By default, each scene
        has one of the first three at random.
    max_pixels : int
        Leave out larger cut-outs and refuse larger photographs.

    Attributes
    ----------
    ids : tuple of str
        ``"scene-000000"`` and so on.
    labels : tuple of str or None
        The object of each scene, if all scenes show only one.
    objects : tuple of frozenset of str
        The objects of each scene.
    boxes : tuple of tuple of Box
        The smallest boxes around the visible pixels, in the order in which objects are laid over
        each other. ``category`` is the object, ``instance`` the relative path of its cut-out.
    visible : tuple of tuple of float
        The visible share of each object, in the order of the boxes.
    groups : tuple of str or None
        The photograph behind each scene, where there are photographs.

    Raises
    ------
    InputError
        If the folder does not exist or has no usable cut-outs, or an option is out of its range.
    MissingDependencyError
        If Pillow is not installed.

    Warns
    -----
    UserWarning
        Once, if cut-outs cannot be read, have no transparency, or are nearly all transparent; those
        are left out.

    Notes
    -----
    Scene i depends on the folder's content, the seed and the options, but not on `count`, on the
    platform, or on the order in which the folder is listed. Which objects it shows depends neither
    on `size`, `scale`, `min_visible`, `mirror` nor `backgrounds`.

    An object covers the pixels at which it is at least half as opaque as at its most opaque pixel.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image, ImageDraw
    >>> folder = tempfile.TemporaryDirectory()
    >>> for name in ("apple-1", "apple-2", "pear", "plum"):
    ...     image = Image.new("RGBA", (60, 50))
    ...     ImageDraw.Draw(image).ellipse((5, 5, 55, 45), fill=(200, 40, 40, 255))
    ...     image.save(f"{folder.name}/{name}.png")
    >>> scenes = ComposedScenes(folder.name, count=3, objects_per_scene=2, size=(160, 120))
    >>> scenes[0].size, len(scenes.objects[0]), len(scenes.boxes[0])
    ((160, 120), 2, 2)
    >>> sorted(set().union(*scenes.objects))
    ['apple', 'pear', 'plum']
    >>> folder.cleanup()
    """

    _PER_IMAGE = ("ids", "labels", "objects", "boxes", "groups", "_scenes")

    def __init__(
        self,
        root: str | Path,
        *,
        count: int = 200,
        objects_per_scene: int | tuple[int, int] = (3, 6),
        size: tuple[int, int] = (480, 480),
        seed: int = 0,
        objects: str = "things",
        vocabulary: int | None = 40,
        exclude: Sequence[str] = ("cartoon", "symbols"),
        scale: tuple[float, float] = (0.25, 0.45),
        min_visible: float = 0.5,
        mirror: bool = True,
        backgrounds: Any = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        count, seed = whole_number(count, "count", 1), whole_number(seed, "seed", 0)
        fewest, most = _range_of_objects(objects_per_scene)
        if objects not in ("things", "folders"):
            raise InputError(
                f"objects: expected 'things' or 'folders'; got {objects!r}."
                f"{did_you_mean(str(objects), ('things', 'folders'))}"
            )
        if vocabulary is not None:
            vocabulary = whole_number(vocabulary, "vocabulary", 1)
        smallest, largest = _numbers(scale, "scale")
        visible_share = _number(min_visible, "min_visible")
        if not isinstance(mirror, bool):
            raise InputError(f"mirror: expected True or False; got {mirror!r}")
        layout = Layout(
            _checked_size(size, most), smallest, largest, visible_share, mirror, max_pixels
        )
        folder = existing_folder(root, "a folder of cut-outs, PNG files with transparency")
        photos = checked_backgrounds(backgrounds, max_pixels)

        left_out = LeftOut()
        cutouts = read_cutouts(folder, _excluded(exclude), objects, max_pixels, left_out)
        left_out.finish("cut-outs with transparency", len(cutouts))
        by_category: dict[str, list[Cutout]] = {}
        for cutout in cutouts:
            by_category.setdefault(cutout.category, []).append(cutout)
        known = sorted(by_category)
        if vocabulary is not None and vocabulary < len(known):
            known = sorted(draw_several(known, vocabulary, Random(f"{seed} vocabulary")))
        if most > len(known):
            raise InputError(
                f"objects_per_scene: expected at most {len(known)}, the different objects of "
                f"{str(root)!r} that are used; got {most}"
            )

        scenes, boxes = [], []
        for number in range(count):
            # Each purpose has its own random source, so that an option changes only its own
            # subject.
            content = Random(f"{seed} content {number}")
            names = draw_several(known, fewest + draw_below(most - fewest + 1, content), content)
            chosen = [
                by_category[name][draw_below(len(by_category[name]), content)] for name in names
            ]
            places, found, shares = layout.of(chosen, Random(f"{seed} layout {number}"))
            behind = Random(f"{seed} behind {number}")
            if isinstance(photos, tuple):
                background: str | int = photos[draw_below(len(photos), behind)]
            else:
                background = draw_below(len(photos), behind)
            scenes.append(Scene(number, places, shares, background))
            boxes.append(found)
        shown = [frozenset(place.cutout.category for place in scene.places) for scene in scenes]
        super().__init__(
            folder,
            [f"scene-{number:06d}" for number in range(count)],
            (),
            labels=[next(iter(names)) for names in shown] if most == 1 else None,
            objects=shown,
            boxes=boxes,
            groups=None if isinstance(photos, tuple) else photo_groups(photos, scenes),
            max_pixels=max_pixels,
        )
        self._scenes = tuple(scenes)
        self._photos = photos
        self._seed = seed
        self._size = layout.size

    @property
    def visible(self) -> tuple[tuple[float, ...], ...]:
        """The visible share of each object of each scene."""
        return tuple(scene.visible for scene in self._scenes)

    def outlines(self, index: int, names: frozenset[str]) -> Outlines:
        """Return the boxes of the objects of a scene."""
        return Outlines(self[index].size[::-1], box_shapes((self.boxes or ())[index], names))

    def __getitem__(self, index: int) -> Image:
        scene = self._scenes[index]
        source = Random(f"{self._seed} background {scene.number}")
        if isinstance(scene.background, str):
            image = made_background(scene.background, self._size, source)
        else:
            image = part_of_photo(self._photos[scene.background], self._size, source)
        for place in scene.places:
            cutout = opened_cutout(place.cutout.path, self._max_pixels).crop(place.cutout.frame)
            cutout = fitted_image(cutout, place.width, place.height, place.mirrored)
            image.paste(cutout, (place.left, place.top), cutout)
        return image


def _pair(value: Any) -> tuple[Any, Any] | None:
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return value[0], value[1]
    return None


def _range_of_objects(value: Any) -> tuple[int, int]:
    pair = _pair(value)
    if pair is None and isinstance(value, (tuple, list, str)):
        raise InputError(
            f"objects_per_scene: expected a whole number or two of them; got {value!r}"
        )
    fewest, most = (whole_number(v, "objects_per_scene", 1) for v in pair or (value, value))
    if fewest > most:
        raise InputError(
            f"objects_per_scene: expected the fewest before the most; got {fewest} before {most}"
        )
    return fewest, most


def _checked_size(value: Any, most: int) -> tuple[int, int]:
    pair = _pair(value)
    if pair is None:
        raise InputError(f"size: expected width and height in pixels; got {value!r}")
    least = cells_on_a_side(most) * SMALLEST_CELL
    width, height = (whole_number(v, "size", 1) for v in pair)
    if min(width, height) < least:
        raise InputError(
            f"size: expected at least {least} pixels in width and height, so that {most} objects "
            f"have room; got {width} x {height}"
        )
    if width * height > MAX_PIXELS:
        raise InputError(
            f"size: expected at most {MAX_PIXELS} pixels in all; got {width} x {height}"
        )
    return width, height


def _number(value: Any, name: str) -> float:
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, bool
    )
    if not number or not 0 < value <= 1:
        raise InputError(f"{name}: expected a number above 0 and up to 1; got {value!r}")
    return float(value)


def _numbers(value: Any, name: str) -> tuple[float, float]:
    pair = _pair(value)
    if pair is None:
        raise InputError(f"{name}: expected two numbers above 0 and up to 1; got {value!r}")
    low, high = (_number(v, name) for v in pair)
    if low > high:
        raise InputError(f"{name}: expected the smallest before the largest; got {low}, {high}")
    return low, high


def _excluded(value: Any) -> tuple[str, ...]:
    listed = isinstance(value, (tuple, list, set, frozenset))
    if not listed or not all(isinstance(glob, str) for glob in value):
        raise InputError(f"exclude: expected a sequence of names or globs; got {value!r}")
    return tuple(value)
