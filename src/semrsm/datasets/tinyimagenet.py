"""TinyImageNet: 200 classes of ImageNet at 64 x 64 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from ..errors import InputError, did_you_mean
from .image_folder import image_files
from .images import MAX_PIXELS
from .reading import Box, ImageFiles, Inside, LeftOut, existing_folder, read_text
from .registry import Option

SPLITS = ("train", "val", "test")


#: The options of the command.
OPTIONS = (Option("split", "the part of the data set, such as val, train or eval"),)


class TinyImageNet(ImageFiles):
    """One split of TinyImageNet, as distributed.

    Parameters
    ----------
    root : str or Path
        The folder with ``wnids.txt``, ``train``, ``val`` and ``test``.
    split : {"train", "val", "test"}, default "val"
        The test images have no labels.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        File names; in training with the class before them, ``"<wnid>/<file>"``.
    labels : tuple of str or None
        The WordNet id of each image.
    classes : tuple of str
        All WordNet ids, in the order of ``wnids.txt``.
    class_names : mapping of str to str
        WordNet id to words, for the ids that ``words.txt`` has; empty where there is no such file.
    objects : None
    boxes : tuple of tuple of Box, or None
        The box of the object of the class. As in the files, right and bottom are the last pixels
        inside the box.

    Raises
    ------
    InputError
        If a folder or file is missing, a line is malformed or names an unknown class, or the name
        of an image leads out of its folder.

    Warns
    -----
    UserWarning
        Once, if classes have no folder, annotated images are missing, or validation images have no
        annotation; those are left out.
    """

    def __init__(
        self, root: str | Path, split: str = "val", *, max_pixels: int = MAX_PIXELS
    ) -> None:
        if split not in SPLITS:
            raise InputError(
                f"split: expected one of {', '.join(SPLITS)}; got {split!r}."
                f"{did_you_mean(str(split), SPLITS)}"
            )
        folder = existing_folder(root, "a folder with wnids.txt, train and val")
        self._classes = tuple(read_text(folder / "wnids.txt").split())
        if len(set(self._classes)) < len(self._classes) or not self._classes:
            raise InputError(f"{folder / 'wnids.txt'}: expected different WordNet ids, one a line")
        self.class_names = MappingProxyType(_words(folder / "words.txt", set(self._classes)))
        left_out = LeftOut()
        read = {"train": self._train, "val": self._val, "test": self._test}[split]
        rows = list(read(folder, left_out))
        left_out.finish(f"TinyImageNet {split}", len(rows))
        super().__init__(
            folder,
            [name for name, *_ in rows],
            [path for _, path, _, _ in rows],
            labels=None if split == "test" else [label for *_, label, _ in rows],
            boxes=None if split == "test" else [boxes for *_, boxes in rows],
            max_pixels=max_pixels,
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """All WordNet ids, in the order of ``wnids.txt``."""
        return self._classes

    def _train(self, folder: Path, left_out: LeftOut) -> Iterator[_Row]:
        base = existing_folder(folder / "train", "the training images of TinyImageNet")
        for wnid in self._classes:
            images = base / wnid / "images"
            if not images.is_dir():
                left_out.add(wnid, "no folder of images")
                continue
            inside = Inside(images)
            annotated = base / wnid / f"{wnid}_boxes.txt"
            boxes = {}
            if annotated.is_file():
                for name, fields, where in _lines(annotated, 5):
                    boxes[name] = (_box(fields, wnid, where),)
                    if inside.find(name, where) is None:
                        left_out.add(f"{wnid}/{name}", "no such file")
            for name in image_files(images, left_out):
                yield f"{wnid}/{name}", str(images / name), wnid, boxes.get(name, ())

    def _val(self, folder: Path, left_out: LeftOut) -> Iterator[_Row]:
        images = existing_folder(folder / "val" / "images", "the validation images of TinyImageNet")
        inside = Inside(images)
        known, seen = set(self._classes), set()
        for name, fields, where in _lines(folder / "val" / "val_annotations.txt", 6):
            wnid = fields[0]
            if wnid not in known:
                raise InputError(
                    f"{where}: the class {wnid!r} is not in wnids.txt.{did_you_mean(wnid, known)}"
                )
            path = inside.find(name, where)
            seen.add(name)
            if path is None:
                left_out.add(name, "no such file")
            else:
                yield name, path, wnid, (_box(fields[1:], wnid, where),)
        for name in image_files(images, left_out):
            if name not in seen:
                left_out.add(name, "not in val_annotations.txt")

    def _test(self, folder: Path, left_out: LeftOut) -> Iterator[_Row]:
        images = existing_folder(folder / "test" / "images", "the test images of TinyImageNet")
        for name in image_files(images, left_out):
            yield name, str(images / name), "", ()


#: Id, path, label and boxes of an image.
_Row = tuple[str, str, str, tuple[Box, ...]]


def _words(path: Path, wanted: set[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition("\t") for line in read_text(path).splitlines())
    return {wnid: words.strip() for wnid, _, words in pairs if wnid in wanted}


def _lines(path: Path, count: int) -> Iterator[tuple[str, list[str], str]]:
    """Yield the first field, the others, and the place of each line of tab-separated fields."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        fields = line.rstrip("\r\n").split("\t")
        if len(fields) != count:
            raise InputError(f"{where}: expected {count} fields between tabs; got {line[:80]!r}")
        yield fields[0], fields[1:], where


def _box(fields: list[str], wnid: str, where: str) -> Box:
    try:
        left, top, right, bottom = (float(int(value)) for value in fields)
    except ValueError:
        raise InputError(f"{where}: expected four whole numbers; got {fields!r}") from None
    return Box(left, top, right, bottom, wnid)
