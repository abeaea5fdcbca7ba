"""RSMs to and from the labelled arrays of pandas, xarray and rsatoolbox."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, require
from .distances import check_rule, dissimilarities
from .names import NAMES_OF_IDS

if TYPE_CHECKING:
    from .conversions import Conversions


def to_pandas(rsm: Conversions) -> Any:
    """Return an RSM as a ``pandas.DataFrame`` with the ids as labels of rows and columns."""
    pandas = require("pandas", extra="bridges", purpose="to_pandas()")
    return pandas.DataFrame(
        rsm.values.copy(), index=list(rsm.row_ids), columns=list(rsm.column_ids)
    )


def to_xarray(rsm: Conversions) -> Any:
    """Return an RSM as an ``xarray.DataArray``; see :meth:`semrsm.RSM.to_xarray`."""
    xarray = require("xarray", extra="bridges", purpose="to_xarray()")
    attributes: dict[str, Any] = {
        "kernel": rsm.kernel,
        "matcher": rsm.matcher,
        "provenance": json.dumps(dict(rsm.provenance), default=str),
    }
    if rsm.sigma is not None:
        attributes["sigma"] = rsm.sigma
    return xarray.DataArray(
        rsm.values,
        dims=("row", "column"),
        coords={"row": list(rsm.row_ids), "column": list(rsm.column_ids)},
        name="similarity",
        attrs=attributes,
    )


def from_xarray(array: Any) -> dict[str, Any]:
    """Return the values, ids and facts of a two-dimensional ``DataArray``.

    Raises
    ------
    InputError
        If it is not one.
    """
    if not all(hasattr(array, name) for name in ("dims", "coords", "attrs")) or array.ndim != 2:
        got = getattr(array, "dims", type(array).__name__)
        raise InputError(f"array: expected an xarray.DataArray of two dimensions; got {got}")
    names = [
        [str(name) for name in array.coords[dim].values.tolist()] if dim in array.coords else None
        for dim in array.dims
    ]
    try:
        provenance = json.loads(array.attrs.get("provenance", "{}"))
    except (TypeError, ValueError):
        provenance = {}
    return {
        "values": np.asarray(array),
        "ids": names[0],
        "column_ids": None if names[0] == names[1] else names[1],
        "kernel": str(array.attrs.get("kernel", "given")),
        "matcher": str(array.attrs.get("matcher", "given")),
        "sigma": array.attrs.get("sigma"),
        "provenance": provenance if isinstance(provenance, dict) else {},
    }


def to_rsatoolbox(rsm: Conversions, rule: str) -> Any:
    """Return an RSM as ``rsatoolbox.rdm.RDMs``; see :meth:`semrsm.RSM.to_rsatoolbox`."""
    check_rule(rule, "dissimilarity", rsm.kernel)
    if not rsm.is_symmetric:
        raise InputError(
            "to_rsatoolbox: expected the RSM of one set of images against itself; got one of "
            f"{rsm.values.shape[0]} x {rsm.values.shape[1]} images of two sets"
        )
    rdm = require("rsatoolbox.rdm", extra="bridges", purpose="to_rsatoolbox()")
    values = dissimilarities(rsm.values, rule)
    upper = np.triu_indices(values.shape[0], k=1)
    return rdm.RDMs(
        values[upper][None, :],
        dissimilarity_measure=f"{rule} {rsm.kernel} ({rsm.matcher})",
        pattern_descriptors={"id": list(rsm.row_ids)},
    )


def from_rsatoolbox(rdms: Any, descriptor: str | None = None) -> tuple[Any, list[str] | None]:
    """Return the matrices (K, N, N) of ``RDMs``, and the names of the patterns.

    Raises
    ------
    InputError
        If it is something else, or has no such descriptor.
    """
    if not all(hasattr(rdms, name) for name in ("get_matrices", "pattern_descriptors")):
        raise InputError(f"rdms: expected rsatoolbox.rdm.RDMs; got {type(rdms).__name__}")
    known = rdms.pattern_descriptors
    if descriptor is not None and descriptor not in known:
        raise InputError(
            f"descriptor: expected one of {', '.join(map(str, known)) or 'none'}; got "
            f"{descriptor!r}"
        )
    matrices = np.asarray(rdms.get_matrices(), dtype=np.float64)
    chosen = descriptor or next((name for name in NAMES_OF_IDS if name in known), None)
    if chosen is None:
        return matrices, None
    return matrices, [str(name) for name in known[chosen]]
