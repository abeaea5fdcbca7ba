"""Checks of arguments that many functions share, each with one wording."""

from __future__ import annotations

import sys
import time
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


def check_progress(progress: Progress | bool | None) -> Progress | None:
    """Return a progress callback, or None.

    Parameters
    ----------
    progress : callable, bool or None
        True stands for a line on stderr that says how far the work is.

    Raises
    ------
    InputError
        If `progress` is something else.
    """
    if progress is None or progress is False:
        return None
    if progress is True:
        return ProgressLine()
    if not callable(progress):
        raise InputError(
            f"progress: expected True or a function of (done, total); got {progress!r}"
        )
    return progress


class ProgressLine:
    """A line on stderr that is written anew as the work goes on, in terminals and notebooks."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._last = ""

    def __call__(self, done: int, total: int) -> None:
        """Write how much is done, and how long the rest takes at this pace."""
        percent = 100 * done // total if total else 100
        taken = time.monotonic() - self._start
        line = f"{done:,} of {total:,} ({percent} %)"
        if done >= total:
            line += f" in {taken:.1f} s"
        elif done:
            line += f", {taken * (total - done) / done:.0f} s left"
        if percent == 100 and self._last.startswith(line.partition(" in ")[0]):
            return  # the end may be told twice
        blank = " " * max(0, len(self._last) - len(line))
        sys.stderr.write(f"\r{line}{blank}" + ("\n" if done >= total else ""))
        sys.stderr.flush()
        self._last = line
