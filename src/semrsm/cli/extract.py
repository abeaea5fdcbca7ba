"""``semrsm extract``: from photographs to features."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ._common import add_command, add_model_options, emit, features_of


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "extract",
        run,
        "run a network over a folder of photographs and save the features of some layers",
        "  semrsm extract photos/ --out features.npz\n"
        "  semrsm extract photos/ --layers '_blocks.1*' --out features.safetensors",
    )
    parser.add_argument("source", type=Path, metavar="PHOTOS", help="a folder of photographs")
    add_model_options(parser)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="FILE", help="a .npz or .safetensors file"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    if not arguments.source.is_dir():
        raise InputError(f"PHOTOS: expected a folder; {str(arguments.source)!r} is not one")
    if arguments.out.suffix not in (".npz", ".safetensors"):
        raise InputError(
            f"--out: expected a name that ends in .npz or .safetensors; got {str(arguments.out)!r}"
        )
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out: the folder {str(arguments.out.parent)!r} does not exist")
    features = features_of(arguments)
    features.save(arguments.out)
    layers = {layer: list(features[layer].shape) for layer in features}
    emit(
        {"out": str(arguments.out), "images": len(features.ids), "layers": layers},
        [f"{arguments.out}: {len(features.ids)} images"]
        + [f"  {layer}  {' x '.join(map(str, shape[1:]))}" for layer, shape in layers.items()],
        as_json=arguments.json,
    )
