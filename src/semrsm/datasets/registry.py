"""The readers of data sets, by their names in the command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import InputError


@dataclass(frozen=True)
class Option:
    """An argument of a reader that the command offers as an option.

    Attributes
    ----------
    name : str
        The keyword of the reader; the command writes ``-`` for ``_``.
    help : str
        Its line in the help of the command.
    kind : {str, int, float}
        The type of a value.
    several : bool
        Whether it takes several values, which arrive as a list.
    """

    name: str
    help: str
    kind: type = str
    several: bool = False

    @property
    def flag(self) -> str:
        """The option as it is written."""
        return "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Reader:
    """A way to read a folder as a data set.

    Attributes
    ----------
    name : str
        The value of ``--dataset``.
    open : callable
        ``open(root, **options)`` returns the data set: anything with a length, ``ids``, and PIL
        images by index.
    options : tuple of Option
        The keywords that it takes.
    """

    name: str
    open: Callable[..., Any]
    options: tuple[Option, ...] = ()


#: By name.
READERS: dict[str, Reader] = {}


def register(name: str, open: Callable[..., Any], options: Sequence[Option] = ()) -> Reader:
    """Add a reader of data sets to the command.

    Parameters
    ----------
    name : str
        The value of ``--dataset``. A reader of that name is replaced.
    open : callable
        A class or function: ``open(root, **options)`` returns anything with a length, ``ids``, and
        PIL images by index.
    options : sequence of Option
        The keywords that the command offers. Several readers may have options of one name; their
        help is joined.

    Returns
    -------
    Reader

    Raises
    ------
    InputError
        If a name has other characters than small letters, digits, ``-`` and ``_``, `open` cannot be
        called, an option is not an :class:`Option`, or another reader has an option of that name
        which takes other values.

    Examples
    --------
    >>> from semrsm import datasets
    >>> reader = datasets.register("flat", lambda root: datasets.ImageFolder(root, recursive=False))
    >>> sorted(datasets.READERS)
    ['cityscapes', 'class-folders', 'egoobjects', 'flat', 'folder', 'imagenet', 'scenes', ...]
    >>> del datasets.READERS["flat"]
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise InputError(f"name: expected small letters, digits, '-' and '_'; got {name!r}")
    if not callable(open):
        raise InputError(f"open: expected a class or function; got {type(open).__name__}")
    others = {key: reader for key, reader in READERS.items() if key != name}
    for option in options:
        if not isinstance(option, Option) or not re.fullmatch(r"[a-z][a-z0-9_]*", option.name):
            raise InputError(
                "options: expected semrsm.datasets.Option with a keyword in small letters; got "
                f"{option!r}"
            )
        for other in others.values():
            for known in other.options:
                if known.name == option.name and (known.kind, known.several) != (
                    option.kind,
                    option.several,
                ):
                    raise InputError(
                        f"options: expected {option.name!r} to take the values that it takes for "
                        f"{other.name!r}: {_values(known)}; got {_values(option)}"
                    )
    READERS[name] = Reader(name, open, tuple(options))
    return READERS[name]


def all_options() -> tuple[Option, ...]:
    """Return the options of all readers, one of each name, with their help joined."""
    found: dict[str, Option] = {}
    for reader in READERS.values():
        for option in reader.options:
            known = found.get(option.name)
            if known is None:
                found[option.name] = option
            elif option.help not in known.help:
                found[option.name] = replace(known, help=f"{known.help}; {option.help}")
    return tuple(found.values())


def _values(option: Option) -> str:
    return f"{'one or more of' if option.several else 'one'} {option.kind.__name__}"
