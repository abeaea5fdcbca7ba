"""Images by name: places of ids, and the images that two matrices share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What files and tables call the names of images, in order of preference.
NAMES_OF_IDS = ("ids", "id", "image_ids", "names", "name", "labels", "label", "stimuli", "conds")

#: Names that an error shows.
_SHOWN = 3


def are_default(ids: Sequence[str]) -> bool:
    """Return whether ids are the indices that stand where no names were given."""
    return all(name == str(i) for i, name in enumerate(ids))


def places(wanted: Iterable[Any], ids: Sequence[str], argument: str) -> NDArray[np.int64]:
    """Return where each of the wanted ids is.

    Parameters
    ----------
    wanted : iterable of str
        Distinct ids; numbers stand for the ids of that name.
    ids : sequence of str
        All ids.
    argument : str
        The argument's name, for errors.

    Raises
    ------
    InputError
        If there are none, one is repeated, or is not among the ids.
    """
    if isinstance(wanted, str) or not isinstance(wanted, Iterable):
        raise InputError(f"{argument}: expected a sequence of ids; got {wanted!r}")
    names = [str(name) for name in wanted]
    where = {name: i for i, name in enumerate(ids)}
    if not names:
        raise InputError(f"{argument}: expected at least one id; got none")
    for name in names:
        if name not in where:
            raise InputError(
                f"{argument}: expected ids of the matrix; {name!r} is not one."
                f"{did_you_mean(name, ids)}"
            )
    if len(set(names)) != len(names):
        twice = next(name for i, name in enumerate(names) if name in names[:i])
        raise InputError(f"{argument}: expected distinct ids; got {twice!r} more than once")
    return np.array([where[name] for name in names], dtype=np.int64)


def shared(a: Sequence[str], b: Sequence[str], on: str) -> list[str]:
    """Return the ids that two matrices are compared on, in the order of `a`.

    Parameters
    ----------
    a, b : sequence of str
    on : {"all", "common"}
        Whether both must have the same images.

    Raises
    ------
    InputError
        If they differ and all are asked for, one of them has names and the other has none, or they
        have no image in common.
    """
    if are_default(a) != are_default(b) and set(a) != set(b):
        named, other = ("b", "a") if are_default(a) else ("a", "b")
        raise InputError(
            f"a, b: expected ids in both; {named} has names ({_listed(a if named == 'a' else b)}) "
            f"and {other} has none. Pass ids= where it is made, or compare arrays (np.asarray)"
        )
    others = set(b)
    common = [name for name in a if name in others]
    if on == "all" and (len(common) < len(a) or len(common) < len(b)):
        only_a = [name for name in a if name not in others]
        only_b = [name for name in b if name not in set(a)]
        missing = "; ".join(
            f"{len(names)} only in {side} ({_listed(names)})"
            for side, names in (("a", only_a), ("b", only_b))
            if names
        )
        raise InputError(
            f"a, b: expected RSMs of the same images; {missing}. on='common' compares the "
            f"{len(common)} that both have"
        )
    if not common:
        raise InputError("a, b: expected RSMs with images in common; their ids share none")
    return common


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
