"""``semrsm worker``: one of many processes that fill a run, with no scheduler between them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_command, emit, progress_bar


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "worker",
        run,
        "compute one share of the tiles of a run that 'semrsm rsm --create' laid out",
        "  semrsm rsm features.zarr --create --out run.zarr\n"
        "  semrsm worker run.zarr --rank $SLURM_ARRAY_TASK_ID --world $SLURM_ARRAY_TASK_COUNT",
    )
    parser.add_argument("path", type=Path, metavar="RUN", help="the folder of the run")
    parser.add_argument("--rank", type=int, required=True, help="which worker this is, from 0")
    parser.add_argument("--world", type=int, required=True, help="how many workers there are")
    parser.add_argument(
        "--features",
        type=Path,
        metavar="STORE",
        help="the features, if they lie at another place on this machine",
    )
    parser.add_argument("--workers", type=int, help="threads (default: one for each core)")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..runs import fill_share

    with progress_bar("Matching", "pairs", quiet=arguments.json) as progress:
        done = fill_share(
            arguments.path,
            rank=arguments.rank,
            world=arguments.world,
            features=arguments.features,
            workers=arguments.workers,
            progress=progress,
        )
    emit(
        {"out": str(arguments.path), **vars(done)},
        [f"{arguments.path}: {done.tiles} of {done.all_tiles} tiles are complete"],
        as_json=arguments.json,
    )
