"""One folder for each class."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .image_folder import image_files
from .images import MAX_PIXELS
from .reading import ImageFiles, LeftOut, existing_folder


class ClassFolders(ImageFiles):
    """Images in folders that are named after their classes.

    Unlike in :class:`semrsm.datasets.ImageFolder`, every image has a label: its outermost folder
    below `root`, at any depth.

    Parameters
    ----------
    root : str or Path
        The folder of the class folders. Hidden files and folders are skipped; links to folders are
        not followed.
    max_pixels : int
        Refuse larger images; see :func:`semrsm.datasets.open_image`.

    Attributes
    ----------
    ids : tuple of str
        Relative paths with ``/`` between folders, sorted.
    labels : tuple of str
        The class of each image.
    objects, boxes, groups : None

    Raises
    ------
    InputError
        If the folder does not exist, has no images, or has images outside the folders of classes.

    Warns
    -----
    UserWarning
        Once, if files are passed over, as by :class:`semrsm.datasets.ImageFolder`.
    """

    def __init__(self, root: str | Path, *, max_pixels: int = MAX_PIXELS) -> None:
        folder = existing_folder(root, "a folder with one folder of images for each class")
        passed_over = LeftOut()
        names = image_files(folder, passed_over, others=True)
        if not names:
            raise InputError(
                "root: expected folders of images (.jpg, .png and all others that Pillow opens) in "
                f"{str(folder)!r}; there are none{passed_over.told}"
            )
        outside = [name for name in names if "/" not in name]
        if outside:
            raise InputError(
                f"root: expected every image of {str(folder)!r} in the folder of its class; "
                f"{len(outside)} are not, such as {outside[0]!r}"
            )
        passed_over.finish("ClassFolders", len(names))
        super().__init__(
            folder,
            names,
            [folder / name for name in names],
            labels=[name.partition("/")[0] for name in names],
            max_pixels=max_pixels,
        )
