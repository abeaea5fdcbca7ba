"""``semrsm compare``: how alike saved RSMs are."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..kernels import resolve_kernel
from ..matrices.cka import cka
from ..matrices.comparison import Comparison, UndefinedError, check_interval
from ..matrices.correlations import METHODS
from ..matrices.gram import Gram
from ..matrices.rsa import rsa
from ..matrices.rsm import RSM
from .common import add_command, emit, open_results, table_lines

CHOICES = ("cka", "debiased-cka", *METHODS)


def add(subparsers: Any) -> None:
    """Add the subcommand."""
    parser = add_command(
        subparsers,
        "compare",
        run,
        "compare RSMs of the same images by CKA or by rank correlation (RSA)",
        "  semrsm compare a.npz b.npz\n"
        "  semrsm compare results-a/ results-b/ --method debiased-cka --interval 0.95\n"
        "  semrsm compare results/ --method spearman --kernel cosine",
    )
    parser.add_argument(
        "a", type=Path, metavar="A", help="a saved RSM or Gram, or a folder of 'semrsm rsm'"
    )
    parser.add_argument(
        "b",
        type=Path,
        metavar="B",
        nargs="?",
        help="another one; without it, the layers and matchers of the folder A are compared with "
        "each other",
    )
    parser.add_argument(
        "--method", nargs="+", choices=CHOICES, default=["cka"], help="(default: cka)"
    )
    parser.add_argument(
        "--interval",
        type=float,
        metavar="CONFIDENCE",
        help="add an interval over images with this confidence, such as 0.95",
    )
    parser.add_argument(
        "--diagonal",
        action="store_true",
        help="include the diagonal in rank correlations (CKA always includes it, debiased CKA "
        "never)",
    )
    parser.add_argument(
        "--on",
        choices=("all", "common"),
        default="all",
        help="whether both must have the same images, or those in common are compared; images are "
        "matched by id (default: all)",
    )
    parser.add_argument(
        "--kernel",
        help="the kernel of folders and Grams (default: that of the RSM they are compared with, "
        "or else the first one of a folder, or cosine)",
    )


@dataclass(frozen=True)
class _Saved:
    """The RSMs of a file or folder.

    Attributes
    ----------
    rsms : callable
        Given a kernel, returns the RSMs by the name that the table shows.
    kernel : str or None
        The label of an RSM's kernel; None for folders and Grams, which can be seen through every
        kernel.
    first : str or None
        The first kernel that a folder was seen through.
    """

    rsms: Callable[[str], dict[str, Any]]
    kernel: str | None = None
    first: str | None = None


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    if arguments.interval is not None:
        check_interval(arguments.interval)
    itself = arguments.b is None
    a = _opened(arguments.a, named=not itself)
    b = a if itself else _opened(arguments.b, named=True)
    # Two RSMs may have different kernels; the table says so.
    kernel = arguments.kernel or a.kernel or b.kernel or a.first or b.first or "cosine"
    left = a.rsms(arguments.kernel or a.kernel or kernel)
    right = left if itself else b.rsms(arguments.kernel or b.kernel or kernel)
    pairs = list(itertools.combinations(left, 2) if itself else itertools.product(left, right))
    if not pairs:
        raise InputError(f"B: expected something to compare {str(arguments.a)!r} with")
    rows: list[dict[str, Any]] = []
    undefined: list[str] = []
    for x, y in pairs:
        for method in arguments.method:
            found: Comparison | None = None
            try:
                found = _compare(left[x], right[y], method, arguments)
            except UndefinedError as error:
                undefined.append(f"{x} and {y}: {error}")
            except InputError as error:
                raise InputError(f"{x} and {y}: {error}") from error
            row: dict[str, Any] = {
                "a": x,
                "b": y,
                "kernel_a": left[x].kernel,
                "kernel_b": right[y].kernel,
                "method": method,
                "value": float("nan") if found is None else found.value,
            }
            if arguments.interval is not None:
                none = (float("nan"), float("nan"))
                row["low"], row["high"] = none if found is None else found.interval or none
            rows.append(row | {"images": len(left[x].row_ids) if found is None else found.images})
    if len(undefined) == len(rows):
        raise InputError(undefined[0])
    for line in undefined:  # a dead layer does not stop the others
        print(f"semrsm compare: {line}", file=sys.stderr)
    emit({"comparisons": rows}, table_lines(rows, list(rows[0])), as_json=arguments.json)


def _compare(a: Any, b: Any, method: str, arguments: argparse.Namespace) -> Comparison:
    if method in METHODS:
        return rsa(
            a,
            b,
            method=method,
            diagonal=arguments.diagonal,
            interval=arguments.interval,
            on=arguments.on,
        )
    return cka(
        a, b, debiased=method == "debiased-cka", interval=arguments.interval, on=arguments.on
    )


def _opened(path: Path, *, named: bool) -> _Saved:
    """Open a file or folder; `named` says whether the names of RSMs in it begin with its own."""
    if path.is_dir():
        results = open_results(path)
        prefix = f"{path}: " if named else ""

        def of_folder(kernel: str) -> dict[str, Any]:
            found = results.rsms(kernel).items()
            return {f"{prefix}{layer}, {matcher}": rsm for (layer, matcher), rsm in found}

        return _Saved(of_folder, first=next(iter(results.kernels), None))
    if not path.is_file():
        raise InputError(f"expected a saved RSM or a results folder; {str(path)!r} does not exist")
    try:
        saved = RSM.load(path)
    except InputError as error:
        try:
            gram = Gram.load(path)
        except InputError:
            raise error from None
        return _Saved(lambda kernel: {str(path): gram.rsm(kernel)})

    def of_file(kernel: str) -> dict[str, RSM]:
        if not _was_seen_through(saved, kernel):
            raise InputError(
                f"--kernel: expected none, or that of the RSM in {str(path)!r}, {saved.kernel!r}; "
                f"got {kernel!r} (a Gram can be seen through every kernel)"
            )
        return {str(path): saved}

    return _Saved(of_file, kernel=saved.kernel)


def _was_seen_through(saved: RSM, label: str) -> bool:
    """Return whether a label means the kernel of a saved RSM, by its rule or by its number."""
    if label == saved.kernel:
        return True
    try:
        asked, own = resolve_kernel(label), resolve_kernel(saved.kernel)
    except InputError:  # a kernel of the user's own that is not registered here
        return False
    numbered: Any = own
    if own.takes_sigma and saved.sigma is not None:
        numbered = replace(numbered, sigma=saved.sigma)
    return asked in (own, numbered)
