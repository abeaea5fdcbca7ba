"""``semrsm info``: the content of a file or folder, or the abilities of this installation."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import platform
from pathlib import Path
from typing import Any

import numpy as np

from .. import _native
from .._internal.workers import worker_count
from .._version import __version__
from ..errors import InputError
from ..matching.registry import is_optimal
from ..retrieval.index import Index, is_index
from .common import add_command, emit, table_lines

#: Optional packages, with their purpose.
OPTIONAL = {
    "threadpoolctl": "BLAS held to one thread",
    "torch": "feature extraction",
    "PIL": "photographs",
    "safetensors": ".safetensors files",
    "efficientnet_lite_pytorch": "the default network",
    "matplotlib": "figures",
    "rich": "progress bars",
    "zarr": "feature stores and runs",
    "h5py": "HDF5 files",
    "faiss": "approximate retrieval",
    "triton": "matching on a GPU",
    "xarray": "to_xarray()",
    "rsatoolbox": "to_rsatoolbox()",
    "skimage": "the photographs of the demo",
}


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "info",
        run,
        "describe a file or folder of semrsm, or this installation",
        "  semrsm info\n  semrsm info features.zarr\n  semrsm info run.zarr",
    )
    parser.add_argument(
        "path",
        nargs="?",
        type=Path,
        help="features, an RSM, a Gram, a run, an index, or results",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    facts = installation() if arguments.path is None else describe(arguments.path)
    emit(facts, _lines(facts), as_json=arguments.json)


def installation() -> dict[str, Any]:
    """Return the facts of this installation."""
    from ..features.loading import model_forms

    return {
        "semrsm": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": platform.machine(),
        "cores": worker_count(None),
        "kernels": list(_native.kernels()),
        "networks": list(model_forms()),
        "optional": {
            f"{name} ({purpose})": importlib.util.find_spec(name) is not None
            for name, purpose in OPTIONAL.items()
        },
    }


def describe(path: Path) -> dict[str, Any]:
    """Return the facts of a file or folder.

    Raises
    ------
    InputError
        If semrsm cannot read it.
    """
    from ..features import load_features
    from ..features.store import progress_of
    from ..matrices.gram import Gram
    from ..matrices.results import Results
    from ..matrices.rsm import RSM

    if is_index(path):
        index = Index.load(path)
        return {
            "kind": "index",
            "summary": repr(index),
            "ids": _some(index.ids),
            "provenance": dict(index.provenance),
        }
    if (path / "zarr.json").is_file():
        from ..runs import open_run
        from .runs import describe as describe_run

        with contextlib.suppress(InputError):  # it is a store of features then
            return describe_run(open_run(path))
        progress = progress_of(path)
        if progress is not None:
            done, total = progress
            return {
                "kind": "features, incomplete",
                "images": f"{done:,} of {total:,} ({done / total:.0%})",
                "to go on": "the same call of semrsm extract",
            }
    elif path.is_dir():
        results = Results.read(path)
        return {
            "kind": "results",
            "layers": results.layers,
            "matchers": results.matchers,
            "kernels": list(results.kernels),
            "images": results.facts.get("images"),
            "largest relative gap of the optimal matcher": max(
                (g.largest_gap for (_, m), g in results.grams.items() if is_optimal(m)),
                default=None,
            ),
        }
    if not path.exists():
        raise InputError(f"path: expected a file or folder; {str(path)!r} does not exist")
    if path.suffix == ".npz":
        for kind in (RSM, Gram):
            try:
                found = kind.load(path)
            except InputError:
                continue
            return {
                "kind": kind.__name__,
                "summary": repr(found),
                "row ids": _some(found.row_ids),
                "column ids": _some(found.column_ids),
                "provenance": dict(found.provenance),
            }
    features = load_features(path)
    return {
        "kind": "features",
        "images": len(features.ids),
        "ids": _some(features.ids),
        "layers": {
            layer: f"{' x '.join(map(str, features[layer].shape[1:]))} {features[layer].dtype}"
            for layer in features
        },
        "layouts": {layer: str(layout) for layer, layout in features.layouts.items()},
        **(
            {"kept": {k: f"{m.mean():.0%} of the patches" for k, m in features.masks.items()}}
            if features.masks
            else {}
        ),
        "logits": features.logits is not None,
        "provenance": {k: v for k, v in features.provenance.items() if k != "layouts"},
    }


def _some(ids: tuple[str, ...]) -> str:
    return ", ".join(ids[:5]) + (f", … ({len(ids)} in all)" if len(ids) > 5 else "")


def _lines(facts: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:")
            lines += _lines(value, indent + "  ")
        else:
            if isinstance(value, bool):
                value = "yes" if value else "no"
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                lines.append(f"{indent}{key}:")
                lines += [indent + "  " + line for line in table_lines(value, list(value[0]))]
                continue
            elif isinstance(value, list):
                value = ", ".join(map(str, value))
            lines.append(f"{indent}{key}: {value}")
    return lines
