"""``semrsm retrieve``: the images of a gallery that are most like each query."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._internal.outputs import (
    check_new_folder,
    new_folder,
    versions,
    write_figures,
    write_json,
    write_table,
)
from .._internal.units import memory_budget
from .._internal.workers import worker_count
from ..errors import InputError, require
from ..features.photographs import Photos
from ..kernels import DistanceKernel, Kernel, resolve_kernel
from ..retrieval.approximate import ApproximateTopK, approximate_topk
from ..retrieval.exact import TopK, topk
from ..retrieval.index import Index, is_index
from ..retrieval.ranking import Ranking
from .common import (
    add_command,
    add_matching_options,
    add_model_options,
    add_output_options,
    emit,
    holds_photographs,
    loaded,
    one_layer_of,
    progress_bar,
    table_lines,
)
from .index import origin

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Queries and neighbours in the figure; queries in the table of the report, and on the terminal.
SHOWN_QUERIES, SHOWN_NEIGHBOURS, TABLED, LISTED = 6, 6, 200, 12


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
    parser.add_argument("--k", type=int, default=10, help="results (default: %(default)s)")
    parser.add_argument(
        "--kernel",
        default="cosine",
        help="linear, cosine, rbf, laplacian or rational-quadratic (default: %(default)s)",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        help="bandwidth of rbf, laplacian and rational-quadratic; the order does not depend on it",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--budget",
        type=int,
        metavar="N",
        help="match at most N images with each query; says what may have been missed",
    )
    how.add_argument(
        "--approximate",
        type=int,
        metavar="N",
        help="match only N images with each query, those whose mean vectors are most like its; "
        "much faster, and nothing says what was missed",
    )
    parser.add_argument(
        "--exclude-same-ids",
        action="store_true",
        help="an image is no result for a query of the same name",
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
        one_array = arguments.queries.suffix == ".npy"  # there is nothing to choose from
        if arguments.layer is None and is_index(arguments.gallery) and not one_array:
            arguments.layer = Index.load(arguments.gallery).provenance.get("layer")
    # One network for both sides, and none before all that can be refused without it has been.
    network = cache(lambda: loaded(arguments, arguments.model))
    sides = {
        name: _side(arguments, path, network, name)
        for name, path in paths.items()
        if not holds_photographs(path)
    }
    ids = [
        sides[name].ids if name in sides else ImageFolder(path).ids for name, path in paths.items()
    ]
    _check_choice(arguments, ids[0], ids[-1])
    if _photos(arguments, ids[0], ids[-1]) is not None:
        require("matplotlib", extra="plot", purpose="The figure, which --no-figures leaves out,")
    if arguments.layer is None and sides:
        arguments.layer = next(iter(sides.values())).layer
    for name in paths.keys() - sides.keys():
        sides[name] = _side(arguments, paths[name], network, name)
    queries, gallery = sides["QUERIES"], sides.get("GALLERY", sides["QUERIES"])
    _check_same(queries, gallery)
    photos = _photos(arguments, queries.ids, gallery.ids)
    index = gallery.images
    if not isinstance(index, Index):
        index = Index(index, ids=gallery.ids)
    with progress_bar("Searching", "pairs", quiet=arguments.json) as progress:
        options: dict[str, Any] = {
            "kernel": kernel,
            "ids": queries.ids,
            "exclude": _excluded(arguments, queries.ids, gallery.ids),
            "workers": arguments.workers,
            "memory": arguments.memory,
            "progress": progress,
        }
        found: TopK | ApproximateTopK
        if arguments.approximate is None:
            found = topk(queries.images, index, arguments.k, budget=arguments.budget, **options)
        else:
            found = approximate_topk(
                queries.images, index, arguments.k, candidates=arguments.approximate, **options
            )
    facts = {
        "command": arguments.command_line,
        "kernel": repr(kernel),
        **_certificate(found),
        "queries_from": queries.origin,
        "gallery_from": gallery.origin,
        "versions": versions(),
    }
    rows = _rows(found)
    with new_folder(arguments.out, overwrite=arguments.overwrite) as folder:
        write_json(folder / "neighbours.json", {**facts, "queries": _by_query(found)})
        write_table(folder / "neighbours.csv", rows)
        if photos is not None:
            write_figures(folder, {"gallery": partial(_draw, found, photos)})
            _report(folder, found, facts)
    emit(
        {"out": str(arguments.out), **facts},
        [
            *table_lines(_summary(found), list(_summary(found)[0])),
            _said(found),
            f"written to {arguments.out}",
        ],
        as_json=arguments.json,
    )


@dataclass(frozen=True, eq=False)
class _Side:
    """The queries, or the gallery."""

    images: Any
    ids: tuple[str, ...]
    origin: dict[str, Any]

    @property
    def layer(self) -> str | None:
        """The layer, None where nobody named it: a .npy file has one that is called as the file."""
        layer: str | None = self.origin.get("layer")
        source = self.origin.get("features", {}).get("source")
        return None if source == f"{layer}.npy" else layer


def _checked(arguments: argparse.Namespace) -> Kernel:
    """Refuse what can be wrong with the command before any work is done."""
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
    if isinstance(kernel, DistanceKernel) and arguments.sigma is None:
        raise InputError(
            f"--sigma: expected a number with --kernel {arguments.kernel}: similarities depend on "
            "it, though their order does not"
        )
    Ranking.of(kernel)
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


def _side(
    arguments: argparse.Namespace, path: Path, network: Callable[[], Any], argument: str
) -> _Side:
    """Return the images of a path, which photographs need the network for."""
    if is_index(path):
        index = Index.load(path)
        return _Side(index, index.ids, dict(index.provenance))
    features = one_layer_of(arguments, path, network, argument)
    return _Side(features[next(iter(features))], features.ids, origin(features))


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


def _check_same(queries: _Side, gallery: _Side) -> None:
    """Refuse features of different networks or layers, where it is known what they are."""
    if queries.layer and gallery.layer and queries.layer != gallery.layer:
        raise InputError(
            f"--layer: expected one layer for both; queries have {queries.layer}, the gallery "
            f"{gallery.layer}"
        )
    for key in ("model", "state_sha256"):
        values = [side.origin.get("features", {}).get(key) for side in (queries, gallery)]
        if None not in values and values[0] != values[1]:
            raise InputError(
                f"QUERIES: expected features of the network of the gallery; its {key} is "
                f"{values[1]}, theirs {values[0]}"
            )


def _excluded(
    arguments: argparse.Namespace, ids: tuple[str, ...], gallery_ids: tuple[str, ...]
) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    if arguments.gallery is None:
        return np.eye(len(ids), dtype=bool)
    if not arguments.exclude_same_ids:
        return None
    places = {name: n for n, name in enumerate(gallery_ids)}
    same = np.zeros((len(ids), len(gallery_ids)), dtype=bool)
    for row, name in enumerate(ids):
        if name in places:
            same[row, places[name]] = True
    return same


def _photos(
    arguments: argparse.Namespace, ids: tuple[str, ...], gallery_ids: tuple[str, ...]
) -> tuple[Photos, Photos] | None:
    """Return the photographs of both sides, or None where those of one are not known."""
    from ..datasets import ImageFolder

    if arguments.no_figures:
        return None
    found = []
    own = arguments.gallery_images if arguments.gallery is not None else arguments.query_images
    for given, source, names in (
        (arguments.query_images, arguments.queries, ids),
        (own, arguments.gallery or arguments.queries, gallery_ids),
    ):
        folder = source if given is None and holds_photographs(source) else given
        if folder is None:
            return None
        found.append(Photos(ImageFolder(folder), names))
    return found[0], found[1]


def _rows(found: TopK | ApproximateTopK) -> list[dict[str, Any]]:
    return [
        {"query": query, "rank": rank, "result": found.gallery_ids[image], "similarity": value}
        for query, images, values in zip(
            found.query_ids, found.indices.tolist(), found.values.tolist(), strict=True
        )
        for rank, (image, value) in enumerate(zip(images, values, strict=True), start=1)
    ]


def _by_query(found: TopK | ApproximateTopK) -> list[dict[str, Any]]:
    entries = []
    for n, query in enumerate(found.query_ids):
        entry: dict[str, Any] = {"id": query}
        if isinstance(found, TopK):
            entry["missed_at_most"] = float(found.missed_at_most[n])
        pairs = zip(found.indices[n].tolist(), found.values[n].tolist(), strict=True)
        entry["results"] = [
            {"rank": rank, "id": found.gallery_ids[image], "similarity": value}
            for rank, (image, value) in enumerate(pairs, start=1)
        ]
        entries.append(entry)
    return entries


def _certificate(found: TopK | ApproximateTopK) -> dict[str, Any]:
    """Return how sure the results are, and what they took."""
    if isinstance(found, ApproximateTopK):
        return {
            "exact": False,
            "approximate": True,
            "candidates": found.candidates,
            "solved": found.solved,
        }
    return {
        "exact": found.exact,
        "approximate": False,
        "pairs": found.pairs,
        "solved": found.solved,
        "removed": dict(found.removed),
    }


def _said(found: TopK | ApproximateTopK) -> str:
    if isinstance(found, ApproximateTopK):
        return f"approximate: the best of {found.candidates} candidates for each query"
    share = found.solved / found.pairs
    if found.exact:
        return f"exact; {share:.1%} of {found.pairs:,} pairs needed an assignment"
    return (
        f"the best of {share:.1%} of {found.pairs:,} pairs; neighbours.json says for each query "
        "what may have been missed"
    )


def _summary(found: TopK | ApproximateTopK) -> list[dict[str, Any]]:
    return [
        {
            "query": query,
            "nearest": found.gallery_ids[int(found.indices[n, 0])],
            "similarity": float(found.values[n, 0]),
            f"at_rank_{found.indices.shape[1]}": float(found.values[n, -1]),
        }
        for n, query in enumerate(found.query_ids[:LISTED])
    ]


def _draw(found: TopK | ApproximateTopK, photos: tuple[Photos, Photos]) -> Figure:
    from ..plot import plot_neighbours

    entries = []
    for n, query in enumerate(found.query_ids[:SHOWN_QUERIES]):
        near = [
            (photos[1][int(image)], Path(found.gallery_ids[image]).stem, float(value))
            for image, value in zip(
                found.indices[n, :SHOWN_NEIGHBOURS], found.values[n, :SHOWN_NEIGHBOURS], strict=True
            )
        ]
        entries.append((photos[0][n], Path(query).stem, near))
    return plot_neighbours(entries)


def _report(folder: Path, found: TopK | ApproximateTopK, facts: dict[str, Any]) -> None:
    from ..report import Figure as ReportFigure
    from ..report import Section, Table, write_report

    rows = [
        [query, *(found.gallery_ids[i] for i in images)]
        for query, images in zip(found.query_ids, found.indices.tolist(), strict=True)
    ][:TABLED]
    heads = ["query", *map(str, range(1, found.indices.shape[1] + 1))]
    shown = min(SHOWN_QUERIES, len(found.query_ids))
    write_report(
        folder / "report.html",
        title="Nearest neighbours",
        summary=f"The images that are most like each query by their concept vectors, wherever "
        f"these stand in the image. Kernel: {found.kernel}. {_said(found)[:1].upper()}"
        f"{_said(found)[1:]}.",
        sections=[
            Section(
                "Gallery",
                figures=[
                    ReportFigure(
                        # As it is: drawn for light and for dark pages, photographs take megabytes.
                        (folder / "gallery.png").read_bytes(),
                        f"{shown} queries, each with its nearest neighbours to the right",
                        "On each neighbour, its similarity to the query.",
                    )
                ],
            ),
            Section(
                "Results",
                tables=[Table(heads, rows, "Neighbours by rank; all values in neighbours.csv")],
            ),
        ],
        provenance=facts,
    )
