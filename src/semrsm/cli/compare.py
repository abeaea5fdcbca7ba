"""``semrsm compare``: how alike saved RSMs are."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..compare import METHODS, Comparison, cka, rsa
from ..errors import InputError
from ..gram import Gram
from ..results import Results
from ..rsm import RSM
from ._common import add_command, emit, table_lines

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
        help="another one; without it, the layers and matchers of the folder A with each other",
    )
    parser.add_argument(
        "--method", nargs="+", choices=CHOICES, default=["cka"], help="(default: cka)"
    )
    parser.add_argument(
        "--interval",
        type=float,
        metavar="CONFIDENCE",
        help="also an interval over images of this confidence, such as 0.95",
    )
    parser.add_argument(
        "--diagonal",
        action="store_true",
        help="let the diagonal take part in rank correlations (in CKA it always does, and in "
        "debiased CKA never)",
    )
    parser.add_argument(
        "--kernel", help="the kernel of folders and Grams (default: a folder's first, or cosine)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the subcommand."""
    left = _read(arguments.a, arguments.kernel)
    if arguments.b is None:
        if len(left) < 2:
            raise InputError(f"B: expected something to compare {str(arguments.a)!r} with")
        names = list(left)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        right = left
    else:
        right = _read(arguments.b, arguments.kernel)
        pairs = [(a, b) for a in left for b in right]
    rows = []
    for a, b in pairs:
        for method in arguments.method:
            found = _compare(left[a], right[b], method, arguments)
            low, high = found.interval if found.interval is not None else (None, None)
            row: dict[str, Any] = {"a": a, "b": b, "method": method, "value": found.value}
            if arguments.interval is not None:
                row |= {"low": low, "high": high}
            rows.append(row | {"images": found.images})
    emit({"comparisons": rows}, table_lines(rows, list(rows[0])), as_json=arguments.json)


def _compare(a: RSM, b: RSM, method: str, arguments: argparse.Namespace) -> Comparison:
    if method in METHODS:
        return rsa(a, b, method=method, diagonal=arguments.diagonal, interval=arguments.interval)
    return cka(a, b, debiased=method == "debiased-cka", interval=arguments.interval)


def _read(path: Path, kernel: str | None) -> dict[str, RSM]:
    """Return the RSMs that a file or folder holds, by the name that the table shows."""
    if path.is_dir():
        results = Results.read(path)
        rsms = results.rsms(kernel or results.kernels[0])
        return {f"{path}: {layer}, {matcher}": rsm for (layer, matcher), rsm in rsms.items()}
    if not path.is_file():
        raise InputError(f"expected a saved RSM or a results folder; {str(path)!r} does not exist")
    try:
        found = RSM.load(path)
    except InputError as error:
        try:
            return {str(path): Gram.load(path).rsm(kernel or "cosine")}
        except InputError:
            raise error from None
    if kernel is not None and kernel != found.kernel:
        raise InputError(
            f"--kernel: expected none, or that of the RSM in {str(path)!r}, {found.kernel!r}; got "
            f"{kernel!r} (a Gram can be seen through every kernel)"
        )
    return {str(path): found}
