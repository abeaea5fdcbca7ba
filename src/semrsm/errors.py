"""The errors of semrsm, and the two helpers that word them.

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
    """An argument does not hold what the function needs.

    The message names the argument, what was expected and what came.
    """


class MissingDependencyError(SemrsmError, ImportError):
    """A feature needs an optional package that is not installed."""


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest of `choices`, or an empty string.

    Parameters
    ----------
    name : str
        What the user wrote.
    choices : iterable of str
        What would have been accepted.

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


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or say in one sentence how to get it.

    Parameters
    ----------
    module : str
        The module to import, for example ``"matplotlib.pyplot"``.
    extra : str
        The extra of semrsm that brings it, for example ``"plot"``.
    purpose : str
        What needs it, as the subject of a sentence: ``"Plotting"``.

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
            raise  # the package is there, but something that it needs is not: show that
        raise MissingDependencyError(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'semrsm[{extra}]'"
        ) from error
