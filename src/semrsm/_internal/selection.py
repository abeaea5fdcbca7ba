"""Order statistics of more values than fit into memory, found exactly by counting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: At most this many values are sorted in memory.
FEW = 1 << 20

_DIGIT = 16  # bits that one pass counts
_SIGN = np.uint64(1 << 63)


def select(passes: Callable[[], Iterable[Array]], ranks: Callable[[int], Sequence[int]]) -> Array:
    """Return order statistics of any number of values, exactly, by counting.

    Parameters
    ----------
    passes : callable
        Returns the values, array by array; the same values at every call.
    ranks : callable
        Given the number of values, returns the wanted ranks, from 0.

    Returns
    -------
    ndarray of float64
        The values of those ranks; empty where there are no values.

    Notes
    -----
    Floats are ordered like the unsigned integers of their bits, once the sign bit of positive
    numbers and all bits of negative numbers are inverted. Each pass counts the next 16 bits of the
    values that share all bits before; as soon as few values are left they are sorted. Values that
    share all 64 bits are equal and are never stored, however many there are.

    Examples
    --------
    >>> data = [np.array([3.0, -1.0]), np.array([2.0])]
    >>> select(lambda: data, lambda count: [count // 2])
    array([2.])
    """
    counts, few = _first_pass(passes)
    if few is not None:
        places = list(ranks(few.size)) if few.size else []
        return np.partition(few, places)[places] if places else np.empty(0)
    total = int(counts.sum())
    # Ranks beside one another, as those of a median are, nearly always share every pass.
    counted = {(0, 0): counts}
    sorted_: dict[tuple[int, int], Array] = {}
    found = []
    for rank in ranks(total):
        prefix, bits, place = 0, 0, rank
        while True:
            if (prefix, bits) not in counted:
                counted[prefix, bits] = _histogram(passes, prefix, bits)
            here = counted[prefix, bits]
            below = np.cumsum(here)
            digit = int(np.searchsorted(below, place, side="right"))
            place -= int(below[digit - 1]) if digit else 0
            prefix, bits = (prefix << _DIGIT) | digit, bits + _DIGIT
            if bits == 64 or here[digit] <= FEW:
                break
        if bits == 64:
            found.append(_value(prefix))
            continue
        if (prefix, bits) not in sorted_:
            sorted_[prefix, bits] = np.sort(np.concatenate(list(_sharing(passes, prefix, bits))))
        found.append(float(sorted_[prefix, bits][place]))
    return np.array(found, dtype=np.float64)


def _first_pass(
    passes: Callable[[], Iterable[Array]],
) -> tuple[NDArray[np.int64], Array | None]:
    """Count the first digit, or return the values where they are few."""
    counts = np.zeros(1 << _DIGIT, dtype=np.int64)
    waiting: list[Array] = []
    total = 0
    for values in passes():
        waiting.append(values)
        total += values.size
        if total > FEW:
            for array in waiting:
                counts += _digits(_keys(array), 0)
            waiting.clear()
    if total > FEW:
        return counts, None
    return counts, np.concatenate([*waiting, np.empty(0)]) + 0.0  # no zero is negative


def _histogram(passes: Callable[[], Iterable[Array]], prefix: int, bits: int) -> NDArray[np.int64]:
    counts = np.zeros(1 << _DIGIT, dtype=np.int64)
    for values in _sharing(passes, prefix, bits):
        counts += _digits(_keys(values), bits)
    return counts


def _digits(keys: NDArray[np.uint64], bits: int) -> NDArray[np.int64]:
    """Count the 16 bits that follow the first `bits`."""
    digits = (keys >> np.uint64(64 - bits - _DIGIT)) & np.uint64((1 << _DIGIT) - 1)
    return np.bincount(digits.astype(np.int64), minlength=1 << _DIGIT)


def _sharing(passes: Callable[[], Iterable[Array]], prefix: int, bits: int) -> Iterator[Array]:
    """Yield the values whose keys begin with these bits, of which there are 1 to 63."""
    for values in passes():
        yield values[_keys(values) >> np.uint64(64 - bits) == np.uint64(prefix)]


def _keys(values: Array) -> NDArray[np.uint64]:
    """Return integers in the order of the values; −0.0 and 0.0 have the same key."""
    bits = np.ascontiguousarray(values + 0.0).view(np.uint64)
    keys: NDArray[np.uint64] = np.where(bits & _SIGN != 0, ~bits, bits | _SIGN)
    return keys


def _value(key: int) -> float:
    """Return the value that has a key."""
    bits = np.array([key], dtype=np.uint64)
    bits = np.where(bits & _SIGN != 0, bits ^ _SIGN, ~bits)
    return float(bits.view(np.float64)[0])
