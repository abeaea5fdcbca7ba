"""The file of a matrix: one ``.npz`` of plain arrays and one JSON text."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.storage.files import replacing
from ..errors import InputError


def save_archive(
    path: str | Path,
    kind: str,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    facts: Mapping[str, Any],
) -> Path:
    """Write `arrays` and the JSON-able `facts` to ``path`` as a ``.npz`` marked with `kind`."""
    target = Path(path)
    if target.suffix != ".npz":
        raise InputError(f"path: expected a name that ends in .npz; got {str(target)!r}")
    header = json.dumps({"format": kind, **facts}, default=str)
    with replacing(target) as aside, open(aside, "wb") as file:
        np.savez_compressed(file, header=np.array(header), **arrays)  # type: ignore[arg-type]
    return target


def load_archive(
    path: str | Path,
    kind: str,
    dimensions: Mapping[str, int],
    facts: Sequence[str],
    optional: Sequence[str] = (),
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """Read a file that :func:`save_archive` wrote, refusing any other by name.

    Parameters
    ----------
    path : str or Path
        The file.
    kind : str
        The mark of its format.
    dimensions : mapping of str to int
        The arrays that it must hold, and how many dimensions each has; names that end in ``ids``
        are text, all others float64.
    facts : sequence of str
        The facts that it must hold.
    optional : sequence of str
        Facts that it may hold too; all others are refused.
    """
    source = Path(path)
    if not source.is_file():
        raise InputError(f"path: expected a file; {str(source)!r} does not exist")
    name = kind.partition("/")[0]
    refusal = f"path: expected a file written by {name}.save; {source} is not"
    try:
        # Opened here, since NumPy does not close a file that is not an archive.
        with open(source, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        header = json.loads(str(arrays.pop("header")))
        found = header.pop("format")
    except (
        AttributeError,
        EOFError,
        KeyError,
        OSError,
        RuntimeError,  # zipfile, of a member that a damaged header calls encrypted or unsupported
        TypeError,
        ValueError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(refusal) from error
    if found != kind:
        raise InputError(f"path: expected a file of format {kind!r}; {source} holds {found!r}")
    whole = (
        set(arrays) == set(dimensions)
        and set(facts) <= set(header) <= {*facts, *optional}
        and all(
            arrays[key].ndim == count
            and arrays[key].dtype.kind == ("U" if key.endswith("ids") else "f")
            for key, count in dimensions.items()
        )
        and arrays["values"].shape == (len(arrays["row_ids"]), len(arrays["column_ids"]))
    )
    if not whole:
        raise InputError(f"{refusal}, or not the whole of it")
    return arrays, header
