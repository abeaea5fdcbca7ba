"""The data sets of the studies, as options of the command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ..datasets.registry import READERS, all_options
from ..errors import InputError


def add_data_options(parser: argparse.ArgumentParser, default: str = "folder") -> None:
    """Add the options that describe SOURCE."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=READERS,
        default=default,
        help="how SOURCE is laid out: any folder of photographs, one folder for each class, or one "
        "of these data sets; scenes are composed of cut-outs in SOURCE (default: %(default)s)",
    )
    for option in all_options():
        text = option.help.replace("%", "%%")
        if option.several:
            group.add_argument(option.flag, type=option.kind, nargs="+", metavar="NAME", help=text)
        else:
            group.add_argument(option.flag, type=option.kind, help=text)
    group.add_argument(
        "--limit", type=int, metavar="N", help="take N images, evenly spread over the data set"
    )


def data_options() -> tuple[str, ...]:
    """Return the names of the options in the parsed arguments, without ``dataset``."""
    return (*(option.name for option in all_options()), "limit")


def open_data(arguments: argparse.Namespace) -> Any:
    """Return the data set that the options describe.

    Raises
    ------
    InputError
        If the data set does not take an option that was given, or cannot be read.
    """
    reader = READERS[arguments.dataset]
    taken = {option.name for option in reader.options}
    options = {}
    for option in all_options():
        value = getattr(arguments, option.name)
        if value is None:
            continue
        if option.name not in taken:
            takers = " or ".join(
                other.name
                for other in READERS.values()
                if option.name in {known.name for known in other.options}
            )
            raise InputError(
                f"{option.flag}: expected with --dataset {takers}; got --dataset "
                f"{arguments.dataset}"
            )
        options[option.name] = value
    data = reader.open(arguments.source, **options)
    if arguments.limit is None:
        return data
    if arguments.limit < 1:
        raise InputError(f"--limit: expected a number of images >= 1; got {arguments.limit}")
    if arguments.limit >= len(data):
        return data
    chosen = [n * len(data) // arguments.limit for n in range(arguments.limit)]
    return data.take(chosen) if hasattr(data, "take") else _Part(data, chosen)


class _Part:
    """Some images of a data set that has no ``take``: a reader need not return more than images.

    It has the annotations that the data set has.
    """

    def __init__(self, data: Any, chosen: Sequence[int]) -> None:
        self._data = data
        self._chosen = tuple(chosen)
        for name in ("ids", "labels", "objects", "boxes", "groups"):
            if hasattr(data, name):
                entries = getattr(data, name)
                taken = None if entries is None else tuple(entries[i] for i in self._chosen)
                setattr(self, name, taken)

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> Any:
        return self._data[self._chosen[index]]
