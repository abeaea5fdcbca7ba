"""Threads that share the tasks of an iterator, each with a state of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from .workers import Cancellation, cancel_on_interrupt, one_blas_thread

State = TypeVar("State")

#: Seconds between two turns of the calling thread, which reports progress meanwhile.
POLL = 0.1


class Pool(Generic[State]):
    """Threads that run tasks in order; :func:`pool_of` makes a pool.

    Attributes
    ----------
    cancellation : Cancellation
        Set when the call ends early; long tasks check it.
    """

    def __init__(
        self,
        executor: ThreadPoolExecutor,
        workers: int,
        cancellation: Cancellation,
        make: Callable[[], State],
    ) -> None:
        self.cancellation = cancellation
        self._executor = executor
        self._workers = workers
        self._make = make
        self._local = threading.local()
        self._lock = threading.Lock()

    def run(self, tasks: Iterator[Callable[[State], object]]) -> Iterator[None]:
        """Run all tasks, each with the state of its thread; yield regularly until all are done.

        The iterator is advanced by one thread at a time.
        """

        def work() -> None:
            if not hasattr(self._local, "state"):
                self._local.state = self._make()
            while not self.cancellation.is_set:
                with self._lock:
                    task = next(tasks, None)
                if task is None:
                    return
                task(self._local.state)

        pending = {self._executor.submit(work) for _ in range(self._workers)}
        while pending:
            finished, pending = wait(pending, timeout=POLL, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            yield


@contextmanager
def pool_of(workers: int, make: Callable[[Cancellation, Any], State]) -> Iterator[Pool[State]]:
    """Yield a pool of threads, which Ctrl-C ends; BLAS is held to one thread meanwhile.

    Parameters
    ----------
    workers : int
        The number of threads.
    make : callable
        Returns the state of a thread, given the cancellation of the call and the guard under which
        products must be made (see :func:`semrsm._internal.workers.one_blas_thread`).
    """
    with (
        one_blas_thread() as guard,
        ThreadPoolExecutor(workers, thread_name_prefix="semrsm") as executor,
        # Innermost, so that the threads are cancelled before the executor waits for them.
        cancel_on_interrupt() as cancellation,
    ):
        yield Pool(executor, workers, cancellation, lambda: make(cancellation, guard))
