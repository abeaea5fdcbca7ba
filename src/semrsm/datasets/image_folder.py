"""A folder of photographs, with or without one sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import InputError
from .images import MAX_PIXELS
from .reading import ImageFiles

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
)


class ImageFolder(ImageFiles):
    """The images of a folder, sorted by their relative path.

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
    """

    def __init__(
        self, root: str | Path, *, recursive: bool = True, max_pixels: int = MAX_PIXELS
    ) -> None:
        folder = Path(root)
        if not folder.is_dir():
            what = "is a file" if folder.is_file() else "does not exist"
            raise InputError(f"images: expected a folder of images; {str(root)!r} {what}")
        names = list(image_files(folder, recursive=recursive))
        if not names:
            raise InputError(
                f"images: expected a folder with images ({', '.join(sorted(SUFFIXES))}); "
                f"{str(root)!r} holds none"
            )
        inside = all("/" in name for name in names)
        super().__init__(
            folder,
            names,
            [folder / name for name in names],
            labels=[name.rpartition("/")[0] for name in names] if inside else None,
            max_pixels=max_pixels,
        )


def image_files(root: Path, *, recursive: bool = True) -> list[str]:
    """Return the images below a folder, as sorted relative paths with ``/`` between folders.

    Hidden files and folders are skipped; links to folders are not followed.
    """
    return sorted(_walk(root, recursive))


def _walk(root: Path, recursive: bool) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if recursive else []
        # Once for each folder: taking paths apart is slow, and there may be a million files.
        above = Path(folder).relative_to(root).as_posix()
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield name if above == "." else f"{above}/{name}"
