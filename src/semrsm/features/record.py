"""Features of several layers with the names of their images."""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.storage.seals import UNREADABLE
from ..errors import InputError, did_you_mean
from ..tokens import MaskedImages, Tokens, checked_mask, image_ids, measure, whole_array
from . import files
from .files.content import RESERVED, Content
from .layer_names import choose_layers
from .layouts import Layout
from .reopening import packed, unpacked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = np.ndarray[Any, np.dtype[Any]]


class Features(Mapping[str, Any]):
    """The response of a network to N images, one array for each layer; immutable.

    Features can be pickled and copied, for pools of processes: layers on disk travel as paths, and
    are opened there again.

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
    masks : mapping of str to array of bool, shape (N, H, W), optional
        The places of a layer's grid that are kept, True; what is computed of the layer leaves out
        the others.

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
        *,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        if not layers:
            raise InputError("layers: expected at least one layer; got none")
        for name, array in layers.items():
            if name in RESERVED:
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
        self._layers = masked_where(layers, masks or {})
        self._ids = image_ids(ids, count, "ids")
        self._logits = logits
        self._provenance = MappingProxyType(dict(provenance or {}))
        self._tokens: dict[str, Tokens] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickle and copies keep: paths of the layers on disk, no measured tokens."""
        return {
            "layers": {name: packed(array) for name, array in self._layers.items()},
            "ids": self._ids,
            "logits": packed(self._logits),
            "provenance": dict(self._provenance),
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Open the layers on disk again."""
        self._layers = {name: unpacked(array) for name, array in state["layers"].items()}
        self._ids = state["ids"]
        self._logits = unpacked(state["logits"])
        self._provenance = MappingProxyType(state["provenance"])
        self._tokens = {}

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
    def masks(self) -> dict[str, NDArray[np.bool_]]:
        """The places that are kept, (N, H, W) by layer, of the layers where some are left out."""
        return {
            layer: array.kept
            for layer, array in self._layers.items()
            if isinstance(array, MaskedImages)
        }

    @property
    def layouts(self) -> dict[str, Layout]:
        """How each layer was read from the network's output, and whether that is proven.

        Empty where features come from elsewhere. A layout has ``known``, ``"proven"`` or
        ``"declared"``, its ``reason`` and the ``reading``; ``str`` says all of it.
        """
        found = {}
        for layer, told in self._provenance.get("layouts", {}).items():
            with contextlib.suppress(KeyError, TypeError, ValueError):  # of a foreign file
                found[layer] = Layout.from_dict(told)
        return {layer: found[layer] for layer in self._layers if layer in found}

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
        chosen = choose_layers(list(self._layers), layers)
        selected = Features(
            {name: self._layers[name] for name in chosen}, self.ids, self._logits, self.provenance
        )
        selected._tokens = self._tokens  # of the same arrays: what one measures, both have
        return selected

    def tokens(self, layer: str) -> Tokens:
        """Return the concept vectors of a layer, checked and measured.

        That takes one pass over the layer, when it is asked for first; the result is kept, and
        shared with what :meth:`select` returns.

        Parameters
        ----------
        layer : str
            Its name.

        Returns
        -------
        Tokens
            Of N images, with the grid of the layer where it is known. Every function that takes
            features takes them.

        Raises
        ------
        KeyError
            If there is no such layer.
        InputError
            If values are not finite.
        """
        if layer not in self._tokens:
            array, grid = self[layer], self.grids.get(layer)
            if array.ndim == 4 or grid is None or grid[0] * grid[1] != array.shape[1]:
                grid = None  # maps have their own; what does not fit the tokens is not their grid
            found = measure(array, f"features[{layer!r}]", grid=grid)
            self._tokens[layer] = replace(found, ids=self.ids)
        return self._tokens[layer]

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
        whole = {layer: whole_array(array) for layer, array in self._layers.items()}
        content = Content(whole, self.ids, self._logits, self.provenance, self.masks)
        return files.write(Path(path), content)


def masked_where(layers: Mapping[str, Any], masks: Mapping[str, Any]) -> dict[str, Any]:
    """Return layers with the masks that leave out some of their places.

    Raises
    ------
    InputError
        If there is no such layer, or its mask does not fit.
    """
    found = dict(layers)
    for layer, mask in masks.items():
        if layer not in found:
            raise InputError(
                f"masks: expected names of layers; got {layer!r}.{did_you_mean(layer, found)}"
            )
        array = whole_array(found[layer])
        is_maps = array.ndim == 4
        places = int(np.prod(array.shape[2:])) if is_maps else array.shape[1]
        grid = (array.shape[2], array.shape[3]) if is_maps else None
        kept = checked_mask(mask, np.full(array.shape[0], places), grid, f"layer {layer!r}")
        found[layer] = array if kept.all() else MaskedImages(array, kept)
    return found


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
        In all kinds of files, every array of floats of three or four dimensions is a layer. In
        ``.zarr``, ``.h5`` and ``.npz`` of others, ids are taken from an array (N,) of text or bytes
        that is named ``ids``.

        - ``.zarr``: a store that :func:`semrsm.extract` has completed, or any Zarr v3 group or
          array;
        - ``.h5``, ``.hdf5``;
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
    if source.suffix not in files.SUFFIXES:
        raise InputError(
            f"path: expected a file of features ({', '.join(files.SUFFIXES)}); got {str(path)!r}"
        )
    if not (source.is_dir() if source.suffix == ".zarr" else source.is_file()):
        raise InputError(f"path: expected a file of features; {str(path)!r} does not exist")
    try:
        found = files.read(source)
        return Features(*found[:4], masks=found.masks)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except (*UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"path: {source} cannot be read as features: {error}") from error
