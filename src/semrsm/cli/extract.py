"""``semrsm extract``: from photographs to features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from .common import (
    add_command,
    add_model_options,
    emit,
    holds_photographs,
    loaded,
    mask_of,
    prefix_tokens,
    progress_bar,
)


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "extract",
        run,
        "run a network over a folder of photographs and save the features of some layers",
        "  semrsm extract photos/ --out features.npz\n"
        "  semrsm extract photos/ --layer '_blocks.1*' --out features.safetensors\n"
        "  semrsm extract photos/ --dtype float16 --out features.zarr",
    )
    parser.add_argument("source", type=Path, metavar="PHOTOS", help="a folder of photographs")
    add_model_options(parser)
    parser.add_argument(
        "--dtype",
        choices=("float32", "float16"),
        default="float32",
        help="the type of the saved features (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="FILE",
        help="a .npz or .safetensors file, or a .zarr folder, which is written in parts and may "
        "be larger than memory; after an interruption, the same command resumes it",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="start a .zarr folder anew if it exists"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    if not arguments.source.is_dir():
        raise InputError(f"PHOTOS: expected a folder; {str(arguments.source)!r} is not one")
    if not holds_photographs(arguments.source):
        raise InputError(
            f"PHOTOS: expected a folder of photographs; {str(arguments.source)!r} is a store"
        )
    if arguments.out.suffix not in (".npz", ".safetensors", ".zarr"):
        raise InputError(
            "--out: expected a name that ends in .npz, .safetensors or .zarr; got "
            f"{str(arguments.out)!r}"
        )
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out: the folder {str(arguments.out.parent)!r} does not exist")
    from ..features import extract

    is_store = arguments.out.suffix == ".zarr"
    with progress_bar("Extracting", "images", quiet=arguments.json) as progress:
        features = extract(
            loaded(arguments, arguments.model),
            arguments.source,
            layers=arguments.layers,
            batch_size=arguments.batch_size,
            device=arguments.device,
            prefix_tokens=prefix_tokens(arguments.prefix_tokens),
            dtype=arguments.dtype,
            mask=mask_of(arguments),
            progress=progress,
            out=arguments.out if is_store else None,
            overwrite=arguments.overwrite,
        )
    if not is_store:
        features.save(arguments.out)
    layers = {layer: list(features[layer].shape) for layer in features}
    emit(
        {"out": str(arguments.out), "images": len(features.ids), "layers": layers},
        [f"{arguments.out}: {len(features.ids)} images"]
        + [f"  {layer}  {' x '.join(map(str, shape[1:]))}" for layer, shape in layers.items()],
        as_json=arguments.json,
    )
