"""The two sides of ``semrsm retrieve``: queries and gallery, opened and compared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..features.photographs import Photos
from ..retrieval.index import Index, is_index
from .common import holds_photographs, one_layer_of
from .index import origin


@dataclass(frozen=True, eq=False)
class Side:
    """The queries, or the gallery.

    Attributes
    ----------
    images : Index or array
    ids : tuple of str
    origin : dict
        The origin of the images, as an index keeps it.
    """

    images: Any
    ids: tuple[str, ...]
    origin: dict[str, Any]

    @property
    def layer(self) -> str | None:
        """The layer; None for a .npy file, whose only layer has the name of the file."""
        layer: str | None = self.origin.get("layer")
        source = self.origin.get("features", {}).get("source")
        return None if source == f"{layer}.npy" else layer


def open_side(
    arguments: argparse.Namespace, path: Path, network: Callable[[], Any], argument: str
) -> Side:
    """Return the images of a path; photographs go through the network."""
    if is_index(path):
        index = Index.load(path)
        return Side(index, index.ids, dict(index.provenance))
    features = one_layer_of(arguments, path, network, argument)
    return Side(features.tokens(next(iter(features))), features.ids, origin(features))


def check_same(queries: Side, gallery: Side) -> None:
    """Refuse features of different networks or layers, where both are known."""
    if queries.layer and gallery.layer and queries.layer != gallery.layer:
        raise InputError(
            f"--layer: expected one layer for both; queries have {queries.layer}, the gallery "
            f"{gallery.layer}"
        )
    for key in ("model", "state_sha256"):
        values = [side.origin.get("features", {}).get(key) for side in (queries, gallery)]
        if None not in values and values[0] != values[1]:
            raise InputError(
                f"QUERIES: expected features of the network of the gallery; its {key} is "
                f"{values[1]}, theirs {values[0]}"
            )


def same_ids(
    ids: tuple[str, ...], gallery_ids: tuple[str, ...]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return whether each query and image of the gallery have the same name, shape (Q, N)."""
    places = {name: n for n, name in enumerate(gallery_ids)}
    same = np.zeros((len(ids), len(gallery_ids)), dtype=bool)
    for row, name in enumerate(ids):
        if name in places:
            same[row, places[name]] = True
    return same


def photographs(
    arguments: argparse.Namespace, ids: tuple[str, ...], gallery_ids: tuple[str, ...]
) -> tuple[Photos, Photos] | None:
    """Return the photographs of both sides, or None if those of one side are not known."""
    from ..datasets import ImageFolder

    if arguments.no_figures:
        return None
    found = []
    own = arguments.gallery_images if arguments.gallery is not None else arguments.query_images
    for given, source, names in (
        (arguments.query_images, arguments.queries, ids),
        (own, arguments.gallery or arguments.queries, gallery_ids),
    ):
        folder = source if given is None and holds_photographs(source) else given
        if folder is None:
            return None
        found.append(Photos(ImageFolder(folder), names))
    return found[0], found[1]
