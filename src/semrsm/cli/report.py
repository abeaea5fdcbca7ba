"""``semrsm report``: the report of a results folder, as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..results import Results
from ._common import add_command, emit


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "report",
        run,
        "write the report of a results folder as one self-contained HTML page",
        "  semrsm report results/ --out report.html\n"
        "  semrsm report results/ --images photos/ --out report.html",
    )
    parser.add_argument(
        "results", type=Path, metavar="RESULTS", help="a folder that 'semrsm rsm' wrote"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="PHOTOS",
        help="the folder of the photographs, for the match overlay",
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="the page, a name ending in .html"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..features import load_features
    from ..report import write_results_report

    results = Results.read(arguments.results)
    if arguments.images is not None and not arguments.images.is_dir():
        raise InputError(f"--images: expected a folder; {str(arguments.images)!r} is not one")
    saved = arguments.results / "features.npz"
    features = load_features(saved) if arguments.images is not None and saved.is_file() else None
    write_results_report(results, arguments.out, features=features, images=arguments.images)
    emit(
        {"out": str(arguments.out)},
        [f"{arguments.out} written: open it in a browser"],
        as_json=arguments.json,
    )
