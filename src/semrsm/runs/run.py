"""A run: the Grams of some layers and matchers in one folder, computed tile by tile.

What is there is never computed twice, and never mixed with what belongs to other features, another
matcher or another version: the manifest of each Gram says what it is made of.
"""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.units import format_bytes, memory_budget
from .._internal.workers import worker_count
from .._version import __version__
from ..engine.base import Engine
from ..engine.device import device_kind, find_device, resolve_engine
from ..engine.plan import choose_side
from ..engine.tiling import Tiling
from ..errors import InputError, SemrsmError, did_you_mean, require
from ..matching.base import Matcher
from ..matching.registry import MATCHERS, check_comparable, resolve_matcher
from ..matrices.results import file_names, safe_name
from ..tokens import Tokens, image_ids, measure
from .compute import Work, sides_of
from .executors import check_executor, fill_on, open_work
from .folder import (
    FINGERPRINT,
    UNREADABLE,
    DamagedTileError,
    GramFolder,
    Side,
    create_run_folder,
    free_bytes,
    locked,
    remove_unfinished,
)
from .folder import FORMAT as GRAM_FORMAT
from .sources import source_of
from .stored import StoredGram

FORMAT = "semrsm.run/1"

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class RunProgress:
    """How far a run, or one Gram of it, is.

    Attributes
    ----------
    tiles, all_tiles : int
        Tiles that are complete, and all.
    pairs, all_pairs : int
        Pairs of images in them.
    largest_gap : float
        Of the complete tiles; NaN where there are none.
    seconds_left : float or None
        By the pace of the last tiles; None where fewer than two are there, and 0 at the end.
    """

    tiles: int
    all_tiles: int
    pairs: int
    all_pairs: int
    largest_gap: float
    seconds_left: float | None


