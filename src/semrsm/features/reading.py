"""Batches of images, read ahead: the next one is read while the network works on another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from .images import ImageSource, Read


def batches(
    source: ImageSource,
    size: int,
    on_error: str,
    progress: Callable[[int, int], object] | None,
    first: int = 0,
) -> Iterator[Read]:
    """Yield batches from that of image `first` on; the next is read while one is in use.

    Parameters
    ----------
    source : ImageSource
        Of N images.
    size : int
        Images of a batch.
    on_error : {"skip", "raise"}
        As for :func:`semrsm.extract`.
    progress : callable or None
        Called as ``progress(done, N)`` when a batch has been used; where N is not known, with the
        images done so far in its place.
    first : int, default 0
    """
    reads = source.reads(size, on_error, first)
    done = 0
    # A thread: reading waits for disks and decoders, which do not hold the interpreter.
    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(next, reads, None)
        try:
            while (read := ahead.result()) is not None:
                ahead = reader.submit(next, reads, None)
                yield read
                done = max(done, *read.images, *(image for image, _ in read.left_out)) + 1
                if progress is not None:
                    progress(done, done if source.total is None else source.total)
        finally:
            ahead.cancel()
