"""Scenes composed of cut-outs, so that what each image shows, and where, is known exactly."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import index as as_index
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..errors import InputError, did_you_mean, require
from .image_folder import ImageFolder, image_files
from .images import MAX_PIXELS, ImageReadError, upright_rgb
from .reading import Box, ImageFiles, LeftOut, existing_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Backgrounds that need no photographs.
BACKGROUNDS = ("plain", "gradient", "noise")

#: The alpha from which a pixel is more opaque than transparent.
_OPAQUE = 128

#: Less of a cut-out's bounding box than this filled, and hardly anything is to be seen of it.
_FEWEST_FILLED = 0.02

#: Cut-outs are enlarged by no more than this, or their blur would tell them apart.
_LARGEST_ENLARGEMENT = 2.0

#: Places tried for an object before it is made smaller, by how much, and how often.
_PLACES, _SMALLER, _SIZES = 20, 0.8, 6

#: The side of the square that every object must find room in, however many there are.
_SMALLEST_CELL = 16

#: Cells along each side of a background of noise.
_NOISE = 12

#: How far they are from their mean colour, at most.
_CONTRAST = 64

#: Alpha channels kept while scenes are laid out.
_KEPT = 256

_NEEDS = {"extra": "features", "purpose": "Composing scenes"}


class _Cutout(NamedTuple):
    """One file; `frame` encloses all that is not fully transparent, within the upright image."""

    name: str
    path: str
    category: str
    frame: tuple[int, int, int, int]


class _Place(NamedTuple):
    """A cut-out in a scene: where its frame lies there, in whole pixels."""

    cutout: _Cutout
    left: int
    top: int
    width: int
    height: int
    mirrored: bool


class _Scene(NamedTuple):
    number: int
    places: tuple[_Place, ...]
    visible: tuple[float, ...]
    background: str | int


class ComposedScenes(ImageFiles):
    """Scenes composed of cut-outs, with known objects at known places.

    A cut-out is a PNG file with transparency. Each scene shows some of them, all different objects,
    on a background; later ones may cover a part of earlier ones.

    Parameters
    ----------
    root : str or Path
        A folder tree of cut-outs. Hidden files and folders are skipped, links to folders are not
        followed.
    count : int, default 200
        How many scenes.
    objects_per_scene : int or (int, int), default (3, 6)
        How many objects each scene shows: a number, or the fewest and the most.
    size : (int, int), default (480, 480)
        Width and height of the scenes in pixels.
    seed : int, default 0
        Of everything that is drawn.
    objects : {"things", "folders"}, default "things"
        What an object is. ``"things"``: what the file's name says, in lower case and with spaces
        between words, without numbers around it and without ``mirror`` or ``flip`` behind it, so
        that ``fruit/Apple-2.png`` and ``seasonal/apple_mirror.png`` are both ``"apple"``.
        ``"folders"``: the folder that it lies in, such as ``"animals/birds"``.
    vocabulary : int or None, default 40
        Use at most so many different objects, drawn once by the seed; None for all. The more there
        are, the fewer do two scenes share.
    exclude : sequence of str, default ("cartoon", "symbols")
        Names of folders and files that are not used, or globs of them, at any depth. Collections
        that mix photographs and drawings have such folders.
    scale : (float, float), default (0.25, 0.45)
        The smallest and the largest of an object's longer side, in units of the scene's shorter
        one. Objects are smaller than that where their cut-out would have to be enlarged more than
        twice, or where there is no room.
    min_visible : float, default 0.5
        The share of each object that the others leave visible, at least; 1 forbids overlap.
    mirror : bool, default True
        Whether half of the objects are mirrored.
    backgrounds : {"plain", "gradient", "noise"}, folder, or data set, optional
        What lies behind the objects: one colour, a change from one colour to another, smooth
        coloured noise, or random parts of photographs in a folder or of a data set. Each scene has
        one of the first three by default.
    max_pixels : int
        Leave out larger cut-outs and refuse larger photographs.

    Attributes
    ----------
    ids : tuple of str
        ``"scene-000000"`` and so on.
    labels : tuple of str or None
        The object of each scene, if all scenes show one only.
    objects : tuple of frozenset of str
        What each scene shows.
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
        Once, if cut-outs cannot be read, have no transparency, or hardly anything else; those are
        left out.

    Notes
    -----
    Scene i depends on the folder's content, the seed and the options, but not on `count`, on the
    platform, or on the order in which the folder is listed. Which objects it shows depends neither
    on `size`, `scale`, `min_visible`, `mirror` nor `backgrounds`.

    A pixel belongs to an object where that is at least half as opaque as it is anywhere.

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
        count, seed = _whole(count, "count", 1), _whole(seed, "seed", 0)
        fewest, most = _range_of_objects(objects_per_scene)
        if objects not in ("things", "folders"):
            raise InputError(
                f"objects: expected 'things' or 'folders'; got {objects!r}."
                f"{did_you_mean(str(objects), ('things', 'folders'))}"
            )
        if vocabulary is not None:
            vocabulary = _whole(vocabulary, "vocabulary", 1)
        smallest, largest = _numbers(scale, "scale")
        visible_share = _number(min_visible, "min_visible")
        if not isinstance(mirror, bool):
            raise InputError(f"mirror: expected True or False; got {mirror!r}")
        layout = _Layout(
            _checked_size(size, most), smallest, largest, visible_share, mirror, max_pixels
        )
        folder = existing_folder(root, "a folder of cut-outs, PNG files with transparency")
        photos = _checked_backgrounds(backgrounds, max_pixels)

        left_out = LeftOut()
        cutouts = _cutouts(folder, _excluded(exclude), objects, max_pixels, left_out)
        left_out.finish("cut-outs with transparency", len(cutouts))
        by_category: dict[str, list[_Cutout]] = {}
        for cutout in cutouts:
            by_category.setdefault(cutout.category, []).append(cutout)
        known = sorted(by_category)
        if vocabulary is not None and vocabulary < len(known):
            known = sorted(_drawn(known, vocabulary, Random(f"{seed} vocabulary")))
        if most > len(known):
            raise InputError(
                f"objects_per_scene: expected at most {len(known)}, the different objects of "
                f"{str(root)!r} that are used; got {most}"
            )

        scenes, boxes = [], []
        for number in range(count):
            # A source of its own for each purpose, so that no option changes more than it names.
            content = Random(f"{seed} content {number}")
            names = _drawn(known, fewest + _below(most - fewest + 1, content), content)
            chosen = [by_category[name][_below(len(by_category[name]), content)] for name in names]
            places, found, shares = layout.of(chosen, Random(f"{seed} layout {number}"))
            behind = Random(f"{seed} behind {number}")
            if isinstance(photos, tuple):
                background: str | int = photos[_below(len(photos), behind)]
            else:
                background = _below(len(photos), behind)
            scenes.append(_Scene(number, places, shares, background))
            boxes.append(found)
        shown = [frozenset(place.cutout.category for place in scene.places) for scene in scenes]
        super().__init__(
            folder,
            [f"scene-{number:06d}" for number in range(count)],
            (),
            labels=[next(iter(names)) for names in shown] if most == 1 else None,
            objects=shown,
            boxes=boxes,
            groups=None if isinstance(photos, tuple) else _groups(photos, scenes),
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

    def __getitem__(self, index: int) -> Image:
        scene = self._scenes[index]
        source = Random(f"{self._seed} background {scene.number}")
        if isinstance(scene.background, str):
            image = _made_background(scene.background, self._size, source)
        else:
            image = _part_of(self._photos[scene.background], self._size, source)
        for place in scene.places:
            cutout = _opened(place.cutout.path, self._max_pixels).crop(place.cutout.frame)
            cutout = _fitted(cutout, place.width, place.height, place.mirrored)
            image.paste(cutout, (place.left, place.top), cutout)
        return image


class _Layout:
    """Places for the objects of scenes, such that enough of each remains visible."""

    def __init__(
        self,
        size: tuple[int, int],
        smallest: float,
        largest: float,
        min_visible: float,
        mirror: bool,
        max_pixels: int,
    ) -> None:
        self.size = size
        self._sides = (smallest * min(size), largest * min(size))
        self._min_visible = min_visible
        self._mirror = mirror
        # Bounded, since a folder may hold more than fits into memory.
        self._alpha = lru_cache(maxsize=_KEPT)(
            lambda cutout: _opened(cutout.path, max_pixels).getchannel("A").crop(cutout.frame)
        )

    def of(
        self, cutouts: Sequence[_Cutout], source: Random
    ) -> tuple[tuple[_Place, ...], tuple[Box, ...], tuple[float, ...]]:
        """Return places, boxes around the visible pixels, and visible shares."""
        owner = np.full(self.size[::-1], -1, dtype=np.int32)
        totals: list[int] = []
        places: list[_Place] = []
        for cutout in cutouts:
            place = self._free_place(cutout, owner, totals, source)
            if place is None:
                # Too crowded: beside each other there is room for all.
                return self._result(*self._in_a_grid(cutouts, source))
            totals.append(self._lay(place, owner, len(places)))
            places.append(place)
        return self._result(places, owner, totals)

    def _free_place(
        self, cutout: _Cutout, owner: NDArray[np.int32], totals: list[int], source: Random
    ) -> _Place | None:
        """Return a place that leaves enough of all earlier objects visible, if one is found."""
        smallest, largest = self._sides
        side = smallest + (largest - smallest) * source.random()
        mirrored = _coin(source) and self._mirror
        before = np.bincount(owner.ravel() + 1, minlength=len(totals) + 1)[1:]
        for _ in range(_SIZES):
            width, height = _scaled(cutout, side)
            mask = self._mask(cutout, width, height, mirrored)
            for _ in range(_PLACES):
                left = _below(self.size[0] - width + 1, source)
                top = _below(self.size[1] - height + 1, source)
                under = owner[top : top + height, left : left + width][mask]
                remaining = before - np.bincount(under + 1, minlength=len(totals) + 1)[1:]
                if all(
                    remains >= self._min_visible * total
                    for remains, total in zip(remaining.tolist(), totals, strict=True)
                ):
                    return _Place(cutout, left, top, width, height, mirrored)
            side *= _SMALLER
        return None

    def _in_a_grid(
        self, cutouts: Sequence[_Cutout], source: Random
    ) -> tuple[list[_Place], NDArray[np.int32], list[int]]:
        cells = _cells(len(cutouts))
        side = min(self.size) // cells
        owner = np.full(self.size[::-1], -1, dtype=np.int32)
        places: list[_Place] = []
        totals: list[int] = []
        for cutout, cell in zip(
            cutouts, _drawn(range(cells * cells), len(cutouts), source), strict=True
        ):
            width, height = _scaled(cutout, min(side, self._sides[1]))
            left = cell % cells * (self.size[0] // cells) + _below(side - width + 1, source)
            top = cell // cells * (self.size[1] // cells) + _below(side - height + 1, source)
            place = _Place(cutout, left, top, width, height, _coin(source) and self._mirror)
            totals.append(self._lay(place, owner, len(places)))
            places.append(place)
        return places, owner, totals

    def _lay(self, place: _Place, owner: NDArray[np.int32], number: int) -> int:
        """Give an object its pixels, and return how many."""
        cutout, left, top, width, height, mirrored = place
        mask = self._mask(cutout, width, height, mirrored)
        owner[top : top + height, left : left + width][mask] = number
        return int(mask.sum())

    def _mask(self, cutout: _Cutout, width: int, height: int, mirrored: bool) -> NDArray[np.bool_]:
        alpha = np.asarray(_fitted(self._alpha(cutout), width, height, mirrored))
        # Thin objects are nowhere opaque once they are small.
        return alpha >= max(1, (int(alpha.max()) + 1) // 2)

    def _result(
        self, places: list[_Place], owner: NDArray[np.int32], totals: list[int]
    ) -> tuple[tuple[_Place, ...], tuple[Box, ...], tuple[float, ...]]:
        boxes, shares = [], []
        for number, (place, total) in enumerate(zip(places, totals, strict=True)):
            rows, columns = np.nonzero(owner == number)
            boxes.append(
                Box(
                    float(columns.min()),
                    float(rows.min()),
                    float(columns.max() + 1),
                    float(rows.max() + 1),
                    place.cutout.category,
                    place.cutout.name,
                )
            )
            shares.append(len(rows) / total)
        return tuple(places), tuple(boxes), tuple(shares)


def _cutouts(
    root: Path, exclude: Sequence[str], objects: str, max_pixels: int, left_out: LeftOut
) -> list[_Cutout]:
    """Return all usable cut-outs below a folder."""
    names = [name for name in image_files(root) if name.lower().endswith(".png")]
    if not names:
        raise InputError(f"root: expected a folder with PNG files; {str(root)!r} holds none")
    used = [
        name
        for name in names
        if not any(fnmatchcase(part, glob) for part in name.split("/") for glob in exclude)
    ]
    if not used:
        raise InputError(
            f"exclude: expected to leave some of the {len(names)} PNG files of {str(root)!r}; "
            f"{list(exclude)} leaves none"
        )
    found = []
    for name in used:
        above, _, file = name.rpartition("/")
        if objects == "folders" and not above:
            raise InputError(
                f"objects: expected all cut-outs in folders, to name objects by them; {name!r} "
                f"lies in {str(root)!r} itself"
            )
        path = os.fspath(root / name)
        try:
            alpha = _opened(path, max_pixels).getchannel("A")
        except ImageReadError as error:
            left_out.add(name, str(error))
            continue
        problem = _problem(alpha)
        if problem:
            left_out.add(name, problem)
        else:
            category = above if objects == "folders" else _thing(file)
            found.append(_Cutout(name, path, category, alpha.getbbox() or (0, 0, 0, 0)))
    return found


def _problem(alpha: Image) -> str | None:
    """Return why an alpha channel is none of a cut-out, or None."""
    pixels = np.asarray(alpha)
    least, most = int(pixels.min()), int(pixels.max())
    if least >= _OPAQUE:
        return "nothing in it is transparent"
    if most < _OPAQUE:
        return "everything in it is transparent"
    filled = (np.asarray(alpha.crop(alpha.getbbox())) >= _OPAQUE).mean()
    return "nearly everything in it is transparent" if filled < _FEWEST_FILLED else None


def _thing(file: str) -> str:
    """Return what the name of a file says that it shows.

    Examples
    --------
    >>> [_thing(name) for name in ("Apple-2.png", "apple_mirror.png", "3_earth.png", "747.png")]
    ['apple', 'apple', 'earth', '747']
    """
    words = re.sub(r"[\s_-]+", " ", os.path.splitext(file)[0]).strip().lower()
    core = re.sub(r"^[\d ]+|(?:[\d ]| (?:mirror|mirrored|flip|flipped)\b)+$", "", words)
    return core or words


def _opened(path: str, max_pixels: int) -> Image:
    """Return an image file as upright RGBA."""
    pil = require("PIL.Image", **_NEEDS)
    ops = require("PIL.ImageOps", **_NEEDS)
    try:
        with pil.open(path) as file:
            width, height = file.size
            if width * height > max_pixels:
                raise ImageReadError(
                    f"{path}: {width} x {height} pixels are more than the limit of {max_pixels}"
                )
            upright: Image = ops.exif_transpose(file).convert("RGBA")
            return upright
    except ImageReadError:
        raise
    # Decoders raise nearly anything on damaged files; all of it means the same to the caller.
    except Exception as error:
        cause = str(error) or type(error).__name__
        raise ImageReadError(f"{path}: cannot be read as an image: {cause}") from error


def _scaled(cutout: _Cutout, side: float) -> tuple[int, int]:
    """Return width and height of a cut-out whose longer side is `side`, or less."""
    left, top, right, bottom = cutout.frame
    width, height = right - left, bottom - top
    factor = min(side / max(width, height), _LARGEST_ENLARGEMENT)
    return max(1, int(width * factor)), max(1, int(height * factor))


def _fitted(image: Image, width: int, height: int, mirrored: bool) -> Image:
    # Pillow weights colours by alpha here, and its bicubic filter is exact whole-number arithmetic.
    fitted = image.resize((width, height), 3)
    if not mirrored:
        return fitted
    turned: Image = require("PIL.ImageOps", **_NEEDS).mirror(fitted)
    return turned


def _made_background(kind: str, size: tuple[int, int], source: Random) -> Image:
    pil = require("PIL.Image", **_NEEDS)
    first = [_below(256, source) for _ in range(3)]
    if kind == "plain":
        plain: Image = pil.new("RGB", size, tuple(first))
        return plain
    if kind == "noise":
        # Around one colour, so that the background does not outshine the objects.
        cells = [
            [
                [value + _below(2 * _CONTRAST + 1, source) - _CONTRAST for value in first]
                for _ in range(_NOISE)
            ]
            for _ in range(_NOISE)
        ]
        noise: Image = pil.fromarray(np.clip(cells, 0, 255).astype(np.uint8)).resize(size, 3)
        return noise
    last = [_below(256, source) for _ in range(3)]
    share = source.random()  # 0: from top to bottom, 1: from left to right
    corners = [
        [[round(a + (b - a) * part) for a, b in zip(first, last, strict=True)] for part in row]
        for row in ((0.0, share), (1 - share, 1.0))
    ]
    four = pil.fromarray(np.array(corners, dtype=np.uint8))
    # Between the centres of the four pixels, beyond which there is no change; 2: bilinear.
    gradient: Image = four.resize(size, 2, box=(0.5, 0.5, 1.5, 1.5))
    return gradient


def _part_of(photo: Any, size: tuple[int, int], source: Random) -> Image:
    """Return as large a part of a photograph as has the proportions of a scene."""
    image = upright_rgb(photo)
    factor = min(image.width / size[0], image.height / size[1])
    width = min(max(1, int(size[0] * factor)), image.width)
    height = min(max(1, int(size[1] * factor)), image.height)
    left = _below(image.width - width + 1, source)
    top = _below(image.height - height + 1, source)
    return image.crop((left, top, left + width, top + height)).resize(size, 3)


def _groups(photos: Any, scenes: Sequence[_Scene]) -> list[str]:
    """Return the name of the photograph behind each scene, or its number."""
    names: Any = getattr(photos, "ids", range(len(photos)))
    return [str(names[scene.background]) for scene in scenes]


# Everything is drawn from Random.random(), whose numbers for a seed Python promises not to change,
# unlike those of its other methods and of NumPy's generators.


def _below(limit: int, source: Random) -> int:
    """Return a number from 0 to `limit` - 1."""
    return int(source.random() * limit)


def _coin(source: Random) -> bool:
    return source.random() < 0.5


def _drawn(values: Sequence[Any], number: int, source: Random) -> list[Any]:
    """Return `number` different ones of the values, in random order."""
    pool = list(values)
    return [pool.pop(_below(len(pool), source)) for _ in range(number)]


def _cells(objects: int) -> int:
    """Return how many rows and columns of a grid have room for so many objects."""
    return math.isqrt(objects - 1) + 1


def _whole(value: Any, name: str, least: int) -> int:
    try:
        number = None if isinstance(value, (bool, np.bool_)) else as_index(value)
    except TypeError:
        number = None
    if number is None or number < least:
        raise InputError(f"{name}: expected a whole number >= {least}; got {value!r}")
    return number


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
    fewest, most = (_whole(v, "objects_per_scene", 1) for v in pair or (value, value))
    if fewest > most:
        raise InputError(
            f"objects_per_scene: expected the fewest before the most; got {fewest} before {most}"
        )
    return fewest, most


def _checked_size(value: Any, most: int) -> tuple[int, int]:
    pair = _pair(value)
    if pair is None:
        raise InputError(f"size: expected width and height in pixels; got {value!r}")
    least = _cells(most) * _SMALLEST_CELL
    width, height = (_whole(v, "size", 1) for v in pair)
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


def _checked_backgrounds(value: Any, max_pixels: int) -> Any:
    """Return a tuple of names of made backgrounds, or a data set that is not empty."""
    if value is None:
        return BACKGROUNDS
    if isinstance(value, str) and value in BACKGROUNDS:
        return (value,)
    if isinstance(value, (str, Path)):
        if not Path(value).is_dir():
            raise InputError(
                f"backgrounds: expected one of {', '.join(BACKGROUNDS)}, a folder of photographs, "
                f"or a data set; there is no folder {str(value)!r}."
                f"{did_you_mean(str(value), BACKGROUNDS)}"
            )
        return _photographs(Path(value), max_pixels)
    if not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise InputError(
            f"backgrounds: expected one of {', '.join(BACKGROUNDS)}, a folder of photographs, or a "
            f"data set; got {type(value).__name__}"
        )
    if not len(value):
        raise InputError("backgrounds: expected at least one photograph; the data set is empty")
    # A tuple says that there are no photographs.
    return list(value) if isinstance(value, tuple) else value


def _photographs(folder: Path, max_pixels: int) -> ImageFolder:
    if not image_files(folder):
        raise InputError(f"backgrounds: expected photographs in {str(folder)!r}; it holds none")
    return ImageFolder(folder, max_pixels=max_pixels)
