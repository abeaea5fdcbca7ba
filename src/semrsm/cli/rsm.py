"""``semrsm rsm``: from photographs or features to RSMs, figures and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._internal.outputs import check_new_folder, write_figures
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..api import gram
from ..engine.device import find_device
from ..errors import InputError
from ..kernels import KERNELS, SIGMA_RULES, resolve_kernel
from ..matching.registry import MATCHERS, resolve_matcher
from ..matrices.results import Results
from .common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    features_of,
    holds_photographs,
    matching_device,
    progress_bar,
    table_lines,
)
from .runs import check_run, compute, dry_run


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "rsm",
        run,
        "compute spatio-semantic and semantic RSMs of photographs or of saved features",
        "  semrsm rsm photos/ --out results/\n"
        "  semrsm rsm photos/ --layers _blocks.10 _blocks.15 --kernel cosine rbf --out results/\n"
        "  semrsm rsm features.npy --matcher optimal --memory 4GB --out results/\n"
        "  semrsm rsm features.zarr --matcher optimal --dry-run --out run.zarr\n"
        "  semrsm rsm features.zarr --matcher optimal --scheduler tcp://node1:8786 --out run.zarr",
    )
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder of photographs, or features: a .zarr store, or a .npy, .npz, .safetensors "
        "or .h5 file",
    )
    parser.add_argument(
        "--kernel",
        nargs="+",
        default=["cosine"],
        metavar="KERNEL",
        help=f"one or more of {', '.join(KERNELS)} (default: cosine)",
    )
    parser.add_argument(
        "--matcher",
        nargs="+",
        default=["none", "optimal"],
        metavar="MATCHER",
        help=f"one or more of {', '.join(MATCHERS)}: 'none' gives the spatio-semantic RSM, "
        "'optimal' the semantic one (default: these two)",
    )
    parser.add_argument(
        "--sigma",
        default="median",
        help="bandwidth of rbf, laplacian and rational-quadratic: a number, or "
        f"{' or '.join(SIGMA_RULES)} (default: %(default)s)",
    )
    parser.add_argument("--no-figures", action="store_true", help="no figures and no report")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say how many pairs there are, and what time, memory and disk they take; no more",
    )
    run_mode = parser.add_argument_group(
        "runs",
        "With --out NAME.zarr and features from a file, V and its bounds go to disk tile by tile. "
        "Killed at any moment, the same command goes on; with more images at the end of the "
        "features, it adds them. Kernels are views of a run, and not computed.",
    )
    run_mode.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster that computes the tiles"
    )
    run_mode.add_argument(
        "--create", action="store_true", help="only lay out the run, for 'semrsm worker'"
    )
    add_model_options(
        parser,
        device_help="cpu, cuda, mps … for the network; cuda also for the matching, where "
        "the matcher has a GPU kernel (default: where the network is, and the CPU)",
    )
    add_matching_options(parser)
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    # Everything that can be wrong with the command is found before any work is done.
    try:
        sigma: float | str = float(arguments.sigma)
    except ValueError:
        sigma = arguments.sigma
    resolve_kernel("rbf", sigma)
    for kernel in arguments.kernel:
        resolve_kernel(kernel)
    for matcher in arguments.matcher:
        find_device(matching_device(arguments), resolve_matcher(matcher))
    worker_count(arguments.workers)
    memory_budget(arguments.memory)
    on_disk = arguments.out.suffix == ".zarr"
    if on_disk:
        check_run(arguments)
    elif arguments.scheduler or arguments.create:
        raise InputError("--scheduler, --create: expected with --out NAME.zarr, a run on disk")
    else:
        check_new_folder(arguments.out, overwrite=arguments.overwrite)

    features = features_of(arguments)
    if arguments.dry_run:
        dry_run(arguments, features, on_disk=on_disk)
        return
    if on_disk:
        compute(arguments, features)
        return
    grams = {}
    for layer in features:
        for matcher in arguments.matcher:
            title = f"{layer}, {matcher}"
            with progress_bar(title, "pairs", quiet=arguments.json) as progress:
                grams[layer, matcher] = gram(
                    features[layer],
                    matcher=matcher,
                    ids=features.ids,
                    workers=arguments.workers,
                    memory=arguments.memory,
                    progress=progress,
                    device=matching_device(arguments),
                )
    results = Results(
        grams=grams,
        kernels=tuple(arguments.kernel),
        sigma=sigma,
        grids=features.grids,
        facts={
            "source": arguments.source.name,
            "images": len(features.ids),
            "command": arguments.command_line,
            "features": dict(features.provenance),
        },
    )
    from_photos = holds_photographs(arguments.source)

    def extra(folder: Path) -> None:
        if from_photos:
            features.save(folder / "features.npz")
        if not arguments.no_figures:
            from ..report import figures_of, match_figure, write_results_report

            images = arguments.source if from_photos else None
            figures = figures_of(results)
            overlay = match_figure(results, features, images) if images else None
            if overlay is not None:
                figures["match"] = overlay[0]
            (folder / "figures").mkdir()
            write_figures(folder / "figures", figures)
            write_results_report(results, folder / "report.html", features=features, images=images)

    results.write(arguments.out, overwrite=arguments.overwrite, extra=extra)
    table = results.table()
    emit(
        {"out": str(arguments.out), "images": len(features.ids), "table": table},
        [
            *table_lines(
                table, ["layer", "grid", "matcher", "kernel", "median", "highest", "largest_gap"]
            ),
            f"written to {arguments.out}",
        ],
        as_json=arguments.json,
    )
