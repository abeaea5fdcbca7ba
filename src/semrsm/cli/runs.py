"""Runs on disk, and the forecast of any job, for the command ``semrsm rsm``."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._internal.units import format_bytes, format_seconds
from ..engine.forecast import Forecast, forecast
from ..errors import InputError, require
from .common import emit, holds_photographs, progress_bar, table_lines

if TYPE_CHECKING:
    from ..features import Features
    from ..matching.base import Matcher
    from ..runs import Run


def check_run(arguments: argparse.Namespace) -> None:
    """Refuse options that do not fit a run, before anything is read."""
    if holds_photographs(arguments.source):
        store = arguments.source.name + ".zarr"
        raise InputError(
            "SOURCE: expected features on disk for a run, which may be resumed and shared; first "
            f"extract them: semrsm extract {arguments.source} --out {store}"
        )
    for option in ("kernel", "sigma"):
        if getattr(arguments, option) is not None:
            raise InputError(
                f"--{option}: not for runs, which store no kernel; pass kernels, as in "
                f"rbf:sigma=2.0, to: semrsm report {arguments.out} --kernel ..."
            )
    if arguments.overwrite:
        raise InputError(
            "--overwrite: not for runs, which resume from their folder; delete the folder to begin "
            "again"
        )


def dry_run(
    arguments: argparse.Namespace,
    features: Features,
    matchers: Mapping[str, Matcher],
    device: str | None,
    *,
    on_disk: bool,
) -> None:
    """Print the forecast of the command."""
    found: dict[tuple[str, str], Forecast] = {}
    reading = 0.0  # each layer is read once, whatever the number of matchers
    for layer in features:
        start = time.perf_counter()
        tokens = features.tokens(layer)
        reading += time.perf_counter() - start
        for label, matcher in matchers.items():
            found[layer, label] = forecast(
                tokens,
                matcher=matcher,
                workers=arguments.workers,
                memory=arguments.memory,
                on_disk=on_disk,
                device=device,
            )
    rows = [
        {
            "layer": layer,
            "matcher": matcher,
            "pairs": one.pairs,
            "assignments": one.assignments,
            "time": format_seconds(one.seconds),
            "memory": format_bytes(one.memory, up=True),
            "disk": format_bytes(one.disk, up=True) if on_disk else "",
            "tiles": one.tiles if on_disk else "",
        }
        for (layer, matcher), one in found.items()
    ]
    seconds = reading + sum(one.seconds for one in found.values())
    emit(
        {
            "images": len(features.ids),
            "seconds": seconds,
            "memory": max(one.memory for one in found.values()),
            "disk": sum(one.disk for one in found.values()),
            "jobs": [
                {"layer": layer, "matcher": matcher, **vars(one)}
                for (layer, matcher), one in found.items()
            ],
        },
        [
            *table_lines(rows, list(rows[0])),
            f"about {format_seconds(seconds)} in all; nothing has been computed",
        ],
        as_json=arguments.json,
    )


def compute(
    arguments: argparse.Namespace,
    features: Features,
    matchers: Mapping[str, Matcher],
    device: str | None,
) -> None:
    """Compute a run, or resume it."""
    from ..runs import compute_run

    with (
        _cluster(arguments.scheduler) as executor,
        progress_bar("Matching", "pairs", quiet=arguments.json) as progress,
    ):
        run = compute_run(
            features,
            arguments.out,
            matchers=list(matchers.values()),
            workers=arguments.workers,
            memory=arguments.memory,
            progress=progress,
            executor=executor,
            device=device,
            fill=not arguments.create,
        )
    facts = describe(run)
    next_step = (
        f"fill it with: semrsm worker {arguments.out} --rank I --world N"
        if arguments.create
        else f"written to {arguments.out}: open it with semrsm.open_run"
    )
    emit(
        facts,
        [*table_lines(facts["grams"], list(facts["grams"][0])), next_step],
        as_json=arguments.json,
    )


def describe(run: Run) -> dict[str, Any]:
    """Return the progress of a run, for people and machines."""
    rows = []
    for key in run:
        folder, done = run.folder(key), run.progress(key)
        rows.append(
            {
                "layer": key[0],
                "matcher": key[1],
                "images": " x ".join(map(str, (folder.tiling.rows, folder.tiling.columns))),
                "tiles": f"{done.tiles} of {done.all_tiles}",
                "pairs": f"{done.pairs} of {done.all_pairs}",
                "largest_gap": done.largest_gap,
                "time_left": "unknown"
                if done.seconds_left is None
                else format_seconds(done.seconds_left),
            }
        )
    done = run.progress()
    return {
        "kind": "run",
        "out": str(run.path),
        "complete": done.tiles == done.all_tiles,
        "tiles": done.tiles,
        "all_tiles": done.all_tiles,
        "pairs": done.pairs,
        "all_pairs": done.all_pairs,
        "seconds_left": done.seconds_left,
        "grams": rows,
    }


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Yield a client of a Dask cluster, or None."""
    if address is None:
        yield None
        return
    distributed = require("distributed", extra="dask", purpose="--scheduler")
    try:
        client = distributed.Client(address, timeout="20s")
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler: {address!r} cannot be reached: {error}") from error
    with client:
        yield client
