"""Bytes and seconds, as people write and read them."""

from __future__ import annotations

import math
import os
import re

import numpy as np

from ..errors import InputError

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def memory_budget(memory: int | str | None) -> int:
    """Return `memory` in bytes; by default half of the machine's memory.

    Raises
    ------
    InputError
        If `memory` is neither a positive number of bytes nor text like ``"8 GB"`` or ``"500MiB"``
        (units are powers of 1024).

    Examples
    --------
    >>> memory_budget("2GB")
    2147483648
    """
    if memory is None:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", memory.lower())
        if found:
            return int(float(found[1]) * _UNITS[found[2]])
    elif (
        isinstance(memory, (int, float, np.integer))
        and not isinstance(memory, bool)
        and 0 < memory < math.inf
    ):
        return int(memory)
    raise InputError(
        f"memory: expected a positive number of bytes, or text such as '8GB'; got {memory!r}"
    )


def format_bytes(count: float, *, up: bool = False) -> str:
    """Return a number of bytes as people read it, units being powers of 1024.

    The last digit is rounded, or rounded up so that the text names no less than `count`.

    Examples
    --------
    >>> format_bytes(3 << 20)
    '3.0 MB'
    """
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while count >= 1024 and len(units) > 1:
        count /= 1024
        units.pop(0)
    if units[0] == "bytes":
        return f"{math.ceil(count)} bytes"
    return f"{math.ceil(count * 10) / 10 if up else count:.1f} {units[0]}"


def format_seconds(seconds: float) -> str:
    """Return a duration as people read it.

    Examples
    --------
    >>> format_seconds(0.4), format_seconds(75), format_seconds(200000)
    ('0.4 s', '1 min 15 s', '55 h 33 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
