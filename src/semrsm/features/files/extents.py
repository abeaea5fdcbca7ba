"""Headers that promise more than the file holds, refused before anything is allocated for them."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..._internal.units import format_bytes, memory_budget
from ...errors import InputError

#: A chunk that holds one value only may be left away; a file that lacks all but one of this many
#: holds no features.
SPARSEST = 1000

#: Arrays of zeros of at most so many bytes may be left away as a whole.
SMALL = 64 << 20

#: No deflated member is longer than this many times its bytes in the archive.
_DEFLATED = 1040


def check_zarr_extent(array: Any, folder: Path) -> None:
    """Refuse a Zarr array of others whose description promises what its folder does not hold.

    Parameters
    ----------
    array : zarr.Array
    folder : Path
        Of the array.

    Raises
    ------
    InputError
    """
    shards = getattr(array, "shards", None) or array.chunks
    _check_chunk(array.shape, shards, array.dtype, str(folder))
    promised = math.prod(-(-n // size) for n, size in zip(array.shape, shards, strict=True))
    is_small = math.prod(array.shape) * array.dtype.itemsize <= SMALL
    enough = promised // SPARSEST if is_small else max(1, promised // SPARSEST)
    there = 0
    if there >= enough:
        return
    for _, _, files in os.walk(folder):
        there += sum(name != "zarr.json" for name in files)
        if there >= enough:
            return
    _refuse(array.shape, str(folder), promised, there)


def check_hdf5_extent(data: Any, source: Path) -> None:
    """Refuse an HDF5 data set that promises what the file does not hold.

    Parameters
    ----------
    data : h5py.Dataset
    source : Path

    Raises
    ------
    InputError
    """
    place = f"{source}:{data.name}"
    if 0 in data.shape or data.is_virtual or data.external:
        return
    if data.chunks is None:
        if data.nbytes > SMALL and data.id.get_storage_size() < data.nbytes:
            _refuse(data.shape, place, 1, 0)
        return
    _check_chunk(data.shape, data.chunks, data.dtype, place)
    promised = math.prod(-(-n // size) for n, size in zip(data.shape, data.chunks, strict=True))
    there = data.id.get_num_chunks()
    if there < promised // SPARSEST or (there == 0 and data.nbytes > SMALL):
        _refuse(data.shape, place, promised, there)


def read_member(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray[Any, Any]:
    """Read an array of an ``.npz`` file, if it is as long as its header says.

    Parameters
    ----------
    archive : ZipFile
    name : str
        The member.
    size : int
        The bytes of the file.

    Raises
    ------
    InputError
        If the header promises another size, or more than the machine's memory.
    ValueError and others
        If it is no array.
    """
    member = archive.getinfo(name)
    longest = member.compress_size * (
        1 if member.compress_type == zipfile.ZIP_STORED else _DEFLATED
    )
    with archive.open(member) as file:
        shape, dtype = _header(file)
        promised = math.prod(shape) * dtype.itemsize
        there = member.file_size - file.tell()
    if dtype.hasobject:
        raise InputError(f"{name!r} holds Python objects, which are not read")
    if any(n < 0 for n in shape) or promised != there:
        raise InputError(
            f"damaged: {name!r} promises the shape {shape} of {dtype}, and has {there} bytes"
        )
    if member.compress_type != zipfile.ZIP_STORED:
        limit = 2 * memory_budget(None)
        if promised > limit or member.file_size > longest + _DEFLATED:
            raise InputError(
                f"{name!r} promises {format_bytes(promised)}, which is more than the archive or "
                "the memory of this machine can hold"
            )
    elif member.file_size > size:
        raise InputError(f"damaged: {name!r} is longer than the file")
    with archive.open(member) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return shape, dtype


def _check_chunk(
    shape: tuple[int, ...], chunks: tuple[int, ...], dtype: np.dtype[Any], place: str
) -> None:
    """Refuse chunks that no memory holds: the whole of one is read at once."""
    size = math.prod(chunks) * np.dtype(dtype).itemsize
    limit = 2 * memory_budget(None)
    if size > limit:
        raise InputError(
            f"{place!r} promises the shape {tuple(shape)} in chunks of {format_bytes(size)}, more "
            "than the memory of this machine"
        )


def _refuse(shape: tuple[int, ...], place: str, promised: int, there: int) -> None:
    raise InputError(
        f"{place!r} promises the shape {tuple(shape)} in {promised:,} parts, and holds {there:,} "
        "of them"
    )
