"""ImageNet-1k: training and validation images, in each of their three usual layouts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..errors import InputError, require
from .image_folder import image_files
from .images import MAX_PIXELS
from .reading import ImageFiles, LeftOut, existing_folder, read_text
from .registry import Option

_WNID = re.compile(r"n\d{8}")
_NAMED = re.compile(r"(?P<wnid>n\d{8})_(?P<rest>.+)")
_VALIDATION = re.compile(r"ILSVRC2012_val_(?P<number>\d{8})")

_TRUTH = Path("data", "ILSVRC2012_validation_ground_truth.txt")
_META = Path("data", "meta.mat")


#: The options of the command.
OPTIONS = (Option("split", "the part of the data set, such as val, train or eval"),)


class ImageNet(ImageFiles):
    """The images of ImageNet-1k, or some of them, with their classes.

    Three layouts are recognised: a folder for each class, ``<wnid>/*.JPEG``; files with the class
    in their name, ``<wnid>_<anything>.JPEG``; and the validation images as distributed,
    ``ILSVRC2012_val_<number>.JPEG`` all in one folder, with their classes in the development kit.

    Parameters
    ----------
    root : str or Path
        The folder of the images, or a folder with `split` inside.
    split : str, default "val"
        The name of the folder inside `root`, where there is one.
    devkit : str or Path, optional
        The development kit: the folder with ``data/meta.mat`` and
        ``data/ILSVRC2012_validation_ground_truth.txt``. By default `root` is searched, and the
        folders ``ILSVRC2012_devkit_t12`` and ``devkit`` in it.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        Paths relative to the folder of the images, with ``/`` between folders, sorted.
    labels : tuple of str
        The WordNet id of each image. The sorted ids of all 1000 classes are in the order of the
        outputs of the usual classifiers.
    class_names : mapping of str to str
        WordNet id to a name, where the file names or the development kit have one.
    objects, boxes, groups : None

    Raises
    ------
    InputError
        If a folder or the development kit is missing or malformed, or no image fits one of the
        three layouts.
    MissingDependencyError
        If SciPy, which reads ``meta.mat``, is needed and not installed.

    Warns
    -----
    UserWarning
        Once, if files or folders of images are named in another way; those are left out.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "val",
        *,
        devkit: str | Path | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        base = existing_folder(root, "a folder with images of ImageNet")
        folder = base / split if (base / split).is_dir() else base
        left_out = LeftOut()
        found: dict[str, str] = {}
        class_names: dict[str, str] = {}
        flat: dict[str, int] = {}
        for name in image_files(folder, left_out):
            top, inside, _ = name.partition("/")
            stem = Path(name).stem
            if inside:
                if _WNID.fullmatch(top):
                    found[name] = top
                else:
                    left_out.add(name, "not in a folder that is named like a WordNet id")
            elif match := _NAMED.fullmatch(stem):
                found[name] = match["wnid"]
                if not match["rest"].isdigit():  # a number distinguishes only images of one class
                    class_names.setdefault(match["wnid"], match["rest"].replace("_", " "))
            elif match := _VALIDATION.fullmatch(stem):
                flat[name] = int(match["number"])
            else:
                left_out.add(name, "not named <wnid>_….JPEG or ILSVRC2012_val_….JPEG")
        if flat:
            kit = _Devkit(_devkit_folder(base, devkit))
            found |= {name: kit.label(number, name) for name, number in flat.items()}
            class_names |= kit.class_names
        left_out.finish("ImageNet", len(found))
        names = sorted(found)
        self.class_names: Mapping[str, str] = MappingProxyType(class_names)
        super().__init__(
            folder,
            names,
            [folder / name for name in names],
            labels=[found[name] for name in names],
            max_pixels=max_pixels,
        )


def _devkit_folder(base: Path, given: str | Path | None) -> Path:
    names = ("", "ILSVRC2012_devkit_t12", "devkit")
    candidates = [base / name for name in names] if given is None else [Path(given)]
    for folder in candidates:
        if (folder / _META).is_file() and (folder / _TRUTH).is_file():
            return folder
    raise InputError(
        "devkit: expected the development kit of ImageNet, since the names of the images do not "
        f"tell their classes; none of {', '.join(repr(str(f)) for f in candidates)} has "
        f"{_META.as_posix()} and {_TRUTH.as_posix()}"
    )


class _Devkit:
    """The classes of the validation images."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _TRUTH
        wnids, self.class_names = _synsets(folder / _META)
        self._labels = []
        for number, line in enumerate(read_text(self._path).split(), 1):
            if not line.isdecimal() or int(line) not in wnids:
                raise InputError(
                    f"{self._path}: line {number}: expected the number of a class in meta.mat; got "
                    f"{line[:40]!r}"
                )
            self._labels.append(wnids[int(line)])

    def label(self, number: int, name: str) -> str:
        if not 1 <= number <= len(self._labels):
            raise InputError(
                f"{self._path}: expected a line for each validation image; got "
                f"{len(self._labels)}, and none for {name!r}"
            )
        return self._labels[number - 1]


def _synsets(path: Path) -> tuple[dict[int, str], dict[str, str]]:
    """Return WordNet ids by class number, and words by WordNet id."""
    scipy = require("scipy.io", extra="datasets", purpose="ImageNet's development kit")
    try:
        rows = np.atleast_1d(scipy.loadmat(path, squeeze_me=True)["synsets"])
        numbers, ids, words = (rows[key].tolist() for key in ("ILSVRC2012_ID", "WNID", "words"))
        wnids = {int(number): _text(wnid) for number, wnid in zip(numbers, ids, strict=True)}
        names = {_text(wnid): _text(word) for wnid, word in zip(ids, words, strict=True)}
    # SciPy's reader raises nearly any exception on damaged files.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as ImageNet's meta.mat: {error}") from error
    return wnids, names


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text; got {type(value).__name__}")
    return value
