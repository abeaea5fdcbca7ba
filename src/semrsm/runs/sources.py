"""The places of features on disk, so that other processes can open them themselves."""

from __future__ import annotations

import math
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require
from ..tokens import MaskedImages

if TYPE_CHECKING:
    from numpy.typing import NDArray


def source_of(x: Any) -> dict[str, str] | None:
    """Return the place of a Zarr array, an HDF5 data set or a memory-mapped ``.npy`` file.

    Returns
    -------
    dict or None
        ``path`` and, inside files and folders with several arrays, ``array``; ``kept`` where a mask
        leaves out places. None where the array is in memory only.
    """
    if isinstance(x, MaskedImages):
        source = source_of(x.array)
        return None if source is None else {**source, "kept": _packed(x.kept)}
    if isinstance(x, np.memmap):
        return _mapped_file(x)
    root = getattr(getattr(x, "store", None), "root", None)
    if root is not None and hasattr(x, "path"):  # zarr.Array on a LocalStore
        return {"path": str(Path(root).resolve()), "array": str(x.path)}
    file = getattr(getattr(x, "file", None), "filename", None)
    if file is not None and hasattr(x, "name") and Path(file).is_file():  # h5py.Dataset
        return {"path": str(Path(file).resolve()), "array": str(x.name)}
    return None


def open_source(source: Mapping[str, str]) -> Any:
    """Open the array, or the masked images, that :func:`source_of` described.

    Raises
    ------
    InputError
        If it is missing, or cannot be read.
    """
    found = _opened(source)
    return MaskedImages(found, _unpacked(source["kept"])) if "kept" in source else found


def _packed(kept: NDArray[np.bool_]) -> str:
    """Return the places that are kept as text: the shape, and eight of them in a byte."""
    shape = "x".join(map(str, kept.shape))
    return f"{shape}:{b64encode(zlib.compress(np.packbits(kept).tobytes())).decode()}"


def _unpacked(text: str) -> NDArray[np.bool_]:
    shape, _, packed = text.partition(":")
    sizes = [int(n) for n in shape.split("x")]
    bits = np.frombuffer(zlib.decompress(b64decode(packed)), dtype=np.uint8)
    return np.unpackbits(bits, count=math.prod(sizes)).astype(bool).reshape(sizes)


def _opened(source: Mapping[str, str]) -> Any:
    path = Path(source["path"])
    if not path.exists():
        raise InputError(
            f"features: expected {str(path)!r}, which the run was made from; it is not there"
        )
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if path.is_dir():
            zarr = require("zarr", extra="scale", purpose="Zarr stores")
            found = zarr.open(path, mode="r")
            return found[source["array"]] if source["array"] else found
        h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
        return h5py.File(path, "r")[source["array"]]
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise InputError(
            f"features: expected {source.get('array', 'an array')!r} in {str(path)!r}, which the "
            f"run was made from; it cannot be read: {error}"
        ) from error


def _mapped_file(x: np.memmap[Any, Any]) -> dict[str, str] | None:
    """Return the ``.npy`` file that an array maps as a whole, or None."""
    path = Path(x.filename) if x.filename is not None else None
    # Numbers that were written to a private copy (mode "c") are not in the file.
    if path is None or path.suffix != ".npy" or not x.flags.c_contiguous or x.mode == "c":
        return None
    try:
        whole = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):  # it has been deleted or replaced since
        return None
    same = (whole.shape, whole.dtype, whole.offset) == (x.shape, x.dtype, x.offset)
    return {"path": str(path.resolve())} if same else None
