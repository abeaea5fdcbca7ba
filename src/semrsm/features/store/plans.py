"""What an extraction plans, held against the store that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from .format import attributes_of, records_of

#: In the configuration: what is no reason to refuse a store that needs no more work.
_VERSIONS = frozenset(("torch", "transformers", "timm", "torchvision", "onnxruntime"))


_PLAIN_NAMES = {"state_sha256": "weights", "weights_sha256": "weights file"}


def left_out_of(path: str | Path) -> list[tuple[int, str]]:
    """Return which of the images planned were left out of a complete store, and why."""
    return [(image, why) for image, _, why in store_attributes(Path(path))["left_out"]]


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


def is_there(target: Path) -> bool:
    """Return whether a folder has anything in it."""
    return target.is_dir() and any(target.iterdir())


def store_attributes(target: Path) -> dict[str, Any]:
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


def is_complete(target: Path, plan: Mapping[str, Any]) -> bool:
    """Whether a store of this very plan is complete; any other that is begun is refused."""
    found = store_attributes(target)
    if found["complete"] or records_of(target):
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
