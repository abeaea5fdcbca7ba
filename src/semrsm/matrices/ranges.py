"""Slices of images, which select parts of matrices."""

from __future__ import annotations

from ..errors import InputError


def whole_range(part: slice, count: int, name: str) -> slice:
    """Return a slice of `count` images with both ends as numbers from 0.

    Raises
    ------
    InputError
        If it is not a slice, or has a step.
    """
    if not isinstance(part, slice):
        raise InputError(f"{name}: expected a slice; got {part!r}")
    first, last, step = part.indices(count)
    if step != 1:
        raise InputError(f"{name}: expected a slice without a step; got {part}")
    return slice(first, max(first, last))
