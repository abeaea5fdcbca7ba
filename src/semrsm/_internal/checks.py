"""Checks of arguments that many functions share, each with one wording."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InputError

#: Called in the caller's thread with the amount done so far and the total.
Progress = Callable[[int, int], object]


def is_whole_number(value: object) -> bool:
    """Return whether `value` is an integer of Python or NumPy, and not a boolean."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


def is_real_number(value: object) -> bool:
    """Return whether `value` is a real number of Python or NumPy, and not a boolean."""
    return isinstance(value, (float, np.floating)) or is_whole_number(value)


def whole_number(value: Any, name: str, least: int = 1) -> int:
    """Return `value` as an int.

    Raises
    ------
    InputError
        If it is not a whole number, or less than `least`.

    Examples
    --------
    >>> whole_number(3, "k")
    3
    """
    if not is_whole_number(value) or value < least:
        raise InputError(f"{name}: expected a whole number >= {least}; got {value!r}")
    return int(value)


def check_progress(progress: object) -> None:
    """Refuse a progress callback that cannot be called.

    Raises
    ------
    InputError
        If `progress` is neither None nor callable.
    """
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
