"""RSMs from files of other tools: every matrix in them, by name."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, require
from .names import NAMES_OF_IDS
from .rsm import FORMAT, RSM

#: What the readers raise for damaged files.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    NotImplementedError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".mat", ".h5", ".hdf5")


def load_rsms(
    path: str | Path,
    *,
    dissimilarity: str | bool | None = None,
    ids: Sequence[Any] | None = None,
) -> dict[str, RSM]:
    """Read the RSMs, or the dissimilarity matrices (RDMs), of a file, such as those of subjects.

    Parameters
    ----------
    path : str or Path
        - ``.npz``: an RSM that :meth:`RSM.save` wrote, or arrays;
        - ``.npy``: one array, named like the file;
        - ``.csv``, ``.tsv``: one matrix, with or without names in the first row and column;
        - ``.mat``: the numeric variables of a MATLAB file (needs SciPy, or h5py for version 7.3);
        - ``.h5``, ``.hdf5``: the data sets, or RDMs as rsatoolbox saves them (needs h5py).

        An array is one matrix (N, N), several (…, N, N), or an upper triangle (N (N − 1) / 2,);
        others are passed over. Texts named ``ids`` name the images.
    dissimilarity : str or False, optional
        The rule, as for :meth:`RSM.from_array`.
    ids : sequence, optional
        The names of the images, where the file has none.

    Returns
    -------
    dict of str to RSM
        By the name of the array, with indices for those of several: ``"human_it[0, 1]"``.

    Raises
    ------
    InputError
        If the file is missing, of another kind or damaged, or holds no matrix; if it looks like
        one of dissimilarities and no rule is given; or if the ids do not fit.
    MissingDependencyError
        If SciPy or h5py is not installed, and needed.

    Examples
    --------
    >>> import numpy as np, pathlib, semrsm, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "subjects.npy"
    ...     np.save(file, 1 - np.broadcast_to(np.eye(4), (2, 4, 4)))
    ...     semrsm.load_rsms(file, dissimilarity="negative")
    {'subjects[0]': RSM(4 x 4, kernel='given', matcher='given'), 'subjects[1]': RSM(4 x 4, ...)}
    """
    source = Path(path)
    if source.suffix.lower() not in SUFFIXES:
        raise InputError(f"path: expected a file ({', '.join(SUFFIXES)}); got {str(path)!r}")
    if not source.is_file():
        raise InputError(f"path: expected a file; {str(path)!r} does not exist")
    if source.suffix.lower() == ".npz" and _is_own(source):
        return {source.stem: RSM.load(source)}
    try:
        arrays, own = _read(source)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"path: {source} cannot be read: {error}") from error
    names = list(ids) if ids is not None else own
    found: dict[str, RSM] = {}
    for name, array in arrays.items():
        for label, matrix in _matrices(name, array):
            try:
                rsm = _rsm(matrix, names, dissimilarity)
            except InputError as error:
                raise InputError(f"{source}, {label!r}: {error}") from error
            found[label] = rsm
    if not found:
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        raise InputError(f"path: expected matrices (N, N) in {source}; it holds {shapes}")
    return found


def _rsm(matrix: Any, names: Sequence[Any] | None, dissimilarity: str | bool | None) -> RSM:
    if matrix.ndim == 1:
        if not isinstance(dissimilarity, str):
            return RSM.from_condensed(matrix, names)
        return RSM.from_condensed(matrix, names, dissimilarity=dissimilarity)
    return RSM.from_array(matrix, names, dissimilarity=dissimilarity)


def _matrices(name: str, array: Any) -> Iterator[tuple[str, Any]]:
    """Yield the square matrices of an array, or the upper triangle."""
    if array.dtype.kind not in "fiub":
        return
    if array.ndim == 1:
        count = (1 + int(np.sqrt(1 + 8 * array.size))) // 2
        if array.size and count * (count - 1) // 2 == array.size:
            yield name, array
    elif array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1:
        for index in np.ndindex(array.shape[:-2]):
            label = f"{name}[{', '.join(map(str, index))}]" if index else name
            yield label, array[index]


def _is_own(path: Path) -> bool:
    """Return whether a file is one of RSM.save."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return "header" in archive.files and FORMAT in str(archive["header"])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return False


