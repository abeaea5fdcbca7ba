"""Cityscapes: street scenes, annotated with polygons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .._internal.text import as_text, is_utf8
from ..errors import InputError, did_you_mean
from .images import MAX_PIXELS
from .reading import (
    Box,
    ImageFiles,
    LeftOut,
    clipped,
    existing_folder,
    field,
    is_number,
    read_json,
    records,
)
from .registry import Option

#: The classes that the benchmark evaluates.
CLASSES = (
    "road",
    "sidewalk",
    "building",
    "wall",
    "fence",
    "pole",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "bicycle",
)

#: The classes whose instances can be counted.
THINGS = CLASSES[CLASSES.index("person") :]

_IMAGE = "_leftImg8bit.png"

#: The folders of annotations, the better first; the file names have them as well.
_FOLDERS = {"fine": "gtFine", "coarse": "gtCoarse"}
_NAME = re.compile(r"(?P<group>.+_\d{6})_\d{6}")


#: The options of the command.
OPTIONS = (
    Option("split", "the part of the data set, such as val, train or eval"),
    Option("objects", "classes, things, labels (cityscapes)"),
    Option("annotations", "auto, fine, coarse: the polygons that count (cityscapes)"),
)


class Cityscapes(ImageFiles):
    """The images of one split of Cityscapes with their polygons.

    Parameters
    ----------
    root : str or Path
        The folder with ``leftImg8bit``, and with ``gtFine`` or ``gtCoarse``.
    split : str, default "val"
        ``"train"``, ``"val"``, ``"test"`` or ``"train_extra"``. The labels of the test
        images are not public: :attr:`objects` and :attr:`boxes` are None there.
    objects : {"classes", "things", "labels"}, default "classes"
        The entries of :attr:`objects`: the 19 classes of the benchmark; the 8 of them that can be
        counted, such as cars and persons; or all labels. Nearly all images show road, building and
        car, so ``"things"`` and ``"labels"`` distinguish images better.
    annotations : {"auto", "fine", "coarse"}, default "auto"
        The polygons that count: those of ``gtFine``, of ``gtCoarse``, or fine ones where the split
        has them and coarse ones otherwise. ``"train_extra"`` has coarse ones only.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        ``"<city>/<city>_<sequence>_<frame>"``, sorted.
    labels : None
    objects : tuple of frozenset of str, or None
    boxes : tuple of tuple of Box, or None
        Around each polygon whose label counts, clipped to the image.
    groups : tuple of str
        City and sequence.

    Raises
    ------
    InputError
        If a folder is missing, or a file is malformed or not named as in Cityscapes.

    Warns
    -----
    UserWarning
        Once, if there are images without polygons or polygons without an image; those are left out.

    Notes
    -----
    Polygons that are marked as deleted do not count. A label that ends in ``group`` counts as its
    class: ``cargroup`` as ``car``, and also ``polegroup`` as ``pole``, which the benchmark itself
    does not evaluate.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "val",
        *,
        objects: str = "classes",
        annotations: str = "auto",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        counting = {"classes": CLASSES, "things": THINGS, "labels": None}
        if objects not in counting:
            raise InputError(
                f"objects: expected 'classes', 'things' or 'labels'; got {objects!r}."
                f"{did_you_mean(str(objects), counting)}"
            )
        if annotations not in ("auto", *_FOLDERS):
            raise InputError(
                f"annotations: expected 'auto', 'fine' or 'coarse'; got {annotations!r}."
                f"{did_you_mean(str(annotations), ('auto', *_FOLDERS))}"
            )
        folder = existing_folder(root, "a folder with leftImg8bit and gtFine or gtCoarse")
        left_out = LeftOut()
        photos = _files(_split_folder(folder / "leftImg8bit", split), _IMAGE, left_out)
        seen: dict[str, tuple[Box, ...]] | None = None
        if split != "test":
            above = _annotated(folder, split, annotations)
            end = f"_{above.name}_polygons.json"
            polygons = _files(_split_folder(above, split), end, left_out)
            for name in sorted(set(photos) ^ set(polygons)):
                left_out.add(name, "no polygons" if name in photos else "no image")
            photos = {name: path for name, path in photos.items() if name in polygons}
            seen = {name: _boxes(polygons[name], counting[objects]) for name in photos}
        left_out.finish(f"Cityscapes {split}", len(photos))
        super().__init__(
            folder,
            list(photos),
            photos.values(),
            objects=None
            if seen is None
            else [frozenset(box.category or "" for box in boxes) for boxes in seen.values()],
            boxes=None if seen is None else seen.values(),
            groups=[_group(name, path) for name, path in photos.items()],
            max_pixels=max_pixels,
        )


def _split_folder(folder: Path, split: str) -> Path:
    existing_folder(folder, f"a folder of Cityscapes with {folder.name}")
    path = folder / split
    if not path.is_dir():
        splits = sorted(p.name for p in folder.iterdir() if p.is_dir())
        raise InputError(
            f"split: expected a folder of {str(folder)!r}, which are "
            f"{', '.join(splits) or 'none'}; got {split!r}.{did_you_mean(str(split), splits)}"
        )
    return path


def _annotated(folder: Path, split: str, annotations: str) -> Path:
    """Return the folder of the annotations of a split, which need not be there."""
    if annotations != "auto":
        return folder / _FOLDERS[annotations]
    places = [folder / name for name in _FOLDERS.values()]
    for place in places:
        if any((place / split).glob(f"*/*_{place.name}_polygons.json")):
            return place
    return places[0]


def _files(folder: Path, end: str, left_out: LeftOut) -> dict[str, Path]:
    """Return the files of a split by ``city/name``."""
    files = {}
    for path in sorted(folder.glob(f"*/*{end}")):
        if path.name.startswith("."):
            continue
        name = f"{path.parent.name}/{path.name}"
        if not path.is_file() or not is_utf8(name):
            left_out.add(as_text(name), "not a regular file" if is_utf8(name) else "not UTF-8")
            continue
        files[name.removesuffix(end)] = path
    return files


def _group(name: str, path: Path) -> str:
    city, _, stem = name.partition("/")
    found = _NAME.fullmatch(stem)
    if found is None or not stem.startswith(f"{city}_"):
        raise InputError(
            f"{path}: expected a name such as {city}_000000_000019{_IMAGE}: city, sequence, frame"
        )
    return found["group"]


def _boxes(path: Path, counting: tuple[str, ...] | None) -> tuple[Box, ...]:
    """Return the boxes around the polygons of a file whose labels count."""
    found = read_json(path)
    width, height = (field(found, name, int, str(path)) for name in ("imgWidth", "imgHeight"))
    boxes = []
    for i, record in enumerate(records(found, "objects", path)):
        where = f"{path}: objects[{i}]"
        label = str(field(record, "label", str, where))
        label = label.removesuffix("group") or label
        if record.get("deleted") or (counting is not None and label not in counting):
            continue
        xs, ys = _points(field(record, "polygon", list, where), where)
        boxes.append(Box(*clipped(min(xs), min(ys), max(xs), max(ys), width, height), label))
    return tuple(boxes)


def _points(polygon: list[Any], where: str) -> tuple[list[float], list[float]]:
    """Return the two coordinates of the points of a polygon."""
    if not polygon:
        raise InputError(f"{where}: expected points [x, y] in 'polygon'; got none")
    for point in polygon:
        if not isinstance(point, list) or len(point) != 2 or not all(map(is_number, point)):
            raise InputError(f"{where}: expected points [x, y] in 'polygon'; got {point!r}")
    return [point[0] for point in polygon], [point[1] for point in polygon]
