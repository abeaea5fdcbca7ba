"""The data sets of the studies, as options of the command."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import InputError

#: Options that a reader takes, by the name of the data set.
READERS = {
    "folder": ("ImageFolder", ()),
    "class-folders": ("ClassFolders", ()),
    "imagenet": ("ImageNet", ("split",)),
    "tinyimagenet": ("TinyImageNet", ("split",)),
    "egoobjects": ("EgoObjects", ("split", "subset", "objects", "groups")),
    "cityscapes": ("Cityscapes", ("split", "objects")),
    "scenes": ("ComposedScenes", ("objects", "count", "seed", "exclude")),
}

_HELP = {
    "split": "the part of the data set, such as val, train or eval",
    "subset": "only images whose record has this subset (egoobjects: val, test)",
    "objects": "what counts as an object: categories, instances (egoobjects); classes, things, "
    "labels (cityscapes); things, folders (scenes)",
    "groups": "what near duplicates share: group, video (egoobjects)",
    "count": "how many scenes are composed",
    "seed": "of the scenes",
    "exclude": "folders and files of cut-outs that are left out, as names or globs (scenes)",
}

#: All of them, as attributes of the parsed arguments, but for the name of the data set.
DATA_OPTIONS = (*_HELP, "limit")


def add_data_options(parser: argparse.ArgumentParser, default: str = "folder") -> None:
    """Add the options that say what SOURCE is."""
    group = parser.add_argument_group("data")
    group.add_argument(
        "--dataset",
        choices=READERS,
        default=default,
        help="how SOURCE is laid out: any folder of photographs, one folder for each class, or one "
        "of these data sets; scenes are composed of cut-outs in SOURCE (default: %(default)s)",
    )
    for name, text in _HELP.items():
        if name == "exclude":
            group.add_argument("--exclude", nargs="+", metavar="NAME", help=text)
        else:
            number = int if name in ("count", "seed") else str
            group.add_argument(f"--{name}", type=number, help=text)
    group.add_argument(
        "--limit", type=int, metavar="N", help="take N images, evenly spread over the data set"
    )


def open_data(arguments: argparse.Namespace) -> Any:
    """Return the data set that the options describe.

    Raises
    ------
    InputError
        If the data set does not take an option that was given, or cannot be read.
    """
    from .. import datasets

    reader, taken = READERS[arguments.dataset]
    given = {name: getattr(arguments, name) for name in _HELP}
    options = {name: value for name, value in given.items() if value is not None}
    for name in options:
        if name not in taken:
            takers = " or ".join(data for data, (_, names) in READERS.items() if name in names)
            raise InputError(
                f"--{name}: expected with --dataset {takers}; got --dataset {arguments.dataset}"
            )
    data = getattr(datasets, reader)(arguments.source, **options)
    if arguments.limit is None:
        return data
    if arguments.limit < 1:
        raise InputError(f"--limit: expected a number of images >= 1; got {arguments.limit}")
    if arguments.limit >= len(data):
        return data
    return data.take([n * len(data) // arguments.limit for n in range(arguments.limit)])
