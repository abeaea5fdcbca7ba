"""A folder of photographs, with or without one sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .._internal.text import as_text, is_utf8
from ..errors import InputError
from .images import MAX_PIXELS, image_suffixes
from .reading import ImageFiles, LeftOut


class ImageFolder(ImageFiles):
    """The images of a folder, sorted by their relative path.

    Images are the files with a suffix that Pillow opens, whatever its case.

    Parameters
    ----------
    root : str or Path
        The folder. Hidden files and folders are skipped; links to folders are not followed.
    recursive : bool, default True
        Whether images in sub-folders count.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        Relative paths with ``/`` between folders.
    labels : tuple of str or None
        The folder that each image lies in, if all lie in sub-folders.

    Raises
    ------
    InputError
        If the folder does not exist or holds no images.
    MissingDependencyError
        If Pillow is not installed.

    Warns
    -----
    UserWarning
        Once, if files are passed over: those with other suffixes, pipes, devices and sockets, links
        that lead nowhere or to folders, names that are not UTF-8, folders that cannot be read.
    """

    def __init__(
        self, root: str | Path, *, recursive: bool = True, max_pixels: int = MAX_PIXELS
    ) -> None:
        folder = Path(root)
        if not folder.is_dir():
            what = "is a file" if folder.is_file() else "does not exist"
            raise InputError(f"images: expected a folder of images; {str(root)!r} {what}")
        passed_over = LeftOut()
        names = image_files(folder, passed_over, others=True, recursive=recursive)
        if not names:
            raise InputError(
                f"images: expected a folder with images (.jpg, .png and all others that Pillow "
                f"opens); {str(root)!r} holds none{passed_over.told}"
            )
        passed_over.finish("ImageFolder", len(names))
        inside = all("/" in name for name in names)
        super().__init__(
            folder,
            names,
            [folder / name for name in names],
            labels=[name.rpartition("/")[0] for name in names] if inside else None,
            max_pixels=max_pixels,
        )


def image_files(
    root: Path,
    passed_over: LeftOut | None = None,
    *,
    others: bool = False,
    recursive: bool = True,
) -> list[str]:
    """Return the images below a folder, as sorted relative paths with ``/`` between folders.

    Hidden files and folders are skipped; links to folders are not followed.

    Parameters
    ----------
    root : Path
    passed_over : LeftOut, optional
        Told the files that have the suffix of an image and are not taken, and folders that cannot
        be read.
    others : bool, default False
        Whether `passed_over` is told all other files too, and links to folders.
    recursive : bool, default True
        Whether sub-folders count.

    Raises
    ------
    MissingDependencyError
        If Pillow, which knows the suffixes, is not installed.
    """
    suffixes = image_suffixes()
    names = []
    for name, problem, is_other in _walk(root, suffixes, recursive):
        if problem is None:
            names.append(name)
        elif passed_over is not None and (others or not is_other):
            passed_over.add(as_text(name), problem)
    return sorted(names)


def _walk(
    root: Path, suffixes: frozenset[str], recursive: bool
) -> Iterator[tuple[str, str | None, bool]]:
    """Yield all files that are not hidden: name, why it is not taken, whether it is no image."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            with os.scandir(root / above) as entries:
                # Sorted, so that the warning is the same on every file system.
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            yield above or ".", f"the folder cannot be read: {error.strerror}", False
            continue
        inner = []
        for entry in found:
            if entry.name.startswith("."):
                continue
            name = f"{above}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                inner.append(f"{name}/")
                continue
            is_image = os.path.splitext(entry.name)[1].lower() in suffixes
            yield name, _problem(entry, name, is_image), not is_image
        if recursive:
            waiting += reversed(inner)


def _problem(entry: os.DirEntry[str], name: str, is_image: bool) -> str | None:
    """Return why a file is not taken as an image; None for one that is."""
    try:
        # Of regular files, the folder itself says what they are: that takes no time.
        if not entry.is_file():
            if entry.is_dir():
                return "a link to a folder, which is not followed"
            broken = entry.is_symlink() and not os.path.exists(entry.path)
            return "a link that leads nowhere" if broken else "not a regular file"
    except OSError as error:  # links in a circle
        return f"cannot be read: {error.strerror}"
    if not is_image:
        return "no suffix of an image"
    return None if is_utf8(name) else "the name is not UTF-8"
