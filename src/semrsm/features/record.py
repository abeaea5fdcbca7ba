"""Features of several layers with the names of their images, and the files that hold them."""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .._internal.storage.files import replacing
from ..errors import InputError, did_you_mean, require
from ..tokens import image_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES = (".npy", ".npz", ".safetensors", ".zarr", ".h5", ".hdf5")

#: Arrays on disk are copied from file to file in pieces of about this many bytes.
_PIECE = 16 << 20

#: The types of safetensors files that NumPy has, and that features are of.
_MAPPED = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}

_IDS, _LOGITS, _FACTS = "__ids__", "__logits__", "__provenance__"


class Features(Mapping[str, Any]):
    """The response of a network to N images, one array for each layer; immutable.

    Parameters
    ----------
    layers : mapping of str to array
        Feature maps (N, C, H, W) or tokens (N, T, D): NumPy arrays, or anything that lies on disk
        and is read when its first axis is sliced (memory maps, Zarr arrays, HDF5 data sets).
    ids : sequence of str, optional
        The names of the images; their indices by default.
    logits : array, shape (N, K), optional
        The network's class scores; on disk as well, if it is there.
    provenance : mapping, optional
        Model, weights, preprocessing, versions.

    Raises
    ------
    InputError
        If an array is not of floats or has another number of dimensions, the number of images
        differs between layers, or ids are too few, too many or repeated.

    Examples
    --------
    >>> import numpy as np
    >>> features = Features({"conv": np.zeros((2, 8, 4, 4))}, ids=["a.jpg", "b.jpg"])
    >>> features
    Features(2 images: conv (8, 4, 4))
    >>> features["conv"].shape
    (2, 8, 4, 4)
    """

    def __init__(
        self,
        layers: Mapping[str, Any],
        ids: Sequence[str] | None = None,
        logits: Any = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if not layers:
            raise InputError("layers: expected at least one layer; got none")
        for name, array in layers.items():
            if name in (_IDS, _LOGITS, _FACTS):
                raise InputError(f"layers: the name {name!r} is taken by the file format")
            kind = getattr(getattr(array, "dtype", None), "kind", None)
            if kind != "f" or not all(hasattr(array, a) for a in ("shape", "ndim", "__getitem__")):
                got = type(array).__name__ if kind in (None, "f") else array.dtype
                raise InputError(
                    f"layer {name!r}: expected an array of floats (NumPy, Zarr or HDF5); got {got}"
                )
            if array.ndim not in (3, 4):
                raise InputError(
                    f"layer {name!r}: expected feature maps (N, C, H, W) or tokens (N, T, D); got "
                    f"shape {array.shape}"
                )
        counts = {name: int(array.shape[0]) for name, array in layers.items()}
        count = next(iter(counts.values()))
        if len(set(counts.values())) > 1:
            raise InputError(f"layers: expected one number of images in all; got {counts}")
        if logits is not None and (logits.ndim != 2 or logits.shape[0] != count):
            raise InputError(f"logits: expected shape ({count}, K); got {logits.shape}")
        self._layers = dict(layers)
        self._ids = image_ids(ids, count, "ids")
        self._logits = logits
        self._provenance = MappingProxyType(dict(provenance or {}))

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the images."""
        return self._ids

    @property
    def logits(self) -> NDArray[np.float32] | None:
        """The network's class scores, shape (N, K), where it has any; read from disk if needed."""
        return None if self._logits is None else np.asarray(self._logits)

    @property
    def grids(self) -> dict[str, tuple[int, int]]:
        """Height and width of the grid of each layer, where they are known."""
        told = self._provenance.get("grids", {})
        grids = {}
        for layer, array in self._layers.items():
            if array.ndim == 4:
                grids[layer] = (array.shape[2], array.shape[3])
            elif layer in told:
                grids[layer] = (int(told[layer][0]), int(told[layer][1]))
        return grids

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Model, weights, preprocessing, versions."""
        return self._provenance

    def __getitem__(self, layer: str) -> Any:
        try:
            return self._layers[layer]
        except KeyError:
            raise KeyError(
                f"no layer {layer!r}; there are {', '.join(self._layers)}."
                f"{did_you_mean(str(layer), self._layers)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        layers = ", ".join(f"{name} {a.shape[1:]}" for name, a in self._layers.items())
        return f"Features({len(self.ids)} images: {layers})"

    def select(self, layers: str | Sequence[str]) -> Features:
        """Return the features of some layers only.

        Parameters
        ----------
        layers : str or sequence of str
            Names, or globs such as ``"blocks.*"``.

        Returns
        -------
        Features

        Raises
        ------
        InputError
            If a name or glob fits no layer.
        """
        from .extraction import choose_layers

        chosen = choose_layers(list(self._layers), layers)
        return Features(
            {name: self._layers[name] for name in chosen}, self.ids, self._logits, self.provenance
        )

    def save(self, path: str | Path) -> Path:
        """Write the features, ids, logits and provenance, aside and then renamed.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.npz``, ``.zarr`` or ``.safetensors``. Layers that lie on disk are
            copied to the first two piece by piece, and read into memory for the last.

        Returns
        -------
        Path
            The file or folder written.

        Raises
        ------
        InputError
            If the suffix is another one, or the folder does not exist; for ``.zarr``, if there is
            something else than features, or values are not finite.
        """
        target = Path(path)
        if target.suffix == ".zarr":
            from . import store

            return store.save(target, self._layers, self.ids, self._logits, self.provenance)
        facts = json.dumps(dict(self.provenance), default=str)
        extra = {} if self._logits is None else {_LOGITS: self._logits}
        if target.suffix == ".npz":
            with replacing(target) as aside, open(aside, "wb") as file:
                members: dict[str, Any] = {
                    **self._layers,
                    **extra,
                    _IDS: np.array(self.ids, dtype=np.str_),
                    _FACTS: np.array(facts),
                }
                _write_npz(file, members)
        elif target.suffix == ".safetensors":
            numpy = require("safetensors.numpy", extra="features", purpose="safetensors files")
            arrays: dict[str, Array] = {
                n: np.ascontiguousarray(a) for n, a in (self._layers | extra).items()
            }
            with replacing(target) as aside:
                numpy.save_file(
                    arrays,
                    aside,
                    # The order of layers is kept too: the format itself sorts tensors by size.
                    metadata={
                        _IDS: json.dumps(self.ids),
                        _FACTS: facts,
                        "layers": json.dumps(list(self._layers)),
                    },
                )
        else:
            raise InputError(
                f"path: expected a name that ends in .npz, .safetensors or .zarr; got {str(path)!r}"
            )
        return target


def concept_vectors(image: Any) -> Array:
    """Return the concept vectors of one image of a layer, shape (S, C).

    Parameters
    ----------
    image : array
        A feature map (C, H, W), or tokens (S, C).
    """
    found = np.asarray(image)
    return found if found.ndim == 2 else found.reshape(len(found), -1).T


def load_features(path: str | Path) -> Features:
    """Open features, one's own or somebody else's.

    Parameters
    ----------
    path : str or Path
        In all kinds of files, every array of floats of three or four dimensions is a layer.

        - ``.zarr``: a store that :func:`semrsm.extract` has completed, or any Zarr v3 group or
          array;
        - ``.h5``, ``.hdf5``: ids are taken from a data set of text that is named ``ids``;
        - ``.npy``: one array, the layer named like the file;
        - ``.safetensors``;
        - ``.npz``.

        The layers of all but the last stay on disk and are read when they are sliced; bfloat16,
        which NumPy lacks, is read into memory.

    Returns
    -------
    Features
        float16, float32 or float64 as stored; bfloat16 as float32. Ids are the indices where there
        are none.

    Raises
    ------
    InputError
        If the file is missing, of another kind, damaged, or holds no features; or is a store whose
        extraction has been interrupted.
    MissingDependencyError
        If zarr or h5py is not installed, and needed.
    """
    source = Path(path)
    if source.suffix not in SUFFIXES:
        raise InputError(
            f"path: expected a file of features ({', '.join(SUFFIXES)}); got {str(path)!r}"
        )
    if not (source.is_dir() if source.suffix == ".zarr" else source.is_file()):
        raise InputError(f"path: expected a file of features; {str(path)!r} does not exist")
    try:
        if source.suffix == ".npy":
            array = np.load(source, mmap_mode="r", allow_pickle=False)
            return Features(_layers_among({source.stem: array}), provenance={"source": source.name})
        if source.suffix == ".npz":
            return _from_npz(source)
        if source.suffix == ".zarr":
            from . import store

            layers, ids, logits, facts = store.read(source)
            return Features(_layers_among(layers), ids, logits, facts)
        if source.suffix in (".h5", ".hdf5"):
            return _from_hdf5(source)
        return _from_safetensors(source)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        NotImplementedError,
        TypeError,
        AttributeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"path: {source} cannot be read as features: {error}") from error


def _write_npz(file: IO[bytes], members: Mapping[str, Any]) -> None:
    """Write what ``np.savez`` writes; that function has no way to name a member ``file``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                if isinstance(array, np.ndarray):
                    np.lib.format.write_array(member, array, allow_pickle=False)
                else:
                    _write_pieces(member, array)


def _write_pieces(file: IO[bytes], array: Any) -> None:
    """Write an array that lies on disk as ``np.save`` would, without reading the whole of it."""
    dtype = np.dtype(array.dtype)
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": tuple(array.shape),
    }
    np.lib.format.write_array_header_1_0(file, header)
    step = max(1, _PIECE // max(1, dtype.itemsize * int(np.prod(array.shape[1:]))))
    for first in range(0, array.shape[0], step):
        piece = np.ascontiguousarray(array[first : first + step], dtype=dtype)
        file.write(piece.tobytes())


def _from_npz(source: Path) -> Features:
    # Opened here: NumPy leaves a file that is no archive open.
    with open(source, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    ids = arrays.pop(_IDS, None)
    facts = arrays.pop(_FACTS, None)
    logits = arrays.pop(_LOGITS, None)
    return Features(
        _layers_among(arrays),
        None if ids is None else ids.tolist(),
        logits,
        {"source": source.name} if facts is None else json.loads(str(facts)),
    )


def _from_safetensors(source: Path) -> Features:
    tensors, facts = _safetensors_header(source)
    arrays = {name: _tensor(source, name, *tensors[name]) for name in tensors}
    logits = arrays.pop(_LOGITS, None)
    order = json.loads(facts["layers"]) if "layers" in facts else sorted(arrays)
    layers = _layers_among({name: arrays[name] for name in order if name in arrays})
    return Features(
        layers,
        json.loads(facts[_IDS]) if _IDS in facts else None,
        logits,
        json.loads(facts[_FACTS]) if _FACTS in facts else {"source": source.name},
    )


def _safetensors_header(
    source: Path,
) -> tuple[dict[str, tuple[str, tuple[int, ...], int]], dict[str, str]]:
    """Return type, shape and place of every tensor, and the metadata; refuse what does not fit.

    The file begins with the length of its header (8 bytes, little-endian), which is JSON; the
    tensors follow without gaps.
    """
    size = source.stat().st_size
    with open(source, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise InputError("not a safetensors file: it is shorter than its header")
        header = json.loads(file.read(length).decode("utf-8"))
    facts = header.pop("__metadata__", {})
    if not all(isinstance(text, str) for text in facts.values()):
        raise InputError("not a safetensors file: its metadata are not text")
    tensors = {}
    places = []
    for name, entry in header.items():
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if any(type(n) is not int or n < 0 for n in (*shape, first, last)):
            raise InputError(f"damaged: shape or place of tensor {name!r} are no numbers >= 0")
        if kind in _MAPPED or kind == "BF16":
            width = 2 if kind == "BF16" else np.dtype(_MAPPED[kind]).itemsize
            if last - first != math.prod(shape) * width:
                raise InputError(f"damaged: tensor {name!r} has {last - first} bytes for {shape}")
        places.append((first, last))
        tensors[name] = (str(kind), tuple(shape), 8 + length + first)
    end = 0
    for first, last in sorted(places):
        if first != end or last < first:
            raise InputError("damaged: its tensors overlap, or leave gaps")
        end = last
    if end != size - 8 - length:
        raise InputError(f"damaged: {end} bytes of tensors expected, {size - 8 - length} found")
    return tensors, facts


def _tensor(source: Path, name: str, kind: str, shape: tuple[int, ...], offset: int) -> Array:
    if kind in _MAPPED:
        if 0 in shape:  # of nothing, no map can be made
            return np.empty(shape, dtype=_MAPPED[kind])
        return np.memmap(source, dtype=_MAPPED[kind], mode="r", offset=offset, shape=shape)
    safetensors = require("safetensors", extra="features", purpose="safetensors files")
    framework = "numpy"
    if kind == "BF16":  # NumPy has none; torch widens it without loss
        require("torch", extra="features", purpose="Reading bfloat16 features")
        framework = "pt"
    try:
        with safetensors.safe_open(source, framework=framework) as file:
            found = file.get_tensor(name)
    except safetensors.SafetensorError as error:
        raise InputError(f"not a safetensors file: {error}") from error
    array: Array = found.float().numpy() if kind == "BF16" else found
    return array


def _from_hdf5(source: Path) -> Features:
    h5py = require("h5py", extra="hdf5", purpose="HDF5 files")
    arrays: dict[str, Any] = {}
    # Left open: the data sets are read later, and close it when the last of them is let go.
    file = h5py.File(source, "r")

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            arrays[name] = node

    file.visititems(visit)
    ids = arrays.pop("ids", None)
    if ids is not None and (ids.ndim != 1 or h5py.check_string_dtype(ids.dtype) is None):
        ids = None
    return Features(
        _layers_among(arrays),
        None if ids is None else ids.asstr()[:].tolist(),
        provenance={"source": source.name},
    )


def _layers_among(arrays: Mapping[str, Any]) -> dict[str, Any]:
    layers = {n: a for n, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind == "f"}
    if not layers:
        found = {name: array.shape for name, array in arrays.items()}
        raise InputError(
            f"expected feature maps (N, C, H, W) or tokens (N, T, D); the file holds {found}"
        )
    return layers
