"""The feature store: a Zarr v3 group that an extraction fills chunk by chunk.

::

    features.zarr/
      zarr.json             in its attributes: what is run on what, and at last the ids of all rows
      <layer>/              (N, C, H, W) or (N, T, D); a chunk is all of some neighbouring images
      logits/               (N, K) float32, where there are class scores
      .progress/<k>.json    until it is complete: chunk k is there, in every array
      .lock                 held by the process that fills it

A chunk is written to the disk before its record is, and the record is written aside and renamed.
What has been interrupted has no record and is written again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from .._internal.storage.files import replacing
from ..errors import InputError, require
from ..tokens import fingerprint, measure

Array = np.ndarray[Any, np.dtype[Any]]

FORMAT = "semrsm.features/1"

#: The chunks of the largest layer have at most this many bytes, and half of it unless the images
#: are few or large.
CHUNK_BYTES = 16 << 20

#: Small features would fill a chunk only after so many images that an interruption costs much.
CHUNK_IMAGES = 512

_PURPOSE = "The feature store"

#: In the configuration: what is no reason to refuse a store that needs no more work.
_VERSIONS = frozenset(("torch", "transformers", "timm", "torchvision", "onnxruntime"))

_PLAIN_NAMES = {"state_sha256": "weights", "weights_sha256": "weights file"}


# What the folder says of itself


def attributes_of(path: Path) -> dict[str, Any] | None:
    """Return what a store says of itself; None for any other Zarr group or array.

    Raises
    ------
    InputError
        If the folder is no Zarr v3 group or array, or is one of semrsm that holds no features.
    """
    try:
        node = json.loads((path / "zarr.json").read_text(encoding="utf-8"))
        found = node.get("attributes", {}).get("semrsm")
        if node["zarr_format"] != 3 or node["node_type"] not in ("group", "array"):
            raise ValueError("not Zarr v3")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"expected a Zarr v3 group or array; {str(path)!r} is none") from error
    if not isinstance(found, dict) or "format" not in found:
        return None
    if found["format"] != FORMAT:
        raise InputError(
            f"expected features of format {FORMAT!r}; {str(path)!r} holds {found['format']!r}"
        )
    return found


def progress_of(path: str | Path) -> tuple[int, int] | None:
    """Return how many images of how many an interrupted extraction is done with.

    Parameters
    ----------
    path : str or Path
        The folder of the store.

    Returns
    -------
    (int, int) or None
        None where `path` is no store of features, or a complete one.
    """
    folder = Path(path)
    with contextlib.suppress(InputError):
        attributes = attributes_of(folder)
        if attributes is not None and not attributes["complete"]:
            records = _records(folder)
            return (records[-1]["next"] if records else 0, len(attributes["ids"]))
    return None


def read(
    path: Path,
) -> tuple[dict[str, Any], Sequence[str] | None, Any, dict[str, Any]]:
    """Open a complete store, or any Zarr v3 group or array of features; no layer is read.

    Returns
    -------
    tuple
        Layers, ids, logits and provenance.

    Raises
    ------
    InputError
        If the store is incomplete.
    """
    zarr = require("zarr", extra="scale", purpose=_PURPOSE)
    attributes = attributes_of(path)
    if attributes is None:
        root = zarr.open(path, mode="r", zarr_format=3)
        arrays = {name or path.stem: root[name] if name else root for name in _arrays_below(path)}
        return arrays, None, None, {"source": path.name}
    if not attributes["complete"]:
        done, total = progress_of(path) or (0, 0)
        raise InputError(
            f"the extraction has been interrupted, or is under way: {done:,} of {total:,} images "
            "are done; the same call of extract, or the same command, goes on from there"
        )
    group = zarr.open_group(path, mode="r", zarr_format=3)
    logits = attributes["logits"]
    return (
        {layer: group[name] for layer, name in attributes["arrays"].items()},
        attributes["ids"],
        None if logits is None else group[logits],
        attributes["provenance"],
    )


def _arrays_below(path: Path) -> list[str]:
    """Return the arrays of a group made by others, as paths inside it; "" for an array alone."""
    found = []
    for folder, inner, files in os.walk(path):
        if "zarr.json" not in files:
            continue
        node = json.loads((Path(folder) / "zarr.json").read_text(encoding="utf-8"))
        if node["node_type"] == "array":
            inner.clear()  # only its chunks
            if len(node["shape"]) in (3, 4):
                found.append(Path(folder).relative_to(path).as_posix())
    return sorted("" if name == "." else name for name in found)


def _records(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the chunks from the first to the last before one is missing."""
    records: list[dict[str, Any]] = []
    while True:
        try:
            text = _record(folder, len(records)).read_text(encoding="utf-8")
            record = json.loads(text)
            record["images"], record["next"], record["left_out"], record["digests"]
        except (OSError, ValueError, KeyError, TypeError):
            return records
        records.append(record)


