"""The base class of data sets, and the careful reading of other people's files."""

from __future__ import annotations

import copy
import errno
import json
import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError
from ..tokens import image_ids
from .images import MAX_PIXELS, open_image

if TYPE_CHECKING:
    from PIL.Image import Image

#: Images that a warning names; the others are only counted.
_NAMED = 5


class Box(NamedTuple):
    """The box around one object of an image, in pixels from the upper left corner.

    Attributes
    ----------
    left, top, right, bottom : float
        Inside the image; the area is zero where the annotation lies outside.
    category : str or None
        None where the object has no category.
    instance : str or None
        An id that the same object has in all images; None where it is not annotated.
    """

    left: float
    top: float
    right: float
    bottom: float
    category: str | None = None
    instance: str | None = None


class ImageFiles:
    """Images in files, with their annotations: the base class of every data set.

    Attributes
    ----------
    root : Path
    ids : tuple of str
        Distinct names.
    labels : tuple of str or None
        The class of each image.
    objects : tuple of frozenset of str, or None
        The objects that each image shows.
    boxes : tuple of tuple of Box, or None
        The boxes of the objects in each image.
    groups : tuple of str or None
        A key for each image that near duplicates share.
    """

    #: Attributes with one entry for each image.
    _PER_IMAGE = ("ids", "labels", "objects", "boxes", "groups", "_paths")

    def __init__(
        self,
        root: Path,
        ids: Sequence[str],
        paths: Iterable[str | Path],
        *,
        labels: Iterable[str] | None = None,
        objects: Iterable[frozenset[str]] | None = None,
        boxes: Iterable[tuple[Box, ...]] | None = None,
        groups: Iterable[str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.root = root
        self.ids = image_ids(ids, len(ids), "images")
        self.labels = None if labels is None else tuple(labels)
        self.objects = None if objects is None else tuple(objects)
        self.boxes = None if boxes is None else tuple(boxes)
        self.groups = None if groups is None else tuple(groups)
        # Plain strings: data sets have a million images, and a Path is five times as large.
        self._paths = tuple(os.fspath(path) for path in paths)
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        return open_image(self._paths[index], max_pixels=self._max_pixels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r}: {len(self)} images)"

    @property
    def classes(self) -> tuple[str, ...]:
        """The distinct labels, sorted; empty where images have no labels."""
        return tuple(sorted(set(self.labels or ())))

    def take(self, indices: Sequence[int]) -> Any:
        """Return the data set of some of the images, in the given order.

        Parameters
        ----------
        indices : sequence of int
            Positions in ``ids``, such as ``range(0, len(data), 10)``.

        Raises
        ------
        InputError
            If `indices` is empty, or a number is out of range or repeated.
        """
        chosen = [int(i) for i in indices]
        if not chosen or len(set(chosen)) < len(chosen):
            raise InputError(
                f"indices: expected one or more different numbers; got {len(chosen)}, of which "
                f"{len(set(chosen))} are different"
            )
        if min(chosen) < 0 or max(chosen) >= len(self):
            wrong = next(i for i in chosen if not 0 <= i < len(self))
            raise InputError(f"indices: expected numbers from 0 to {len(self) - 1}; got {wrong}")
        taken = copy.copy(self)
        for name in self._PER_IMAGE:
            values = getattr(self, name)
            if values is not None:
                setattr(taken, name, tuple(values[i] for i in chosen))
        return taken


def existing_folder(path: str | Path, what: str) -> Path:
    """Return a folder, or refuse a path that is not one.

    Parameters
    ----------
    path : str or Path
    what : str
        The expected folder in words, such as ``"the root of TinyImageNet, with wnids.txt"``.

    Raises
    ------
    InputError
        If the folder does not exist.
    """
    folder = Path(path)
    if not folder.is_dir():
        problem = "is a file" if folder.is_file() else "does not exist"
        raise InputError(f"root: expected {what}; {str(path)!r} {problem}")
    return folder


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Raises
    ------
    InputError
        If it is missing or not text.
    """
    if not path.is_file():
        raise InputError(f"root: expected the file {str(path)!r}, which does not exist")
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file.

    Raises
    ------
    InputError
        If the file is missing, damaged or holds anything but an object.
    """
    text = read_text(path)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object; got {type(found).__name__}")
    return found


def records(holder: dict[str, Any], key: str, source: Path) -> list[dict[str, Any]]:
    """Return ``holder[key]``, which must be a list of objects.

    Raises
    ------
    InputError
        If it is not one; the message names the first entry that is not an object.
    """
    found: list[dict[str, Any]] = field(holder, key, list, str(source))
    for i, record in enumerate(found):
        if not isinstance(record, dict):
            raise InputError(
                f"{source}: {key}[{i}]: expected an object; got {type(record).__name__}"
            )
    return found


def field(record: dict[str, Any], key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Return a required field of a record, of the expected type.

    Raises
    ------
    InputError
        If it is missing or of another type; the message begins with `where`.
    """
    if key not in record:
        raise InputError(f"{where}: the field {key!r} is missing")
    value = record[key]
    # In Python, but not in any annotation, True is a number.
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        names = {int: "a whole number", str: "text", list: "a list", dict: "an object"}
        expected = " or ".join(names[k] for k in kinds)
        raise InputError(f"{where}: expected {key!r} to be {expected}; got {value!r}")
    return value


def is_number(value: Any) -> bool:
    """Return whether a value from a JSON file is a finite number that a float can hold."""
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= 2**53
    return isinstance(value, float) and math.isfinite(value)


def clipped(
    left: float, top: float, right: float, bottom: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """Return the part of a box that lies inside an image of `width` and `height`."""
    return (
        min(max(float(left), 0.0), float(width)),
        min(max(float(top), 0.0), float(height)),
        min(max(float(right), 0.0), float(width)),
        min(max(float(bottom), 0.0), float(height)),
    )


def _resolved(path: Path) -> Path:
    """Return the target of a path; links in a circle are refused, whether or not the file exists.

    ``Path.resolve()`` alone refuses them only before Python 3.13.
    """
    try:
        return path.resolve(strict=True)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise
        return path.resolve()


class Inside:
    """Files of one folder by the names that annotations give them.

    Annotations come from others, and must not make a reader open files elsewhere.

    Parameters
    ----------
    folder : Path
        It may itself be a link; its target counts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._real = folder.resolve()

    def find(self, name: str, where: str) -> str | None:
        """Return the path of a file, or None if no file has that name.

        Parameters
        ----------
        name : str
            Relative to the folder, with ``/`` between folders.
        where : str
            The record that names it, for errors.

        Raises
        ------
        InputError
            If the name is absolute, goes up with ``..``, or is a link that leads out of the folder.
        """
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        outside = (
            not posix.name
            or "\0" in name
            or posix.is_absolute()
            or bool(windows.anchor)
            or ".." in windows.parts
        )
        path = self._folder / name
        if not outside:
            try:
                outside = not _resolved(path).is_relative_to(self._real)
            except (OSError, RuntimeError):  # links in a circle
                outside = True
        if outside:
            raise InputError(
                f"{where}: the file name {name!r} leads out of the folder {str(self._folder)!r}; "
                "names in annotations must stay inside"
            )
        return str(path) if path.is_file() else None


class LeftOut:
    """Counts the entries that a reader leaves out, for one warning at the end."""

    def __init__(self) -> None:
        self._reasons: list[str] = []

    def add(self, name: str, reason: str) -> None:
        """Count one entry that is left out."""
        self._reasons.append(f"{name}: {reason}")

    @property
    def told(self) -> str:
        """The entries in words, for the end of a message; empty where there are none."""
        return f"; {len(self._reasons)} left out: {self._shown}" if self._reasons else ""

    @property
    def _shown(self) -> str:
        return "; ".join(self._reasons[:_NAMED]) + ("; …" if self._reasons[_NAMED:] else "")

    def finish(self, reader: str, remaining: int) -> None:
        """Warn once of all entries left out; to be called from the ``__init__`` of a reader.

        Raises
        ------
        InputError
            If nothing remains.
        """
        count = len(self._reasons)
        if not remaining:
            raise InputError(
                f"root: expected at least one image of {reader}; found none{self.told}"
            )
        if count:
            warnings.warn(
                f"{reader}: {count} {'entry was' if count == 1 else 'entries were'} left out: "
                f"{self._shown}",
                UserWarning,
                stacklevel=3,
            )
