"""The errors of semrsm, and two helpers for their messages.

Every error that semrsm raises on purpose derives from :class:`SemrsmError`, so that
``except semrsm.errors.SemrsmError`` catches them all; each also derives from the built-in
exception that a NumPy user would expect.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = ["InputError", "MissingDependencyError", "SemrsmError"]


class SemrsmError(Exception):
    """Base of every error that semrsm raises on purpose."""


class InputError(SemrsmError, ValueError):
    """An argument is invalid.

    The message names the argument, the expected value and the given one.
    """


class MissingDependencyError(SemrsmError, ImportError):
    """A feature needs an optional package that is not installed."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of `choices`, or an empty string.

    Parameters
    ----------
    name : str
        The name that the user wrote.
    choices : iterable of str
        The accepted names.

    Returns
    -------
    str
        A sentence with a leading space, ready to be appended to an error message.

    Examples
    --------
    >>> did_you_mean("cosin", ["linear", "cosine", "rbf"])
    " Did you mean 'cosine'?"
    >>> did_you_mean("zzz", ["linear"])
    ''
    """
    near = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


def first_line(error: BaseException) -> str:
    r"""Return the kind of an error of another package and the start of its message.

    Examples
    --------
    >>> first_line(ValueError("no such thing\nand a page about it"))
    'ValueError: no such thing'
    """
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else ""
    return f"{type(error).__name__}: {line}"[:300]


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise an error that says how to install it.

    Parameters
    ----------
    module : str
        The module to import, for example ``"matplotlib.pyplot"``.
    extra : str
        The extra of semrsm that installs it, for example ``"plot"``.
    purpose : str
        The feature that needs it, as the subject of a sentence: ``"Plotting"``.

    Returns
    -------
    module
        The imported module.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != package:
            raise  # the package is installed, but a dependency of it is not: show that error
        raise MissingDependencyError(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'semrsm[{extra}]'"
        ) from error
