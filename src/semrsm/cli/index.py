"""``semrsm index``: a gallery that is measured once and searched many times."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..retrieval.index import Index, is_index
from .common import add_command, add_model_options, emit, loaded, one_layer_of


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "index",
        run,
        "save a gallery of images, from which 'semrsm retrieve' searches without loading it",
        "  semrsm index photos/ --out gallery.zarr\n"
        "  semrsm index features.zarr --layer _blocks.15 --out gallery.zarr",
    )
    parser.add_argument(
        "source", type=Path, metavar="SOURCE", help="a folder of photographs, or features"
    )
    add_model_options(parser, one_layer=True)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="NAME.zarr", help="the folder of the index"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing index")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    if not arguments.source.exists():
        raise InputError(
            f"SOURCE: expected a folder of photographs or features; {str(arguments.source)!r} does "
            "not exist"
        )
    check_target(arguments.out, overwrite=arguments.overwrite)
    features = one_layer_of(
        arguments, arguments.source, lambda: loaded(arguments, arguments.model), "SOURCE"
    )
    layer = next(iter(features))
    index = Index(features[layer], ids=features.ids, provenance=origin(features))
    index.save(arguments.out, overwrite=arguments.overwrite)
    emit(
        {"out": str(arguments.out), "images": len(index), "layer": layer},
        [f"{arguments.out}: {index}, layer {layer}"],
        as_json=arguments.json,
    )


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that :meth:`Index.save` would refuse, before anything is computed."""
    if path.suffix != ".zarr":
        raise InputError(f"--out: expected a name that ends in .zarr; got {str(path)!r}")
    if not path.resolve().parent.is_dir():
        raise InputError(f"--out: the folder {str(path.parent)!r} does not exist")
    if path.exists() and not (overwrite and is_index(path)):
        what = "is no index" if not is_index(path) else "exists; --overwrite replaces it"
        raise InputError(f"--out: expected a new name; {str(path)!r} {what}")


def origin(features: Any) -> dict[str, Any]:
    """Return the origin of the images, as an index keeps it."""
    return {"layer": next(iter(features)), "features": dict(features.provenance)}
