"""``semrsm rsm``: from photographs or features to RSMs, figures and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .._internal.storage.folders import check_new_folder
from .._internal.tables import write_figures
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..api import gram
from ..engine.device import find_device
from ..errors import InputError
from ..kernels import KERNELS, SIGMA_RULES, resolve_kernels
from ..matching.registry import BASELINE, MATCHERS, resolve_matchers
from ..matrices.results import Results
from ..studies.choices import measured_layers
from .common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    features_of,
    holds_photographs,
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
        "  semrsm rsm photos/ --layer _blocks.10 _blocks.15 --kernel cosine rbf --out results/\n"
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
        metavar="KERNEL",
        help=f"one or more of {', '.join(KERNELS)}, with options as in polynomial:degree=2 "
        "(default: cosine); not for runs",
    )
    parser.add_argument(
        "--matcher",
        nargs="+",
        default=[BASELINE, "optimal"],
        metavar="MATCHER",
        help=f"one or more of {', '.join(MATCHERS)}: {BASELINE!r} gives the spatio-semantic RSM, "
        "'optimal' the semantic one; with options as in displacement:penalty=2x or "
        "window:share=0.2 (default: these two)",
    )
    parser.add_argument(
        "--sigma",
        help=f"bandwidth of {', '.join(k for k, one in KERNELS.items() if one.takes_sigma)}: a "
        f"number, or {' or '.join(SIGMA_RULES)} (default: median); not for runs",
    )
    parser.add_argument("--no-figures", action="store_true", help="no figures and no report")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the number of pairs, and the time, memory and disk that they take; then stop",
    )
    run_mode = parser.add_argument_group(
        "runs",
        "With --out NAME.zarr and features from a file, V and its bounds go to disk tile by tile. "
        "Killed at any moment, the run is resumed by the same command; with more images at the end "
        "of the features, it adds them. Kernels are views of a run, and are not stored: pass them "
        "to 'semrsm report' and 'semrsm compare'.",
    )
    run_mode.add_argument(
        "--scheduler", metavar="ADDRESS", help="address of a Dask cluster that computes the tiles"
    )
    run_mode.add_argument(
        "--create", action="store_true", help="only lay out the run, for 'semrsm worker'"
    )
    add_model_options(
        parser,
        device_help="cpu, cuda, mps … for the network; cuda also for the matching, where "
        "the matcher has a GPU kernel (default: cpu)",
    )
    add_matching_options(parser)
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    # All checks of the command come before any work.
    sigma = _sigma(arguments.sigma)
    kernels = ["cosine"] if arguments.kernel is None else arguments.kernel
    resolve_kernels(kernels, sigma)
    matchers = resolve_matchers(arguments.matcher)
    # Devices such as mps are for the network alone.
    device = arguments.device if str(arguments.device).startswith("cuda") else None
    for matcher in matchers.values():
        find_device(device, matcher)
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
        dry_run(arguments, features, matchers, device, on_disk=on_disk)
        return
    if on_disk:
        compute(arguments, features, matchers, device)
        return
    grams = {}
    for layer, tokens in measured_layers(features).items():
        for label, matcher in matchers.items():
            title = f"{layer}, {label}"
            with progress_bar(title, "pairs", quiet=arguments.json) as progress:
                grams[layer, label] = gram(
                    tokens,
                    matcher=matcher,
                    ids=features.ids,
                    workers=arguments.workers,
                    memory=arguments.memory,
                    progress=progress,
                    device=device,
                )
    results = Results(
        grams=grams,
        kernels=tuple(resolve_kernels(kernels)),
        sigma="median" if sigma is None else sigma,
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
                table,
                [
                    "layer",
                    "grid",
                    "matcher",
                    "kernel",
                    "median",
                    "highest",
                    "largest_gap",
                    "bounds",
                ],
            ),
            f"written to {arguments.out}",
        ],
        as_json=arguments.json,
    )


def _sigma(text: str | None) -> float | str | None:
    """Return the value of --sigma: a number, a rule, or None."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
