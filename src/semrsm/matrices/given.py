"""Matrices that were measured or computed elsewhere, checked and named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.arrays import to_numpy
from ..errors import InputError
from ..tokens import image_ids
from .distances import check_rule, similarities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: The label of the kernel and of the matcher of values that were given.
GIVEN = "given"


def checked(
    values: Any,
    ids: Sequence[Any] | None,
    column_ids: Sequence[Any] | None,
    dissimilarity: str | bool | None,
) -> dict[str, Any]:
    """Return values, ids and symmetry as an RSM takes them; see :meth:`semrsm.RSM.from_array`."""
    if ids is None and all(hasattr(values, name) for name in ("index", "columns", "to_numpy")):
        rows, columns = map(str, values.index), map(str, values.columns)
        ids, names = list(rows), list(columns)
        column_ids = column_ids if column_ids is not None or names == ids else names
    array = to_numpy(values, "values").astype(np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"values: expected one matrix (N, M); got shape {array.shape}"
            + (". RSM.from_condensed takes the upper triangle" if array.ndim == 1 else "")
        )
    if np.isinf(array).any():
        raise InputError("values: expected finite values, or NaN for missing pairs; got infinity")
    is_symmetric = column_ids is None
    if is_symmetric:
        array = _symmetric(array)
    row_names = image_ids(ids, array.shape[0], "ids")
    column_names = row_names if column_ids is None else _columns(column_ids, array.shape[1])
    rule = _rule(array, dissimilarity, is_symmetric)
    if rule is not None:
        array = similarities(array, rule)
    return {
        "values": array,
        "row_ids": row_names,
        "column_ids": column_names,
        "is_symmetric": is_symmetric,
    }


def square(vector: Any, diagonal: float) -> Array:
    """Return the symmetric matrix of an upper triangle, row by row without the diagonal.

    Raises
    ------
    InputError
        If the length is not that of a triangle.
    """
    array = to_numpy(vector, "vector").astype(np.float64)
    count = (1 + math.isqrt(1 + 8 * array.size)) // 2
    if array.ndim != 1 or array.size == 0 or count * (count - 1) // 2 != array.size:
        raise InputError(
            "vector: expected the N (N − 1) / 2 values of an upper triangle; got shape "
            f"{array.shape}"
        )
    matrix = np.full((count, count), float(diagonal))
    rows, columns = np.triu_indices(count, k=1)
    matrix[rows, columns] = matrix[columns, rows] = array
    return matrix


def _columns(column_ids: Sequence[Any], count: int) -> tuple[str, ...]:
    return image_ids(column_ids, count, "column_ids")


def _symmetric(array: Array) -> Array:
    """Return a symmetric matrix whose triangles agree to the last bit."""
    if array.shape[0] != array.shape[1]:
        raise InputError(
            f"values: expected a square matrix, or column_ids= for two sets of images; got shape "
            f"{array.shape}"
        )
    missing = np.isnan(array)
    if (missing != missing.T).any():
        raise InputError("values: expected NaN at (i, j) and (j, i), or at neither")
    apart = float(np.abs(np.where(missing, 0, array - array.T)).max(initial=0.0))
    # Files often hold float32.
    if apart > np.sqrt(np.finfo(np.float32).eps) * np.abs(np.where(missing, 0, array)).max():
        raise InputError(
            "values: expected a symmetric matrix, or column_ids= for two sets of images; values "
            f"(i, j) and (j, i) differ by up to {apart:.3g}"
        )
    half: Array = 0.5 * array
    return half + half.T


def _rule(array: Array, dissimilarity: str | bool | None, is_symmetric: bool) -> str | None:
    """Return the rule of dissimilarities; never guess whether values are such."""
    if isinstance(dissimilarity, str):
        if dissimilarity == "squared-distance" and (not is_symmetric or np.isnan(array).any()):
            raise InputError(
                "dissimilarity: expected 'one-minus' or 'negative' where pairs are missing or rows "
                "and columns are two sets; got 'squared-distance'"
            )
        return check_rule(dissimilarity, "dissimilarity")
    if dissimilarity is True:
        raise InputError("dissimilarity: expected the rule, such as 'negative'; got True")
    if dissimilarity is None and is_symmetric and len(array) > 1:
        own = np.diagonal(array)
        others = array[~np.eye(len(array), dtype=np.bool_)]
        if (own == 0).all() and (np.isnan(others) | (others >= 0)).all() and (others > 0).any():
            raise InputError(
                "values: expected similarities; a diagonal of zeros and no negative value are "
                "those of dissimilarities. Pass dissimilarity='one-minus', 'negative' or "
                "'squared-distance', or False if they are similarities all the same"
            )
    return None