def _record(folder: Path, chunk: int) -> Path:
    return folder / ".progress" / f"{chunk}.json"


# Filling it


class Writer:
    """Fills a store from where it stands; one chunk of images is held in memory.

    Parameters
    ----------
    folder : Path
        A store that :func:`writing` or :func:`save` has begun.
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
        self._zarr = require("zarr", extra="scale", purpose=_PURPOSE)
        self._folder = folder
        self._publish = publish
        self._attributes = attributes_of(folder) or {}
        self._total = len(self._attributes["ids"])
        self._images: list[int] = []
        self._digests: dict[str, list[bytes]] = {}
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
        layers: Mapping[str, Array],
        logits: Array | None,
        grids: Mapping[str, Any],
    ) -> None:
        """Add rows, given the images that they belong to; those that are there are skipped.

        Raises
        ------
        InputError
            If some images have class scores and others have none.
        OSError
            If a chunk cannot be written. It names the store.
        """
        if not self._buffers:
            self._begin(layers, logits, grids)
        name = self._attributes["logits"]
        if (logits is None) != (name is None):
            raise InputError("model: expected class scores for all images, or for none")
        arrays = {self._attributes["arrays"][layer]: rows for layer, rows in layers.items()}
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
            attributes["complete"] = True
            _write_group(self._folder, attributes)
            self._forget_progress()

    def _forget_progress(self) -> None:
        shutil.rmtree(self._folder / ".progress", ignore_errors=True)

    @property
    def grids(self) -> dict[str, Any]:
        """Height and width of the grids of the layers, as :meth:`add` was told them first."""
        return dict(self._attributes["grids"])

    def _begin(
        self, layers: Mapping[str, Array], logits: Array | None, grids: Mapping[str, Any]
    ) -> None:
        """Make the arrays, now that their shapes are known."""
        names = array_names(layers)
        arrays = {names[layer]: rows for layer, rows in layers.items()}
        self._attributes["arrays"] = names
        self._attributes["grids"] = dict(grids)
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
                    fill_value=float("nan"),
                    overwrite=True,
                )
                _to_disk(self._folder / name / "zarr.json")
            _write_group(self._folder, self._attributes)
            (self._folder / ".progress").mkdir(exist_ok=True)
        self._allocate(arrays)

    def _allocate(self, arrays: Mapping[str, Any]) -> None:
        size = self._attributes["images_per_chunk"]
        for name, array in arrays.items():
            self._buffers[name] = np.empty((size, *array.shape[1:]), dtype=array.dtype)
        for layer, name in self._attributes["arrays"].items():
            self.shapes[layer] = tuple(self._buffers[name].shape[1:])
            self._digests.setdefault(name, [])

    def _resume(self) -> None:
        """Find out how far the store is, and go back to the first chunk that is damaged."""
        for left in self._folder.rglob("*.partial"):  # of writes that were interrupted
            left.unlink(missing_ok=True)
        records = _records(self._folder)
        if not records:  # its arrays may be half made: made again
            for key in ("arrays", "logits", "images_per_chunk", "grids"):
                self._attributes.pop(key, None)
            return
        for name in self._names():
            self._resize(name, self._total)
        group = self._zarr.open_group(self._folder, mode="r+")
        arrays = {name: group[name] for name in self._names()}
        self._allocate(arrays)
        for record in records:
            if not self._is_sound(arrays, len(record["images"])):
                break
            self._take(record)
        chunk = self._chunk
        while (left := _record(self._folder, chunk)).exists():
            left.unlink()
            chunk += 1

    def _is_sound(self, arrays: Mapping[str, Any], rows: int) -> bool:
        start = self._chunk * self._attributes["images_per_chunk"]
        for name, array in arrays.items():
            if not self._file(name).is_file():
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
        self._chunk += 1

    def _write(self, following: int) -> None:
        """Write what is in the buffers as one chunk, and then its record."""
        rows = len(self._waiting)
        start = self._chunk * self._attributes["images_per_chunk"]
        digests = {
            name: measure(self._buffers[name][:rows], f"layer {layer!r}").digests().tobytes().hex()
            for layer, name in self._attributes["arrays"].items()
        }
        record = {
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
                _to_disk(file)
            _write_json(_record(self._folder, self._chunk), record)
        self._images += self._waiting
        for name, text in digests.items():
            self._digests[name].append(bytes.fromhex(text))
        self._chunk += 1
        self._waiting = []
        self.next = following
        if self._publish is not None:
            self._folder = self._publish()
            self._publish = None

    def _names(self) -> list[str]:
        logits = self._attributes["logits"]
        return [*self._attributes["arrays"].values(), *([] if logits is None else [logits])]

    def _file(self, name: str) -> Path:
        """Return the file of the next chunk of an array."""
        inner = ["0"] * (self._buffers[name].ndim - 1)
        return self._folder.joinpath(name, "c", str(self._chunk), *inner)

    def _resize(self, name: str, count: int) -> None:
        """Set the number of images of an array, at once or not at all."""
        path = self._folder / name / "zarr.json"
        node = json.loads(path.read_text(encoding="utf-8"))
        if node["shape"][0] != count:
            node["shape"][0] = count
            _write_json(path, node)

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


@contextmanager
def writing(
    path: str | Path,
    configuration: Mapping[str, Any],
    ids: Sequence[str],
    samples: Mapping[str, str | None],
    *,
    overwrite: bool = False,
) -> Iterator[Writer | None]:
    """Begin a store or go on with it, as the only process that does.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.zarr``.
    configuration : mapping
        What is run, in plain types: a store with another one is refused.
    ids : sequence of str
        The images planned.
    samples : mapping of str to str or None
        Digests of what the network gets of a few of them, by index.
    overwrite : bool, default False
        Whether a store may be replaced; it is when the first chunk of the new one is there.

    Yields
    ------
    Writer or None
        None where the store is complete already.

    Raises
    ------
    InputError
        If the folder holds something else, or another extraction, or is being written.
    """
    require("zarr", extra="scale", purpose=_PURPOSE)
    target = check_target(path)
    plan: dict[str, Any] = {
        "format": FORMAT,
        "complete": False,
        "configuration": json.loads(json.dumps(dict(configuration), default=str)),
        "ids": list(ids),
        "samples": dict(samples),
    }
    with contextlib.ExitStack() as stack:
        folder = target
        if not _is_there(target):
            _make(target, plan)
            stack.enter_context(_locked(target))
        else:
            # Before the lock as well: a complete store may be read-only.
            if not overwrite and _is_complete(target, plan):
                yield None
                return
            stack.enter_context(_locked(target))
            if not overwrite and _is_complete(target, plan):
                yield None
                return
            if not _records(target) and not _attributes(target)["complete"]:
                _clear(target)  # nothing is lost
                _write_group(target, plan)
            elif overwrite:
                folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
                _write_group(folder, plan)

        def publish() -> Path:
            _swap(folder, target)
            stack.enter_context(_locked(target))
            return target

        writer = Writer(folder, publish if folder != target else None)
        try:
            yield writer
        except BaseException:
            if not writer.count:  # a mistake at the very beginning leaves nothing to go on with
                shutil.rmtree(folder, ignore_errors=True)
            raise


def save(
    path: str | Path,
    layers: Mapping[str, Any],
    ids: Sequence[str],
    logits: Any,
    provenance: Mapping[str, Any],
) -> Path:
    """Write features as a complete store, aside and then renamed; a store there is replaced.

    Raises
    ------
    InputError
        If the folder holds something else or is being written, or values are not finite.
    """
    require("zarr", extra="scale", purpose=_PURPOSE)
    target = check_target(path)
    with contextlib.ExitStack() as stack:
        if _is_there(target):
            _attributes(target)
            stack.enter_context(_locked(target))
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        plan = {"format": FORMAT, "complete": False, "configuration": None, "ids": list(ids)}
        _write_group(folder, plan)
        writer = Writer(folder)
        bytes_each = sum(_bytes_each(array) for array in layers.values())
        step = min(max(1, CHUNK_BYTES // max(1, bytes_each)), CHUNK_IMAGES)
        for first in range(0, len(ids), step):
            rows = slice(first, first + step)
            parts = {layer: _native(array[rows], layer) for layer, array in layers.items()}
            for layer, part in parts.items():
                bad = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
                if bad.any():
                    raise InputError(
                        f"layer {layer!r}: expected finite values; got NaN or infinity in image "
                        f"{ids[first + int(bad.argmax())]!r}"
                    )
            writer.add(
                range(len(ids))[rows],
                parts,
                None if logits is None else np.asarray(logits[rows]),
                {},
            )
        writer.flush()
        writer.finish(json.loads(json.dumps(dict(provenance), default=str)))
        if _is_there(target):
            _swap(folder, target)
        else:
            folder.chmod(0o755)
            folder.rename(target)
    return target


def left_out_of(path: str | Path) -> list[tuple[int, str]]:
    """Return which of the images planned were left out of a complete store, and why."""
    return [(image, why) for image, _, why in _attributes(Path(path))["left_out"]]


def check_target(path: str | Path) -> Path:
    """Refuse a path that no store can have.

    Raises
    ------
    InputError
        If it does not end in ``.zarr``, is a file, or its folder does not exist.
    """
    if not isinstance(path, (str, Path)):
        raise InputError(f"out: expected a path; got {type(path).__name__}")
    target = Path(path)
    if target.suffix != ".zarr":
        raise InputError(f"out: expected a name that ends in .zarr; got {str(path)!r}")
    if not target.parent.is_dir():
        raise InputError(
            f"out: expected a folder inside an existing one; {str(target.parent)!r} is not one"
        )
    if target.exists() and not target.is_dir():
        raise InputError(f"out: expected a folder; {str(path)!r} is a file")
    return target


def array_names(layers: Iterator[str] | Mapping[str, Any] | Sequence[str]) -> dict[str, str]:
    """Return a name for the array of each layer that every file system and Zarr take.

    Examples
    --------
    >>> array_names(["blocks.0", "Blocks.0", "/up/conv", "logits"])
    {'blocks.0': 'blocks.0', 'Blocks.0': 'Blocks.0~2', '/up/conv': '%2Fup%2Fconv', 'logits': \
'logits~2'}
    """
    names: dict[str, str] = {}
    taken = {"logits", "zarr.json", ""}
    for layer in layers:
        plain = quote(layer, safe="")[:100]
        if plain.startswith((".", "__")):  # hidden, or reserved by the format
            plain = f"%{ord(plain[0]):02X}{plain[1:]}"
        name, number = plain, 1
        while name.lower() in taken:  # also where the file system ignores case
            number += 1
            name = f"{plain}~{number}"
        taken.add(name.lower())
        names[layer] = name
    return names


def _bytes_each(array: Any) -> int:
    return int(np.prod(array.shape[1:])) * int(np.dtype(array.dtype).itemsize)


def _native(rows: Any, layer: str) -> Array:
    """Return rows in the byte order of this machine, which is what is computed in."""
    values = np.asarray(rows)
    if values.dtype.itemsize > 8:
        raise InputError(f"layer {layer!r}: expected at most 64 bits; got {values.dtype}")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _is_there(target: Path) -> bool:
    return target.is_dir() and any(target.iterdir())


def _attributes(target: Path) -> dict[str, Any]:
    """Return what a store says of itself, refusing to write over anything else."""
    found = None
    with contextlib.suppress(InputError):
        found = attributes_of(target)
    if found is None:
        raise InputError(
            f"out: expected a new or empty folder, or a feature store; {str(target)!r} holds "
            "something else"
        )
    return found


def _is_complete(target: Path, plan: Mapping[str, Any]) -> bool:
    """Whether a store of this very plan is complete; any other that is begun is refused."""
    found = _attributes(target)
    if found["complete"] or _records(target):
        differences = _differences(found, plan)
        if differences:
            raise InputError(
                f"out: {str(target)!r} holds the features of another extraction "
                f"({'; '.join(differences)}); overwrite it, or choose another name"
            )
    return bool(found["complete"])


def _differences(found: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    old, new = found["configuration"], plan["configuration"]
    if old is None:
        return ["it was saved, not extracted"]
    ignored = {"semrsm"} | (_VERSIONS if found["complete"] else set())
    differences = []
    for key in [*new, *(key for key in old if key not in new)]:
        if key not in ignored and old.get(key) != new.get(key):
            what = _PLAIN_NAMES.get(key, key.replace("_", " "))
            before, now = repr(old.get(key)), repr(new.get(key))
            short = len(before) + len(now) <= 120
            differences.append(f"{what}: {before}, now {now}" if short else f"other {what}")
    planned, ids = _planned(found), plan["ids"]
    if planned != ids:
        if len(planned) != len(ids):
            differences.append(f"images: {len(planned)}, now {len(ids)}")
        else:
            i = next(n for n, (a, b) in enumerate(zip(planned, ids, strict=True)) if a != b)
            differences.append(f"images: image {i} is {planned[i]!r}, now {ids[i]!r}")
    else:
        other = [
            ids[int(i)]
            for i, digest in plan["samples"].items()
            if None not in (digest, found["samples"].get(i)) and digest != found["samples"][i]
        ]
        if other:
            differences.append(
                f"images: the pixels of {other[0]!r} after preprocessing are not what they were"
            )
    return differences


def _planned(found: Mapping[str, Any]) -> list[str]:
    """Return the images planned: while a store is filled, all; then also those left out."""
    planned = list(found["ids"])
    for index, name, _ in found.get("left_out", ()):  # in ascending order
        planned.insert(index, name)
    return planned


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a store, which ends with its process."""
    path = folder / ".lock"
    busy = InputError(
        f"out: another process writes {str(folder)!r}; wait until it has ended, or choose another "
        "name"
    )
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
        except OSError as error:  # some cluster file systems have no locks
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        if not _is_same(file.fileno(), path):  # it has just been finished or replaced
            raise busy
        try:
            yield
        finally:
            if _is_same(file.fileno(), path):
                path.unlink()


