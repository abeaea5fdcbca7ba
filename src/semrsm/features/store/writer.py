"""Filling a store chunk by chunk, and going on with it after an interruption."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..._internal.arrays import Array
from ..._internal.storage.arrays import check_node, chunk_file, mark_of
from ..._internal.storage.files import to_disk
from ..._internal.storage.seals import digest_of_node
from ...errors import InputError, require
from ...tokens import MaskedImages, fingerprint, measure, whole_array
from ..layouts import Layout
from .format import (
    CHUNK_BYTES,
    CHUNK_IMAGES,
    FORMAT,
    PURPOSE,
    array_names,
    attributes_of,
    record_path,
    records_of,
    write_group,
    write_node,
    write_record,
)
from .sealed import array_attributes


class Writer:
    """Fills a store from where it stands; one chunk of images is held in memory.

    Parameters
    ----------
    folder : Path
        A store that :mod:`semrsm.features.store.filling` has begun.
    publish : callable, optional
        Called when the first chunk is there; returns where the folder is from then on.

    Attributes
    ----------
    next : int
        The first image that is still to be dealt with, among those planned.
    count : int
        How many images are stored.
    left_out : list of (int, str)
        Images that could not be read, and why.
    shapes : dict of str to tuple
        The shape of one image by layer, once it is known.
    """

    def __init__(self, folder: Path, publish: Callable[[], Path] | None = None) -> None:
        self._zarr = require("zarr", extra="scale", purpose=PURPOSE)
        self._folder = folder
        self._publish = publish
        self._attributes = attributes_of(folder) or {}
        self._total = len(self._attributes["ids"])
        self._images: list[int] = []
        self._digests: dict[str, list[bytes]] = {}
        self._marks: dict[str, list[str]] = {}
        self._buffers: dict[str, Array] = {}
        self._waiting: list[int] = []  # the images in the buffers
        self._chunk = 0
        self.next = 0
        self.left_out: list[tuple[int, str]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        if "arrays" in self._attributes:
            self._resume()

    @property
    def count(self) -> int:
        """How many images are stored."""
        return len(self._images)

    def leave_out(self, image: int, why: str) -> None:
        """Note an image that cannot be read; before the rows that follow it are added."""
        if image >= self.next:
            self.left_out.append((image, why))

    def add(
        self,
        images: Sequence[int],
        layers: Mapping[str, Array | MaskedImages],
        logits: Array | None,
        layouts: Mapping[str, Layout],
    ) -> None:
        """Add rows, given the images that they belong to; those that are there are skipped.

        Raises
        ------
        InputError
            If some images have class scores and others have none.
        OSError
            If a chunk cannot be written. It names the store.
        """
        kept = {
            layer: rows.kept.astype(np.uint8)
            for layer, rows in layers.items()
            if isinstance(rows, MaskedImages)
        }
        whole: dict[str, Array] = {layer: whole_array(rows) for layer, rows in layers.items()}
        if not self._buffers:
            self._begin(whole, logits, layouts, kept)
        name = self._attributes["logits"]
        if (logits is None) != (name is None):
            raise InputError("model: expected class scores for all images, or for none")
        arrays = {self._attributes["arrays"][layer]: rows for layer, rows in whole.items()}
        arrays |= {self._attributes["kept"][layer]: rows for layer, rows in kept.items()}
        if logits is not None:
            arrays[name] = logits
        fresh = [row for row, image in enumerate(images) if image >= self.next]
        size = self._attributes["images_per_chunk"]
        while fresh:
            start = len(self._waiting)
            rows, fresh = fresh[: size - start], fresh[size - start :]
            for array, values in arrays.items():
                self._buffers[array][start : start + len(rows)] = values[rows]
            self._waiting += [images[row] for row in rows]
            if len(self._waiting) == size:
                self._write(self._waiting[-1] + 1)

    def flush(self) -> None:
        """Write the rows that fill no chunk; there can be none after them."""
        if self._waiting:
            self._write(self._total)

    def finish(self, provenance: Mapping[str, Any]) -> None:
        """Write that the store is complete."""
        with self._naming_the_store():
            for name in self._names():
                self._resize(name, self.count)
            attributes = dict(self._attributes)
            planned = self._attributes["ids"]
            attributes["ids"] = [planned[image] for image in self._images]
            attributes["left_out"] = [[i, planned[i], why] for i, why in self.left_out]
            attributes["provenance"] = dict(provenance)
            attributes["fingerprints"] = {
                layer: fingerprint(np.frombuffer(b"".join(self._digests[name]), dtype=np.uint8))
                for layer, name in self._attributes["arrays"].items()
            }
            attributes["checksums"] = {name: self._marks[name] for name in self._names()}
            attributes["complete"] = True
            write_group(self._folder, attributes)
            self._forget_progress()

    def _forget_progress(self) -> None:
        shutil.rmtree(self._folder / ".progress", ignore_errors=True)

    @property
    def layouts(self) -> dict[str, Layout]:
        """How each layer is read, as :meth:`add` was told first; empty before."""
        told = self._attributes.get("layouts", {})
        return {layer: Layout.from_dict(values) for layer, values in told.items()}

    def _begin(
        self,
        layers: Mapping[str, Array],
        logits: Array | None,
        layouts: Mapping[str, Layout],
        kept: Mapping[str, Array],
    ) -> None:
        """Make the arrays, now that their shapes are known."""
        names = array_names(layers)
        arrays = {names[layer]: rows for layer, rows in layers.items()}
        self._attributes["arrays"] = names
        self._attributes["layouts"] = {k: layout.to_dict() for k, layout in layouts.items()}
        # The name of no layer's array: "~" and a number are all that those end in.
        self._attributes["kept"] = {layer: f"{names[layer]}~kept" for layer in kept}
        arrays |= {f"{names[layer]}~kept": rows for layer, rows in kept.items()}
        self._attributes["logits"] = None
        if logits is not None:
            self._attributes["logits"] = "logits"
            arrays["logits"] = logits
        largest = max(values[:1].nbytes for values in arrays.values())
        size = min(max(1, CHUNK_BYTES // max(1, largest)), CHUNK_IMAGES, self._total)
        self._attributes["images_per_chunk"] = size
        with self._naming_the_store():
            group = self._zarr.open_group(self._folder, mode="r+")
            for name, values in arrays.items():
                group.create_array(
                    name,
                    shape=(self._total, *values.shape[1:]),
                    chunks=(size, *values.shape[1:]),
                    dtype=values.dtype,
                    # Not compressed: the mantissas of activations are close to noise, and Zstandard
                    # makes them 7 % smaller. The checksum tells a damaged file.
                    compressors=[self._zarr.codecs.Crc32cCodec()],
                    # Never the value of a feature, so that no chunk is left away as empty, and a
                    # missing one cannot pass for features.
                    fill_value=float("nan") if values.dtype.kind == "f" else 255,
                    overwrite=True,
                    attributes=array_attributes(FORMAT),
                )
                to_disk(self._folder / name / "zarr.json")
            self._attributes["nodes"] = {
                name: digest_of_node(self._folder / name / "zarr.json") for name in arrays
            }
            write_group(self._folder, self._attributes)
            (self._folder / ".progress").mkdir(exist_ok=True)
        self._allocate(arrays)

    def _allocate(self, arrays: Mapping[str, Any]) -> None:
        size = self._attributes["images_per_chunk"]
        for name, array in arrays.items():
            self._buffers[name] = np.empty((size, *array.shape[1:]), dtype=array.dtype)
        for layer, name in self._attributes["arrays"].items():
            self.shapes[layer] = tuple(self._buffers[name].shape[1:])
            self._digests.setdefault(name, [])
        self._marks = {name: [] for name in arrays}

    def _resume(self) -> None:
        """Find out how far the store is, and go back to the first chunk that is damaged."""
        for left in self._folder.rglob("*.partial"):  # of writes that were interrupted
            left.unlink(missing_ok=True)
        records = records_of(self._folder)
        if not records:  # its arrays may be half made: made again
            for key in ("arrays", "kept", "logits", "images_per_chunk", "nodes"):
                self._attributes.pop(key, None)
            return
        nodes = self._attributes.get("nodes", {})  # the first stores had none
        for name in self._names():
            check_node(self._folder / name, nodes.get(name), "out")
            self._resize(name, self._total)
        group = self._zarr.open_group(self._folder, mode="r+")
        arrays = {name: group[name] for name in self._names()}
        self._allocate(arrays)
        for record in records:
            if not self._is_sound(arrays, record):
                break
            self._take(record)
        chunk = self._chunk
        while (left := record_path(self._folder, chunk)).exists():
            left.unlink()
            chunk += 1

    def _is_sound(self, arrays: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
        start = self._chunk * self._attributes["images_per_chunk"]
        rows, marks = len(record["images"]), record.get("checksums", {})
        for name, array in arrays.items():
            if not self._file(name).is_file():
                return False
            if name in marks and mark_of(self._file(name)) != marks[name]:
                return False
            try:
                array[start : start + rows]  # compares the checksum
            except Exception:  # whatever Zarr makes of damaged bytes
                return False
        return True

    def _take(self, record: Mapping[str, Any]) -> None:
        self._images += record["images"]
        self.left_out += [(image, why) for image, why in record["left_out"]]
        self.next = record["next"]
        for name, digests in record["digests"].items():
            self._digests[name].append(bytes.fromhex(digests))
        for name, marks in self._marks.items():
            marks.append(mark_of(self._file(name)))
        self._chunk += 1

    def _write(self, following: int) -> None:
        """Write the buffers as one chunk, and then its record."""
        rows = len(self._waiting)
        start = self._chunk * self._attributes["images_per_chunk"]
        digests = {
            name: measure(self._buffers[name][:rows], f"layer {layer!r}").digests().tobytes().hex()
            for layer, name in self._attributes["arrays"].items()
        }
        record: dict[str, Any] = {
            "images": self._waiting,
            "next": following,
            "left_out": [pair for pair in self.left_out if self.next <= pair[0] < following],
            "digests": digests,
        }
        with self._naming_the_store():
            group = self._zarr.open_group(self._folder, mode="r+")
            for name, buffer in self._buffers.items():
                file = self._file(name)
                # A torn chunk of an interrupted write; Zarr would read it to fill a part of it.
                file.unlink(missing_ok=True)
                group[name][start : start + rows] = buffer[:rows]
                to_disk(file)
            record["checksums"] = {name: mark_of(self._file(name)) for name in self._buffers}
            write_record(self._folder, self._chunk, record)
        self._images += self._waiting
        for name, text in digests.items():
            self._digests[name].append(bytes.fromhex(text))
        for name, mark in record["checksums"].items():
            self._marks[name].append(mark)
        self._chunk += 1
        self._waiting = []
        self.next = following
        if self._publish is not None:
            self._folder = self._publish()
            self._publish = None

    def _names(self) -> list[str]:
        logits = self._attributes["logits"]
        kept = self._attributes.get("kept", {})
        arrays = [*self._attributes["arrays"].values(), *kept.values()]
        return [*arrays, *([] if logits is None else [logits])]

    def _file(self, name: str) -> Path:
        """Return the file of the next chunk of an array."""
        return chunk_file(self._folder / name, self._chunk, self._buffers[name].ndim)

    def _resize(self, name: str, count: int) -> None:
        """Set the number of images of an array, at once or not at all."""
        path = self._folder / name / "zarr.json"
        node = json.loads(path.read_text(encoding="utf-8"))
        if node["shape"][0] != count:
            node["shape"][0] = count
            write_node(path, node)

    @contextmanager
    def _naming_the_store(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:  # a full disk, a quota
            raise OSError(
                error.errno,
                f"{error.strerror or error}; {self.count:,} of {self._total:,} images are stored, "
                "and the same call goes on from there",
                str(self._folder),
            ) from error