class Run(Mapping[tuple[str, str], StoredGram]):
    """Grams on disk by layer and matcher; :func:`semrsm.open_run` opens one.

    Attributes
    ----------
    path : Path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        zarr = require("zarr", extra="scale", purpose="Runs on disk")
        try:
            facts = zarr.open_group(path, mode="r").attrs["semrsm"]
            if facts["format"] != FORMAT:
                raise KeyError("format")
            self._places = {
                (gram["layer"], gram["matcher"]): path / gram["path"] for gram in facts["grams"]
            }
            if any(".." in place.relative_to(path).parts for place in self._places.values()):
                raise ValueError("a Gram outside of the run")
        except UNREADABLE as error:
            raise InputError(
                f"run: expected a folder that a run was written to; {str(path)!r} is not one"
            ) from error

    def __getitem__(self, key: tuple[str, str]) -> StoredGram:
        """Return a complete Gram.

        Raises
        ------
        KeyError
            If the run has no such layer and matcher.
        InputError
            If it is not complete.
        """
        if key not in self._places:
            names = [f"{layer}, {matcher}" for layer, matcher in self._places]
            near = did_you_mean(", ".join(key) if isinstance(key, tuple) else str(key), names)
            raise KeyError(f"no Gram {key!r}; there are {'; '.join(names)}.{near}")
        found = self.progress(key)
        if found.tiles < found.all_tiles:
            raise InputError(
                f"run: expected a complete one; of {key[0]}, {key[1]} in {str(self.path)!r}, "
                f"{found.tiles} of {found.all_tiles} tiles are there. The call or command that "
                "began it goes on with it"
            )
        return StoredGram(self.folder(key))

    def __contains__(self, key: object) -> bool:
        """Whether the run has such a layer and matcher, complete or not."""
        return key in self._places

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        done = self.progress()
        names = "; ".join(f"{layer}, {matcher}" for layer, matcher in self)
        return f"Run({str(self.path)!r}: {done.tiles} of {done.all_tiles} tiles: {names})"

    @property
    def gram(self) -> StoredGram:
        """The Gram of a run that has just one.

        Raises
        ------
        InputError
            If it has several.
        """
        if len(self) != 1:
            names = "; ".join(f"{layer}, {matcher}" for layer, matcher in self)
            raise InputError(f"run: expected one Gram; {str(self.path)!r} has {names}")
        return self[next(iter(self))]

    def folder(self, key: tuple[str, str]) -> GramFolder:
        """Return the folder of a Gram, complete or not."""
        return GramFolder(self._places[key])

    def progress(self, key: tuple[str, str] | None = None) -> RunProgress:
        """Return how far the run, or one Gram of it, is.

        Parameters
        ----------
        key : (str, str), optional
            Layer and matcher; all of them by default.
        """
        tiles = all_tiles = pairs = all_pairs = 0
        gaps: list[float] = []
        times: list[tuple[float, int]] = []
        for chosen in self if key is None else [key]:
            folder = self.folder(chosen)
            for tile in folder.tiling:
                count = folder.tiling.pairs(tile)
                all_tiles += 1
                all_pairs += count
                if marker := folder.complete(tile):
                    tiles += 1
                    pairs += count
                    gaps.append(marker.largest_gap)
                    times.append((folder.marker(tile).stat().st_mtime, count))
        return RunProgress(
            tiles=tiles,
            all_tiles=all_tiles,
            pairs=pairs,
            all_pairs=all_pairs,
            largest_gap=max(gaps, default=float("nan")),
            seconds_left=_seconds_left(times, all_pairs - pairs),
        )


def _seconds_left(times: list[tuple[float, int]], pairs: int) -> float | None:
    """By the pace of the latest tiles: a run may have rested, and workers may have joined."""
    if pairs == 0:
        return 0.0
    latest = sorted(times)[-32:]
    if len(latest) < 2 or latest[-1][0] <= latest[0][0]:
        return None
    done = sum(count for _, count in latest[1:])
    return pairs * (latest[-1][0] - latest[0][0]) / max(1, done)


def open_run(path: str | Path) -> Run:
    """Open a run; its Grams are read when, and as far as, they are asked for.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Run
        A mapping of (layer, matcher) to :class:`StoredGram`.

    Raises
    ------
    InputError
        If there is no run.
    """
    found = Path(path)
    if not found.exists():
        raise InputError(f"run: {str(path)!r} does not exist")
    return Run(found)


def compute_run(
    features: Mapping[str, Any],
    out: str | Path,
    *,
    others: Mapping[str, Any] | None = None,
    matchers: Sequence[str | Matcher] = ("optimal",),
    ids: Sequence[Any] | None = None,
    column_ids: Sequence[Any] | None = None,
    workers: int | None = None,
    memory: int | str | None = None,
    progress: Progress | None = None,
    executor: Any = None,
    device: str | None = None,
    fill: bool = True,
) -> Run:
    """Match all pairs of images at every layer, tile by tile, into a folder that survives anything.

    Killed at any moment, the same call goes on where it stopped, and ends with the same bytes.

    Parameters
    ----------
    features : mapping of str to array
        Images by layer, such as :class:`semrsm.Features`; every array as for :func:`semrsm.gram`.
        Arrays on disk (Zarr, HDF5, memory maps) stay there and are read in parts.
    out : str or Path
        The folder. Where it holds a run of the same features, matchers and version, that run is
        completed; where `features` have more images at their end, only pairs with a new one are
        matched.
    others : mapping of str to array, optional
        Other images, at the same layers, as columns.
    matchers : sequence of str or Matcher, default ("optimal",)
        As for :func:`semrsm.gram`.
    ids, column_ids : sequence, optional
        Names of the images; by default those that `features` and `others` bring, or their indices.
    workers, memory
        As for :func:`semrsm.gram`; the budget is for all that the call allocates, the results not
        among it, since they lie on disk. With an executor, workers are its own, and the budget is
        for each of its processes.
    progress : callable, optional
        Called as ``progress(done, total)`` in pairs; what was there counts as done.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where tiles are computed, in place of threads of this process. Other processes open the
        features for themselves, which must lie on disk at a place that all of them see.
    device : str, optional
        As for :func:`semrsm.gram`. Tiles of a GPU and of a processor are not mixed: a run knows
        which of them fills it.
    fill : bool, default True
        Whether tiles are computed at all; if not, the run is only laid out for workers that fill
        it (see :func:`fill_share`).

    Returns
    -------
    Run

    Raises
    ------
    InputError
        If an argument is not what it must be, the folder holds something else, its run is of other
        features, another matcher or another version, or the memory or the disk does not suffice.
        Nothing has been matched then.
    OSError
        If the disk is full. What was written is there.

    Warns
    -----
    UserWarning
        If tiles were damaged; they are named, and computed again.
    """
    chosen = [resolve_matcher(matcher) for matcher in matchers]
    names = [matcher.label for matcher in chosen]
    for matcher in chosen:
        if type(matcher).__repr__ is object.__repr__:
            raise InputError(
                f"matchers: expected matchers whose repr tells their options, by which a run knows "
                f"them again; that of {type(matcher).__name__} does not (a dataclass has one)"
            )
    if not chosen or len(set(names)) < len(names):
        raise InputError(f"matchers: expected one or more different ones; got {list(matchers)}")
    for name, given in (("features", features), ("others", others)):
        if not isinstance(given, Mapping) and not (given is None and name == "others"):
            raise InputError(f"{name}: expected arrays by layer; got {type(given).__name__}")
    if not features:
        raise InputError("features: expected at least one layer; got none")
    if others is not None and (missing := sorted(set(features) - set(others))):
        raise InputError(f"others: expected the layers of features; {missing[0]!r} is not there")
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
    threads = 1 if executor is not None and workers is None else worker_count(workers)
    budget = memory_budget(memory)
    device_kind(device)
    # Where others fill the run, it is they who need the device.
    here = fill and executor is None
    for matcher in chosen if here else ():
        find_device(device, matcher)
    target = Path(out)
    if not target.resolve().parent.is_dir():
        raise InputError(
            f"out: expected a folder inside an existing one; {str(target.parent)!r} is not one"
        )
    places = _places(target, list(features), chosen)
    sources = {
        layer: _sources(x, None if others is None else others[layer])
        for layer, x in features.items()
    }
    on_disk = all(found is not None for found in sources.values())
    at_once = check_executor(executor, threads, on_disk=on_disk)

    jobs: list[_Job] = []
    for layer, x in features.items():
        rows = measure(x, layer)
        columns = None if others is None else measure(others[layer], layer)
        row_ids = image_ids(_ids_of(features, ids), rows.count, "ids")
        other_ids = row_ids
        if columns is not None and others is not None:
            other_ids = image_ids(_ids_of(others, column_ids), columns.count, "column_ids")
        elif column_ids is not None:
            raise InputError("column_ids: expected None, since there are no others")
        sides = sides_of(rows, columns, row_ids, other_ids)
        for matcher in chosen:
            check_comparable(
                rows, rows if columns is None else columns, matcher, "features", "others"
            )
            engine = resolve_engine(
                device, matcher, rows, rows if columns is None else columns, here=here
            )
            place = places[layer, matcher.label]
            jobs.append(_Job(place, layer, matcher, rows, columns, sides, sources[layer], engine))
    for job in jobs:
        job.check(threads, budget, at_once)
    _check_disk(target, jobs)
    folders = _lay_out(target, jobs)
    run = Run(target)
    if not fill:
        return run

    total = sum(folder.tiling.pairs(tile) for folder in folders for tile in folder.tiling)
    count = _Count(progress, total)
    for job, folder in zip(jobs, folders, strict=True):
        columns = job.rows if job.columns is None else job.columns
        # Arrays on disk may change while the work takes hours.
        check = job.sources is not None
        work = Work(folder, job.rows, columns, job.matcher, threads, check, job.engine)
        with folder.writing():
            tiles = _missing(folder, count)
            if executor is None:
                work.fill(tiles, count.add)
            else:
                fill_on(executor, work, tiles, job.sources, count.add)
        folder.clean()
    count.finish()
    return run


def fill_share(
    path: str | Path,
    *,
    rank: int = 0,
    world: int = 1,
    features: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> RunProgress:
    """Compute every `world`-th tile of a run that has been laid out: one of many workers.

    Parameters
    ----------
    path : str or Path
        The run, on a disk that all workers see; so are the features it was laid out for.
    rank, world : int
        Which worker this is, from 0, of how many.
    features : str or Path, optional
        The store or file of the features, where this machine has it at another place.
    workers : int, optional
        Threads of this worker.
    progress : callable, optional
        Called as ``progress(done, total)`` in pairs of this worker's share.

    Returns
    -------
    RunProgress
        Of the whole run.

    Raises
    ------
    InputError
        If there is no run, the features are not where they were or have changed, or rank is not
        below world.
    """
    if world < 1:
        raise InputError(f"world: expected the number of workers, at least 1; got {world}")
    if not 0 <= rank < world:
        raise InputError(f"rank: expected a number from 0 to {world - 1}; got {rank}")
    if progress is not None and not callable(progress):
        raise InputError(f"progress: expected a function of (done, total); got {progress!r}")
    run = open_run(path)
    threads = worker_count(workers)
    shares = []
    for key in run:
        folder = run.folder(key)
        sources = _moved(folder, features)
        work = open_work(folder, sources, _matcher_of(folder.manifest), threads)
        shares.append((work, list(folder.tiling)[rank::world]))
    count = _Count(
        progress, sum(work.folder.tiling.pairs(tile) for work, tiles in shares for tile in tiles)
    )
    for work, tiles in shares:
        with work.folder.writing():
            work.fill(_missing(work.folder, count, tiles), count.add)
        work.folder.clean()
    count.finish()
    return run.progress()


def _moved(folder: GramFolder, features: str | Path | None) -> list[dict[str, str]]:
    """Return where this machine has the features of a run."""
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


def merge_runs(into: str | Path, *others: str | Path) -> Run:
    """Copy the tiles that other copies of a run have and this one lacks.

    Parameters
    ----------
    into : str or Path
        The run that is completed.
    *others : str or Path
        Runs of the same features, matchers and version, of which other tiles were computed.

    Returns
    -------
    Run
        The first one.

    Raises
    ------
    InputError
        If a run is of other features, another matcher or another version; nothing is copied then.

    Warns
    -----
    UserWarning
        If a tile is damaged; it is not copied.
    """
    target = open_run(into)
    sources = [open_run(other) for other in others]
    for source in sources:
        if set(source) != set(target):
            raise InputError(
                f"others: expected runs of the layers and matchers {list(target)}; "
                f"{str(source.path)!r} has {list(source)}"
            )
        for key in target:
            own, other = target.folder(key), source.folder(key)
            differs = _difference(own.manifest, other.manifest) or own.rows.differs(other.rows)
            differs = differs or own.columns.differs(other.columns)
            if differs is None and own.tiling != other.tiling:
                differs = f"its tiles are {other.tiling}, and not {own.tiling}"
            if differs:
                raise InputError(
                    f"others: expected runs of what {str(into)!r} is of; in {str(source.path)!r} "
                    f"{differs}"
                )
    for source in sources:
        for key in target:
            own, other = target.folder(key), source.folder(key)
            damaged = []
            with own.writing():
                for tile in own.tiling:
                    marker = None if own.complete(tile) else other.complete(tile)
                    if marker is not None:
                        try:
                            own.write_tile(tile, other.read_tile(tile), marker.largest_gap)
                        except DamagedTileError:
                            damaged.append(tile)
            if damaged:
                warnings.warn(
                    f"{source.path}: damaged tiles were not copied: {_names(damaged)}", stacklevel=2
                )
    return target


@dataclass
class _Job:
    """One Gram to be computed."""

    path: Path
    layer: str
    matcher: Matcher
    rows: Tokens
    columns: Tokens | None
    sides: tuple[Side, Side]
    sources: list[dict[str, str]] | None
    engine: Engine
    manifest: dict[str, Any] | None = None

    def check(self, workers: int, memory: int, at_once: int) -> None:
        """Find out what is to be done, and refuse what cannot be, before anything is written."""
        folder = GramFolder(self.path) if self.path.exists() else None
        other = self.rows if self.columns is None else self.columns
        side, _ = choose_side(
            self.rows,
            other,
            self.matcher,
            workers=workers,
            memory=memory,
            at_once=at_once,
            given=None if folder is None else folder.tiling.side,
        )
        dtype = np.promote_types(self.rows.dtype, other.dtype).name
        self.manifest = {
            "format": GRAM_FORMAT,
            "semrsm": __version__,
            "matcher": repr(self.matcher),
            "matcher_name": self.matcher.name,
            "matcher_label": self.matcher.label,
            "bounds": self.matcher.bounds,
            "matcher_options": asdict(self.matcher) if is_dataclass(self.matcher) else None,
            "dtype": dtype,
            "device": self.engine.name,
            "channels": self.rows.channels,
            "is_symmetric": self.columns is None,
            "tile": side,
            "row_ids": list(self.sides[0].ids),
            "column_ids": None if self.columns is None else list(self.sides[1].ids),
            "sources": self.sources,
            "provenance": {
                "semrsm": __version__,
                "numpy": np.__version__,
                "matcher": repr(self.matcher),
                "images": [self.rows.count, other.count],
                "vectors": sorted({int(self.rows.sizes.max()), int(other.sizes.max())}),
                "channels": self.rows.channels,
                "dtype": dtype,
                "device": self.engine.name,
                "layer": self.layer,
            },
        }
        if folder is not None:
            self._compare(folder)

    def _compare(self, folder: GramFolder) -> None:
        """Refuse a folder of other features, another matcher or another version.

        Raises
        ------
        InputError
            If it is one; the message names what differs.
        """
        reason = _difference(folder.manifest, self._manifest)
        for old, new in zip((folder.rows, folder.columns), self.sides, strict=True):
            reason = reason or old.differs(new)
        if reason is not None:
            raise InputError(
                f"out: expected a new folder, or a run of the same features, matcher and version; "
                f"in {str(self.path)!r} {reason}"
            )

    @property
    def _manifest(self) -> dict[str, Any]:
        if self.manifest is None:
            raise SemrsmError("a job must be checked before it is opened")
        return self.manifest

    def open(self) -> GramFolder:
        """Lay out the folder where there is none, and let it grow where there are new images."""
        remove_unfinished(self.path)
        if not self.path.exists():
            GramFolder.create(self.path, self._manifest, *self.sides)
        folder = GramFolder(self.path)
        self._compare(folder)  # again: somebody else may have made it meanwhile
        manifest = {
            **self._manifest,
            "tile": folder.tiling.side,
            "sources": self.sources or folder.manifest["sources"],
        }
        shape = (self.sides[0].count, self.sides[1].count)
        if (folder.tiling.rows, folder.tiling.columns) != shape or not folder.has_room():
            folder.resize(manifest, *self.sides)
        elif manifest["sources"] != folder.manifest["sources"]:
            folder.record({**folder.manifest, "sources": self.sources}, folder.rows, folder.columns)
        return folder

    def missing_bytes(self) -> int:
        """Return about what the disk must still have room for."""
        side = int(self._manifest["tile"])
        tiling = Tiling(self.sides[0].count, self.sides[1].count, side, self.columns is None)
        there = sum(f.is_file() for f in (self.path / "gram" / "c").glob("*/*/*"))
        return max(0, len(tiling) - there) * 16 * side * side


class _Count:
    """Pairs done, told to the caller."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, pairs: int) -> None:
        self._done = min(self._total, self._done + pairs)
        if self._progress is not None:
            self._progress(self._done, self._total)

    def finish(self) -> None:
        self.add(self._total)


