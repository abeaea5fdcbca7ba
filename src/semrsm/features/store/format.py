"""The description of a feature store: its attributes, its records, the names of its arrays."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..._internal.storage.files import replacing
from ..._internal.storage.seals import UNREADABLE, digest_of_facts, read_json
from ...errors import InputError

FORMAT = "semrsm.features/1"


#: The chunks of the largest layer have at most this many bytes, and half of it unless the images
#: are few or large.
CHUNK_BYTES = 16 << 20


#: Small features would fill a chunk only after so many images that an interruption costs much.
CHUNK_IMAGES = 512


PURPOSE = "The feature store"


def attributes_of(path: Path) -> dict[str, Any] | None:
    """Return the attributes of a store; None for any other Zarr group or array.

    Raises
    ------
    InputError
        If the folder is no Zarr v3 group or array, is one of semrsm that holds no features, or is
        not as it was written.
    """
    root = path / "zarr.json"
    try:
        node = read_json(root)
        found = node.get("attributes", {}).get("semrsm")
        if node["zarr_format"] != 3 or node["node_type"] not in ("group", "array"):
            raise ValueError("not Zarr v3")
    except UNREADABLE as error:
        raise InputError(
            f"expected a Zarr v3 group or array; {str(path)!r} is not one, or {str(root)!r} is "
            "damaged"
        ) from error
    if not isinstance(found, dict) or "format" not in found:
        return None
    if found["format"] != FORMAT:
        raise InputError(
            f"expected features of format {FORMAT!r}; {str(path)!r} holds {found['format']!r}"
        )
    if not _is_intact(found):
        raise InputError(f"{str(root)!r} is damaged: it is not what was written")
    return found


def _is_intact(facts: Mapping[str, Any]) -> bool:
    """Return whether facts with a digest of themselves are as written; the first had none."""
    rest = {key: value for key, value in facts.items() if key != "digest"}
    return "digest" not in facts or bool(facts["digest"] == digest_of_facts(rest))


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
            records = records_of(folder)
            return (records[-1]["next"] if records else 0, len(attributes["ids"]))
    return None


def records_of(folder: Path) -> list[dict[str, Any]]:
    """Return the records of the chunks from the first to the last before one is missing."""
    records: list[dict[str, Any]] = []
    while True:
        try:
            record = read_json(record_path(folder, len(records)))
            record["images"], record["next"], record["left_out"], record["digests"]
        except (OSError, ValueError, KeyError, TypeError):
            return records
        if not _is_intact(record):
            return records
        records.append(record)


def record_path(folder: Path, chunk: int) -> Path:
    """Return the file that says that a chunk is complete."""
    return folder / ".progress" / f"{chunk}.json"


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


def write_group(folder: Path, attributes: Mapping[str, Any]) -> None:
    """Write the attributes of a store, in one step."""
    # As Zarr would write it, but aside and renamed, whatever the version of Zarr does.
    node = {"zarr_format": 3, "node_type": "group", "attributes": {"semrsm": _sealed(attributes)}}
    _write(folder / "zarr.json", node)


def write_record(folder: Path, chunk: int, content: Mapping[str, Any]) -> None:
    """Write that a chunk is complete."""
    _write(record_path(folder, chunk), _sealed(content))


def write_node(path: Path, node: Mapping[str, Any]) -> None:
    """Write the description of an array, in one step."""
    _write(path, node)


def _sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts with a digest of themselves."""
    known = {key: value for key, value in facts.items() if key != "digest"}
    plain: dict[str, Any] = json.loads(json.dumps(known))
    return {**plain, "digest": digest_of_facts(plain)}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, to the disk before it gets its name."""
    with replacing(path, durable=True) as aside:
        aside.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
