"""``semrsm layers``: the spatial layers of a network."""

from __future__ import annotations

import argparse
from typing import Any

from .common import add_command, emit, image_size, table_lines


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "layers",
        run,
        "list the spatial layers of a network: channels, grid, stride, and how each is read",
        "  semrsm layers efficientnet-lite0\n"
        "  semrsm layers timm:swin_tiny_patch4_window7_224 --json\n"
        "  semrsm layers network.onnx --size 224 --no-check",
    )
    parser.add_argument("model", metavar="MODEL", help="a name as for 'semrsm extract --model'")
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="PIXELS",
        help="the input: the side of a square, or height and width (default: the network's own)",
    )
    parser.add_argument(
        "--no-check",
        action="store_true",
        help="do not prove how the layers are read, which takes twenty images of noise",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..features import layers, load_model

    model = load_model(arguments.model, size=image_size(arguments.size))
    rows = [
        {**layer.to_dict(), "recommended": layer.name in model.layers}
        for layer in layers(model, check=not arguments.no_check)
    ]
    shown = [{**row, "recommended": "yes" if row["recommended"] else ""} for row in rows]
    lines = table_lines(shown, list(shown[0])) if shown else ["no spatial layers"]
    emit({"model": model.name, "layers": rows}, lines, as_json=arguments.json)