def _missing(
    folder: GramFolder, count: _Count, tiles: Sequence[tuple[int, int]] | None = None
) -> list[tuple[int, int]]:
    """Return the tiles that are to be computed; those that are there are checked first."""
    missing, damaged = [], []
    for tile in folder.tiling if tiles is None else tiles:
        try:
            if folder.marked(tile) is not None:
                folder.read_tile(tile)
        except DamagedTileError:
            folder.discard(tile)
            damaged.append(tile)
        if folder.complete(tile):
            count.add(folder.tiling.pairs(tile))
        else:
            missing.append(tile)
    if damaged:
        warnings.warn(
            f"{folder.path}: damaged tiles are computed again: {_names(damaged)}", stacklevel=3
        )
    return missing


def _names(tiles: Sequence[tuple[int, int]]) -> str:
    some = ", ".join(f"{i}-{j}" for i, j in tiles[:8])
    return some + (f" … ({len(tiles)} in all)" if len(tiles) > 8 else "")


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Say what keeps tiles of two manifests from being mixed; None if nothing does."""
    for key, what in FINGERPRINT.items():
        if old[key] != new[key]:
            return f"{what} was {old[key]}, and is {new[key]}"
    return None


def _matcher_of(manifest: Mapping[str, Any]) -> Matcher:
    """Return the matcher that a run was laid out for.

    Raises
    ------
    InputError
        If it was laid out by another version, or for a matcher that is not one of the package.
    """
    if manifest["semrsm"] != __version__:
        raise InputError(
            f"run: laid out by semrsm {manifest['semrsm']}; this is semrsm {__version__}"
        )
    options = manifest["matcher_options"]
    made = MATCHERS.get(manifest["matcher_name"])
    found = None if made is None or options is None else made(**options)
    if found is None or repr(found) != manifest["matcher"]:
        raise InputError(
            f"run: expected a matcher of semrsm.matchers; this one is {manifest['matcher']}"
        )
    return found


def _ids_of(features: Mapping[str, Any], given: Sequence[Any] | None) -> Sequence[Any] | None:
    return given if given is not None else getattr(features, "ids", None)


def _sources(x: Any, y: Any) -> list[dict[str, str]] | None:
    found = [source_of(array) for array in ([x] if y is None else [x, y])]
    known = [source for source in found if source is not None]
    return known if len(known) == len(found) else None


def _places(
    target: Path, layers: list[str], matchers: list[Matcher]
) -> dict[tuple[str, str], Path]:
    names = file_names(layers)
    if target.exists():
        if target.is_file() or (any(target.iterdir()) and not (target / "zarr.json").is_file()):
            raise InputError(
                f"out: expected a new folder, or one that holds a run; {str(target)!r} holds "
                "something else"
            )
        if any(target.iterdir()):
            there = Run(target)
            taken = {layer: path.parent.name for (layer, _), path in there._places.items()}
            for layer in layers:
                if layer not in taken and names[layer] in taken.values():
                    names[layer] = file_names([*taken.values(), layer])[layer]
            names.update({layer: name for layer, name in taken.items() if layer in names})
    return {
        (layer, matcher.label): target / names[layer] / safe_name(matcher.label)
        for layer in layers
        for matcher in matchers
    }


def _lay_out(target: Path, jobs: Sequence[_Job]) -> list[GramFolder]:
    """Make or open the folders of all Grams, with nobody else doing so at the same time."""
    # First what the run has, then the folders: one that is said to be there is made when it is not.
    if not (target / "zarr.json").is_file():
        create_run_folder(
            target, _contents(target, {(j.layer, j.matcher.label): j.path for j in jobs})
        )
    with locked(target, fcntl.LOCK_EX):
        known = Run(target)._places
        entries = {**known, **{(job.layer, job.matcher.label): job.path for job in jobs}}
        if list(entries) != list(known):
            zarr = require("zarr", extra="scale", purpose="Runs on disk")
            zarr.open_group(target, mode="r+").attrs.put({"semrsm": _contents(target, entries)})
        return [job.open() for job in jobs]


def _contents(target: Path, places: Mapping[tuple[str, str], Path]) -> dict[str, Any]:
    """Return the attributes of the folder of a run: which Grams there are."""
    return {
        "format": FORMAT,
        "grams": [
            {"layer": layer, "matcher": matcher, "path": path.relative_to(target).as_posix()}
            for (layer, matcher), path in places.items()
        ],
    }


def _check_disk(target: Path, jobs: Sequence[_Job]) -> None:
    needed = sum(job.missing_bytes() for job in jobs)
    free = free_bytes(target)
    if needed > free:
        raise InputError(
            f"out: expected at least {format_bytes(needed, up=True)} free for the tiles; the disk "
            f"of {str(target)!r} has {format_bytes(free)}"
        )
