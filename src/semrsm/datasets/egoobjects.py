"""EgoObjects v1: frames of egocentric videos, with the objects that they show."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from ..errors import InputError, did_you_mean
from .images import MAX_PIXELS
from .object_masks import Outlines, box_shapes
from .reading import (
    Box,
    ImageFiles,
    Inside,
    LeftOut,
    clipped,
    existing_folder,
    field,
    is_number,
    read_json,
    records,
)
from .registry import Option

_PREFIX = "EgoObjectsV1_unified_"


#: The options of the command.
OPTIONS = (
    Option("split", "the part of the data set, such as val, train or eval"),
    Option("subset", "only images whose record has this subset (egoobjects: val, test)"),
    Option("objects", "the kind of objects that count: categories, instances (egoobjects)"),
    Option("groups", "the key that near duplicates share: group, video (egoobjects)"),
)


class EgoObjects(ImageFiles):
    """The frames of one annotation file of EgoObjects v1.

    Parameters
    ----------
    root : str or Path
        The folder with ``EgoObjectsV1_unified_<split>.json``, with
        ``EgoObjectsV1_unified_metadata.json`` where the former names no categories, and with the
        folder ``images``.
    split : str, default "eval"
        The annotation file: ``"train"`` or ``"eval"``.
    subset : str, optional
        Only images whose record has this ``subset``; the eval file has ``"val"`` and ``"test"``.
    objects : {"categories", "instances"}, default "categories"
        The entries of :attr:`objects`: categories, or single physical objects.
    groups : {"group", "video"}, default "group"
        The keys of :attr:`groups`: one for all videos of a scene and main object, or one for each
        video.
    images : str or Path, optional
        The folder of images, if it is not ``images`` in `root`.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        File names, as the records have them under ``url``, in their order.
    labels : tuple of str or None
        The category of each image's main object; None where a record does not name it.
    objects : tuple of frozenset of str
        The objects of each image. An annotation without a category counts only as an instance, and
        one without an instance only as a category.
    boxes : tuple of tuple of Box
        The boxes of all annotations, clipped to the image: annotated ones may reach beyond it.
    groups : tuple of str
        ``group_id``, or ``group_id`` and ``video_id`` joined by ``_``.

    Raises
    ------
    InputError
        If a folder or file is missing, a record is malformed, categories have no names, or the name
        of an image leads out of the folder of images.

    Warns
    -----
    UserWarning
        Once, if image files are missing, or annotations name images or categories that no record
        describes; those are left out.
    """

    _PER_IMAGE = (*ImageFiles._PER_IMAGE, "_sizes")

    def __init__(
        self,
        root: str | Path,
        split: str = "eval",
        *,
        subset: str | None = None,
        objects: str = "categories",
        groups: str = "group",
        images: str | Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        for name, value, choices in (
            ("objects", objects, ("categories", "instances")),
            ("groups", groups, ("group", "video")),
        ):
            if value not in choices:
                raise InputError(
                    f"{name}: expected {choices[0]!r} or {choices[1]!r}; got {value!r}."
                    f"{did_you_mean(str(value), choices)}"
                )
        folder = existing_folder(root, f"a folder with {_PREFIX}{split}.json")
        source = _annotation_file(folder, split)
        inside = Inside(
            existing_folder(
                folder / "images" if images is None else images, "a folder of EgoObjects images"
            )
        )
        found = read_json(source)
        left_out = LeftOut()

        listed: dict[Any, dict[str, Any]] = {}
        for i, record in enumerate(records(found, "images", source)):
            where = f"{source}: images[{i}]"
            key = field(record, "id", (int, str), where)
            if key in listed:
                raise InputError(f"{where}: the id {key!r} is that of an earlier image too")
            for name in ("url", "group_id", "video_id"):
                field(record, name, (str, int) if name != "url" else str, where)
            for name in ("width", "height"):
                if field(record, name, int, where) < 1:
                    raise InputError(f"{where}: expected {name!r} >= 1; got {record[name]}")
            listed[key] = record
        chosen = _of_subset(listed, subset, source)
        paths: dict[Any, str] = {}
        for key, record in chosen.items():
            path = inside.find(record["url"], f"{source}: image {key!r}")
            if path is None:
                left_out.add(record["url"], "no such file")
            else:
                paths[key] = path

        names = _category_names(found, source, folder, split)
        by_image = _boxes(found, source, listed, names, left_out)
        left_out.finish(f"EgoObjects {split}", len(paths))
        kept = [chosen[key] for key in paths]
        boxes = [tuple(by_image[key]) for key in paths]
        mains = [record.get("main_category") for record in kept]
        super().__init__(
            folder,
            [record["url"] for record in kept],
            paths.values(),
            labels=[str(m) for m in mains] if all(isinstance(m, str) for m in mains) else None,
            objects=[
                _named(image, "category" if objects == "categories" else "instance")
                for image in boxes
            ],
            boxes=boxes,
            groups=[
                str(r["group_id"]) if groups == "group" else f"{r['group_id']}_{r['video_id']}"
                for r in kept
            ],
            max_pixels=max_pixels,
        )
        self._sizes = tuple((record["height"], record["width"]) for record in kept)

    def outlines(self, index: int, names: frozenset[str]) -> Outlines:
        """Return the boxes of an image, in the size that its record has."""
        return Outlines(self._sizes[index], box_shapes((self.boxes or ())[index], names))


def _annotation_file(folder: Path, split: str) -> Path:
    path = folder / f"{_PREFIX}{split}.json"
    if path.is_file():
        return path
    stems = sorted(p.stem.removeprefix(_PREFIX) for p in folder.glob(f"{_PREFIX}*.json"))
    splits = [stem for stem in stems if not stem.startswith("metadata")]
    there = f"there are the splits {', '.join(splits)}" if splits else "there is no other split"
    raise InputError(
        f"split: expected the file {path.name!r} in {str(folder)!r}; {there}."
        f"{did_you_mean(str(split), splits)}"
    )


def _of_subset(
    listed: dict[Any, dict[str, Any]], subset: str | None, source: Path
) -> dict[Any, dict[str, Any]]:
    if subset is None:
        return listed
    chosen = {key: r for key, r in listed.items() if r.get("subset") == subset}
    if not chosen:
        there = sorted({str(r["subset"]) for r in listed.values() if "subset" in r})
        known = f"its subsets are {', '.join(there)}" if there else "its images name no subsets"
        raise InputError(
            f"subset: {source} has no image of {subset!r}; {known}.{did_you_mean(subset, there)}"
        )
    return chosen


def _category_names(
    found: dict[str, Any], source: Path, folder: Path, split: str
) -> dict[Any, str]:
    """Return the names of categories by id, from the annotations or else from the metadata."""
    if found.get("categories"):
        return _names_in(found, source)
    candidates = [folder / f"{_PREFIX}metadata{end}.json" for end in ("", f"_{split}")]
    for path in candidates:
        if path.is_file():
            return _names_in(read_json(path), path)
    raise InputError(
        f"root: {source} names no categories, and the file that does, {str(candidates[0])!r}, "
        "does not exist"
    )


def _names_in(holder: dict[str, Any], source: Path) -> dict[Any, str]:
    names = {}
    for i, record in enumerate(records(holder, "categories", source)):
        where = f"{source}: categories[{i}]"
        names[field(record, "id", (int, str), where)] = str(field(record, "name", str, where))
    return names


def _boxes(
    found: dict[str, Any],
    source: Path,
    listed: dict[Any, dict[str, Any]],
    names: dict[Any, str],
    left_out: LeftOut,
) -> defaultdict[Any, list[Box]]:
    """Return the boxes of each image by its id."""
    boxes: defaultdict[Any, list[Box]] = defaultdict(list)
    for i, record in enumerate(records(found, "annotations", source)):
        where = f"{source}: annotations[{i}]"
        image = listed.get(field(record, "image_id", (int, str), where))
        if image is None:
            left_out.add(f"annotations[{i}]", f"there is no image {record['image_id']!r}")
            continue
        category = record.get("category_id")  # absent where only an instance is annotated
        if category is not None and field(record, "category_id", (int, str), where) not in names:
            left_out.add(f"annotations[{i}]", f"the category {category!r} has no name")
            continue
        instance = record.get("instance_id")
        if instance is not None:
            field(record, "instance_id", (int, str), where)
        boxes[record["image_id"]].append(
            Box(
                *_clipped(record, image, where),
                None if category is None else names[category],
                None if instance is None else str(instance),
            )
        )
    return boxes


def _clipped(
    record: dict[str, Any], image: dict[str, Any], where: str
) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box inside its image."""
    box = field(record, "bbox", list, where)
    if len(box) != 4 or not all(map(is_number, box)) or min(box[2:]) < 0:
        raise InputError(
            f"{where}: expected 'bbox' to be [x, y, width, height], the last two >= 0; got {box!r}"
        )
    x, y, width, height = box
    return clipped(x, y, x + width, y + height, image["width"], image["height"])


def _named(boxes: tuple[Box, ...], what: str) -> frozenset[str]:
    return frozenset(name for box in boxes if (name := getattr(box, what)) is not None)
