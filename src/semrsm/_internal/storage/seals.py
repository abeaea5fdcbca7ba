"""Seals: sizes and digests of the files of a folder, so that none is missing or changed unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError

#: The errors of libraries that read a file which is damaged, or is not what its name says.
UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,  # a header that promises terabytes
    OSError,
    RuntimeError,  # also JSON that is nested too deeply
    TypeError,
    ValueError,
)

#: Files are read in pieces of this many bytes.
_PIECE = 1 << 20


def seal_of(folder: Path, *, but: str) -> dict[str, list[Any]]:
    """Return size and digest of every file in a folder, by its path in it.

    Parameters
    ----------
    folder : Path
    but : str
        The file that holds the seal.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != but:
            found[name] = [path.stat().st_size, digest_of(path)]
    return found


def check_seal(
    folder: Path, seal: Mapping[str, Any], *, reads: Callable[[str], bool], name: str
) -> None:
    """Refuse a folder that lacks a file, or has one of another size or content.

    Parameters
    ----------
    folder : Path
    seal : mapping
        As :func:`seal_of` gave it.
    reads : callable
        Whether the content of a file is checked now; others are checked by their codec when they
        are read.
    name : str
        The argument's name, for errors.

    Raises
    ------
    InputError
        Naming the file.
    """
    for part, (size, digest) in seal.items():
        path = folder / part
        if not path.is_file():
            raise InputError(f"{name}: {str(path)!r} is missing")
        if path.stat().st_size != size or (reads(part) and digest_of(path) != digest):
            raise InputError(
                f"{name}: {str(path)!r} is damaged: it is not the file that was written"
            )


def digest_of(path: Path) -> str:
    """Return a digest of the content of a file, as hexadecimal text."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def digest_of_node(path: Path) -> str:
    """Return a digest of the description of a Zarr array, but for its length and attributes.

    An array grows and shrinks along its axes, which its owner checks.
    """
    node = read_json(path)
    shape = node["shape"]
    kept = {key: value for key, value in node.items() if key not in ("shape", "attributes")}
    return digest_of_facts({**kept, "dimensions": len(shape)})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it does not hold an object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError(f"expected a JSON object; got {type(found).__name__}")
    return found


def digest_of_facts(facts: Mapping[str, Any]) -> str:
    """Return a digest of JSON values, whatever the order and the spaces they are written in."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
