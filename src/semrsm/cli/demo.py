"""``semrsm demo``: the main job on real photographs, without data of your own."""

from __future__ import annotations

import argparse
import time
from typing import Any

from .common import (
    add_command,
    add_matching_options,
    add_output_options,
    emit,
    progress_bar,
    table_lines,
)


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "demo",
        run,
        "compare semantic with spatio-semantic RSMs on real photographs that are moved",
        "  semrsm demo --out semrsm-demo\n"
        "  semrsm demo --model vit-s14-saliency --out semrsm-demo-vit",
    )
    parser.add_argument(
        "--model",
        default="efficientnet-lite0",
        help="the network, at its recommended layers (default: %(default)s)",
    )
    add_matching_options(parser)
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..report.demonstration import demo

    start = time.perf_counter()
    with progress_bar("Extracting", "images", quiet=arguments.json) as progress:
        result = demo(
            arguments.out,
            arguments.model,
            overwrite=arguments.overwrite,
            workers=arguments.workers,
            progress=progress,
        )
    seconds = time.perf_counter() - start
    largest = max(row["shift"] for row in result.table)
    rows = [r for r in result.table if r["kernel"] == "cosine" and r["shift"] == largest]
    columns = ["layer", "matcher", "shift", "same_median", "different_median", "auc"]
    emit(
        {"out": str(arguments.out), "seconds": seconds, "table": list(result.table)},
        [
            f"Similarity of a photograph with itself, moved by {largest:g} of its width, and with "
            "other photographs (cosine):",
            *table_lines(rows, columns),
            f"{arguments.out}/report.html written in {seconds:.0f} s: open it in a browser",
        ],
        as_json=arguments.json,
    )
