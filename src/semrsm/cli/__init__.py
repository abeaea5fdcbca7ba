"""The command ``semrsm``: a thin layer over the library, one module for each subcommand."""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
import warnings
from collections.abc import Sequence

from .._version import __version__
from ..errors import SemrsmError
from . import (
    compare,
    demo,
    extract,
    index,
    info,
    layers,
    merge,
    report,
    retrieve,
    rsm,
    study,
    worker,
)

COMMANDS = (
    layers,
    extract,
    rsm,
    worker,
    merge,
    compare,
    index,
    retrieve,
    study,
    report,
    info,
    demo,
)

USAGE_ERROR = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """End with one line and status 2; the usage is left to --help."""
        self.exit(USAGE_ERROR, f"{self.prog}: error: {message}\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    top = _Parser(
        prog="semrsm",
        description=(
            "Representational similarity matrices that see what is in an image, not where: exact, "
            "certified, at the cost of a matrix product."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(
            "examples:\n"
            "  semrsm demo --out semrsm-demo\n"
            "  semrsm rsm photos/ --out results/\n"
            "  semrsm extract photos/ --out features.npz\n"
            "  semrsm rsm features.npz --kernel cosine rbf --out results/\n"
            "  semrsm compare results/ --method debiased-cka\n"
            "  semrsm retrieve queries/ photos/ --k 10 --out neighbours/\n"
            "  semrsm study retrieval EgoObjects/ --dataset egoobjects --out retrieval/\n"
            "  semrsm report results/ --images photos/ --out report/"
        ),
    )
    top.add_argument("--version", action="version", version=f"semrsm {__version__}")
    subparsers = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(subparsers)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after ``semrsm``; those of ``sys.argv`` by default.

    Returns
    -------
    int
        0 on success, 2 on bad input, 130 after Ctrl-C, 141 where nobody reads the output any more.
    """
    _write_what_fits()
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _write_what_fits() -> None:
    """Let streams that are no UTF-8 escape the characters that they lack."""
    for stream in (sys.stdout, sys.stderr):
        encoding = str(getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "")
        if encoding != "utf8" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _run(given: list[str]) -> int:
    """Parse the arguments, run the command and return its status."""
    chosen = parser().parse_args(given)
    chosen.command_line = shlex.join(["semrsm", *given])  # for protocols and reports
    name = f"semrsm {chosen.command}"

    def one_line(message: object, *_: object, **__: object) -> None:
        print(f"{name}: warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = one_line
        try:
            chosen.run(chosen)
        except SemrsmError as error:
            print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
            return USAGE_ERROR
        except BrokenPipeError:
            raise
        except OSError as error:  # a full disk, a folder that may not be written
            print(f"{name}: error: {error}", file=sys.stderr)
            return USAGE_ERROR
        except KeyboardInterrupt:
            print(f"{name}: interrupted", file=sys.stderr)
            return INTERRUPTED
    return 0
