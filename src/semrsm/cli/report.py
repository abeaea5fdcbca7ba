"""``semrsm report``: results, or a run, as a page to look at."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..kernels import KERNELS, resolve_kernels
from .common import add_command, emit, features_path, holds_photographs, open_results, progress_bar

if TYPE_CHECKING:
    from ..features import Features


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "report",
        run,
        "make an interactive page of results or of a run, which opens from disk with no network",
        "  semrsm report results/ --images photos/ --out report/\n"
        "  semrsm report results/ --images photos/ --pair a.jpg b.jpg --out report.html\n"
        "  semrsm report run.zarr --images photos/ --kernel cosine rbf --out report/\n"
        "  semrsm report results/ --study retrieval/ class-agreement/ --out report/",
    )
    parser.add_argument(
        "results",
        type=Path,
        metavar="RUN_OR_RESULTS",
        help="a folder that 'semrsm rsm' wrote; of more than 2,000 images the first are shown",
    )
    parser.add_argument(
        "--images", type=Path, metavar="PHOTOS", help="the folder of the photographs"
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="OUT",
        help="a folder to be made, with index.html; or a name ending in .html, for one file with "
        "everything inside and photographs small enough to fit",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the folder if it has files in it"
    )
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="the features, for the matches of patches (default: those of the results or the run, "
        "if they still exist)",
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("IMAGE", "IMAGE"),
        help="two images by id whose match the page has at every layer; may be repeated (default: "
        "the pairs that gain most by matching, and nearest neighbours)",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="labels of images: a CSV file of ids and labels (default: the folder of each image)",
    )
    parser.add_argument(
        "--kernel",
        nargs="+",
        metavar="KERNEL",
        help=f"one or more of {', '.join(KERNELS)}, with options as in polynomial:degree=2 "
        "(default: those of the results; for a run, cosine)",
    )
    parser.add_argument(
        "--study",
        nargs="+",
        type=Path,
        default=[],
        metavar="FOLDER",
        help="folders that 'semrsm study' wrote, whose figures and tables are added",
    )
    parser.add_argument("--title", help="title of the page")


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    from ..report import write_explorer
    from ..report.explorer.studies import study_section

    if arguments.images is not None and not holds_photographs(arguments.images):
        what = "a store" if arguments.images.is_dir() else "not one"
        raise InputError(f"--images: expected a folder; {str(arguments.images)!r} is {what}")
    if arguments.kernel is not None:
        resolve_kernels(arguments.kernel)
    labels = None if arguments.labels is None else read_labels(arguments.labels)
    sections = [study_section(folder) for folder in arguments.study]
    source = open_results(arguments.results)
    features = _features(arguments)
    with progress_bar("Matching", "parts", quiet=arguments.json) as progress:
        page = write_explorer(
            source,
            arguments.out,
            features=features,
            images=arguments.images,
            labels=labels,
            pairs=[(left, right) for left, right in arguments.pair],
            kernels=arguments.kernel,
            title=arguments.title,
            sections=sections,
            facts={"report": arguments.command_line},
            overwrite=arguments.overwrite,
            progress=progress,
        )
    emit(
        {"out": str(arguments.out), "page": str(page), "bytes": page.stat().st_size},
        [f"{page} written: open it in a browser"],
        as_json=arguments.json,
    )


def read_labels(path: Path) -> Mapping[str, str]:
    """Return the label of each id of a CSV file with two columns; a head ``id,label`` is skipped.

    Raises
    ------
    InputError
        If the file cannot be read, a row has other cells, or an id is repeated.
    """
    found: dict[str, str] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row or (number == 1 and row == ["id", "label"]):
                    continue
                if len(row) != 2 or row[0] in found:
                    raise InputError(
                        f"--labels: expected an id and a label in each row, each id once; row "
                        f"{number} of {path} is {','.join(row)!r}"
                    )
                found[row[0]] = row[1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--labels: {path} cannot be read: {error}") from error
    return found


def _features(arguments: argparse.Namespace) -> Features | None:
    """Open the features of --features, or else those of the results or of the run."""
    from ..features import load_features

    found = arguments.features or features_path(arguments.results)
    return None if found is None else load_features(found)
