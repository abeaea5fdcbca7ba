"""Where tiles are computed: threads of this process, any executor, or Dask on many machines.

A task is one tile. It is sent the places of the run and of the features, and returns when the tile
is on the disk. A task that runs twice writes the same bytes twice.
"""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from functools import lru_cache
from typing import Any

from ..engine.device import resolve_engine
from ..errors import InputError, SemrsmError
from ..matching.base import Matcher
from ..tokens import measure
from .filling import Work
from .gram_folder import GramFolder
from .manifest import grids_of
from .sources import open_source

TileIndex = tuple[int, int]
Source = Mapping[str, str]

#: Tasks that an executor holds at a time for each of its workers: enough to keep all of them busy,
#: few enough to stop soon.
AHEAD = 4

#: How often a task whose worker died is given to another worker.
RETRIES = 3


def check_executor(executor: Any, workers: int, *, on_disk: bool) -> int:
    """Refuse an executor that cannot compute tiles; return how many this process does at once.

    Parameters
    ----------
    executor : concurrent.futures.Executor, distributed.Client or None
        None for threads of this process.
    workers : int
        Threads of each tile.
    on_disk : bool
        Whether all features lie where other processes can open them.

    Raises
    ------
    InputError
        If `executor` is of another kind, `workers` is not 1 beside it, or it consists of other
        processes, which could not open the features.
    """
    if executor is None:
        return 1
    if not isinstance(executor, Executor) and not is_dask(executor):
        raise InputError(
            "executor: expected a concurrent.futures.Executor or a dask.distributed.Client; got "
            f"{type(executor).__name__}"
        )
    if workers != 1:
        raise InputError(
            f"workers: expected 1 with an executor, whose own workers share the tiles; got "
            f"{workers}"
        )
    if isinstance(executor, ThreadPoolExecutor):
        return _workers_of(executor)
    if not on_disk:
        raise InputError(
            "executor: expected features on disk, which every worker opens for itself (a Zarr "
            "store, an HDF5 file or a memory-mapped .npy file); these are in memory only. Save "
            "them first, or take a ThreadPoolExecutor"
        )
    return 1


def fill_on(
    executor: Any,
    work: Work,
    tiles: Sequence[TileIndex],
    sources: Sequence[Source] | None,
    advance: Callable[[int], object],
) -> None:
    """Compute the tiles of a run on an executor.

    Parameters
    ----------
    executor : concurrent.futures.Executor or distributed.Client
        The executor, which :func:`check_executor` has accepted.
    work : Work
        The folder and the features; threads of this process use them as they are.
    tiles : sequence of (int, int)
        The tiles to be computed.
    sources : sequence of dict, or None
        The paths of the features, for other processes.
    advance : callable
        Called with the pairs of each tile that has been written.

    Raises
    ------
    SemrsmError
        If workers died; the tiles that they had written stay.
    """
    folder = work.folder
    if isinstance(executor, ThreadPoolExecutor):
        here = _Here(work)
        _on_futures(executor, here, [(tile,) for tile in tiles], folder, advance, here.stop)
        return
    shared = (
        str(folder.path.resolve()),
        folder.manifest["checksum"],
        work.matcher,
        json.dumps([dict(source) for source in sources or ()]),
    )
    arguments = [(*shared, tile) for tile in tiles]
    if is_dask(executor):
        _on_dask(executor, arguments, folder, advance)
    else:
        _on_futures(executor, fill_tile, arguments, folder, advance, lambda: None)


def is_dask(executor: Any) -> bool:
    """Return whether `executor` is a client of Dask distributed, without importing it."""
    return any(
        base.__module__.partition(".")[0] == "distributed" and base.__name__ == "Client"
        for base in type(executor).__mro__
    )


def fill_tile(path: str, manifest: str, matcher: Matcher, sources: str, tile: TileIndex) -> None:
    """Compute one tile in another process, on one thread.

    Parameters
    ----------
    path : str
        The folder of the Gram.
    manifest : str
        The checksum of its manifest.
    matcher : Matcher
        The matcher.
    sources : str
        Where the features lie, as JSON, by which open features are found again.
    tile : (int, int)
        The tile.
    """
    opened(path, manifest, matcher, sources).fill([tile], lambda _: None)


