"""One of many workers that fill a run together."""

from __future__ import annotations

from pathlib import Path

from .._internal.checks import check_progress, is_whole_number
from .._internal.workers import worker_count
from ..errors import InputError
from .executors import open_work
from .gram_folder import GramFolder
from .manifest import matcher_of
from .remaining import Count, Progress, missing_tiles
from .run import RunProgress, open_run


def fill_share(
    path: str | Path,
    *,
    rank: int = 0,
    world: int = 1,
    features: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | bool | None = None,
) -> RunProgress:
    """Compute every `world`-th tile of a run that has been laid out: one of many workers.

    Parameters
    ----------
    path : str or Path
        The run, on a disk that all workers can use, as must be the features it was laid out for.
    rank, world : int
        The index of this worker, from 0, and the number of workers.
    features : str or Path, optional
        The store or file of the features, if this machine has it at another place.
    workers : int, optional
        Threads of this worker.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in pairs of this worker's share.

    Returns
    -------
    RunProgress
        The progress of the whole run.

    Raises
    ------
    InputError
        If there is no run, the features have been moved or have changed, or rank is not below
        world.
    """
    if not is_whole_number(world) or world < 1:
        raise InputError(f"world: expected the number of workers, at least 1; got {world!r}")
    if not is_whole_number(rank) or not 0 <= rank < world:
        raise InputError(f"rank: expected a number from 0 to {world - 1}; got {rank!r}")
    progress = check_progress(progress)
    run = open_run(path)
    threads = worker_count(workers)
    shares = []
    for key in run:
        folder = run.folder(key)
        sources = _moved(folder, features)
        work = open_work(folder, sources, matcher_of(folder.manifest), threads)
        shares.append((work, list(folder.tiling)[rank::world]))
    count = Count(
        progress, sum(work.folder.tiling.pairs(tile) for work, tiles in shares for tile in tiles)
    )
    for work, tiles in shares:
        with work.folder.writing():
            work.fill(missing_tiles(work.folder, count, tiles), count.add)
        work.folder.clean()
    count.finish()
    return run.progress()


def _moved(folder: GramFolder, features: str | Path | None) -> list[dict[str, str]]:
    """Return the places of the features of a run on this machine."""
    sources: list[dict[str, str]] | None = folder.manifest["sources"]
    if sources is None:
        raise InputError(
            f"run: {str(folder.path)!r} was made from features in memory, which no other process "
            "can open"
        )
    if features is None:
        return sources
    if len({source["path"] for source in sources}) > 1:
        raise InputError(
            f"features: expected None, since the run {str(folder.path)!r} is of two stores, which "
            "must be where they were"
        )
    return [{**source, "path": str(features)} for source in sources]
