"""Compute a run: all pairs of images at every layer, tile by tile, into a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._internal.checks import Progress, check_progress
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..engine.device import device_kind, find_device, resolve_engine
from ..errors import InputError
from ..features import Features
from ..matching.base import Matcher
from ..matching.registry import check_comparable, resolve_matchers
from ..tokens import Tokens, ids_of, measure
from .executors import check_executor, fill_on
from .filling import Work
from .jobs import Job
from .layout import check_disk, lay_out, places_for
from .remaining import Count, missing_tiles
from .run import Run
from .side import sides_of
from .sources import source_of


def compute_run(
    features: Mapping[str, Any],
    out: str | Path,
    *,
    others: Mapping[str, Any] | None = None,
    matchers: str | Matcher | Sequence[str | Matcher] = ("optimal",),
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | bool | None = None,
    executor: Any = None,
    device: str | None = None,
    fill: bool = True,
) -> Run:
    """Match all pairs of images at every layer, and write the results to a folder, tile by tile.

    If the call is killed, the same call continues from the complete tiles, and ends with the same
    bytes.

    Parameters
    ----------
    features : mapping of str to array
        Images by layer, such as :class:`semrsm.Features`; every array as for :func:`semrsm.gram`.
        Arrays on disk (Zarr, HDF5, memory maps) stay there and are read in parts.
    out : str or Path
        The folder. If it holds a run of the same features, matchers and version, that run is
        completed. If `features` have more images at their end, only pairs with a new image are
        matched. Other layers and matchers are added to the run.
    others : mapping of str to array, optional
        Other images, at the same layers, as columns.
    matchers : str, Matcher or sequence of them, default ("optimal",)
        As for :func:`semrsm.gram`.
    ids, column_ids : sequence, optional
        Names of the images; by default the ids of `features` and `others`, or indices.
    workers, memory
        As for :func:`semrsm.gram`; the budget does not include the results, since they lie on disk.
        An executor has its own workers, and the budget is for each of its processes.
    progress : callable or bool, optional
        Called as ``progress(done, total)`` in pairs; those of complete tiles count as done.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Computes the tiles in place of threads of this process. Other processes open the features
        themselves, so these must lie on a disk that all of them can read.
    device : str, optional
        As for :func:`semrsm.gram`. Tiles of a GPU and of a CPU are not mixed: a run records which
        of them fills it.
    fill : bool, default True
        Whether tiles are computed; if not, the run is only laid out for workers that fill it (see
        :func:`semrsm.runs.fill_share`).

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If an argument is not as described, the folder holds something else, its run is of other
        features, another matcher or another version, or the memory or the disk does not suffice.
        Nothing has been matched then.
    OSError
        If the disk is full. The tiles that were written stay.

    Warns
    -----
    UserWarning
        If tiles were damaged; they are named, and computed again.
    """
    chosen = list(resolve_matchers(matchers).values())
    for matcher in chosen:
        if type(matcher).__repr__ is object.__repr__:
            raise InputError(
                f"matchers: expected matchers whose repr tells their options, by which a run knows "
                f"them again; that of {type(matcher).__name__} does not (a dataclass has one)"
            )
    for name, given in (("features", features), ("others", others)):
        if not isinstance(given, Mapping) and not (given is None and name == "others"):
            raise InputError(f"{name}: expected arrays by layer; got {type(given).__name__}")
    if not features:
        raise InputError("features: expected at least one layer; got none")
    if others is not None and (missing := sorted(set(features) - set(others))):
        raise InputError(f"others: expected the layers of features; {missing[0]!r} is not there")
    progress = check_progress(progress)
    threads = 1 if executor is not None and workers is None else worker_count(workers)
    budget = memory_budget(memory)
    device_kind(device)
    # Other processes that fill the run need the device; this one does not.
    here = fill and executor is None
    for matcher in chosen if here else ():
        find_device(device, matcher)
    target = Path(out)
    if not target.resolve().parent.is_dir():
        raise InputError(
            f"out: expected a folder inside an existing one; {str(target.parent)!r} is not one"
        )
    places = places_for(target, list(features), chosen)
    sources = {
        layer: _sources(x, None if others is None else others[layer])
        for layer, x in features.items()
    }
    on_disk = all(found is not None for found in sources.values())
    at_once = check_executor(executor, threads, on_disk=on_disk)

    jobs: list[Job] = []
    for layer in features:
        rows = _measured(features, layer)
        columns = None if others is None else _measured(others, layer)
        row_ids = ids_of(rows, _ids_of(features, ids), "ids")
        other_ids = row_ids
        if columns is not None and others is not None:
            other_ids = ids_of(columns, _ids_of(others, column_ids), "column_ids")
        elif column_ids is not None:
            raise InputError("column_ids: expected None, since there are no others")
        sides = sides_of(rows, columns, row_ids, other_ids)
        for matcher in chosen:
            other = rows if columns is None else columns
            check_comparable(rows, other, matcher, "features", "others")
            engine = resolve_engine(device, matcher, rows, other, here=here)
            place = places[layer, matcher.label]
            jobs.append(Job(place, layer, matcher, rows, columns, sides, sources[layer], engine))
    for job in jobs:
        job.check(threads, budget, at_once)
    check_disk(target, jobs)
    folders = lay_out(target, jobs)
    run = Run(target)
    if not fill:
        return run

    total = sum(folder.tiling.pairs(tile) for folder in folders for tile in folder.tiling)
    count = Count(progress, total)
    for job, folder in zip(jobs, folders, strict=True):
        columns = job.rows if job.columns is None else job.columns
        # Arrays on disk may change during hours of work.
        check = job.sources is not None
        work = Work(folder, job.rows, columns, job.working, threads, check, job.engine)
        with folder.writing():
            tiles = missing_tiles(folder, count)
            if executor is None:
                work.fill(tiles, count.add)
            else:
                fill_on(executor, work, tiles, job.sources, count.add)
        folder.clean()
    count.finish()
    return run


def _measured(features: Mapping[str, Any], layer: str) -> Tokens:
    """Return the measured images of a layer; :class:`Features` measure them once."""
    if isinstance(features, Features):
        return features.tokens(layer)
    return measure(features[layer], layer)


def _ids_of(features: Mapping[str, Any], given: Sequence[Any] | None) -> Sequence[Any] | None:
    return given if given is not None else getattr(features, "ids", None)


def _sources(x: Any, y: Any) -> list[dict[str, str]] | None:
    arrays = [x] if y is None else [x, y]
    found = [source_of(a.origin if isinstance(a, Tokens) else a) for a in arrays]
    known = [source for source in found if source is not None]
    return known if len(known) == len(found) else None
