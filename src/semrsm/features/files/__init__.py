"""Files of features, one module for each format: arrays with the names of their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import InputError
from .. import store
from . import hdf5, npz, safetensors
from .content import Content, ids_among, layers_among

__all__ = ["SUFFIXES", "Content", "read", "write"]

SUFFIXES = (".npy", ".npz", ".safetensors", ".zarr", ".h5", ".hdf5")


def read(source: Path) -> Content:
    """Open a file or folder of features by its suffix, which is one of `SUFFIXES`.

    Raises
    ------
    InputError
        If it holds no features, or is damaged.
    OSError, ValueError and others
        If a library cannot read it.
    """
    if source.suffix == ".npy":
        array = np.load(source, mmap_mode="r", allow_pickle=False)
        layers = layers_among({source.stem: array})
        return Content(layers, provenance={"source": source.name})
    if source.suffix == ".npz":
        return npz.read(source)
    if source.suffix == ".zarr":
        layers, ids, logits, facts = store.read(source)
        return Content(
            layers_among(layers), ids_among(layers) if ids is None else ids, logits, facts
        )
    if source.suffix in (".h5", ".hdf5"):
        return hdf5.read(source)
    return safetensors.read(source)


def write(target: Path, content: Content) -> Path:
    """Write features, aside and then renamed; return the file or folder.

    Raises
    ------
    InputError
        If the suffix is not one that is written, the folder does not exist, or, for ``.zarr``,
        something else than features is there or values are not finite.
    """
    if target.suffix == ".zarr":
        ids = () if content.ids is None else content.ids
        return store.save(target, content.layers, ids, content.logits, content.provenance)
    if target.suffix == ".npz":
        npz.write(target, content)
    elif target.suffix == ".safetensors":
        safetensors.write(target, content)
    else:
        raise InputError(
            f"path: expected a name that ends in .npz, .safetensors or .zarr; got {str(target)!r}"
        )
    return target
