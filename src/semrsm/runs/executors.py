"""Where tiles are computed: threads of this process, any executor, or Dask on many machines.

A task is one tile. What is sent is where the run and the features lie; what comes back is nothing
but that the tile is on disk. A task that runs twice writes the same bytes twice.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Any

from ..errors import InputError, SemrsmError
from ..matchers import Matcher
from ..tokens import Tokens
from .compute import Work
from .folder import GramFolder
from .sources import open_source

TileIndex = tuple[int, int]
Source = Mapping[str, str]

#: Tasks that an executor holds at a time for each of its workers: enough to keep all of them busy,
#: few enough to stop soon.
AHEAD = 4

#: How often a task that died with its worker is given to another one.
RETRIES = 3


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
        Where.
    work : Work
        What threads of this process use as it is.
    tiles : sequence of (int, int)
        What is to be computed.
    sources : sequence of dict, or None
        Where the features lie, for other processes; None where they are in memory only.
    advance : callable
        Called with the pairs of each tile that has been written.

    Raises
    ------
    InputError
        If `executor` is none, or other processes could not open the features.
    SemrsmError
        If workers died; what they had written is there.
    """
    one = itertools.repeat
    if isinstance(executor, ThreadPoolExecutor):
        _check_one_thread(work)
        tasks: Iterator[Callable[..., Any]] = one(_Here(work))
        arguments: Iterator[tuple[Any, ...]] = ((tile,) for tile in tiles)
    elif isinstance(executor, Executor) or is_dask(executor):
        if sources is None:
            raise InputError(
                "executor: expected features on disk, which every worker opens for itself (a Zarr "
                "store, an HDF5 file or a memory-mapped .npy file); these are in memory only. Save "
                "them first, or take a ThreadPoolExecutor"
            )
        shared = (
            str(work.folder.path.resolve()),
            (work.folder.tiling.rows, work.folder.tiling.columns),
            work.matcher,
            json.dumps([dict(source) for source in sources]),
        )
        tasks, arguments = one(fill_tile), ((*shared, tile) for tile in tiles)
    else:
        raise InputError(
            "executor: expected a concurrent.futures.Executor or a dask.distributed.Client; got "
            f"{type(executor).__name__}"
        )
    if is_dask(executor):
        _on_dask(executor, list(arguments), work.folder, advance)
        return
    try:
        _on_futures(executor, tasks, zip(tiles, arguments, strict=False), work.folder, advance)
    except BrokenProcessPool as error:
        raise SemrsmError(
            "executor: a worker process died (out of memory, or killed); what had been written is "
            "there, and the same call goes on from it"
        ) from error


def is_dask(executor: Any) -> bool:
    """Whether `executor` is a client of Dask distributed, without importing it."""
    return any(
        base.__module__.partition(".")[0] == "distributed" and base.__name__ == "Client"
        for base in type(executor).__mro__
    )


def fill_tile(
    path: str, shape: tuple[int, int], matcher: Matcher, sources: str, tile: TileIndex
) -> None:
    """Compute one tile in another process, on one thread.

    Parameters
    ----------
    path : str
        The folder of the Gram.
    shape : (int, int)
        N and M: a run that has grown is opened again.
    matcher : Matcher
        The matcher.
    sources : str
        Where the features lie, as JSON, so that what is open can be found again.
    tile : (int, int)
        The tile.
    """
    opened(path, shape, matcher, sources).fill([tile], lambda _: None)


@lru_cache(maxsize=2)
def opened(
    path: str, shape: tuple[int, int], matcher: Matcher, sources: str, workers: int = 1
) -> Work:
    """Open a run and its features; a process does that once for all of its tiles."""
    folder = GramFolder(path)
    if (folder.tiling.rows, folder.tiling.columns) != shape:
        raise InputError(f"run: {path!r} has grown since its tiles were given out")
    found = json.loads(sources)
    rows = Tokens(open_source(found[0]), "features", measured=folder.rows.measured)
    columns = rows
    if len(found) > 1:
        columns = Tokens(open_source(found[1]), "features", measured=folder.columns.measured)
    for tokens, count in ((rows, shape[0]), (columns, shape[1])):
        if tokens.count != count:
            raise InputError(
                f"features: expected the {count} images that the run {path!r} was made from; "
                f"there are {tokens.count}"
            )
    return Work(folder, rows, columns, matcher, workers, check=True)


class _Here:
    """A tile on a thread of this process: the features are at hand."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, tile: TileIndex) -> None:
        self._work.fill([tile], lambda _: None)


def _check_one_thread(work: Work) -> None:
    if work.workers != 1:
        raise InputError(
            f"workers: expected 1 with an executor, whose own threads share the tiles; got "
            f"{work.workers}"
        )


def _on_futures(
    executor: Executor,
    tasks: Iterator[Callable[..., Any]],
    arguments: Iterator[tuple[TileIndex, tuple[Any, ...]]],
    folder: GramFolder,
    advance: Callable[[int], object],
) -> None:
    ahead = AHEAD * int(getattr(executor, "_max_workers", 8))
    pending: dict[Future[Any], TileIndex] = {}
    try:
        while True:
            for task, (tile, given) in itertools.islice(
                zip(tasks, arguments, strict=False), ahead - len(pending)
            ):
                pending[executor.submit(task, *given)] = tile
            if not pending:
                return
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                advance(folder.tiling.pairs(pending.pop(future)))
    except BaseException:
        for future in pending:
            future.cancel()
        wait(pending)  # what has begun writes its tile: nobody writes after the call has ended
        raise


def _on_dask(
    client: Any,
    arguments: list[tuple[Any, ...]],
    folder: GramFolder,
    advance: Callable[[int], object],
) -> None:
    from distributed import as_completed

    run = uuid.uuid4().hex[:8]
    futures = {
        client.submit(
            fill_tile,
            *given,
            # A name of its own: the scheduler takes tasks of one name for one task.
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
    except BaseException:
        client.cancel(list(futures))
        raise
