"""``semrsm merge``: the tiles of several copies of a run in one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .common import add_command, emit


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "merge",
        run,
        "copy the tiles of other copies of a run into it",
        "  semrsm merge run.zarr from-machine-b/run.zarr from-machine-c/run.zarr",
    )
    parser.add_argument("into", type=Path, metavar="RUN", help="the run that is completed")
    parser.add_argument("others", type=Path, nargs="+", metavar="OTHER", help="other copies of it")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..runs import merge_runs

    done = merge_runs(arguments.into, *arguments.others).progress()
    emit(
        {"out": str(arguments.into), **vars(done)},
        [f"{arguments.into}: {done.tiles} of {done.all_tiles} tiles are complete"],
        as_json=arguments.json,
    )
