"""Beginning a store or going on with it, as the only process that does; saving features."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..._internal.arrays import Array
from ..._internal.storage.folders import folder_aside, put_in_place, put_unless_there
from ..._internal.storage.locks import only_process
from ...errors import InputError, require
from ...tokens import MaskedImages
from .format import CHUNK_BYTES, CHUNK_IMAGES, FORMAT, PURPOSE, records_of, write_group
from .plans import check_target, is_complete, is_there, store_attributes
from .writer import Writer


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
        The network and its options, in plain types: a store with another one is refused.
    ids : sequence of str
        The images planned.
    samples : mapping of str to str or None
        Digests of the input that the network gets for a few of them, by index.
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
    require("zarr", extra="scale", purpose=PURPOSE)
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
        if not is_there(target):
            _make(target, plan)
            stack.enter_context(_only_writer(target))
        else:
            # Before the lock as well: a complete store may be read-only.
            if not overwrite and is_complete(target, plan):
                yield None
                return
            stack.enter_context(_only_writer(target))
            if not overwrite and is_complete(target, plan):
                yield None
                return
            if not records_of(target) and not store_attributes(target)["complete"]:
                _clear(target)  # nothing is lost
                write_group(target, plan)
            elif overwrite:
                folder = stack.enter_context(folder_aside(target))
                write_group(folder, plan)

        def publish() -> Path:
            put_in_place(folder, target)
            stack.enter_context(_only_writer(target))
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
    masks: Mapping[str, Any],
) -> Path:
    """Write features as a complete store, aside and then renamed; a store there is replaced.

    Raises
    ------
    InputError
        If the folder holds something else or is being written, or values are not finite.
    """
    require("zarr", extra="scale", purpose=PURPOSE)
    target = check_target(path)
    with contextlib.ExitStack() as stack:
        if is_there(target):
            store_attributes(target)
            stack.enter_context(_only_writer(target))
        folder = stack.enter_context(folder_aside(target))
        plan = {"format": FORMAT, "complete": False, "configuration": None, "ids": list(ids)}
        write_group(folder, plan)
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
            kept = {layer: MaskedImages(parts[layer], mask[rows]) for layer, mask in masks.items()}
            writer.add(
                range(len(ids))[rows],
                {**parts, **kept},
                None if logits is None else np.asarray(logits[rows]),
                {},
            )
        writer.flush()
        writer.finish(json.loads(json.dumps(dict(provenance), default=str)))
        put_in_place(folder, target)
    return target


def _bytes_each(array: Any) -> int:
    return int(np.prod(array.shape[1:])) * int(np.dtype(array.dtype).itemsize)


def _native(rows: Any, layer: str) -> Array:
    """Return rows in the byte order of this machine."""
    values = np.asarray(rows)
    if values.dtype.itemsize > 8:
        raise InputError(f"layer {layer!r}: expected at most 64 bits; got {values.dtype}")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Be the only process that writes a store."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(only_process(folder))
        except BlockingIOError as error:
            raise InputError(
                f"out: another process writes {str(folder)!r}; wait until it has ended, or choose "
                "another name"
            ) from error
        yield


def _make(target: Path, plan: Mapping[str, Any]) -> None:
    """Make an empty store; where one has appeared meanwhile, it stays."""
    with folder_aside(target) as aside:
        write_group(aside, plan)
        put_unless_there(aside, target)  # the lock of the one that is there tells whose it is


def _clear(target: Path) -> None:
    """Delete the files of an extraction that has not stored a chunk."""
    for left in target.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name not in ("zarr.json", ".lock"):
            left.unlink()
