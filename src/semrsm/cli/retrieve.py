"""``semrsm retrieve``: the images of a gallery that are most like each query."""

from __future__ import annotations

import argparse
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from .._internal.provenance import versions
from .._internal.storage.folders import check_new_folder
from .._internal.tables import write_figures
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..errors import InputError, require
from ..kernels import KERNELS, Kernel, resolve_kernel
from ..matching.registry import resolve_matcher
from ..retrieval.approximate import ApproximateTopK, approximate_topk
from ..retrieval.exact import TopK, topk
from ..retrieval.index import Index, is_index
from ..retrieval.question import searchable
from ..retrieval.ranking import Ranking
from .common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    holds_photographs,
    loaded,
    progress_bar,
    table_lines,
)
from .sides import check_same, open_side, photographs, same_ids

#: Queries that are listed on the terminal.
LISTED = 12


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "retrieve",
        run,
        "find the images that are most like each query, exactly",
        "  semrsm retrieve queries/ photos/ --k 10 --out neighbours/\n"
        "  semrsm retrieve photos/ --k 5 --out neighbours/\n"
        "  semrsm index photos/ --out gallery.zarr\n"
        "  semrsm retrieve queries/ gallery.zarr --gallery-images photos/ --out neighbours/\n"
        "  semrsm retrieve queries.npz features.zarr --approximate 100 --out neighbours/",
    )
    parser.add_argument(
        "queries",
        type=Path,
        metavar="QUERIES",
        help="a folder of photographs, or features (.zarr, .npz, .npy, .safetensors, .h5)",
    )
    parser.add_argument(
        "gallery",
        type=Path,
        nargs="?",
        metavar="GALLERY",
        help="likewise, or an index that 'semrsm index' saved (default: the queries themselves, "
        "each without itself)",
    )
    ordering = {name: kernel for name in KERNELS if _orders(kernel := resolve_kernel(name))}
    wide = [name for name, kernel in ordering.items() if kernel.takes_sigma]
    parser.add_argument(
        "--k", type=int, default=10, help="number of results (default: %(default)s)"
    )
    parser.add_argument(
        "--kernel",
        default="cosine",
        help=f"one of {', '.join(ordering)} (default: %(default)s)",
    )
    parser.add_argument(
        "--matcher",
        default="optimal",
        help="optimal, displacement or maxsim, with options, such as displacement:penalty=2x "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        help=f"bandwidth of {', '.join(wide)}; the order does not depend on it",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--budget",
        type=int,
        metavar="N",
        help="match at most N images with each query, and bound the similarity of all others",
    )
    how.add_argument(
        "--approximate",
        type=int,
        metavar="N",
        help="match only the N images with the most similar mean vectors; much faster, but "
        "without a certificate",
    )
    parser.add_argument(
        "--exclude-same-ids",
        action="store_true",
        help="an image is not a result for a query of the same name",
    )
    for side in ("query", "gallery"):
        parser.add_argument(
            f"--{side}-images",
            type=Path,
            metavar="PHOTOS",
            help=f"the photographs of the {'queries' if side == 'query' else side}, for the figure "
            "(default: the folder itself, where it is one)",
        )
    parser.add_argument("--no-figures", action="store_true", help="no figure and no report")
    add_model_options(parser, one_layer=True)
    add_matching_options(parser)
    add_output_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..datasets import ImageFolder

    kernel = _checked(arguments)
    paths = {"QUERIES": arguments.queries}
    if arguments.gallery is not None:
        paths["GALLERY"] = arguments.gallery
        one_array = arguments.queries.suffix == ".npy"  # it has one layer
        if arguments.layer is None and is_index(arguments.gallery) and not one_array:
            arguments.layer = Index.load(arguments.gallery).provenance.get("layer")
    # One network for both sides, loaded after all checks that do not need it.
    network = cache(lambda: loaded(arguments, arguments.model))
    sides = {
        name: open_side(arguments, path, network, name)
        for name, path in paths.items()
        if not holds_photographs(path)
    }
    ids = [
        sides[name].ids if name in sides else ImageFolder(path).ids for name, path in paths.items()
    ]
    _check_choice(arguments, ids[0], ids[-1])
    if photographs(arguments, ids[0], ids[-1]) is not None:
        require("matplotlib", extra="plot", purpose="The figure, which --no-figures leaves out,")
    if arguments.layer is None and sides:
        arguments.layer = next(iter(sides.values())).layer
    for name in paths.keys() - sides.keys():
        sides[name] = open_side(arguments, paths[name], network, name)
    queries, gallery = sides["QUERIES"], sides.get("GALLERY", sides["QUERIES"])
    check_same(queries, gallery)
    photos = photographs(arguments, queries.ids, gallery.ids)
    index = gallery.images
    if not isinstance(index, Index):
        index = Index(index, ids=gallery.ids)
    excluded = None
    if arguments.gallery is None:
        excluded = np.eye(len(queries.ids), dtype=bool)
    elif arguments.exclude_same_ids:
        excluded = same_ids(queries.ids, gallery.ids)
    with progress_bar("Searching", "pairs", quiet=arguments.json) as progress:
        options: dict[str, Any] = {
            "kernel": kernel,
            "ids": queries.ids,
            "exclude": excluded,
            "workers": arguments.workers,
            "memory": arguments.memory,
            "progress": progress,
        }
        found: TopK | ApproximateTopK
        if arguments.approximate is None:
            found = topk(
                queries.images,
                index,
                arguments.k,
                matcher=arguments.matcher,
                budget=arguments.budget,
                **options,
            )
        else:
            found = approximate_topk(
                queries.images, index, arguments.k, candidates=arguments.approximate, **options
            )
    facts = {
        "command": arguments.command_line,
        "kernel": repr(kernel),
        "matcher": arguments.matcher,
        **found.certificate(),
        "queries_from": queries.origin,
        "gallery_from": gallery.origin,
        "versions": versions(),
    }

    def drawn(folder: Path) -> None:
        if photos is None:
            return
        from ..report import draw_neighbours, write_retrieval_report

        write_figures(folder, {"gallery": partial(draw_neighbours, found, *photos)})
        figure = (folder / "gallery.png").read_bytes()
        write_retrieval_report(found, folder / "report.html", figure=figure, facts=facts)

    found.write(arguments.out, facts=facts, overwrite=arguments.overwrite, extra=drawn)
    shown = _nearest(found)
    emit(
        {"out": str(arguments.out), **facts},
        [
            *table_lines(shown, list(shown[0])),
            found.certainty(),
            f"written to {arguments.out}",
        ],
        as_json=arguments.json,
    )


