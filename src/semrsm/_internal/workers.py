"""Threads: how many, how they are cancelled, and BLAS held to one thread while they run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError
from .checks import whole_number

Result = TypeVar("Result")

#: More threads than cores of any machine only take memory.
MOST_WORKERS = 1024


def worker_count(workers: int | None) -> int:
    """Return `workers`, or the number of cores that this process may use.

    Raises
    ------
    InputError
        If `workers` is not a positive whole number, or larger than any machine.
    """
    if workers is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    count = whole_number(workers, "workers")
    if count > MOST_WORKERS:
        raise InputError(f"workers: expected at most {MOST_WORKERS} threads; got {count}")
    return count


class Cancellation:
    """A flag that native code reads while it works, shared by the threads of one call."""

    def __init__(self) -> None:
        self.flag = np.zeros(1, dtype=np.uint8)

    def cancel(self) -> None:
        """Ask every thread to stop at the next opportunity (well under a second)."""
        self.flag[0] = 1

    @property
    def is_set(self) -> bool:
        """Whether :meth:`cancel` has been called."""
        return bool(self.flag[0])

    def wait(self, futures: Iterable[Future[Any]]) -> None:
        """Wait for all `futures`; on the first error cancel the others and raise it."""
        pending = list(futures)
        try:
            done, _ = wait(pending, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            self.cancel()
            for future in pending:
                future.cancel()
            wait(pending)
            raise


@contextlib.contextmanager
def cancel_on_interrupt() -> Iterator[Cancellation]:
    """Yield a :class:`Cancellation` that Ctrl-C sets, so that native loops end too.

    Python runs signal handlers in the main thread between byte codes, and a long native call delays
    them. Wherever the work can take long, the main thread therefore only waits, and other threads
    work.
    """
    cancellation = Cancellation()
    try:
        yield cancellation
    except BaseException:
        cancellation.cancel()
        raise


def interruptible(work: Callable[[Cancellation], Result]) -> Result:
    """Run `work` in another thread, so that Ctrl-C interrupts the call at once."""
    with ThreadPoolExecutor(1) as pool, cancel_on_interrupt() as cancellation:
        future = pool.submit(work, cancellation)
        cancellation.wait([future])
        return future.result()


_product_lock = threading.Lock()


class _BlasLimit:
    """The one limit of this process: set by the first call that needs it, lifted by the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                from threadpoolctl import threadpool_limits

                self._limit = threadpool_limits(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._limit.restore_original_limits()


_blas_limit = _BlasLimit()


@contextlib.contextmanager
def one_blas_thread() -> Iterator[contextlib.AbstractContextManager[Any]]:
    """Hold BLAS to one thread inside the block; yield the lock that each product must hold.

    With threadpoolctl the guard does nothing. Without it BLAS keeps its own threads, and the guard
    is a lock that lets one product run at a time, so that cores are not oversubscribed.
    """
    try:
        import threadpoolctl  # noqa: F401
    except ImportError:
        yield _product_lock
        return
    with _blas_limit:
        yield contextlib.nullcontext()
