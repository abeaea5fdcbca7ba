"""A gallery that is measured once and searched many times, in memory or on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import is_array_in_memory
from .._internal.storage.arrays import SealedArray, chunk_file, mark_of
from .._internal.storage.folders import folder_aside, put_in_place, remove_unfinished
from .._internal.storage.seals import (
    UNREADABLE,
    check_seal,
    digest_of_facts,
    read_json,
    seal_of,
)
from ..errors import InputError, require
from ..tokens import PIECE, FlatImages, Measured, Tokens, ids_of, image_ids, measure

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = "semrsm.index/1"

#: The file of the attributes, which holds the seal.
_ROOT = "zarr.json"

#: A chunk of vectors on disk: an image that is matched alone is read with its whole chunk.
CHUNK_BYTES = 2 << 20


class Index:
    """The images of a gallery, for :func:`semrsm.topk`.

    Parameters
    ----------
    gallery : array-like, torch.Tensor or list of arrays
        N images, in any form that :func:`semrsm.gram` takes. Arrays on disk stay there; feature
        maps in memory are copied once, in the order in which they are searched.
    ids : sequence, optional
        Names of the images; their indices by default.
    provenance : mapping, optional
        The origin of the images, such as the provenance of :class:`semrsm.Features`: any JSON
        values. It is kept with the index.

    Attributes
    ----------
    ids : tuple of str
        The names of the images.
    provenance : mapping
    means : ndarray, shape (N, C)
        The mean concept vector of each image, divided by two to the power of the image's exponent,
        as its vectors are (that is by 1 for all but extreme images). Searches start with the images
        whose means are most like that of the query.

    Raises
    ------
    InputError
        If the gallery is invalid. All of it is read twice: to find out, and to average.

    Examples
    --------
    >>> import numpy as np, semrsm
    >>> maps = np.random.default_rng(0).normal(size=(20, 8, 3, 3))
    >>> index = semrsm.Index(maps, ids=[f"photo {n}" for n in range(20)])
    >>> index = index.add(maps[:1] + 0.1, ids=["one more"])
    >>> index
    Index(21 images of 9 vectors, 8 channels)
    >>> semrsm.topk(maps[:1], index, k=2).names(0)
    ['photo 0', 'one more']
    """

    def __init__(
        self,
        gallery: Any,
        *,
        ids: Sequence[Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.provenance = dict(provenance or {})
        self.tokens = measure(gallery, "gallery")
        self.ids = ids_of(self.tokens, ids, "ids")
        if is_array_in_memory(self.tokens.origin) and not self.tokens.in_place:
            self.tokens = self.tokens.part(0, self.tokens.count)  # now, not at every search
        self.means = mean_vectors(self.tokens)

    @classmethod
    def from_tokens(
        cls,
        tokens: Tokens,
        ids: Sequence[Any] | None,
        means: NDArray[Any],
        provenance: Mapping[str, Any],
    ) -> Index:
        """Return an index of images that have been checked and averaged already."""
        index = object.__new__(cls)
        index.provenance = dict(provenance)
        index.tokens = tokens
        index.ids = ids_of(tokens, ids, "ids")
        index.means = means
        return index

    @property
    def count(self) -> int:
        """The number of images."""
        return self.tokens.count

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        sizes = sorted({int(self.tokens.sizes.min()), int(self.tokens.sizes.max())})
        vectors = " to ".join(map(str, sizes))
        return f"Index({self.count} images of {vectors} vectors, {self.tokens.channels} channels)"

    def add(self, gallery: Any, *, ids: Sequence[Any] | None = None) -> Index:
        """Return an index with more images at its end; this one stays as it is.

        Parameters
        ----------
        gallery : array-like, torch.Tensor or list of arrays
            Images with the same number of channels. The present images are not measured again.
        ids : sequence, optional
            Their names; their indices in the new index by default.

        Returns
        -------
        Index

        Raises
        ------
        InputError
            If the channels differ, or a name is taken.
        """
        more = measure(gallery, "gallery")
        if more.channels != self.tokens.channels:
            raise InputError(
                f"gallery: expected {self.tokens.channels} channels as in the index; got "
                f"{more.channels}"
            )
        names = ids if ids is not None else more.ids
        if names is None:
            names = range(self.count, self.count + more.count)
        added = image_ids(names, more.count, "ids")
        both = self.tokens.followed_by(more)
        means = np.concatenate([self.means, mean_vectors(more)]).astype(both.dtype, copy=False)
        return Index.from_tokens(both, (*self.ids, *added), means, self.provenance)

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the index to a Zarr folder, which can be searched without being loaded.

        Parameters
        ----------
        path : str or Path
            The folder; it appears when it is complete.
        overwrite : bool, default False
            Whether an existing index may be replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        InputError
            If `path` exists and may not be replaced, or the parent folder does not exist.
        MissingDependencyError
            If zarr is not installed.
        """
        zarr = require("zarr", extra="scale", purpose="Indices on disk")
        target = Path(path)
        if not target.resolve().parent.is_dir():
            raise InputError(f"path: the folder {str(target.parent)!r} does not exist")
        if target.exists():
            if not overwrite:
                raise InputError(f"path: {str(target)!r} exists (allow overwriting to replace it)")
            if not is_index(target):  # nothing else is deleted; a damaged index may be
                Index.load(target)
        with folder_aside(target) as aside:
            tokens = self.tokens
            group = zarr.create_group(aside, zarr_format=3)
            rows = max(1, CHUNK_BYTES // (tokens.channels * tokens.dtype.itemsize))
            size = int(tokens.sizes[0]) if tokens.uniform else 1
            chunk = max(1, rows // size) * size  # whole images where they are of one size
            total = int(tokens.sizes.sum())
            chunk = min(chunk, total)
            chunks = -(-total // chunk)
            vectors = group.create_array(
                "vectors",
                shape=(total, tokens.channels),
                chunks=(chunk, tokens.channels),
                dtype=tokens.dtype,
                compressors=[zarr.codecs.Crc32cCodec()],
                config={"write_empty_chunks": True},  # a chunk of zeros is there as well
            )
            at = 0
            for first, last in tokens.pieces(PIECE):
                block = tokens.block(first, last).vectors
                vectors[at : at + len(block)] = block
                at += len(block)
            for name in ("sizes", "squared_norms", "exponents"):
                group.create_array(name, data=getattr(tokens, name), compressors=None)
            group.create_array("means", data=self.means, compressors=None)
            facts = {
                "format": FORMAT,
                "ids": list(self.ids),
                # The vectors that a mask has left are no grid.
                "grid": None if tokens.kept is not None else tokens.grid,
                "provenance": self.provenance,
                "seal": seal_of(aside, but=_ROOT),
                "checksums": [
                    mark_of(chunk_file(aside / "vectors", chunk, 2)) for chunk in range(chunks)
                ],
            }
            # As they will be read: tuples become lists.
            facts = json.loads(json.dumps(facts))
            group.attrs["semrsm"] = {**facts, "digest": digest_of_facts(facts)}
            put_in_place(aside, target)
        remove_unfinished(target)
        return target

    @classmethod
    def load(cls, path: str | Path) -> Index:
        """Open an index that :meth:`save` wrote; its images stay on disk.

        Parameters
        ----------
        path : str or Path
            The folder.

        Returns
        -------
        Index

        Raises
        ------
        InputError
            If `path` is not the folder of an index.
        """
        zarr = require("zarr", extra="scale", purpose="Indices on disk")
        try:
            group = zarr.open_group(Path(path), mode="r")
            facts = group.attrs["semrsm"]
            if facts["format"] != FORMAT:
                raise KeyError("format")
            _check(Path(path), dict(facts))
            vectors: Any = group["vectors"]
            if "seal" in facts:
                marks = facts.get("checksums")
                vectors = SealedArray(vectors, Path(path) / "vectors", marks, "gallery")
            grid = facts.get("grid")  # the first indices on disk had none
            tokens = measure(
                FlatImages(vectors, group["sizes"][:]),
                "gallery",
                grid=None if grid is None else tuple(grid),
                measured=Measured(group["squared_norms"][:], group["exponents"][:]),
            )
            return cls.from_tokens(tokens, facts["ids"], group["means"][:], facts["provenance"])
        except UNREADABLE as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"path: expected a folder that Index.save wrote, with its {_ROOT}; {str(path)!r} "
                "is not one"
            ) from error


def _check(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse an index that is damaged; the first ones on disk had no seal.

    Raises
    ------
    InputError
        Naming the file.
    """
    digest = facts.pop("digest", None)
    if digest is None and "seal" not in facts:
        return
    if digest != digest_of_facts(facts):
        raise InputError(f"path: {str(folder / _ROOT)!r} is damaged: it is not what was written")
    # Chunks of vectors have checksums of their own, which are checked when they are read.
    check_seal(
        folder, facts["seal"], reads=lambda part: not part.startswith("vectors/c/"), name="path"
    )


def is_index(path: str | Path) -> bool:
    """Return whether :meth:`Index.save` wrote a folder, by a look at its metadata."""
    try:
        facts = read_json(Path(path) / _ROOT)
        return bool(facts["attributes"]["semrsm"]["format"] == FORMAT)
    except UNREADABLE:
        return False


def mean_vectors(tokens: Tokens) -> NDArray[Any]:
    """Return the mean concept vector of each image, shape (N, C), in the dtype of the vectors.

    Means are accumulated in float64. Like the vectors, they are divided by two to the power of the
    image's exponent.
    """
    means = np.empty((tokens.count, tokens.channels), dtype=tokens.dtype)
    for first, last in tokens.pieces(PIECE):
        block = tokens.block(first, last)
        sums = np.add.reduceat(block.vectors, block.starts[:-1], axis=0, dtype=np.float64)
        means[first:last] = sums / block.sizes[:, None]
    return means