def _is_same(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False


def _make(target: Path, plan: Mapping[str, Any]) -> None:
    """Make an empty store; where one has appeared meanwhile, it stays."""
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        _write_group(aside, plan)
        aside.chmod(0o755)
        with contextlib.suppress(OSError):  # its lock tells whose it is
            aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _clear(target: Path) -> None:
    """Delete what an extraction has left that has not stored a chunk."""
    for left in target.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name not in ("zarr.json", ".lock"):
            left.unlink()


def _swap(folder: Path, target: Path) -> None:
    """Put a folder in the place of another, which is deleted."""
    folder.chmod(0o755)
    old = Path(tempfile.mkdtemp(dir=target.parent, prefix=".replaced-"))
    target.rename(old / "old")
    folder.rename(target)
    shutil.rmtree(old)


def _write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    # As Zarr would write it, but aside and renamed, whatever the version of Zarr does.
    node = {"zarr_format": 3, "node_type": "group", "attributes": {"semrsm": dict(attributes)}}
    _write_json(folder / "zarr.json", node)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    with replacing(path) as aside:
        aside.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        _to_disk(aside)


def _to_disk(path: Path) -> None:
    """Wait until a file is on the disk: a power failure must not spare the record of it only."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def without_addresses(text: str) -> str:
    """Return a ``repr`` without addresses in memory, which differ in every process.

    Examples
    --------
    >>> without_addresses("<function resize at 0x7f21a0b3c040>")
    '<function resize>'
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
