"""A folder of photographs, with or without one sub-folder for each class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .images import MAX_PIXELS, open_image

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset(
    (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
)


class ImageFolder:
    """The images of a folder, sorted by their relative path.

    Parameters
    ----------
    root : str or Path
        The folder. Hidden files and folders are skipped, links to folders are not followed.
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
        self.root = Path(root)
        if not self.root.is_dir():
            what = "is a file" if self.root.is_file() else "does not exist"
            raise InputError(f"images: expected a folder of images; {str(root)!r} {what}")
        self.ids = tuple(sorted(_walk(self.root, recursive)))
        if not self.ids:
            raise InputError(
                f"images: expected a folder with images ({', '.join(sorted(SUFFIXES))}); "
                f"{str(root)!r} holds none"
            )
        inside = all("/" in name for name in self.ids)
        self.labels = tuple(name.rpartition("/")[0] for name in self.ids) if inside else None
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Image:
        return open_image(self.root / self.ids[index], max_pixels=self._max_pixels)


def _walk(root: Path, recursive: bool) -> Iterator[str]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".")) if recursive else []
        for name in files:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield (Path(folder) / name).relative_to(root).as_posix()
