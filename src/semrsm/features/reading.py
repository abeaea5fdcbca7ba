"""Batches of images, read ahead: the next one is read while the network works on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .images import ImageSource

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Read:
    """A batch as far as it could be read.

    Attributes
    ----------
    images : list of int
        The n images that could be read, by their place among all.
    ids : list of str
        Their ids.
    batch : ndarray of float32, shape (n, C, H, W), or None
        None where no image could be read.
    left_out : list of (int, str)
        The other images, by their place among all, and the cause.
    """

    images: list[int]
    ids: list[str]
    batch: Array | None
    left_out: list[tuple[int, str]]


def batches(
    source: ImageSource,
    size: int,
    on_error: str,
    progress: Callable[[int, int], object] | None,
    first: int = 0,
) -> Iterator[Read]:
    """Yield batches from that of image `first` on; the next is read while one is in use.

    They are the same wherever one begins: what a network gives may depend, in the last bits, on
    what else is in a batch.

    Parameters
    ----------
    source : ImageSource
        Of N images.
    size : int
        Images of a batch.
    on_error : {"skip", "raise"}
        As for :func:`semrsm.extract`.
    progress : callable or None
        Called as ``progress(done, N)`` when a batch has been used.
    first : int, default 0
    """
    total = len(source.ids)
    starts = range(first // size * size, total, size) if first < total else range(0)
    with ThreadPoolExecutor(1) as reader:
        ahead: Future[Any] | None = None
        try:
            for start in starts:
                current = ahead or reader.submit(source.read, start, start + size, on_error)
                following = start + size
                ahead = None
                ids, batch = current.result() or ([], None)
                # Now, while no other batch is being read that may fail as well.
                why, source.failed = source.failed, []
                if following < total:
                    ahead = reader.submit(source.read, following, following + size, on_error)
                readable = set(ids)
                images: list[int] = []
                missing: list[int] = []
                for image in range(start, min(following, total)):
                    (images if source.ids[image] in readable else missing).append(image)
                yield Read(images, ids, batch, list(zip(missing, why, strict=True)))
                if progress is not None:
                    progress(min(following, total), total)
        finally:
            if ahead is not None:
                ahead.cancel()
