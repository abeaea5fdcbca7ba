"""The vectors of an index on disk, whose chunks are checked when they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import InputError


class SealedVectors:
    """An array on disk that says which index is damaged.

    Parameters
    ----------
    array : zarr.Array, shape (V, C)
        With checksums.
    place : str
        The folder of the index, for errors.
    """

    def __init__(self, array: Any, place: str) -> None:
        self._array = array
        self._place = place
        self.shape = tuple(array.shape)
        self.dtype = array.dtype
        self.ndim = array.ndim

    def __getitem__(self, part: Any) -> np.ndarray[Any, Any]:
        """Read some vectors.

        Raises
        ------
        InputError
            If a chunk is damaged.
        """
        try:
            return np.asarray(self._array[part])
        except (ValueError, OSError, RuntimeError, KeyError, TypeError) as error:
            raise InputError(
                f"gallery: the vectors of the index in {self._place!r} are damaged: {error}"
            ) from error