def _read(path: Path) -> tuple[dict[str, Any], list[str] | None]:
    """Return the arrays of a file by name, and the names of the images."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {path.stem: np.load(path, allow_pickle=False)}, None
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return _named({name: archive[name] for name in archive.files})
    if suffix in (".csv", ".tsv"):
        return _table(path, "\t" if suffix == ".tsv" else ",")
    if suffix == ".mat":
        scipy_io = require("scipy.io", extra="bridges", purpose="Reading .mat files")
        try:
            return _named(
                {k: np.squeeze(v) for k, v in scipy_io.loadmat(path).items() if k[0] != "_"}
            )
        except NotImplementedError:  # version 7.3 is HDF5
            pass
    return _hdf5(path)


def _named(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
    """Take the names of the images out of arrays."""
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    ids = next((arrays[name] for name in NAMES_OF_IDS if name in arrays), None)
    rest = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
    if ids is None or ids.dtype.kind not in "USO" or ids.ndim != 1:
        return rest, None
    return rest, [_text(name) for name in ids.tolist()]


def _text(name: Any) -> str:
    while isinstance(name, (list, np.ndarray)) and len(name) == 1:  # a cell of MATLAB
        name = name[0]
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _table(path: Path, separator: str) -> tuple[dict[str, Any], list[str] | None]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file, delimiter=separator) if row]
    if not rows:
        raise InputError(f"path: expected a matrix in {path}; it is empty")
    header = rows.pop(0) if not all(map(_is_number, rows[0])) else None
    has_names = bool(rows) and not all(_is_number(row[0]) for row in rows)
    names = [row[0] for row in rows] if has_names else None
    if header is not None and names is None and len(header) == len(rows):
        names = header
    try:
        values = np.array(
            [[float(cell or "nan") for cell in row[int(has_names) :]] for row in rows],
            dtype=np.float64,
        )
    except ValueError as error:
        raise InputError(f"path: expected a matrix of numbers in {path}: {error}") from error
    columns = header[-len(names) :] if header is not None and names is not None else names
    if values.ndim == 2 and names is not None and columns != names:
        raise InputError(f"path: expected the same names in rows and columns of {path}")
    return {path.stem: values}, names


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _hdf5(path: Path) -> tuple[dict[str, Any], list[str] | None]:
    h5py = require("h5py", extra="hdf5", purpose="Reading HDF5 files")
    arrays: dict[str, Any] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.shape and not name.startswith("#"):
            arrays[name] = item.asstr()[()] if item.dtype.kind in "SO" else item[()]

    with h5py.File(path, "r") as file:
        file.visititems(keep)
        patterns = file.get("pattern_descriptors")
        if "dissimilarities" in file and patterns is not None:  # rsatoolbox
            return _rdms(arrays)
    return _named(arrays)


def _rdms(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], list[str] | None]:
    """Return the RDMs of rsatoolbox as matrices (K, N, N)."""
    pattern = {
        name.partition("/")[2]: array
        for name, array in arrays.items()
        if name.startswith("pattern_descriptors/")
    }
    vectors = np.atleast_2d(arrays["dissimilarities"])
    count = (1 + int(np.sqrt(1 + 8 * vectors.shape[1]))) // 2
    matrices = np.zeros((len(vectors), count, count))
    rows, columns = np.triu_indices(count, k=1)
    matrices[:, rows, columns] = matrices[:, columns, rows] = vectors
    ids = next((pattern[name] for name in NAMES_OF_IDS if name in pattern), None)
    return {"dissimilarities": matrices}, None if ids is None else [_text(i) for i in ids.tolist()]