@lru_cache(maxsize=2)
def opened(path: str, manifest: str, matcher: Matcher, sources: str, workers: int = 1) -> Work:
    """Open a run and its features; a process does this once for all of its tiles.

    A run that has grown, or another one at the same place, has another manifest and is opened
    again.
    """
    folder = GramFolder(path)
    if folder.manifest["checksum"] != manifest:
        raise InputError(f"run: {path!r} is not what it was when its tiles were given out")
    return open_work(folder, json.loads(sources), matcher, workers)


def open_work(
    folder: GramFolder, sources: Sequence[Source], matcher: Matcher, workers: int
) -> Work:
    """Open the features of a run that another process has measured.

    Raises
    ------
    InputError
        If they are not there, or not as many as they were. Their content is checked when it is
        read.
    """
    tokens = [
        measure(open_source(source), "features", measured=side.measured, grid=grid)
        for source, side, grid in zip(
            sources, (folder.rows, folder.columns), grids_of(folder.manifest), strict=False
        )
    ]
    rows, columns = tokens[0], tokens[-1]
    for found, side in ((rows, folder.rows), (columns, folder.columns)):
        if found.count != side.count or found.channels != folder.manifest["channels"]:
            raise InputError(
                f"features: expected {side.count} images of {folder.manifest['channels']} "
                f"channels, as the run {str(folder.path)!r} was laid out for; there are "
                f"{found.count} of {found.channels}"
            )
    engine = resolve_engine(folder.manifest["device"], matcher, rows, columns)
    return Work(folder, rows, columns, matcher, workers, check=True, engine=engine)


class _Here:
    """Computes a tile on a thread of this process, with the features at hand."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stopped = threading.Event()

    def __call__(self, tile: TileIndex) -> None:
        self._work.fill([tile], self._advance)

    def stop(self) -> None:
        """End the tiles that are being computed."""
        self._stopped.set()

    def _advance(self, _: int) -> None:
        if self._stopped.is_set():
            raise SemrsmError("the call that this tile was computed for has ended")


def _workers_of(executor: Executor) -> int:
    return int(getattr(executor, "_max_workers", 8))


def _on_futures(
    executor: Executor,
    task: Callable[..., None],
    arguments: Sequence[tuple[Any, ...]],
    folder: GramFolder,
    advance: Callable[[int], object],
    stop: Callable[[], object],
) -> None:
    """Submit tasks, the last argument of each being its tile, a few ahead of those that run."""
    ahead = AHEAD * _workers_of(executor)
    waiting = iter(arguments)
    pending: dict[Future[None], TileIndex] = {}
    try:
        while True:
            for given in itertools.islice(waiting, ahead - len(pending)):
                pending[executor.submit(task, *given)] = given[-1]
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                tile = pending.pop(future)
                future.result()
                advance(folder.tiling.pairs(tile))
    except BrokenExecutor as error:  # the executor ends, with all of its tasks: nothing to wait for
        raise SemrsmError(
            "executor: a worker process died (out of memory, or killed); the run keeps its "
            "complete tiles, and the same call goes on from it with a new executor"
        ) from error
    except BaseException:
        stop()
        for future in pending:
            future.cancel()
        wait(pending)  # a task that has begun writes its tile: none writes after the call has ended
        raise


def _on_dask(
    client: Any,
    arguments: list[tuple[Any, ...]],
    folder: GramFolder,
    advance: Callable[[int], object],
) -> None:
    from distributed import KilledWorker, as_completed

    run = uuid.uuid4().hex[:8]
    futures = {
        client.submit(
            fill_tile,
            *given,
            # A unique name: the scheduler takes tasks of the same name for one task.
            key=f"semrsm-tile-{run}-{given[-1][0]}-{given[-1][1]}",
            retries=RETRIES,
            pure=False,
        ): given[-1]
        for given in arguments
    }
    try:
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            future.result()
            advance(folder.tiling.pairs(futures[future]))
            future.release()
    except BaseException as error:
        client.cancel(list(futures))
        if isinstance(error, KilledWorker):
            raise SemrsmError(
                "executor: a tile was lost with several workers one after the other, which may "
                "have too little memory; the run keeps its complete tiles, and the same call goes "
                "on from it"
            ) from error
        raise
