"""Features of several layers with the names of their images, and the files that hold them."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .._files import replacing
from ..errors import InputError, did_you_mean, require
from ..tokens import image_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES = (".npy", ".npz", ".safetensors")

_IDS, _LOGITS, _FACTS = "__ids__", "__logits__", "__provenance__"


class Features(Mapping[str, "Array"]):
    """The response of a network to N images, one array for each layer; immutable.

    Parameters
    ----------
    layers : mapping of str to ndarray
        Feature maps (N, C, H, W) or tokens (N, T, D).
    ids : sequence of str, optional
        The names of the images; their indices by default.
    logits : ndarray, shape (N, K), optional
        The network's class scores.
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
        layers: Mapping[str, Array],
        ids: Sequence[str] | None = None,
        logits: NDArray[np.float32] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        if not layers:
            raise InputError("layers: expected at least one layer; got none")
        for name, array in layers.items():
            if name in (_IDS, _LOGITS, _FACTS):
                raise InputError(f"layers: the name {name!r} is taken by the file format")
            if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
                got = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
                raise InputError(f"layer {name!r}: expected a NumPy array of floats; got {got}")
            if array.ndim not in (3, 4):
                raise InputError(
                    f"layer {name!r}: expected feature maps (N, C, H, W) or tokens (N, T, D); got "
                    f"shape {array.shape}"
                )
        counts = {name: len(array) for name, array in layers.items()}
        count = next(iter(counts.values()))
        if len(set(counts.values())) > 1:
            raise InputError(f"layers: expected one number of images in all; got {counts}")
        if logits is not None and (logits.ndim != 2 or len(logits) != count):
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
        """The network's class scores, shape (N, K), where it has any."""
        return self._logits

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

    def __getitem__(self, layer: str) -> Array:
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
        from .extract import choose_layers

        chosen = choose_layers(list(self._layers), layers)
        return Features(
            {name: self._layers[name] for name in chosen}, self.ids, self.logits, self.provenance
        )

    def save(self, path: str | Path) -> Path:
        """Write the features, ids, logits and provenance to one file, aside and then renamed.

        Parameters
        ----------
        path : str or Path
            A name that ends in ``.npz`` or ``.safetensors``.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        InputError
            If the suffix is another one, or the folder does not exist.
        """
        target = Path(path)
        facts = json.dumps(dict(self.provenance), default=str)
        extra = {} if self.logits is None else {_LOGITS: self.logits}
        if target.suffix == ".npz":
            with replacing(target) as aside, open(aside, "wb") as file:
                members: dict[str, Array] = {
                    **self._layers,
                    **extra,
                    _IDS: np.array(self.ids, dtype=np.str_),
                    _FACTS: np.array(facts),
                }
                _write_npz(file, members)
        elif target.suffix == ".safetensors":
            numpy = require("safetensors.numpy", extra="features", purpose="safetensors files")
            arrays = {n: np.ascontiguousarray(a) for n, a in (self._layers | extra).items()}
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
                f"path: expected a name that ends in .npz or .safetensors; got {str(path)!r}"
            )
        return target


def load_features(path: str | Path) -> Features:
    """Read features from a file, one's own or somebody else's.

    Parameters
    ----------
    path : str or Path
        ``.npy``: one array, memory-mapped, the layer named like the file. ``.npz`` and
        ``.safetensors``: every array of three or four dimensions is a layer.

    Returns
    -------
    Features
        float16, float32 or float64 as stored; bfloat16 as float32. Ids are the indices where the
        file has none.

    Raises
    ------
    InputError
        If the file is missing, of another kind, damaged, or holds no features.
    """
    source = Path(path)
    if source.suffix not in SUFFIXES:
        raise InputError(
            f"path: expected a file of features ({', '.join(SUFFIXES)}); got {str(path)!r}"
        )
    if not source.is_file():
        raise InputError(f"path: expected a file of features; {str(path)!r} does not exist")
    try:
        if source.suffix == ".npy":
            array = np.load(source, mmap_mode="r", allow_pickle=False)
            return Features(_layers_among({source.stem: array}), provenance={"source": source.name})
        if source.suffix == ".npz":
            return _from_npz(source)
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


def _write_npz(file: IO[bytes], members: Mapping[str, Array]) -> None:
    """Write what ``np.savez`` writes; that function has no way to name a member ``file``."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)


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
    safetensors = require("safetensors", extra="features", purpose="safetensors files")
    try:
        with safetensors.safe_open(source, framework="numpy") as file:
            facts = file.metadata() or {}
            names = list(file.keys())
            arrays = {name: _tensor(file, name, source) for name in names}
    except safetensors.SafetensorError as error:
        raise InputError(f"not a safetensors file: {error}") from error
    logits = arrays.pop(_LOGITS, None)
    order = json.loads(facts["layers"]) if "layers" in facts else sorted(arrays)
    layers = _layers_among({name: arrays[name] for name in order if name in arrays})
    return Features(
        layers,
        json.loads(facts[_IDS]) if _IDS in facts else None,
        logits,
        json.loads(facts[_FACTS]) if _FACTS in facts else {"source": source.name},
    )


def _tensor(file: Any, name: str, source: Path) -> Array:
    if str(file.get_slice(name).get_dtype()) != "BF16":
        array: Array = file.get_tensor(name)
        return array
    # NumPy has no bfloat16; torch widens it without loss.
    safetensors = require("safetensors", extra="features", purpose="safetensors files")
    require("torch", extra="features", purpose="Reading bfloat16 features")
    with safetensors.safe_open(source, framework="pt") as again:
        widened: Array = again.get_tensor(name).float().numpy()
    return widened


def _layers_among(arrays: Mapping[str, Array]) -> dict[str, Array]:
    layers = {n: a for n, a in arrays.items() if a.ndim in (3, 4) and a.dtype.kind == "f"}
    if not layers:
        found = {name: array.shape for name, array in arrays.items()}
        raise InputError(
            f"expected feature maps (N, C, H, W) or tokens (N, T, D); the file holds {found}"
        )
    return layers
