"""Arrays as text inside the page: base64 of little-endian numbers, with the rounding error."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The largest 16-bit number: values are rounded to this many steps of their range.
_STEPS = 65535

#: Relative to the largest value: smaller differences change no digit that a page shows.
_UNSEEN = 2e-6


def pack_matrix(
    values: NDArray[np.float64], *, symmetric: bool, exact: bool
) -> dict[str, float | str]:
    """Pack a matrix, the upper triangle of a symmetric one, row after row.

    Parameters
    ----------
    values : ndarray, shape (N, M)
        Finite values.
    symmetric : bool
        Whether to pack the upper triangle with the diagonal alone.
    exact : bool
        Whether to keep float32, in place of 16-bit steps between the lowest and the highest value.

    Returns
    -------
    dict
        ``data``, ``kind`` ("f4" or "u2"), ``low`` and ``step`` of the latter, and ``error``: no
        value in the page is further than this from the value in memory.
    """
    flat = _flat(values, symmetric)
    low, high = float(flat.min()), float(flat.max())
    if exact:
        kept = flat.astype("<f4")
        error = float(np.abs(kept - flat).max())
        return {"kind": "f4", "data": as_base64(kept), "low": low, "step": 0.0, "error": error}
    step = (high - low) / _STEPS
    steps = np.rint((flat - low) / step) if step > 0 else np.zeros_like(flat)
    error = float(np.abs(low + steps * step - flat).max())
    return {
        "kind": "u2",
        "data": as_base64(steps.astype("<u2")),
        "low": low,
        "step": step,
        "error": error,
    }


def pack_excess(
    bounds: NDArray[np.float64], values: NDArray[np.float64], *, symmetric: bool
) -> dict[str, float | str | None]:
    """Pack how far upper bounds lie above their values, rounded up: they stay upper bounds.

    Returns
    -------
    dict
        ``data``, 16-bit multiples of ``step``; None where each is one step, too small to be
        visible.
    """
    excess = np.maximum(_flat(bounds, symmetric) - _flat(values, symmetric), 0.0)
    if excess.max() <= _UNSEEN * np.abs(values).max():
        return {"data": None, "step": float(excess.max())}
    # A little more than the largest excess, so that rounding up stays within 16 bits.
    step = float(excess.max()) / (_STEPS - 1)
    steps = np.ceil(excess / step) if step > 0 else np.zeros_like(excess)
    return {"data": as_base64(steps.astype("<u2")), "step": step}


def pack_signed(values: NDArray[np.float64]) -> dict[str, float | str]:
    """Pack numbers of either sign as 16-bit steps on both sides of zero, which stays zero."""
    step = float(np.abs(values).max(initial=0.0)) / 32767
    steps = np.rint(values / step) if step > 0 else np.zeros_like(values)
    return {"data": as_base64(steps.astype("<i2")), "step": step}


def as_base64(numbers: NDArray[Any]) -> str:
    """Return the bytes of an array as base64."""
    return base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode("ascii")


def _flat(values: NDArray[np.float64], symmetric: bool) -> NDArray[np.float64]:
    if symmetric:
        return values[np.triu_indices(len(values))]
    return values.reshape(-1)