def _checked(arguments: argparse.Namespace) -> Kernel:
    """Check the command before any work is done."""
    for name, path in (("QUERIES", arguments.queries), ("GALLERY", arguments.gallery)):
        if path is not None and not path.exists():
            raise InputError(
                f"{name}: expected a folder of photographs or features; {str(path)!r} does not "
                "exist"
            )
    if is_index(arguments.queries):
        raise InputError("QUERIES: expected photographs or features; got an index")
    for option in ("query_images", "gallery_images"):
        path = getattr(arguments, option)
        if path is not None and not path.is_dir():
            name = option.replace("_", "-")
            raise InputError(f"--{name}: expected a folder; {str(path)!r} is not one")
    kernel = resolve_kernel(arguments.kernel, arguments.sigma)
    if _orders(kernel) and kernel.needs_all_pairs and isinstance(kernel.sigma, str):
        raise InputError(
            f"--sigma: expected a number with --kernel {arguments.kernel}: similarities depend on "
            "it, though their order does not"
        )
    Ranking.of(kernel)
    asked = searchable(arguments.matcher)
    if arguments.approximate is not None and asked != resolve_matcher("optimal"):
        raise InputError(
            f"--approximate: expected with --matcher optimal, by which the candidates are matched; "
            f"got {asked.label!r}"
        )
    if arguments.k < 1:
        raise InputError(f"--k: expected a number >= 1; got {arguments.k}")
    for option in ("budget", "approximate"):
        count = getattr(arguments, option)
        if count is not None and count < arguments.k:
            raise InputError(f"--{option}: expected at least --k, {arguments.k}; got {count}")
    if arguments.approximate is not None:
        require("faiss", extra="faiss", purpose="--approximate")
    worker_count(arguments.workers)
    memory_budget(arguments.memory)
    check_new_folder(arguments.out, overwrite=arguments.overwrite)
    return kernel


def _orders(kernel: Kernel) -> bool:
    """Return whether a search can order images by a kernel, given a number for its bandwidth."""
    return kernel.ranks_by is not None and (kernel.takes_sigma or not kernel.needs_all_pairs)


def _check_choice(
    arguments: argparse.Namespace, ids: tuple[str, ...], gallery_ids: tuple[str, ...]
) -> None:
    """Refuse more results than a query has images to choose from."""
    own = arguments.gallery is None or (
        arguments.exclude_same_ids and not set(ids).isdisjoint(gallery_ids)
    )
    if arguments.k > len(gallery_ids) - own:
        raise InputError(
            f"--k: expected at most {len(gallery_ids) - own}, the images that a query has to "
            f"choose from; got {arguments.k}"
        )


def _nearest(found: TopK | ApproximateTopK) -> list[dict[str, Any]]:
    """Return the nearest and the last result of some queries, for people."""
    return [
        {
            "query": query,
            "nearest": found.gallery_ids[int(found.indices[n, 0])],
            "similarity": float(found.values[n, 0]),
            f"at_rank_{found.indices.shape[1]}": float(found.values[n, -1]),
        }
        for n, query in enumerate(found.query_ids[:LISTED])
    ]
