"""The manifest of a Gram: the matcher, the version and the images that its tiles belong to.

It is sealed with a checksum of itself and of the arrays beside it. Its fingerprint decides which
tiles may lie in one Gram.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from .._internal.storage.seals import digest_of_facts
from .._version import __version__
from ..errors import InputError
from ..matching.base import Matcher, numbers_found, with_numbers
from ..matching.registry import BASELINE, MATCHERS
from ..tokens import DIGEST, Tokens
from .side import Side, arrays_of

FORMAT = "semrsm.run.gram/1"

#: Besides the images, these must agree for tiles to lie in one Gram; with their names in errors.
FINGERPRINT = {
    "semrsm": "the version of semrsm",
    "matcher": "the matcher",
    "dtype": "the dtype",
    "device": "the kind of device",
    "channels": "the number of channels",
    "is_symmetric": "whether rows and columns are the same images",
}


def stored_label(manifest: Mapping[str, Any]) -> str:
    """Return the label of the matcher; runs of earlier versions have only its name."""
    return str(manifest.get("matcher_label", manifest["matcher_name"]))


def is_without_label(manifest: Mapping[str, Any], matcher: Matcher) -> bool:
    """Return whether a run of an earlier version keeps a Gram of `matcher` under its bare name."""
    return "matcher_label" not in manifest and manifest["matcher"] == repr(matcher)


def is_matched(manifest: Mapping[str, Any]) -> bool:
    """Return whether vectors were matched; in runs of earlier versions by the matcher's name."""
    return bool(manifest.get("is_matched", manifest["matcher_name"] != BASELINE))


def resolved_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that the matcher's rules over the data set found, by option."""
    return dict(manifest.get("matcher_resolved", {}))


def grids_of(manifest: Mapping[str, Any]) -> list[tuple[int, int] | None]:
    """Return the grids of the row images and of the column images, where they are known."""
    grids = (manifest.get("grid"), manifest.get("column_grid"))
    return [None if grid is None else (int(grid[0]), int(grid[1])) for grid in grids]


def new_manifest(
    layer: str,
    matcher: Matcher,
    resolved: Matcher,
    rows: Tokens,
    columns: Tokens | None,
    sides: tuple[Side, Side],
    *,
    tile: int,
    device: str,
    sources: Sequence[Mapping[str, str]] | None,
) -> dict[str, Any]:
    """Return the manifest of a Gram that is to be computed, without its checksum.

    Parameters
    ----------
    layer : str
    matcher : Matcher
        As it was asked for.
    resolved : Matcher
        The same with the numbers that its rules over the data set have found.
    rows, columns : Tokens
        The images; `columns` is None where `rows` are compared with themselves.
    sides : (Side, Side)
        The records of the images, from which the ids are taken.
    tile : int
        Images on the side of a tile.
    device : str
        The kind of device that fills it.
    sources : sequence of mapping, or None
        The paths of the features, for other processes.
    """
    other = rows if columns is None else columns
    dtype = np.promote_types(rows.dtype, other.dtype).name
    return {
        "format": FORMAT,
        "semrsm": __version__,
        "matcher": repr(matcher),
        "matcher_name": matcher.name,
        "matcher_label": matcher.label,
        "matcher_options": asdict(matcher) if is_dataclass(matcher) else None,
        "matcher_resolved": numbers_found(matcher, resolved),
        "is_matched": matcher.is_matched,
        "needs_positions": matcher.needs_positions,
        "bounds": matcher.bounds,
        "dtype": dtype,
        "device": device,
        "channels": rows.channels,
        "is_symmetric": columns is None,
        "tile": tile,
        "grid": rows.grid,
        "column_grid": other.grid,
        "row_ids": list(sides[0].ids),
        "column_ids": None if columns is None else list(sides[1].ids),
        "sources": sources,
        "provenance": {
            "semrsm": __version__,
            "numpy": np.__version__,
            "matcher": repr(matcher),
            "images": [rows.count, other.count],
            "vectors": sorted({int(rows.sizes.max()), int(other.sizes.max())}),
            "channels": rows.channels,
            "dtype": dtype,
            "device": device,
            "layer": layer,
        },
    }


def checksum_of(manifest: Mapping[str, Any], rows: Side, columns: Side) -> str:
    """Return the checksum of a manifest and of the arrays beside it."""
    facts = {key: value for key, value in manifest.items() if key != "checksum"}
    digest = blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=DIGEST)
    for array in arrays_of(rows, columns, is_symmetric=False).values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def sealed(
    manifest: Mapping[str, Any], rows: Side, columns: Side, files: Mapping[str, str]
) -> dict[str, Any]:
    """Return a manifest with the digests of the files beside it, of itself, and of all."""
    known = {key: value for key, value in manifest.items() if key not in ("digest", "checksum")}
    facts: dict[str, Any] = json.loads(json.dumps({**known, "files": dict(files)}))
    facts["digest"] = digest_of_facts(facts)
    return {**facts, "checksum": checksum_of(facts, rows, columns)}


def is_intact(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest is as it was written; those of earlier versions do not tell."""
    facts = {key: value for key, value in manifest.items() if key not in ("digest", "checksum")}
    if "digest" not in manifest and "files" not in manifest:
        return True
    return bool(manifest.get("digest") == digest_of_facts(facts))


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Name the difference that keeps tiles of two manifests apart; None if there is none."""
    for key, what in FINGERPRINT.items():
        if old[key] != new[key]:
            return f"{what} was {old[key]}, and is {new[key]}"
    if resolved_of(old) != resolved_of(new):
        return f"the matcher's numbers were {resolved_of(old)}, and are {resolved_of(new)}"
    if new.get("needs_positions") and grids_of(old) != grids_of(new):
        return f"the grids of rows and columns were {grids_of(old)}, and are {grids_of(new)}"
    return None


def matcher_of(manifest: Mapping[str, Any]) -> Matcher:
    """Return the matcher that a run was laid out for, with the numbers that its rules found.

    Raises
    ------
    InputError
        If it was laid out by another version, or for a matcher that is not registered.
    """
    if manifest["semrsm"] != __version__:
        raise InputError(
            f"run: laid out by semrsm {manifest['semrsm']}; this is semrsm {__version__}"
        )
    options = manifest["matcher_options"]
    made = MATCHERS.get(manifest["matcher_name"])
    found = None if made is None or options is None else made(**options)
    if found is None or repr(found) != manifest["matcher"]:
        raise InputError(
            f"run: expected a matcher of semrsm.matchers; this one is {manifest['matcher']}"
        )
    return with_numbers(found, resolved_of(manifest))
